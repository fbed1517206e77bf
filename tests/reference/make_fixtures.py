"""Writes one small network in every container the converter reads.

    python tests/reference/make_fixtures.py                                into tests/fixtures/
    python tests/reference/make_fixtures.py --cifar FILE.pth --out DIR     a real 32x32 network

Every ONNX file is run once and its logits are compared with PyTorch's. The same
versions remake the same tensors; legacy .pth files name their storages by
address, so their bytes differ from run to run.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save
from torch import nn

from resnext import ResNeXt, Shape, parameters
from sidecar import sidecar

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

TINY = Shape(
    colours=3, classes=5, stem_width=8, blocks=(1, 1), inner=(8, 16), outer=(16, 32),
    strides=(1, 2), cardinality=2,
)  # fmt: skip
TINY_SIZE, TINY_LABELS = (16, 16), ("a", "b", "c", "d", "e")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

CIFAR10 = Shape(
    colours=3, classes=10, stem_width=64, blocks=(2, 2, 2), inner=(64, 128, 256),
    outer=(128, 256, 512), strides=(1, 2, 2), cardinality=16,
)  # fmt: skip
CIFAR10_LABELS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def normalise(image: np.ndarray, mean: tuple, std: tuple) -> torch.Tensor:
    """A batch of one from HWC bytes."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    return (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


@torch.no_grad()
def tiny_network() -> ResNeXt:
    """Random weights and batch norms none of whose four vectors is at its default."""
    torch.manual_seed(2017)
    model = ResNeXt(TINY)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
    # The biases of the two batch norms that meet in an addition get equal gradients, so
    # trained networks often hold them equal; the older exporter then keeps one of them
    # and reaches it through an Identity node.
    block = model.backbone.layer2[0]
    block.downsample[1].bias.copy_(block.bn3.bias)
    model.train()
    for _ in range(8):
        model(torch.randn(16, 3, *TINY_SIZE) + 0.3)
    return model.eval()


class Vgg(nn.Module):
    """A plain network the converter must refuse: no stem, no stages, no groups."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(16 * 4 * 4, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


def write_pth(path: Path, state: dict, meta: dict, legacy: bool = False) -> None:
    value = {"meta": meta, "state_dict": state}
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)


def write_safetensors(path: Path, state: dict) -> None:
    path.write_bytes(save({k: v.contiguous() for k, v in state.items()}))


def strip_traces(path: Path) -> onnx.GraphProto:
    """Takes the exporting machine's file names out of an ONNX file."""
    proto = onnx.load(path)
    for node in proto.graph.node:
        kept = [p for p in node.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(proto, path)
    return proto.graph


def write_onnx(path: Path, model: nn.Module, x: torch.Tensor, exporter: str) -> None:
    """Exports with `exporter`, then runs the file and prints its distance from PyTorch.

    torchscript  the older exporter, batch norm folded into the convolutions
    bn           the older exporter, BatchNormalization nodes left in place
    dynamo       the newer exporter
    """
    options = {
        "torchscript": {"dynamo": False, "opset_version": 17, "do_constant_folding": True},
        "bn": {
            "dynamo": False, "opset_version": 17, "do_constant_folding": False,
            "training": torch.onnx.TrainingMode.PRESERVE,
        },
        "dynamo": {"dynamo": True, "external_data": False, "verbose": False},
    }[exporter]  # fmt: skip
    with warnings.catch_warnings():
        # The older exporter announces its deprecation at every call.
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x,), str(path), input_names=["input"], output_names=["logits"], **options)
    graph = strip_traces(path)
    with torch.no_grad():
        expected = model(x).numpy()
    # Unoptimised, so that what is checked is the file as written.
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = 1
    session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, session_options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": x.numpy()})
    difference = float(np.abs(logits - expected).max())
    operators = sorted({node.op_type for node in graph.node})
    print(f"{path.name}: max |difference| {difference:.3g}, {' '.join(operators)}")
    if difference > 1e-3:
        raise SystemExit(f"{path}: does not compute what PyTorch computes")


def as_views(model: nn.Module) -> dict:
    """The state_dict of a wrapped model, its tensors the same values laid out awkwardly."""
    state = nn.DataParallel(model).state_dict()  # an OrderedDict with a `_metadata` attribute
    # One storage for all vectors, each tensor a window of it.
    vectors = {k: v for k, v in state.items() if v.ndim == 1}
    pool = torch.cat(list(vectors.values()))
    for key, window in zip(vectors, pool.split([len(v) for v in vectors.values()])):
        state[key] = window
    for key, value in state.items():
        if value.ndim == 4:  # NCHW sizes over NHWC memory
            state[key] = value.contiguous(memory_format=torch.channels_last)
        elif value.ndim == 2:  # a transposed matrix
            state[key] = value.t().contiguous().t()
    # Every second element of a storage twice as long.
    stem = "module.backbone.conv1.weight"
    state[stem] = torch.stack([state[stem].contiguous()] * 2, -1)[..., 0]
    return state


def write_tiny(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = tiny_network()
    state, meta = model.state_dict(), {"network": "tiny", "classes": list(TINY_LABELS)}
    image = np.random.default_rng(2017).integers(0, 256, (*TINY_SIZE, 3), np.uint8)
    x = normalise(image, MEAN, STD)

    write_pth(out / "tiny_zip.pth", state, meta)
    write_pth(out / "tiny_legacy.pth", state, meta, legacy=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    write_pth(out / "tiny_fp16.pth", half, meta)
    torch.save(as_views(model), out / "tiny_views.pth")
    write_safetensors(out / "tiny.safetensors", state)
    write_onnx(out / "tiny.onnx", model, x, "torchscript")
    write_onnx(out / "tiny_bn.onnx", model, x, "bn")
    write_onnx(out / "tiny_dynamo.onnx", model, x, "dynamo")
    (out / "tiny.toml").write_text(sidecar(TINY, TINY_SIZE, MEAN, STD, TINY_LABELS, min(TINY_SIZE)))
    with torch.no_grad():
        logits = model(x)[0].tolist()
    case = {"shape": image.shape, "logits": logits, "image": image.flatten().tolist()}
    (out / "tiny.json").write_text(json.dumps(case) + "\n")

    vgg = Vgg().eval()
    torch.save(vgg.state_dict(), out / "vgg.pth")
    write_onnx(out / "vgg.onnx", vgg, x, "torchscript")
    print(f"tiny: {parameters(model)} parameters")


def write_cifar(checkpoint: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state, meta, name = saved["state_dict"], saved["meta"], checkpoint.stem
    model = ResNeXt(CIFAR10).eval()
    model.load_state_dict(state)
    image = np.random.default_rng(2017).integers(0, 256, (32, 32, 3), np.uint8)
    x = normalise(image, meta["mean"], meta["std"])

    write_pth(out / f"{name}_legacy.pth", state, meta, legacy=True)
    write_safetensors(out / f"{name}.safetensors", state)
    write_onnx(out / f"{name}.onnx", model, x, "torchscript")
    write_onnx(out / f"{name}_bn.onnx", model, x, "bn")
    write_onnx(out / f"{name}_dynamo.onnx", model, x, "dynamo")
    text = sidecar(CIFAR10, (32, 32), meta["mean"], meta["std"], CIFAR10_LABELS, 32)
    (out / f"{name}.toml").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cifar", type=Path, metavar="FILE.pth", help="rewrite this network instead")
    parser.add_argument("--out", type=Path, help="folder to write into")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.cifar and not args.out:
        parser.error("--cifar needs --out")
    if args.cifar:
        write_cifar(args.cifar, args.out)
    else:
        write_tiny(args.out or FIXTURES)


if __name__ == "__main__":
    main()
