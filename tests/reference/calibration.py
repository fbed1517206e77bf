"""What calibrating ResNeXt-50 32x4d at 224x224 takes in time and memory."""

import argparse
import tempfile
from pathlib import Path

import family
import measuring
import quantizers
import subject
from command import Cardinal
from datasets import given
from peers_table import OURS
from published import PUBLISHED, Built, saved

NETWORK = next(row for row in PUBLISHED if row.name == "torchvision resnext50_32x4d")
SIZE = 224
# Tool, method, images. Entropy calibration holds all activations of all images: it gets fewer.
ROWS = [
    (OURS, "mse", 1024),
    (OURS, "auto", 1024),
    ("onnxruntime", "MinMax", 1024),
    ("onnxruntime", "Entropy", 256),
]


def pixels(cardinal: Cardinal, path: Path, drawn: Path, images: list[Path], built: Built) -> Path:
    """The images as Cardinal's network reads them, normalised: an array file."""
    array = drawn.with_suffix(".npy")
    if not array.exists():
        read = subject.read(cardinal, path, drawn, images, "--preset", NETWORK.preset)
        subject.write_normalised(array, read, built.mean, built.std)
    return array


def measure(args: argparse.Namespace) -> None:
    """Each calibration in turn; the network is as family.py builds it, with seeded weights."""
    train = given(args.data, "Imagenette") / "train"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cardinal = measuring.within_limits(args, work)
        built, path = saved(NETWORK, work, lambda built: family.warm_up_batches(built, train))
        network = work / "network.onnx"
        subject.export(built.model, [1, 3, SIZE, SIZE], network)
        for tool, method, count in ROWS:
            if args.only not in (None, tool) or method not in (args.methods or [method]):
                continue
            count = args.calib_images or count
            drawn = work / f"calib-{count}"
            images = sorted(drawn.glob("*/*")) or subject.copy_photographs(train, drawn, count)

            def calibrate(tool: str = tool, method: str = method, drawn: Path = drawn, images: list = images) -> dict:
                if tool == OURS:
                    options = ["--calib", drawn, "--calib-images", len(images), "--preset", NETWORK.preset]
                    made = work / "model.cardinal"
                    return measuring.took(cardinal("convert", path, *options, "--method", method, "-o", made))
                array = pixels(cardinal, path, drawn, images, built)
                made = work / f"quantized{quantizers.SUFFIX[tool]}"
                return measuring.quantized(tool, method, network, array, made, args)

            row = {"network": NETWORK.name, "tool": tool, "method": method, "calibration_images": count}
            measuring.renew("calibration", args, row, calibrate)
