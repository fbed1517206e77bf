"""Writes what the project ships of Fashion-MNIST, and installs the network trained on it.

    python tests/reference/make_fmnist.py [--checkpoint DIR/resnext20_8x4d_fmnist.pth]

Images go into one lossless grey PNG mosaic per class: 28x28 tiles without gaps,
row-major in the data set's order, every tile an image.
"""

import argparse
import shutil
from pathlib import Path

import torch

import checkpoint
import datasets
from networks import RECIPES
from train import top1

ASSETS = datasets.FMNIST_ASSETS

# (columns, rows) of each class's mosaic.
TEST = [(20, 10)] * 10
CALIB = [(13, 2)] * 6 + [(5, 5)] * 4  # 6 * 26 + 4 * 25 = 256 images


def install(path: Path) -> None:
    """Copies the checkpoint among the assets, with its sidecar, once it proves itself."""
    recipe = RECIPES["fmnist"]
    model, meta = checkpoint.read(path, recipe)
    share = top1(model, datasets.fmnist_shipped(), lambda x: datasets.normalise(x, meta["mean"], meta["std"]))
    print(f"top-1 on the shipped mosaics {share:.4f}, in the checkpoint {meta['top1_shipped']:.4f}")
    # Sums in another order may turn a tie, not more.
    if abs(share - meta["top1_shipped"]) > 0.001:
        raise SystemExit("the mosaics and the checkpoint disagree")
    shutil.copyfile(path, ASSETS / f"{recipe.name}.pth")
    (ASSETS / f"{recipe.name}.toml").write_text(checkpoint.settings(recipe, meta))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data set (default: its Debian package's)")
    parser.add_argument("--checkpoint", type=Path, help="a finished checkpoint to install as well")
    args = parser.parse_args()

    torch.set_num_threads(1)
    data = datasets.fmnist(args.data)
    for part, split, layout in (("test", data.test, TEST), ("calib", data.train, CALIB)):
        datasets.write_mosaics(ASSETS / part, split, data.labels, layout)
    shipped = datasets.fmnist_shipped()
    if not torch.equal(shipped.images, data.test.images[data.shipped]):
        raise SystemExit("the mosaics do not hold the images the checkpoint was measured on")
    if args.checkpoint:
        install(args.checkpoint)


if __name__ == "__main__":
    main()
