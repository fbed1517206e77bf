"""ResNeXt as a plain PyTorch module whose state_dict() has mmpretrain's keys.

The blocks are the ones Cardinal's converter expects: 1x1 reduce, grouped 3x3,
1x1 expand, each with batch norm; the stage's stride sits on the grouped 3x3
and on the 1x1 shortcut; ReLU follows the addition.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    """Everything that fixes the layers, and so the keys and sizes of the weights."""

    colours: int  # input channels
    classes: int
    stem_width: int
    blocks: tuple[int, ...]  # blocks per stage
    inner: tuple[int, ...]  # width of the grouped 3x3 per stage
    outer: tuple[int, ...]  # width between blocks per stage
    strides: tuple[int, ...]  # stride of each stage's first block
    cardinality: int
    stem_kernel: int = 3
    stem_stride: int = 2
    stem_pool: bool = False  # 3x3 stride-2 max-pool after the stem


class Block(nn.Module):
    def __init__(self, width_in: int, inner: int, outer: int, stride: int, groups: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        # No `downsample` key may exist where the shortcut is the identity.
        self.downsample = None
        if stride != 1 or width_in != outer:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + shortcut)


class Backbone(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        kernel, width = shape.stem_kernel, shape.stem_width
        self.conv1 = nn.Conv2d(shape.colours, width, kernel, shape.stem_stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if shape.stem_pool else nn.Identity()
        self.stages = []  # names, in order; the modules are registered under them
        stages = zip(shape.blocks, shape.inner, shape.outer, shape.strides, strict=True)
        for number, (count, inner, outer, stride) in enumerate(stages, 1):
            blocks = []
            for i in range(count):
                blocks.append(Block(width, inner, outer, stride if i == 0 else 1, shape.cardinality))
                width = outer
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            self.stages.append(f"layer{number}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return x


class ResNeXt(nn.Module):
    """Normalised NCHW images in, logits out."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.backbone = Backbone(shape)
        self.head = nn.ModuleDict({"fc": nn.Linear(shape.outer[-1], shape.classes)})
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def zero_init_residual(self) -> None:
        """Makes every block the identity of its shortcut at first (Goyal et al. 2017, 5.1)."""
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.zeros_(module.bn3.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Exported as ONNX's GlobalAveragePool, which a mean over two axes is not.
        return self.head["fc"](F.adaptive_avg_pool2d(self.backbone(x), 1).flatten(1))


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
