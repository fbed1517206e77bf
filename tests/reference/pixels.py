"""Does Cardinal's network read the pixels that Pillow makes of a file?

    python tests/reference/pixels.py --cardinal BINARY --photographs DIR --json pixels.json

Two tables, of what `cardinal predict --features image` writes:

1. 100 photographs, through the preprocessing of mmpretrain, torchvision V2 and
   timm a1. `resize`: of PNGs, which both decode to the same bytes; `sheets`:
   the same of larger pictures, pasted together of six photographs at odd
   sizes, wide and tall in turn; `whole`: of the JPEGs themselves. And
   `decode`: JPEGs at their own size, nothing resampled.
2. One picture (333×261) in every kind of file that people have, resized as
   mmpretrain does. Expected is what Pillow gives after it turned the picture
   as EXIF says: ImageOps.exif_transpose, then convert("RGB"). It drops alpha.

Differences are in grey levels. The network is tests/fixtures/tiny_zip.pth.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import kinds
from command import Cardinal, Refused
from datasets import BILINEAR, centre_crop
from family import drawn
from results import table

TINY = Path(__file__).resolve().parents[1] / "fixtures/tiny_zip.pth"
SHAPE = ["--stem-stride", 2, "--stem-pool", "false", "--strides", "1,2"]
MARKED = 8  # grey levels: more than what decoders are free to do
SIZE = 224


@dataclass
class Preset:
    name: str
    short: int
    how: Image.Resampling

    def __call__(self, image: Image.Image) -> np.ndarray:
        return centre_crop(image, SIZE, self.short, self.how)


MMPRETRAIN = Preset("mmpretrain", 256, BILINEAR)
PRESETS = [MMPRETRAIN, Preset("torchvision-v2", 232, BILINEAR), Preset("timm-a1", 235, Image.Resampling.BICUBIC)]


class Reader:
    """Pixels as Cardinal's network reads them: a tiny network with this preprocessing."""

    def __init__(self, cardinal: Cardinal, calib: Path, name: str, *options: object):
        self.cardinal, self.model = cardinal, cardinal.work / f"{name}.cardinal"
        arguments = ["--calib", calib, "--calib-images", 8, *SHAPE, *options]
        cardinal("convert", TINY, *arguments, "-o", self.model)

    def __call__(self, images: list[Path]) -> np.ndarray:
        return self.cardinal.features(self.model, images, "image").transpose(0, 2, 3, 1)


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """In grey levels; ours may have more images than one."""
    if ours.shape != theirs.shape:
        raise SystemExit(f"Cardinal's pixels are {ours.shape}, Pillow's {theirs.shape}")
    gap = np.abs(ours.astype(np.float64) - theirs)
    return {"largest": float(gap.max()), "mean": float(gap.mean()), "differ": float((gap > 0).mean())}


def sheets(photographs: list[Path]) -> list[Image.Image]:
    """Each six photographs, three by two and two by three in turn, cut to sizes that are no round numbers."""
    made = []
    for first in range(0, len(photographs) - 5, 6):
        columns, rows = (3, 2) if first % 12 == 0 else (2, 3)
        sheet = Image.new("RGB", (columns * SIZE, rows * SIZE))
        for index, path in enumerate(photographs[first : first + 6]):
            place = (index % columns * SIZE, index // columns * SIZE)
            sheet.paste(Image.open(path).convert("RGB").resize((SIZE, SIZE)), place)
        made.append(sheet.crop((0, 0, sheet.width - 1 - first % 50, sheet.height - 2 - first % 37)))
    return made


def as_pngs(images: list[Image.Image], folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{name}-{index:03}.png" for index in range(len(images))]
    for image, path in zip(images, paths):
        image.save(path)
    return paths


def photographs_table(cardinal: Cardinal, calib: Path, photographs: list[Path]) -> list[dict]:
    opened = [Image.open(path).convert("RGB") for path in photographs]
    joined = sheets(photographs)
    flat, large = as_pngs(opened, cardinal.work, "photograph"), as_pngs(joined, cardinal.work, "sheet")
    rows = []
    for preset in PRESETS:
        reader = Reader(cardinal, calib, preset.name, "--preset", preset.name)
        for case, paths, images in (
            ("resize", flat, opened), ("sheets", large, joined), ("whole", photographs, opened),
        ):  # fmt: skip
            gap = difference(reader(paths), np.stack([preset(image) for image in images]))
            rows.append({"preset": preset.name, "case": case, "images": len(paths), **gap})
    size = opened[0].size
    same = [index for index, image in enumerate(opened) if image.size == size]
    exact = ["--resize", "exact", "--input", f"{size[1]}x{size[0]}"]
    reader = Reader(cardinal, calib, "exact", "--preset", "mmpretrain", *exact)
    gap = difference(reader([photographs[index] for index in same]), np.stack([opened[index] for index in same]))
    rows.append({"preset": "", "case": "decode", "images": len(same), **gap})
    return rows


def kinds_table(cardinal: Cardinal, calib: Path, picture: Image.Image) -> list[dict]:
    reader = Reader(cardinal, calib, "kinds", "--preset", MMPRETRAIN.name)
    rows = []
    for kind, path in kinds.written(picture, cardinal.work):
        with Image.open(path) as image:
            mode, expected = image.mode, MMPRETRAIN(ImageOps.exif_transpose(image).convert("RGB"))
        row = {"kind": kind, "pillow": mode}
        try:
            row |= difference(reader([path]), expected[None])
        except Refused as refusal:
            row["refused"] = str(refusal).replace(str(path), path.name)
        rows.append(row)
    return rows


def render(photographs: list[dict], special: list[dict]) -> str:
    def numbers(row: dict) -> list[str]:
        if "refused" in row:
            return [f"refused: {row['refused']}", "", ""]
        largest = f"{row['largest']:.2f}" + (" **!**" if row["largest"] > MARKED else "")
        return [largest, f"{row['mean']:.4f}", f"{100 * row['differ']:.2f} %"]

    head = ["largest difference", "mean", "values that differ"]
    first = [[row["preset"], row["case"], str(row["images"]), *numbers(row)] for row in photographs]
    second = [[row["kind"], row["pillow"], *numbers(row)] for row in special]
    return table(["preset", "case", "images", *head], first) + "\n" + table(["kind", "Pillow's mode", *head], second)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cardinal", type=Path, required=True, help="the built program")
    parser.add_argument("--photographs", type=Path, required=True, help="folder with a subfolder per class")
    parser.add_argument("--count", type=int, default=100, help="photographs to draw (default: 100)")
    parser.add_argument("--json", type=Path, help="JSON to write")
    args = parser.parse_args(arguments)

    photographs = drawn(args.photographs, args.count)
    with tempfile.TemporaryDirectory() as folder:
        cardinal = Cardinal(args.cardinal, Path(folder), threads=1)
        rows = photographs_table(cardinal, args.photographs, photographs)
        picture = sheets(photographs)[0].crop((60, 40, 393, 301))
        special = kinds_table(cardinal, args.photographs, picture)
    if args.json:
        args.json.write_text(json.dumps({"photographs": rows, "kinds": special}, indent=1) + "\n")
    print(render(rows, special), end="")


if __name__ == "__main__":
    main()
