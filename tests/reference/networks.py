"""The reference networks: what each is shaped like, what it learns from and how."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import datasets
from augment import ResizedCrop, Shift
from datasets import Dataset, Split
from resnext import Shape


@dataclass(frozen=True)
class Recipe:
    name: str  # of the files written
    corpus: str  # what it learns from: a folder of this name under --data of results.py
    data: Callable[[Path | None], Dataset]
    recorded: Callable[[Path | None], Split]  # the test images as `cardinal eval` meets them
    shape: Shape
    epochs: int
    batch: int
    max_lr: float
    crop: Shift | ResizedCrop
    resize_short: int  # pixels of the short edge before the centre crop, in tests
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    mixup: float = 0.0  # alpha of the Beta distribution that images are blended by
    ema: float = 0.998  # per step
    zero_init_residual: bool = True  # each block starts as its shortcut
    half: bool = True  # the weights written are rounded to float16
    kept: bool = False  # network and recording are in this repository: the data's terms and the size allow it


def imagenette(size: int, short: int) -> dict[str, Callable]:
    """Trains on the stored 160x160 photographs, tests on a centre crop of `size`."""

    def test(directory: Path | None) -> Split:
        return datasets.photographs(datasets.given(directory, "Imagenette") / "val", size, short)

    def data(directory: Path | None) -> Dataset:
        return datasets.imagenette(datasets.given(directory, "Imagenette"), test(directory))

    return {"corpus": "imagenette", "data": data, "recorded": test, "resize_short": short}


def bottlenecks(blocks: tuple[int, ...], cardinality: int, width: int, classes: int) -> Shape:
    """The paper's template for 224x224 photographs (Xie et al. 2017, table 1)."""
    stages = range(len(blocks))
    return Shape(
        colours=3, classes=classes, stem_width=64, blocks=blocks,
        inner=tuple(cardinality * width << stage for stage in stages),
        outer=tuple(256 << stage for stage in stages),
        strides=(1, 2, 2, 2), cardinality=cardinality, stem_kernel=7, stem_pool=True,
    )  # fmt: skip


CIFAR10 = {
    "corpus": "cifar10",
    "data": datasets.cifar10,
    "recorded": datasets.cifar10_test,
    "epochs": 40,
    "batch": 128,
    "max_lr": 0.15,
    "crop": Shift(4),
    "resize_short": 32,
    "kept": True,
}

RECIPES = {
    # Comes with Cardinal: trained before weights were rounded to float16.
    "fmnist": Recipe(
        name="resnext20_8x4d_fmnist",
        corpus="fmnist",
        data=datasets.fmnist,
        recorded=datasets.fmnist_shipped,
        shape=Shape(
            colours=1, classes=10, stem_width=32, blocks=(2, 2, 2), inner=(32, 64, 128),
            outer=(64, 128, 256), strides=(1, 2, 2), cardinality=8,
        ),
        epochs=16,
        batch=128,
        max_lr=0.15,
        crop=Shift(2),
        resize_short=28,
        zero_init_residual=False,
        half=False,
        kept=True,
    ),
    # The first grouped convolution has stride 2, not the stem: fine detail is
    # looked at once, in full, for a tenth more work.
    "cifar10-resnext20": Recipe(
        name="cifar10-resnext20",
        **CIFAR10,
        shape=Shape(
            colours=3, classes=10, stem_width=32, stem_stride=1, blocks=(2, 2, 2),
            inner=(64, 128, 256), outer=(128, 256, 512), strides=(2, 2, 2), cardinality=16,
        ),
    ),
    # For microcontrollers: at most 128 KB of int8 activations at a time.
    "cifar10-micro": Recipe(
        name="cifar10-micro",
        **CIFAR10,
        shape=Shape(
            colours=3, classes=10, stem_width=32, stem_stride=1, blocks=(2, 2, 2),
            inner=(32, 64, 128), outer=(64, 128, 256), strides=(2, 2, 2), cardinality=8,
        ),
    ),
    # Random crops show things larger than the test's centre crop does, so the
    # test may use more pixels than training (Touvron et al. 2019, FixRes).
    "imagenette-resnext50-32x4d": Recipe(
        name="imagenette-resnext50-32x4d",
        **imagenette(224, 224),
        shape=bottlenecks((3, 4, 6, 3), 32, 4, classes=10),
        epochs=80,
        batch=64,
        max_lr=0.1,
        crop=ResizedCrop(160),
        mixup=0.2,
    ),
    "imagenette-resnext26-32x4d-96": Recipe(
        name="imagenette-resnext26-32x4d-96",
        **imagenette(96, 110),
        shape=bottlenecks((2, 2, 2, 2), 32, 4, classes=10),
        epochs=20,
        batch=64,
        max_lr=0.1,
        crop=ResizedCrop(96),
    ),
}  # fmt: skip
