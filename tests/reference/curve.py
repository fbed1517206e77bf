"""Draws a training log as a picture beside it: python tests/reference/curve.py DIR/<name>.jsonl"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402, after the backend is chosen


def draw(log: Path, picture: Path) -> None:
    """Loss over epochs, and top-1 where it was measured; the title has the finished network's, in float32."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    final = [line["top1"] for line in lines if "top1" in line]
    lines = [line for line in lines if "loss" in line]
    tests = [line for line in lines if "top1" in line]
    figure, left = pyplot.subplots(figsize=(6, 3), layout="constrained")
    left.plot([line["epoch"] for line in lines], [line["loss"] for line in lines], color="tab:grey", linewidth=1)
    left.set_xlabel("epoch")
    left.set_ylabel("training loss", color="tab:grey")
    right = left.twinx()
    right.plot([line["epoch"] for line in tests], [100 * line["top1"] for line in tests], color="tab:red", marker=".")
    right.set_ylabel("test top-1, %", color="tab:red")
    if final:
        left.set_title(f"{log.stem}: {100 * final[-1]:.2f} %", fontsize=10)
    # Without the version that drew it, the same log gives the same bytes.
    figure.savefig(picture, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", type=Path)
    args = parser.parse_args()
    draw(args.log, args.log.with_suffix(".png"))


if __name__ == "__main__":
    main()
