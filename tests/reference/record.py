"""Records what a reference network says, in float32, for an int8 model to be held against.

    python tests/reference/record.py cifar10-micro CHECKPOINT --data DIR --out FILE.safetensors

FILE holds, of n test images in the order of `cardinal eval`:

    logits        float32 (n, classes)
    labels        int32   (n)
    image_sha256  uint8   (n, 32)             of the image's file; of a mosaic's tile, its HWC pixels
    sampled       int32   (4)                 indices of the images that the layers were recorded of
    layer.<name>  float16 (4, h, w, channels) each layer's output after its ReLU, by Cardinal's name

and one metadata entry `meta`, JSON: network, checkpoint_sha256, device,
versions, preprocessing, classes, names of the images, top1. The images
themselves are not in it: not every data set may be passed on.
"""

import argparse
import json
import os
import platform
from pathlib import Path

# cuBLAS is deterministic only with a fixed workspace; it reads this when it starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np  # noqa: E402
import PIL  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402

import checkpoint  # noqa: E402
from datasets import Split, normalise  # noqa: E402
from networks import RECIPES, Recipe  # noqa: E402
from resnext import Block, ResNeXt  # noqa: E402

BATCH = 125  # part of the result: sums may be taken in another order in other batches
SAMPLES = 4


def deterministic() -> None:
    """float32 all the way, the same on every run."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)


class Layers:
    """Collects each layer's output, batch norm and ReLU included, under Cardinal's name for it."""

    def __init__(self, model: ResNeXt):
        self.outputs: dict[str, torch.Tensor] = {}
        backbone = model.backbone
        self._keep(backbone.bn1, "conv1", relu=True)
        if model.shape.stem_pool:
            self._keep(backbone.maxpool, "maxpool")
        for name, block in backbone.named_modules():
            if isinstance(block, Block):
                self._keep(block.bn1, f"{name}.conv1", relu=True)
                self._keep(block.bn2, f"{name}.conv2", relu=True)
                if block.downsample is not None:
                    self._keep(block.downsample, f"{name}.downsample")
                self._keep(block, f"{name}.conv3")
        fc = model.head["fc"]
        fc.register_forward_pre_hook(lambda _, inputs: self._store("avgpool", inputs[0]))
        self._keep(fc, "fc")

    def _keep(self, module: torch.nn.Module, name: str, relu: bool = False) -> None:
        module.register_forward_hook(
            lambda _module, _inputs, output: self._store(name, torch.relu(output) if relu else output)
        )

    def _store(self, name: str, value: torch.Tensor) -> None:
        value = value[:, :, None, None] if value.ndim == 2 else value
        self.outputs[name] = value.detach().permute(0, 2, 3, 1)


@torch.no_grad()
def record(recipe: Recipe, path: Path, split: Split, device: torch.device) -> tuple[dict[str, np.ndarray], dict]:
    """Tensors and meta of a recording."""
    model, trained = checkpoint.read(path, recipe)
    model.to(device)

    def logits(images: torch.Tensor) -> torch.Tensor:
        return model(normalise(images.to(device), trained["mean"], trained["std"]))

    n = len(split.labels)
    outputs = torch.cat([logits(images).cpu() for images in split.images.split(BATCH)])
    hits = (outputs.argmax(1) == split.labels).sum().item()
    # Spread over the set, so over classes.
    sampled = torch.arange(SAMPLES) * n // SAMPLES
    layers = Layers(model)
    logits(split.images[sampled])
    tensors = {
        "logits": outputs.numpy(),
        "labels": split.labels.numpy().astype(np.int32),
        "image_sha256": np.frombuffer(b"".join(split.sha256), np.uint8).reshape(n, 32),
        "sampled": sampled.numpy().astype(np.int32),
    }
    for name, output in layers.outputs.items():
        output = output.half().contiguous().cpu().numpy()
        if not np.isfinite(output).all():
            raise SystemExit(f"{name}: activations do not fit float16")
        tensors[f"layer.{name}"] = output
    meta = {
        "network": recipe.name,
        "checkpoint": path.name,
        "checkpoint_sha256": checkpoint.sha256(path),
        "device": checkpoint.device_name(device),
        "versions": {
            "python": platform.python_version(), "torch": str(torch.__version__),
            "numpy": np.__version__, "pillow": PIL.__version__,
        },
        "preprocessing": {
            "input": trained["input"], "colour": "grey" if recipe.shape.colours == 1 else "rgb",
            "resize": "short-edge", "resize-short": recipe.resize_short, "filter": "bilinear",
            "mean": trained["mean"], "std": trained["std"],
        },
        "classes": trained["classes"],
        "images": n,
        "top1": hits / n,
        "names": split.names,
    }  # fmt: skip
    return tensors, meta


def difference(ours: dict[str, np.ndarray], other: Path) -> dict:
    """The largest differences between two recordings of one network on one set of images."""
    theirs = safetensors.numpy.load_file(other)
    for name in ("labels", "image_sha256"):
        if not np.array_equal(ours[name], theirs[name]):
            raise SystemExit(f"{other}: records other images ({name} differ)")
    gap = np.abs(ours["logits"] - theirs["logits"]).max().item()
    turned = (ours["logits"].argmax(1) != theirs["logits"].argmax(1)).sum().item()
    layers = {
        name.removeprefix("layer."): np.abs(ours[name].astype(np.float32) - theirs[name].astype(np.float32)).max()
        for name in ours
        if name.startswith("layer.")
    }
    worst = max(layers, key=layers.get)
    return {
        "against": other.name,
        "largest_logit_difference": gap,
        "classes_turned": turned,
        "largest_layer_difference": layers[worst].item(),
        "in_layer": worst,
    }


def read_meta(path: Path) -> dict:
    with safetensors.safe_open(path, "np") as file:
        return json.loads(file.metadata()["meta"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("checkpoint", type=Path, help="its .safetensors or .pth")
    parser.add_argument("--data", type=Path, help="folder of the data set (fmnist: the images that come with Cardinal)")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--device", help="cuda or cpu (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--against", type=Path, help="another recording (of another device): state the largest difference"
    )
    args = parser.parse_args(arguments)

    torch.set_num_threads(args.threads)
    deterministic()
    recipe = RECIPES[args.network]
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tensors, meta = record(recipe, args.checkpoint, recipe.recorded(args.data), device)
    # Before the file is written: --against may be the file that --out replaces.
    compared = difference(tensors, args.against) if args.against else {}
    # One metadata entry, since the order of several is not fixed.
    metadata = {"meta": json.dumps(meta)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.replace(args.out, lambda path: safetensors.numpy.save_file(tensors, path, metadata))
    shown = {key: meta[key] for key in ("network", "device", "images", "top1")}
    print(json.dumps({**shown, "sha256": checkpoint.sha256(args.out), **compared}))


if __name__ == "__main__":
    main()
