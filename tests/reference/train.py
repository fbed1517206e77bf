"""Trains one of the reference networks and writes its mmpretrain-keyed checkpoint.

    python tests/reference/train.py fmnist --out DIR

A run may be stopped at any minute and taken up again with --resume: every
random choice is drawn from a generator seeded by (seed, epoch), so the state
written after an epoch is all that the rest of the run depends on.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

import datasets
from datasets import Dataset, Split
from resnext import ResNeXt, Shape, parameters


@dataclass(frozen=True)
class Recipe:
    name: str  # of the network, and of the files written
    data: Callable[[Path | None], Dataset]
    shape: Shape
    epochs: int
    batch: int
    max_lr: float
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    pad: int = 2  # random crops shift an image by up to this many pixels
    ema: float = 0.998  # per step


RECIPES = {
    "fmnist": Recipe(
        name="resnext20_8x4d_fmnist",
        data=datasets.fmnist,
        shape=Shape(
            colours=1, classes=10, stem_width=32, blocks=(2, 2, 2), inner=(32, 64, 128),
            outer=(64, 128, 256), strides=(1, 2, 2), cardinality=8,
        ),
        epochs=16,
        batch=128,
        max_lr=0.15,
    ),
}  # fmt: skip


def one_cycle(progress: float, warm: float = 0.2) -> float:
    """The learning rate's share of its maximum: linear up, cosine down to zero."""
    if progress < warm:
        return 0.04 + 0.96 * progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def augment(padded: torch.Tensor, pad: int, rng: torch.Generator) -> torch.Tensor:
    """Crops each padded image at its own offset and mirrors half of them."""
    n, channels, height, width = padded.shape
    height, width = height - 2 * pad, width - 2 * pad
    top, left = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=rng).to(padded.device)
    flip = (torch.rand((n, 1), generator=rng) < 0.5).to(padded.device)
    rows = top + torch.arange(height, device=padded.device)
    columns = torch.arange(width, device=padded.device)
    columns = left + torch.where(flip, width - 1 - columns, columns)
    image = torch.arange(n, device=padded.device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=padded.device).view(1, channels, 1, 1)
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


@torch.no_grad()
def top1(model: ResNeXt, split: Split, normalise: Callable, batch: int = 500) -> float:
    """Share of the split's images whose greatest logit is the label's."""
    model.eval()
    pairs = zip(split.images.split(batch), split.labels.split(batch))
    hits = sum((model(normalise(x)).argmax(1) == y).sum().item() for x, y in pairs)
    return hits / len(split.labels)


@torch.no_grad()
def average(ema: ResNeXt, model: ResNeXt, decay: float) -> None:
    """Moves `ema`, batch-norm statistics included, towards `model`."""
    for mine, theirs in zip(ema.state_dict().values(), model.state_dict().values()):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)


def save(value: dict, path: Path) -> None:
    """Writes beside and renames, so that `path` is whole at every moment."""
    beside = path.with_suffix(".partial")
    torch.save(value, beside)
    os.replace(beside, path)


class Run:
    """A recipe being followed: the weights, the optimiser and where they stand."""

    def __init__(self, recipe: Recipe, data: Dataset, seed: int, epochs: int, device: torch.device):
        self.recipe, self.seed, self.epochs, self.device = recipe, seed, epochs, device
        self.labels, self.sha256, self.shipped = data.labels, data.sha256, data.shipped
        self.mean, self.std = data.mean_std()
        self.size = list(data.train.images.shape[2:])
        pad = (recipe.pad,) * 4
        self.train = Split(F.pad(data.train.images, pad).to(device), data.train.labels.to(device))
        self.test = Split(data.test.images.to(device), data.test.labels.to(device))
        self.steps_per_epoch = len(self.train.labels) // recipe.batch

        torch.manual_seed(seed)
        self.model = ResNeXt(recipe.shape).to(device, memory_format=torch.channels_last)
        self.ema = ResNeXt(recipe.shape).to(device, memory_format=torch.channels_last)
        self.ema.load_state_dict(self.model.state_dict())
        # Scales, shifts and biases are not decayed.
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.SGD(groups, lr=recipe.max_lr, momentum=0.9, nesterov=True)
        self.epoch = self.step = 0
        self.seconds = 0.0

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(v, device=self.device).view(-1, 1, 1) for v in (self.mean, self.std))
        return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)

    def state(self) -> dict:
        return {
            "seed": self.seed, "epochs": self.epochs,
            "epoch": self.epoch, "step": self.step, "seconds": self.seconds,
            "model": self.model.state_dict(), "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip

    def restore(self, state: dict) -> None:
        if (state["seed"], state["epochs"]) != (self.seed, self.epochs):
            raise SystemExit("--resume: the checkpoint is of another seed or number of epochs")
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])

    def train_epoch(self, stop: int | None) -> float:
        """One pass over the training images, or up to step `stop`; the mean loss."""
        recipe, rng, total, first = self.recipe, torch.Generator(), 0.0, self.step
        rng.manual_seed(self.seed * 1000 + self.epoch)
        order = torch.randperm(len(self.train.labels), generator=rng).to(self.device)
        self.model.train()
        # The last, incomplete batch is left out; another order comes next epoch.
        for pick in order.split(recipe.batch)[: self.steps_per_epoch]:
            if self.step == stop:
                break
            share = one_cycle(self.step / (self.epochs * self.steps_per_epoch))
            for group in self.optimiser.param_groups:
                group["lr"] = recipe.max_lr * share
            images = self.normalise(augment(self.train.images[pick], recipe.pad, rng))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                logits = self.model(images)
            loss = F.cross_entropy(
                logits.float(), self.train.labels[pick], label_smoothing=recipe.label_smoothing
            )
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.step += 1
            # The cap lets the average forget the first, random weights.
            average(self.ema, self.model, min(recipe.ema, self.step / (self.step + 10)))
            total += loss.item()
        self.epoch += 1
        return total / max(1, self.step - first)

    def checkpoint(self) -> dict:
        """The averaged weights with where they come from, in plain Python types."""
        ema = {k: v.detach().cpu().contiguous() for k, v in self.ema.state_dict().items()}
        shipped = Split(self.test.images[self.shipped], self.test.labels[self.shipped])
        cuda = self.device.type == "cuda"
        meta = {
            "network": self.recipe.name,
            "parameters": parameters(self.ema),
            "seed": self.seed,
            "epochs": self.epochs,
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "device": torch.cuda.get_device_name() if cuda else "CPU",
            "torch": str(torch.__version__),
            "data_sha256": self.sha256,
            "classes": list(self.labels),
            "input": self.size,
            "mean": self.mean,
            "std": self.std,
            "test_images": len(self.test.labels),
            "top1": top1(self.ema, self.test, self.normalise),
            "shipped_images": len(self.shipped),
            "top1_shipped": top1(self.ema, shipped, self.normalise),
        }
        return {"meta": meta, "state_dict": ema}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--data", type=Path, help="folder of the data set (default: its Debian package's)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="stop after this many steps: a rehearsal")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--resume", action="store_true", help="go on from DIR/<name>.resume, if any")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    recipe = RECIPES[args.network]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = Run(recipe, recipe.data(args.data), args.seed, args.epochs or recipe.epochs, device)
    args.out.mkdir(parents=True, exist_ok=True)
    resume = args.out / f"{recipe.name}.resume"
    if args.resume and resume.exists():
        run.restore(torch.load(resume, map_location=device, weights_only=True))

    def log(**fields) -> None:
        print(json.dumps(fields), file=sys.stderr, flush=True)

    log(network=recipe.name, parameters=parameters(run.model), device=str(device), epochs=run.epochs)
    while run.epoch < run.epochs and (args.steps is None or run.step < args.steps):
        began = time.monotonic()
        loss = run.train_epoch(args.steps)
        accuracy = top1(run.ema, run.test, run.normalise)
        seconds = time.monotonic() - began
        run.seconds += seconds
        log(epoch=run.epoch, step=run.step, loss=round(loss, 4), top1=accuracy, seconds=round(seconds, 1))
        # A rehearsal's cut-off epoch is not a place to go on from.
        if run.step == run.epoch * run.steps_per_epoch:
            save(run.state(), resume)
    final = run.checkpoint()
    save(final, args.out / f"{recipe.name}.pth")
    log(**final["meta"])


if __name__ == "__main__":
    main()
