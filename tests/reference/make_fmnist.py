"""Writes what the project ships of Fashion-MNIST, and installs the network trained on it.

    python tests/reference/make_fmnist.py [--checkpoint DIR/resnext20_8x4d_fmnist.pth]

Images go into one lossless grey PNG mosaic per class: 28x28 tiles without gaps,
row-major in the data set's order, every tile an image.
"""

import argparse
import shutil
from pathlib import Path

import torch
from PIL import Image

import datasets
from datasets import Split, first_of_each
from networks import RECIPES
from resnext import ResNeXt
from sidecar import sidecar
from train import top1

TILE = 28
ASSETS = datasets.FMNIST_ASSETS

# (columns, rows) of each class's mosaic.
TEST = [(20, 10)] * 10
CALIB = [(13, 2)] * 6 + [(5, 5)] * 4  # 6 * 26 + 4 * 25 = 256 images


def write_mosaics(folder: Path, split: Split, layout: list[tuple[int, int]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picks = first_of_each(split.labels, [columns * rows for columns, rows in layout])
    for label, (pick, (columns, rows)) in enumerate(zip(picks, layout)):
        tiles = split.images[pick].view(rows, columns, TILE, TILE)
        mosaic = tiles.transpose(1, 2).reshape(rows * TILE, columns * TILE)
        path = folder / f"{label}_{datasets.FMNIST_LABELS[label]}.png"
        Image.fromarray(mosaic.numpy()).save(path, optimize=True)


def install(checkpoint: Path) -> None:
    """Copies the checkpoint among the assets, with its sidecar, once it proves itself."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    meta, recipe = saved["meta"], RECIPES["fmnist"]
    model = ResNeXt(recipe.shape)
    model.load_state_dict(saved["state_dict"])
    mean, std = (torch.tensor(meta[key]).view(-1, 1, 1) for key in ("mean", "std"))
    share = top1(model, datasets.fmnist_shipped(), lambda x: (x.float() - mean) / std)
    print(f"top-1 on the shipped mosaics {share:.4f}, in the checkpoint {meta['top1_shipped']:.4f}")
    # Sums in another order may turn a tie, not more.
    if abs(share - meta["top1_shipped"]) > 0.001:
        raise SystemExit("the mosaics and the checkpoint disagree")
    shutil.copyfile(checkpoint, ASSETS / f"{recipe.name}.pth")
    text = sidecar(recipe.shape, meta["input"], meta["mean"], meta["std"], meta["classes"], TILE)
    (ASSETS / f"{recipe.name}.toml").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data set (default: its Debian package's)")
    parser.add_argument("--checkpoint", type=Path, help="a finished checkpoint to install as well")
    args = parser.parse_args()

    torch.set_num_threads(1)
    data = datasets.fmnist(args.data)
    write_mosaics(ASSETS / "test", data.test, TEST)
    write_mosaics(ASSETS / "calib", data.train, CALIB)
    shipped = datasets.fmnist_shipped()
    if not torch.equal(shipped.images, data.test.images[data.shipped]):
        raise SystemExit("the mosaics do not hold the images the checkpoint was measured on")
    if args.checkpoint:
        install(args.checkpoint)


if __name__ == "__main__":
    main()
