"""The labelled image sets the reference networks are trained on."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

# Where Debian's package `dataset-fashion-mnist` puts its files.
FMNIST = Path("/usr/share/datasets/fashion-mnist")

FMNIST_LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


@dataclass
class Split:
    images: torch.Tensor  # uint8, NCHW
    labels: torch.Tensor  # int64


@dataclass
class Dataset:
    labels: tuple[str, ...]
    train: Split
    test: Split
    shipped: torch.Tensor  # indices of the test images kept in this repository
    sha256: dict[str, str]  # of each file read

    def mean_std(self) -> tuple[list[float], list[float]]:
        """Per-channel statistics of the training images on the 0..255 scale."""
        # Sums of bytes and of their squares are exact in int64.
        pixels = self.train.images.transpose(0, 1).flatten(1)
        count = pixels.shape[1]
        mean = [row.sum(dtype=torch.int64).item() / count for row in pixels]
        square = [row.to(torch.int32).square().sum(dtype=torch.int64).item() / count for row in pixels]
        return mean, [(s - m * m) ** 0.5 for s, m in zip(square, mean)]


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
