"""Random views of training images, each drawn from a given generator."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Shift:
    """Shifts an image by up to `pad` pixels, zeros moving in, and mirrors half of them."""

    pad: int

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """What `__call__` takes, of a whole set of NCHW bytes at once."""
        return F.pad(images, (self.pad,) * 4)

    def __call__(self, padded: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        n, channels, height, width = padded.shape
        height, width = height - 2 * self.pad, width - 2 * self.pad
        top, left = torch.randint(0, 2 * self.pad + 1, (2, n, 1), generator=rng).to(padded.device)
        flip = (torch.rand((n, 1), generator=rng) < 0.5).to(padded.device)
        rows = top + torch.arange(height, device=padded.device)
        columns = torch.arange(width, device=padded.device)
        columns = left + torch.where(flip, width - 1 - columns, columns)
        image = torch.arange(n, device=padded.device).view(n, 1, 1, 1)
        channel = torch.arange(channels, device=padded.device).view(1, channels, 1, 1)
        return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


@dataclass(frozen=True)
class ResizedCrop:
    """Cuts out a rectangle of random area and aspect, resized to a square; mirrors half of them.

    Area and aspect are drawn as by Szegedy et al. 2015 (the "Inception crop"),
    the resize is antialiased bilinear, as in tests.
    """

    size: int
    area: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def __call__(self, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        height, width = images.shape[2:]
        draws = torch.rand((len(images), 5), generator=rng).tolist()
        views = []
        for image, (area, aspect, y, x, flip) in zip(images, draws):
            area = self.area[0] + area * (self.area[1] - self.area[0])
            low, high = map(math.log, self.aspect)
            aspect = math.exp(low + aspect * (high - low))
            h = min(height, round(math.sqrt(area * height * width / aspect)))
            w = min(width, round(math.sqrt(area * height * width * aspect)))
            top, left = int(y * (height - h + 1)), int(x * (width - w + 1))
            crop = image[None, :, top : top + h, left : left + w].float()
            view = F.interpolate(crop, (self.size, self.size), mode="bilinear", antialias=True)
            views.append(view.flip(3) if flip < 0.5 else view)
        return torch.cat(views)


def mixup(n: int, alpha: float, rng: torch.Generator) -> tuple[float, torch.Tensor]:
    """The share each of `n` images keeps and the image that the rest is taken from (Zhang et al. 2018)."""
    seed = torch.randint(2**62, (1,), generator=rng).item()
    return np.random.default_rng(seed).beta(alpha, alpha), torch.randperm(n, generator=rng)
