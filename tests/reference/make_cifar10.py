"""Turns CIFAR-10's binary version, as its authors publish it, into the mosaics that Cardinal reads.

    python tests/reference/make_cifar10.py cifar-10-batches-bin --out DIR

DIR/train and DIR/test get one PNG a class, tiles in the order of the files.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from datasets import Split, write_mosaics

FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
COLUMNS = 50


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the unpacked archive")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)

    classes = (args.folder / "batches.meta.txt").read_text().split()
    for part, files in FILES.items():
        # A record is a label and the red, green and blue planes of 32x32.
        raw = b"".join((args.folder / name).read_bytes() for name in files)
        records = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
        split = Split(images, torch.from_numpy(records[:, 0].astype(np.int64)))
        counts = np.bincount(records[:, 0], minlength=len(classes))
        write_mosaics(args.out / part, split, classes, [(COLUMNS, count // COLUMNS) for count in counts.tolist()])


if __name__ == "__main__":
    main()
