"""Trained networks on disk: `.pth`, `.safetensors` and the sidecar `.toml`, whole at every moment."""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch

from networks import Recipe
from resnext import ResNeXt
from sidecar import sidecar


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Writes beside and renames."""
    beside = path.with_name(path.name + ".partial")
    write(beside)
    beside.chmod(0o644)  # safetensors writes for the owner alone
    os.replace(beside, path)


def rounded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices and kernels at float16 precision; batch norms and biases as they are."""
    return {key: value.half().to(value.dtype) if value.ndim > 1 else value for key, value in state.items()}


def settings(recipe: Recipe, meta: dict) -> str:
    """The sidecar of a network with this meta."""
    return sidecar(recipe.shape, meta["input"], meta["mean"], meta["std"], meta["classes"], recipe.resize_short)


def write(recipe: Recipe, state: dict[str, torch.Tensor], meta: dict, folder: Path) -> None:
    """`meta` says where the weights come from, in plain types.

    The `.pth` holds float32; the `.safetensors` the same values, in float16
    where `recipe.half` made them fit.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    meta = {**meta, "weights_sha256": weights_sha256(state)}
    packed = {k: v.half() if recipe.half and v.ndim > 1 else v for k, v in state.items()}
    stem = folder / recipe.name
    replace(stem.with_suffix(".toml"), lambda path: path.write_text(settings(recipe, meta)))
    metadata = {"meta": json.dumps(meta)}
    replace(stem.with_suffix(".safetensors"), lambda path: safetensors.torch.save_file(packed, path, metadata))
    replace(stem.with_suffix(".pth"), lambda path: torch.save({"meta": meta, "state_dict": state}, path))


def read(path: Path, recipe: Recipe) -> tuple[ResNeXt, dict]:
    """The float32 network of a `.pth` or `.safetensors` that [`write`] wrote, in evaluation mode, and its meta."""
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            meta = json.loads(file.metadata()["meta"])
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    else:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        meta, state = saved["meta"], saved["state_dict"]
    if meta["network"] != recipe.name:
        raise SystemExit(f"{path}: holds {meta['network']}, not {recipe.name}")
    model = ResNeXt(recipe.shape)
    model.load_state_dict(state)
    return model.eval(), meta


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights_sha256(state: dict[str, torch.Tensor]) -> str:
    """Of all weights as float32, by key: the same whatever file they lie in and whenever it was written."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if state[key].is_floating_point():
            digest.update(key.encode() + state[key].float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return f"CPU, {torch.get_num_threads()} thread(s) of {line.split(':', 1)[1].strip()}"
    return f"CPU, {torch.get_num_threads()} thread(s) of {platform.machine()}"
