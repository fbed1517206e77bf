"""The labelled image sets the reference networks are trained and recorded on."""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

BILINEAR = Image.Resampling.BILINEAR

# Where Debian's package `dataset-fashion-mnist` puts its files.
FMNIST = Path("/usr/share/datasets/fashion-mnist")
FMNIST_ASSETS = Path(__file__).resolve().parents[2] / "converter/assets/fmnist"

FMNIST_LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


@dataclass
class Split:
    images: torch.Tensor  # uint8, NCHW
    labels: torch.Tensor  # int64
    classes: tuple[str, ...] = ()
    # Of each image: what `cardinal eval` calls it, and the SHA-256 of its file
    # or, for a mosaic's tile, of its pixels (HWC).
    names: list[str] = field(default_factory=list)
    sha256: list[bytes] = field(default_factory=list)


@dataclass
class Dataset:
    labels: tuple[str, ...]
    train: Split
    test: Split
    shipped: torch.Tensor  # indices of the test images kept in this repository
    sha256: dict[str, str]  # of each file read; of a folder, of the list that sha256sum prints

    def mean_std(self) -> tuple[list[float], list[float]]:
        """Per-channel statistics of the training images on the 0..255 scale."""
        # Sums of bytes and of their squares are exact in int64; one image at a time, as squares need room.
        total, square = torch.zeros(2, self.train.images.shape[1], dtype=torch.int64)
        for images in self.train.images.split(1000):
            values = images.to(torch.int32)
            total += values.sum((0, 2, 3), dtype=torch.int64)
            square += values.square().sum((0, 2, 3), dtype=torch.int64)
        count = self.train.images[:, 0].numel()
        mean = [value / count for value in total.tolist()]
        square = [value / count for value in square.tolist()]
        return mean, [(s - m * m) ** 0.5 for s, m in zip(square, mean)]


def normalise(images: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    """What a network reads of NCHW bytes."""
    mean, std = (torch.tensor(value, device=images.device).view(-1, 1, 1) for value in (mean, std))
    return (images.float() - mean) / std


def given(directory: Path | None, what: str) -> Path:
    if directory is None:
        raise SystemExit(f"--data: give the folder of {what}; README.md says how it is laid out")
    return directory


def folders(corpus: str, root: Path | None) -> tuple[Path, Path]:
    """Where `cardinal` finds the images to calibrate with, and those of the recorded test."""
    if corpus == "fmnist":
        return FMNIST_ASSETS / "calib", FMNIST_ASSETS / "test"
    root = given(root, corpus)
    return root / "train", root / ("val" if corpus == "imagenette" else "test")


def first_of_each(labels: torch.Tensor, counts: list[int]) -> list[torch.Tensor]:
    """For each class, the indices of its first `counts[class]` images, in order."""
    return [(labels == c).nonzero().flatten()[:count] for c, count in enumerate(counts)]


def _idx(path: Path, sha256: dict[str, str]) -> np.ndarray:
    """Reads a gzipped IDX file of bytes: u16 0, u8 type 8, u8 rank, u32 sizes, data."""
    packed = path.read_bytes()
    sha256[path.name] = hashlib.sha256(packed).hexdigest()
    raw = gzip.decompress(packed)
    if raw[:3] != b"\0\0\x08":
        raise SystemExit(f"{path}: not an IDX file of bytes")
    rank = raw[3]
    sizes = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(sizes).copy()


def fmnist(directory: Path | None = None) -> Dataset:
    directory, sha256 = directory or FMNIST, {}

    def split(prefix: str) -> Split:
        images = _idx(directory / f"{prefix}-images-idx3-ubyte.gz", sha256)
        labels = _idx(directory / f"{prefix}-labels-idx1-ubyte.gz", sha256)
        return Split(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())

    train, test = split("train"), split("t10k")
    shipped = torch.cat(first_of_each(test.labels, [200] * 10))
    return Dataset(FMNIST_LABELS, train, test, shipped, sha256)


def fmnist_shipped(_: Path | None = None) -> Split:
    """The 2,000 test images that come with Cardinal."""
    return read_mosaics(FMNIST_ASSETS / "test", 28)


def read_mosaics(folder: Path, tile: int) -> Split:
    """One mosaic `<label>_<class>.png` or `.webp` a class: square tiles, row-major, no gaps."""
    files = {int(path.name.split("_")[0]): path for path in folder.iterdir() if path.suffix in (".png", ".webp")}
    if not files or sorted(files) != list(range(len(files))):
        raise SystemExit(f"{folder}: no mosaics named 0_<class>.png, 1_<class>.png, ...")
    split = Split(torch.empty(0), torch.empty(0))
    images, labels = [], []
    for label, path in sorted(files.items()):
        mosaic = np.atleast_3d(np.array(Image.open(path)))
        rows, columns = mosaic.shape[0] // tile, mosaic.shape[1] // tile
        tiles = mosaic.reshape(rows, tile, columns, tile, -1).swapaxes(1, 2).reshape(rows * columns, tile, tile, -1)
        images.append(torch.from_numpy(tiles).permute(0, 3, 1, 2))
        labels += [label] * len(tiles)
        split.classes += (path.stem.split("_", 1)[1],)
        split.names += [f"{path.name}#{index}" for index in range(len(tiles))]
        split.sha256 += [hashlib.sha256(pixels.tobytes()).digest() for pixels in tiles]
    split.images, split.labels = torch.cat(images).contiguous(), torch.tensor(labels)
    return split


def write_mosaics(folder: Path, split: Split, classes: Sequence[str], layout: Sequence[tuple[int, int]]) -> None:
    """Each class's first images as a PNG of that many (columns, rows) of tiles, in the data set's order."""
    folder.mkdir(parents=True, exist_ok=True)
    channels, height, width = split.images.shape[1:]
    picks = first_of_each(split.labels, [columns * rows for columns, rows in layout])
    for label, (pick, (columns, rows)) in enumerate(zip(picks, layout)):
        if len(pick) < columns * rows:
            raise SystemExit(f"class {label} has {len(pick)} images, {columns * rows} are needed")
        tiles = split.images[pick].view(rows, columns, channels, height, width)
        mosaic = tiles.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
        Image.fromarray(mosaic.squeeze(2).numpy()).save(folder / f"{label}_{classes[label]}.png", optimize=True)


def cifar10_test(directory: Path | None) -> Split:
    return read_mosaics(given(directory, "CIFAR-10") / "test", 32)


def cifar10(directory: Path | None) -> Dataset:
    directory = given(directory, "CIFAR-10")
    train, test = read_mosaics(directory / "train", 32), cifar10_test(directory)
    sha256 = {
        f"{part}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("train", "test")
        for path in sorted((directory / part).iterdir())
    }
    return Dataset(train.classes, train, test, torch.arange(0), sha256)


def centre_crop(image: Image.Image, size: int, short: int, how: Image.Resampling = BILINEAR) -> np.ndarray:
    """Short edge to `short` (antialiased), then the centre; HWC RGB bytes.

    Sizes and offsets are rounded as in mmpretrain's ResizeEdge and CenterCrop.
    """
    image = image.convert("RGB")
    width, height = image.size
    if min(width, height) != short:
        landscape = width >= height
        long = int(short * max(width, height) / min(width, height))
        image = image.resize((long, short) if landscape else (short, long), how)
        width, height = image.size
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image)[top : top + size, left : left + size]


def photographs(folder: Path, size: int, short: int) -> Split:
    """A folder with a subfolder per class, sorted bytewise; each photograph cut to `size`."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [(label, path) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]
    if not files:
        raise SystemExit(f"{folder}: no class folders with photographs")
    split = Split(
        torch.empty((len(files), 3, size, size), dtype=torch.uint8),
        torch.tensor([label for label, _ in files]),
        tuple(classes),
    )
    for index, (_, path) in enumerate(files):
        pixels = centre_crop(Image.open(path), size, short)
        split.images[index] = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        split.names.append(path.relative_to(folder).as_posix())
        split.sha256.append(hashlib.sha256(path.read_bytes()).digest())
    return split


def imagenette(directory: Path, test: Split) -> Dataset:
    """Training photographs at 160x160, as Imagenette's small edition stores them."""
    train = photographs(directory / "train", 160, 160)
    listing = {
        part: "".join(f"{digest.hex()}  {name}\n" for digest, name in zip(split.sha256, split.names))
        for part, split in (("train", train), ("val", test))
    }
    sha256 = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in listing.items()}
    return Dataset(train.classes, train, test, torch.arange(0), sha256)
