"""Trains one of the reference networks and writes its checkpoint.

    python tests/reference/train.py fmnist --out DIR

writes DIR/<name>.pth (mmpretrain keys), .safetensors, .toml, the log .jsonl
and its curve .png. A run may be stopped at any minute and goes on with the
same command and --resume, as if it had not been stopped.
"""

import argparse
import json
import math
import platform
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

import checkpoint
import curve
from augment import mixup
from datasets import Dataset, Split, normalise
from networks import RECIPES, Recipe
from resnext import ResNeXt, parameters

SAVE_EVERY = 120.0  # seconds between states written for --resume
TELL_EVERY = 30.0  # seconds between lines of progress


def one_cycle(progress: float, warm: float = 0.2) -> float:
    """The learning rate's share of its maximum: linear up, cosine down to zero (Smith & Topin 2018)."""
    if progress < warm:
        return 0.04 + 0.96 * progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


@torch.no_grad()
def top1(model: ResNeXt, split: Split, normalise: Callable, batch: int = 250) -> float:
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


class Run:
    """A recipe being followed: the weights, the optimiser and where they stand."""

    def __init__(self, recipe: Recipe, data: Dataset, seed: int, device: torch.device, precision: torch.dtype):
        self.recipe, self.seed, self.device, self.precision = recipe, seed, device, precision
        self.labels, self.sha256, self.shipped = data.labels, data.sha256, data.shipped
        self.mean, self.std = data.mean_std()
        self.size = list(data.test.images.shape[2:])
        self.train = Split(recipe.crop.prepare(data.train.images).to(device), data.train.labels.to(device))
        self.test = Split(data.test.images.to(device), data.test.labels.to(device))
        self.steps_per_epoch = len(self.train.labels) // recipe.batch
        if self.steps_per_epoch == 0:
            raise SystemExit(f"--batch {recipe.batch}: there are only {len(self.train.labels)} training images")

        torch.manual_seed(seed)
        self.model = ResNeXt(recipe.shape)
        if recipe.zero_init_residual:
            self.model.zero_init_residual()
        self.model.to(device, memory_format=torch.channels_last)
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
        self.command = ""  # that repeats this run
        self.step, self.seconds = 0, 0.0
        self.last_step = recipe.epochs * self.steps_per_epoch
        self.rng = torch.Generator()
        self.order = ()  # of this epoch's batches

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return normalise(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def terms(self) -> dict:
        """What a state must have been made with to be gone on from."""
        return {
            "network": self.recipe.name, "seed": self.seed, "epochs": self.recipe.epochs,
            "batch": self.recipe.batch, "precision": str(self.precision), "data": self.sha256,
        }  # fmt: skip

    def state(self) -> dict:
        return {
            "terms": self.terms(),
            "step": self.step, "seconds": self.seconds, "rng": self.rng.get_state(),
            "model": self.model.state_dict(), "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip

    def restore(self, state: dict) -> None:
        theirs, ours = state["terms"], self.terms()
        if theirs != ours:
            names = ", ".join(name for name in ours if theirs.get(name) != ours[name])
            raise SystemExit(f"--resume: the state was made with another {names}")
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.step % self.steps_per_epoch:
            self.shuffle()
            self.rng.set_state(state["rng"].cpu())

    def shuffle(self) -> None:
        """Every random choice of an epoch is drawn from a generator seeded by (seed, epoch)."""
        self.rng.manual_seed(self.seed * 1000 + self.step // self.steps_per_epoch)
        order = torch.randperm(len(self.train.labels), generator=self.rng).to(self.device)
        # The last, incomplete batch is left out; another order comes next epoch.
        self.order = order.split(self.recipe.batch)

    def train_step(self) -> float:
        """The loss of one more batch."""
        recipe, index = self.recipe, self.step % self.steps_per_epoch
        if index == 0:
            self.shuffle()
        pick = self.order[index]
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.max_lr * one_cycle(self.step / self.last_step)
        self.model.train()
        images, labels = self.normalise(recipe.crop(self.train.images[pick], self.rng)), self.train.labels[pick]
        share, others = 1.0, labels
        if recipe.mixup:
            share, partners = mixup(len(pick), recipe.mixup, self.rng)
            partners = partners.to(self.device)
            images, others = images.lerp(images[partners], 1 - share), labels[partners]
        with self.autocast():
            logits = self.model(images).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        if share < 1:
            other = F.cross_entropy(logits, others, label_smoothing=recipe.label_smoothing)
            loss = share * loss + (1 - share) * other
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.step += 1
        # The cap lets the average forget the first, random weights.
        average(self.ema, self.model, min(recipe.ema, self.step / (self.step + 10)))
        return loss.item()

    def top1(self) -> float:
        with self.autocast():
            return top1(self.ema, self.test, self.normalise)

    def finish(self, folder: Path) -> dict:
        """Writes the averaged weights with where they come from, and returns the latter."""
        state = self.ema.state_dict()
        if self.recipe.half:
            state = checkpoint.rounded(state)
            self.ema.load_state_dict(state)
        # The accuracy recorded is plain float32's.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        meta = {
            "network": self.recipe.name,
            "parameters": parameters(self.ema),
            "seed": self.seed,
            "epochs": self.recipe.epochs,
            "batch": self.recipe.batch,
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "device": checkpoint.device_name(self.device),
            "precision": str(self.precision).removeprefix("torch."),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "command": self.command,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "data_sha256": self.sha256,
            "classes": list(self.labels),
            "input": self.size,
            "mean": self.mean,
            "std": self.std,
            "test_images": len(self.test.labels),
            "top1": top1(self.ema, self.test, self.normalise),
        }
        if len(self.shipped):
            shipped = Split(self.test.images[self.shipped], self.test.labels[self.shipped])
            meta["shipped_images"] = len(self.shipped)
            meta["top1_shipped"] = top1(self.ema, shipped, self.normalise)
        checkpoint.write(self.recipe, state, meta, folder)
        return meta


class Log:
    """JSON lines, to standard error and to a file that a resumed run takes up where its state was written."""

    def __init__(self, path: Path, step: int):
        lines = path.read_text().splitlines(keepends=True) if step and path.exists() else []
        kept = [line for line in lines if json.loads(line).get("step", 0) <= step]
        path.write_text("".join(kept))
        self.path = path

    def __call__(self, **fields) -> None:
        line = json.dumps(fields)
        print(line, file=sys.stderr, flush=True)
        with self.path.open("a") as file:
            file.write(line + "\n")


def follow(run: Run, folder: Path, steps: int | None) -> bool:
    """Trains to the end, or to step `steps`, or until told to stop; whether it came to the end."""
    resume = folder / f"{run.recipe.name}.resume"
    log = Log(folder / f"{run.recipe.name}.jsonl", run.step)
    until = run.last_step if steps is None else min(steps, run.last_step)
    test_every = max(1, run.recipe.epochs // 20) * run.steps_per_epoch
    stopped = []
    before = [signal.signal(name, lambda *_: stopped.append(True)) for name in (signal.SIGINT, signal.SIGTERM)]
    log(
        network=run.recipe.name, parameters=parameters(run.model), device=checkpoint.device_name(run.device),
        step=run.step, steps=run.last_step, epochs=run.recipe.epochs,
    )  # fmt: skip
    began = saved = told = time.monotonic()
    first, earlier, losses = run.step, run.seconds, []
    while run.step < until and not stopped:
        losses.append(run.train_step())
        now = time.monotonic()
        run.seconds = earlier + now - began
        test = run.step % test_every == 0 or run.step == run.last_step
        if test or now - told > TELL_EVERY:
            rate = (run.step - first) / (now - began)
            fields = {"top1": run.top1()} if test else {}
            log(
                step=run.step, epoch=round(run.step / run.steps_per_epoch, 2),
                loss=round(sum(losses) / len(losses), 4), images_per_second=round(rate * run.recipe.batch, 1),
                seconds_left=round((run.last_step - run.step) / rate), **fields,
            )  # fmt: skip
            told, losses = now, []
        if now - saved > SAVE_EVERY:
            checkpoint.replace(resume, lambda path: torch.save(run.state(), path))
            saved = now
    for name, handler in zip((signal.SIGINT, signal.SIGTERM), before):
        signal.signal(name, handler)
    checkpoint.replace(resume, lambda path: torch.save(run.state(), path))
    if stopped:
        log(stopped=True, step=run.step, go_on="the same command with --resume")
        return False
    log(**run.finish(folder), step=run.step)
    curve.draw(log.path, log.path.with_suffix(".png"))
    return True


def command(args: argparse.Namespace, precision: str) -> str:
    """What repeats a run, without where files are on this machine."""
    given = {"epochs": args.epochs, "batch": args.batch, "seed": args.seed, "precision": precision}
    options = "".join(f" --{name} {value}" for name, value in given.items() if value is not None)
    return f"train.py {args.network} --data DIR --out DIR{options}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--data", type=Path, help="folder of the data set (fmnist: default, its Debian package's)")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is written")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's number")
    parser.add_argument("--batch", type=int, help="instead of the recipe's size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="stop after this many steps: a rehearsal")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], help="of the layers (default: bfloat16 on a GPU, else float32)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out, if any")
    args = parser.parse_args(arguments)

    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = args.precision or ("bfloat16" if device.type == "cuda" else "float32")
    recipe = RECIPES[args.network]
    recipe = replace(recipe, epochs=args.epochs or recipe.epochs, batch=args.batch or recipe.batch)
    run = Run(recipe, recipe.data(args.data), args.seed, device, getattr(torch, precision))
    run.command = command(args, precision)
    args.out.mkdir(parents=True, exist_ok=True)
    state = args.out / f"{recipe.name}.resume"
    if args.resume and state.exists():
        run.restore(torch.load(state, map_location=device, weights_only=True))
    if not follow(run, args.out, args.steps):
        raise SystemExit(130)


if __name__ == "__main__":
    main()
