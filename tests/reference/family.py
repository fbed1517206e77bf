"""Does Cardinal compute what mmpretrain, torchvision and timm compute?

    python tests/reference/family.py --cardinal BINARY --photographs DIR --calib DIR --work DIR --output family.json

For each published ResNeXt: builds it with the package that publishes it, saves
it as that package does, lets Cardinal read and convert the file, and compares
logits on ten photographs (the first of ten class folders of --photographs):

    float     Cardinal's float32 engine against PyTorch: max |a - b| / max |b|
    int8      the converted network against PyTorch's float32, SQNR in dB
    graph     the same against the converted network's own dequantized graph
    pixels    what Cardinal's network reads against the package's own test pipeline, in grey levels

Weights are random: seeded, as the package starts them. Then every batch norm
gets a scale of N(1, 0.1), 0.3 of it where a block's branch ends, and a shift of
N(0, 0.1); 24 photographs of --calib go through in training mode, at momentum
0.5, for its mean and variance; and the classifier's bias takes off the mean
logits of those photographs, as untrained networks say nearly the same of every
photograph. SQNR is thus of what tells photographs apart, and lower than that
of a trained network. PyTorch reads the pixels that
Cardinal wrote, so that a difference of logits is one of arithmetic.

`rounding` is PyTorch's own float32 against its float64: less than that cannot
be asked. Exits with 1 if a float error is above 1e-4.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from command import Cardinal, Refused
from datasets import centre_crop, normalise
from published import PUBLISHED, Built, Published, saved
from results import table

TOLERANCE = 1e-4
PHOTOGRAPHS = 10
BATCHES, BATCH = 3, 8


def drawn(folder: Path, count: int) -> list[Path]:
    """The first photographs of each class folder in turn, sorted bytewise."""
    classes = [sorted(path.iterdir()) for path in sorted(folder.iterdir()) if path.is_dir()]
    files = [files[index] for index in range(count) for files in classes if index < len(files)]
    if len(files) < count:
        raise SystemExit(f"{folder}: has {len(files)} photographs in class folders, {count} are needed")
    return files[:count]


def warm_up_batches(built: Built, calib: Path) -> list[torch.Tensor]:
    crops = [centre_crop(Image.open(path), 224, 256) for path in drawn(calib, BATCHES * BATCH)]
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return list(normalise(images, built.mean, built.std).split(BATCH))


@torch.no_grad()
def logits(built: Built, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PyTorch's, in float32 and in float64 of the same float32 input."""
    images = normalise(torch.from_numpy(pixels), built.mean, built.std)
    single = torch.cat([built.model(image[None]) for image in images])
    built.model.double()
    double = torch.cat([built.model(image[None].double()) for image in images])
    built.model.float()
    return single.numpy(), double.numpy()


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def sqnr_db(ours: np.ndarray, theirs: np.ndarray) -> float:
    noise = np.square(ours.astype(np.float64) - theirs).sum()
    return float(10 * np.log10(np.square(theirs.astype(np.float64)).sum() / noise)) if noise else float("inf")


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours.argmax(1) == theirs.argmax(1)).mean())


def compare(torch32: np.ndarray, torch64: np.ndarray, engine: np.ndarray, int8: np.ndarray, graph: np.ndarray) -> dict:
    """All arguments are logits, (images, classes)."""
    if not all(np.isfinite(values).all() for values in (torch32, engine, int8, graph)):
        raise SystemExit("there are logits that are not finite")
    errors = [relative_error(ours, theirs) for ours, theirs in zip(engine, torch32)]
    return {
        "float_relative_error": relative_error(engine, torch32),
        "float_relative_error_by_photograph": errors,
        "rounding": relative_error(torch32, torch64),
        "float_top1_agreement": agreement(engine, torch32),
        "int8_sqnr_db": sqnr_db(int8, torch32),
        "int8_graph_sqnr_db": sqnr_db(int8, graph),
        "graph_sqnr_db": sqnr_db(graph, torch32),
        "int8_top1_agreement": agreement(int8, torch32),
        # That the comparison is worth something: logits of some size, that tell the photographs apart.
        "largest_logit": float(np.abs(torch32).max()),
        "spread_between_photographs": float(torch32.std(0).mean() / torch32.std()),
        "classes_named": len(set(torch32.argmax(1).tolist())),
    }


def package_pixels(built: Built, photographs: list[Path]) -> np.ndarray:
    """What the package's own test pipeline makes of photographs, its normalisation undone."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (built.mean, built.std))
    return np.stack([built.prepare(path).numpy() * std + mean for path in photographs])


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict:
    if ours.shape != theirs.shape:
        raise SystemExit(f"Cardinal's network reads pixels of {ours.shape}, the package's of {theirs.shape}")
    gap = np.abs(ours - theirs)
    return {"largest": float(gap.max()), "mean": float(gap.mean())}


def measure(row: Published, cardinal: Cardinal, photographs: list[Path], calib: Path, count: int) -> dict:
    built, path = saved(row, cardinal.work, lambda built: warm_up_batches(built, calib))
    seen = {"name": row.name, "file": row.file, "file_bytes": path.stat().st_size, "preset": row.preset}
    model = path.with_suffix(".cardinal")
    try:
        options = ["--calib", calib, "--calib-images", count, "--preset", row.preset]
        ran = cardinal("convert", path, *options, "-o", model, "--json")
    except Refused as refusal:
        return {**seen, "refused": str(refusal), "expected": row.foreign}
    seen["convert"] = {"images": count, "seconds": ran.seconds, "peak_bytes": ran.peak_bytes}
    seen["cardinal_bytes"] = model.stat().st_size
    pixels = cardinal.features(model, photographs, "image")
    seen["pixels"] = difference(pixels, package_pixels(built, photographs))
    floats = cardinal.features(path, photographs, "logits", "--engine", "tract", "--preset", row.preset)
    int8 = cardinal.features(model, photographs, "logits")
    graph = cardinal.features(model, photographs, "logits", "--engine", "tract")
    return {**seen, **compare(*logits(built, pixels), floats, int8, graph)}


def render(rows: list[dict]) -> str:
    head = [
        "network", "float error", "rounding", "int8 / float", "int8 / its graph", "top-1 agreement",
        "pixels: largest", "mean", "convert", "peak",
    ]  # fmt: skip
    lines = []
    for row in rows:
        if "refused" in row:
            lines.append([row["name"], f"refused: {row['refused']}", *[""] * 8])
            continue
        pixels, convert = row["pixels"], row["convert"]
        lines.append([
            row["name"], f"{row['float_relative_error']:.1e}", f"{row['rounding']:.1e}",
            f"{row['int8_sqnr_db']:.1f} dB", f"{row['int8_graph_sqnr_db']:.1f} dB",
            f"{100 * row['int8_top1_agreement']:.0f} %", f"{pixels['largest']:.2f}", f"{pixels['mean']:.4f}",
            f"{convert['seconds']:.0f} s", f"{convert['peak_bytes'] / 2**20:.0f} MiB",
        ])  # fmt: skip
    return table(head, lines)


def failed(rows: list[dict]) -> list[str]:
    """Networks that were refused though they should not, or are computed wrongly."""
    return [
        row["name"]
        for row in rows
        if not row.get("expected", row.get("float_relative_error", float("inf")) <= TOLERANCE)
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only networks with this in their name (default: all)")
    parser.add_argument("--cardinal", type=Path, required=True, help="the built program")
    parser.add_argument("--photographs", type=Path, required=True, help="folder with a subfolder per class")
    parser.add_argument("--calib", type=Path, required=True, help="such a folder, to calibrate with")
    parser.add_argument("--calibration", type=int, default=64, help="images to calibrate with (default: 64)")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints; those there are used again")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of Cardinal (default: 1)")
    args = parser.parse_args(arguments)
    chosen = [row for row in PUBLISHED if not args.names or any(name in row.name for name in args.names)]
    if not chosen:
        parser.error("no such network; there are " + ", ".join(row.name for row in PUBLISHED))

    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    cardinal = Cardinal(args.cardinal, args.work, args.threads)
    photographs = drawn(args.photographs, PHOTOGRAPHS)
    rows = []
    for row in chosen:
        print(row.name, file=sys.stderr)
        rows.append(measure(row, cardinal, photographs, args.calib, args.calibration))
        # After each: they take minutes.
        args.output.write_text(json.dumps({"photographs": [path.name for path in photographs], "rows": rows}, indent=1))
    print(render(rows), end="")
    if wrong := failed(rows):
        print(f"\nwrong: {', '.join(wrong)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
