"""The ResNeXts that people have, built by the packages that publish them and given seeded weights."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

import checkpoint


@dataclass
class Built:
    model: torch.nn.Module
    prepare: Callable[[Path], torch.Tensor]  # the package's own test pipeline: normalised, CHW
    mean: list[float]  # of the bytes 0...255
    std: list[float]


@dataclass
class Published:
    name: str
    file: str  # its checkpoint, as it is named where it can be downloaded
    preset: str
    build: Callable[[], Built]
    legacy: bool = False  # `{"meta", "state_dict"}` in the older pickle stream, as OpenMMLab saves
    foreign: bool = False  # not of the family that Cardinal converts


def mmpretrain(config: str) -> Built:
    import mmcv

    mmcv.__version__ = "2.1.0"  # mmpretrain 1.2 refuses newer ones, though it runs with them
    import mmengine
    import mmpretrain
    import mmpretrain.datasets  # registers the transforms
    import mmpretrain.models  # and the networks
    from mmengine.registry import init_default_scope

    logging.disable(logging.INFO)  # init_weights tells of every tensor
    init_default_scope("mmpretrain")
    path = Path(mmpretrain.__file__).parent / ".mim/configs/resnext" / f"{config}.py"
    config = mmengine.Config.fromfile(path)
    preprocessor = {"type": "ClsDataPreprocessor", **config.data_preprocessor}
    model = mmpretrain.registry.MODELS.build({**config.model, "data_preprocessor": preprocessor})
    model.init_weights()
    pipeline = mmengine.dataset.Compose(config.test_dataloader.dataset.pipeline)

    def prepare(path: Path) -> torch.Tensor:
        return model.data_preprocessor({"inputs": [pipeline({"img_path": str(path)})["inputs"]]})["inputs"][0]

    return Built(model, prepare, list(config.data_preprocessor.mean), list(config.data_preprocessor.std))


def on_bytes(values: object) -> list[float]:
    """Mean or standard deviation of 0...1 as of 0...255."""
    return [value * 255 for value in values]


def torchvision(name: str, weights: str) -> Built:
    from torchvision import models

    transform = models.get_model_weights(name)[weights].transforms()
    return Built(
        models.get_model(name, weights=None),
        lambda path: transform(Image.open(path).convert("RGB")),
        on_bytes(transform.mean),
        on_bytes(transform.std),
    )


def timm(name: str) -> Built:
    import timm
    from timm.data import create_transform, resolve_data_config

    model = timm.create_model(name, pretrained=False)
    config = resolve_data_config({}, model=model)
    transform = create_transform(**config)
    return Built(
        model,
        lambda path: transform(Image.open(path).convert("RGB")),
        on_bytes(config["mean"]),
        on_bytes(config["std"]),
    )


def of_mmpretrain(depth: str, file: str) -> Published:
    name = f"resnext{depth}_8xb32_in1k"
    return Published(f"mmpretrain {name}", file, "mmpretrain", lambda: mmpretrain(name), legacy=True)


def of_torchvision(name: str, weights: str, preset: str, file: str) -> Published:
    return Published(f"torchvision {name}", file, preset, lambda: torchvision(name, weights))


PUBLISHED = [
    of_mmpretrain("50-32x4d", "resnext50_32x4d_b32x8_imagenet_20210429-56066e27.pth"),
    of_mmpretrain("101-32x4d", "resnext101_32x4d_b32x8_imagenet_20210506-e0fa3dd5.pth"),
    of_mmpretrain("101-32x8d", "resnext101_32x8d_b32x8_imagenet_20210506-23a247d5.pth"),
    of_mmpretrain("152-32x4d", "resnext152_32x4d_b32x8_imagenet_20210524-927787be.pth"),
    of_torchvision("resnext50_32x4d", "IMAGENET1K_V1", "torchvision-v1", "resnext50_32x4d-7cdf4587.pth"),
    of_torchvision("resnext101_32x8d", "IMAGENET1K_V2", "torchvision-v2", "resnext101_32x8d-110c445d.pth"),
    of_torchvision("resnext101_64x4d", "IMAGENET1K_V1", "torchvision-v2", "resnext101_64x4d-173b62eb.pth"),
    Published("timm resnext50_32x4d.a1_in1k", "resnext50_32x4d_a1.pth", "timm-a1",
              lambda: timm("resnext50_32x4d.a1_in1k")),
    Published("timm resnext50d_32x4d.bt_in1k", "resnext50d_32x4d_bt.pth", "timm-gluon",
              lambda: timm("resnext50d_32x4d.bt_in1k"), foreign=True),
]  # fmt: skip


def batch_norms(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    kind = torch.nn.modules.batchnorm._BatchNorm
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


@torch.no_grad()
def perturb(model: torch.nn.Module) -> None:
    """Scale N(1, 0.1) and shift N(0, 0.1) in every batch norm; less scale where a branch ends.

    Some packages start a branch's end at zero, which would hide the branch, and mmpretrain at one. But at one the
    layers drown in each other what tells photographs apart: 150 of them leave 1 % of the classifier's input to it,
    and a comparison would be one of rounding errors.
    """
    for name, norm in batch_norms(model).items():
        norm.weight.normal_(1, 0.1)
        norm.bias.normal_(0, 0.1)
        if name.endswith(".bn3"):
            norm.weight *= 0.3


@torch.no_grad()
def warm_up(model: torch.nn.Module, batches: list[torch.Tensor]) -> None:
    """Statistics of every batch norm by momentum; then a classifier that is centred on these photographs.

    Half of each batch goes in, so that after a few batches little is left of the default 0 and 1, with which the
    activations of 150 layers would explode or vanish. An untrained network says nearly the same of all photographs:
    without the mean taken off, every comparison of logits would be one of that constant.
    """
    norms = list(batch_norms(model).values())
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.5
    model.train()
    for batch in batches:
        model(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.eval()
    classifier = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    classifier.bias -= torch.cat([model(batch) for batch in batches]).mean(0)


def saved(row: Published, folder: Path, batches: Callable[[Built], list[torch.Tensor]]) -> tuple[Built, Path]:
    """The network and its checkpoint in `folder`; made where it is not there yet."""
    path = folder / row.file
    torch.manual_seed(zlib.crc32(row.name.encode()))
    built = row.build()
    if path.exists():
        there = torch.load(path, map_location="cpu", weights_only=True)
        built.model.load_state_dict(there["state_dict"] if row.legacy else there)
        built.model.eval()
        return built, path
    perturb(built.model)
    warm_up(built.model, batches(built))
    state = built.model.state_dict()
    saved = {"meta": {}, "state_dict": state} if row.legacy else state
    zipped = not row.legacy
    checkpoint.replace(path, lambda beside: torch.save(saved, beside, _use_new_zipfile_serialization=zipped))
    return built, path
