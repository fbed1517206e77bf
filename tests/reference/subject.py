"""A network to compare quantizers on: its checkpoint, recorded logits, calibration images and test pixels."""

import dataclasses
import json
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from PIL import Image

import checkpoint
import datasets
import record
import results
from command import Cardinal
from networks import RECIPES, Recipe
from resnext import ResNeXt, Shape

SEED = 0
CALIBRATION = 512  # images
PHOTOGRAPHS = (".jpg", ".jpeg", ".png")


def draw(labels: np.ndarray, count: int, seed: int = SEED) -> np.ndarray:
    """Indices of `count` images, as evenly spread over the classes as can be; in rising order."""
    if count > len(labels):
        raise SystemExit(f"there are {len(labels)} images to calibrate with, {count} are wanted")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    turn, taken = np.empty(len(labels), int), {}
    for index in shuffled:
        label = labels[index]
        turn[index] = taken[label] = taken.get(label, -1) + 1
    # All first of a class, then all second ones, and so on.
    return np.sort(shuffled[np.argsort(turn[shuffled], kind="stable")][:count])


def copy_photographs(source: Path, folder: Path, count: int) -> list[Path]:
    """Photographs drawn of class folders, the files themselves."""
    files = [
        path
        for kind in sorted(source.iterdir())
        if kind.is_dir()
        for path in sorted(kind.iterdir())
        if path.suffix.lower() in PHOTOGRAPHS
    ]
    names = [path.parent.name for path in files]
    copies = []
    for index in draw(np.unique(names, return_inverse=True)[1], count):
        copies.append(folder / names[index] / files[index].name)
        copies[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[index], copies[-1])
    return copies


def write_tiles(source: Path, folder: Path, count: int | None, tile: int) -> list[Path]:
    """Tiles drawn of mosaics (None: all), a PNG each, in class folders."""
    split = datasets.read_mosaics(source, tile)
    labels, paths = split.labels.numpy(), []
    for index in draw(labels, len(labels) if count is None else count):
        label = labels[index]
        paths.append(folder / f"{label:02}_{split.classes[label]}" / f"{index:06}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.images[index].permute(1, 2, 0).squeeze(2).numpy()).save(paths[-1])
    return paths


def shape_of(state: dict[str, torch.Tensor], settings: dict) -> Shape:
    """What weights with mmpretrain's keys and a sidecar say together."""
    stages = [[name for name in state if name.startswith(f"backbone.layer{n}.") and name.endswith(".conv2.weight")]
              for n in range(1, 10)]  # fmt: skip
    stages = [names for names in stages if names]
    first = [state[names[0]] for names in stages]
    ends = [state[names[0].replace("conv2", "conv3")] for names in stages]
    stem = state["backbone.conv1.weight"]
    return Shape(
        colours=stem.shape[1], classes=state["head.fc.weight"].shape[0],
        stem_width=stem.shape[0], stem_kernel=stem.shape[2],
        stem_stride=settings.get("stem-stride", 2), stem_pool=settings.get("stem-pool", True),
        blocks=tuple(map(len, stages)), strides=tuple(settings.get("strides", [1, 2, 2, 2][: len(stages)])),
        inner=tuple(weight.shape[0] for weight in first), outer=tuple(weight.shape[0] for weight in ends),
        cardinality=first[0].shape[0] // first[0].shape[1],
    )  # fmt: skip


def adopt(path: Path, like: Recipe, work: Path) -> tuple[Recipe, Path]:
    """Another's checkpoint, `.toml` beside it, as one of ours in `work`: for the data and labels of `like`."""
    settings = tomllib.loads(path.with_suffix(".toml").read_text())
    saved = torch.load(path, map_location="cpu", weights_only=True)
    state = saved.get("state_dict", saved)
    recipe = dataclasses.replace(like, name=path.stem, shape=shape_of(state, settings), half=False, kept=False)
    meta = {"network": recipe.name, "classes": settings["labels"]}
    meta |= {key: settings[key] for key in ("input", "mean", "std")}
    checkpoint.write(recipe, state, meta, work)
    return recipe, work / f"{recipe.name}.pth"


def recorded(recipe: Recipe, trained: Path, path: Path, data: Path | None, work: Path) -> Path:
    """The recording of the network; made in `work` where there is none."""
    if (there := results.recording(recipe, trained)).exists():
        return there
    record.deterministic()
    tensors, meta = record.record(recipe, path, recipe.recorded(data), torch.device("cpu"))
    made = work / f"{recipe.name}.recorded.safetensors"
    safetensors.numpy.save_file(tensors, made, {"meta": json.dumps(meta)})
    return made


def normalise(pixels: np.ndarray, mean: list[float], std: list[float]) -> np.ndarray:
    """What a network reads of one image's 0...255 (channels, height, width), as a batch."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (mean, std))
    return ((pixels.astype(np.float32) - mean) / std)[None]


def write_normalised(array: Path, pixels: np.ndarray, mean: list[float], std: list[float]) -> None:
    """Normalised float32 NCHW as an array file, for `quantizers.py`."""
    written = np.lib.format.open_memmap(array, "w+", np.float32, pixels.shape)
    for index, image in enumerate(pixels):
        written[index] = normalise(image, mean, std)[0]
    written.flush()


def read(cardinal: Cardinal, path: Path, calib: Path, images: list[Path], *options: object) -> np.ndarray:
    """Pixels of files as Cardinal's network reads them (images, channels, height, width), 0...255.

    A checkpoint and a file made of it read alike; the file, quickly made, is the faster reader.
    """
    reader = cardinal.work / "reader.cardinal"
    few = ["--calib", calib, "--calib-images", 8, "--method", "min-max"]
    cardinal("convert", path, *few, *options, "-o", reader)
    return cardinal.features(reader, images, "image")


@dataclass
class Subject:
    name: str
    path: Path  # of the checkpoint
    model: ResNeXt
    meta: dict
    recording: Path
    calib: Path  # folder of the drawn images, no others
    drawn: list[Path]
    test: Path  # folder of the test images
    work: Path
    pixels: np.ndarray | None = None  # of the test images, once they are read

    def __post_init__(self) -> None:
        held = safetensors.numpy.load_file(self.recording)
        self.logits, self.labels, self.sha256 = (held[key] for key in ("logits", "labels", "image_sha256"))
        self.names = record.read_meta(self.recording)["names"]

    @property
    def mosaics(self) -> bool:
        return "#" in self.names[0]

    def calibration(self, cardinal: Cardinal) -> Path:
        """The drawn images as Cardinal's network reads them, normalised: an array file."""
        array = self.work / "calibration.npy"
        if not array.exists():
            pixels = read(cardinal, self.path, self.calib, self.drawn)
            if self.mosaics and any((own != seen).any() for own, seen in zip(map(self._png, self.drawn), pixels)):
                raise SystemExit("Cardinal's network reads other pixels than the mosaics hold")
            write_normalised(array, pixels, self.meta["mean"], self.meta["std"])
        return array

    def tests(self, cardinal: Cardinal) -> Iterator[np.ndarray]:
        """The test images, as Cardinal's network reads them, normalised, in the recording's order."""
        if self.pixels is None:
            photographs = [] if self.mosaics else [self.test / name for name in self.names]
            self.pixels = self._tiles() if self.mosaics else read(cardinal, self.path, self.calib, photographs)
        return (normalise(image, self.meta["mean"], self.meta["std"]) for image in self.pixels)

    def _tiles(self) -> np.ndarray:
        """Tiles have the network's size, so it reads their bytes; `cardinal parity` compares the same digests."""
        split = datasets.read_mosaics(self.test, self.meta["input"][0])
        if not np.array_equal(np.frombuffer(b"".join(split.sha256), np.uint8).reshape(-1, 32), self.sha256):
            raise SystemExit(f"{self.test}: other images than {self.recording.name} was recorded of")
        return split.images.numpy()

    @staticmethod
    def _png(path: Path) -> np.ndarray:
        return np.atleast_3d(np.array(Image.open(path))).transpose(2, 0, 1)

    def export(self) -> Path:
        """ONNX of the float network: batch norm folded into the convolutions, one image of fixed size."""
        path = self.work / "network.onnx"
        if not path.exists():
            export(self.model, [1, self.model.shape.colours, *self.meta["input"]], path)
        return path


def export(model: torch.nn.Module, size: list[int], path: Path) -> None:
    """By the TorchScript exporter, which folds batch norm and keeps GlobalAveragePool; opset 17."""
    names = {"input_names": ["input"], "output_names": ["logits"]}
    torch.onnx.export(model.eval(), (torch.zeros(size),), str(path), opset_version=17, dynamo=False, **names)


def prepare(
    network: str, trained: Path | None, other: Path | None, data: Path | None, count: int | None, work: Path
) -> Subject:
    """A reference network that train.py left in `trained`; or the checkpoint `other`, for that network's data."""
    recipe = RECIPES[network]
    if other:
        recipe, path = adopt(other, recipe, work)
        trained = work
    elif trained:
        path = results.find(recipe, trained)
    else:
        raise SystemExit("give --from or --checkpoint")
    model, meta = checkpoint.read(path, recipe)
    source, test = datasets.folders(recipe.corpus, data)
    calib = work / "calib"
    if any(entry.is_dir() for entry in source.iterdir()):
        drawn = copy_photographs(source, calib, count or CALIBRATION)
    else:
        # All that come with Cardinal are meant to be calibrated with.
        shipped = recipe.corpus == "fmnist"
        drawn = write_tiles(source, calib, count or (None if shipped else CALIBRATION), meta["input"][0])
    recording = recorded(recipe, trained, path, data, work)
    return Subject(other.stem if other else network, path, model, meta, recording, calib, drawn, test, work)
