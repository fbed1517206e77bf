"""The networks that are measured: torchvision's, seeded weights, in every tool's own format.

    python networks.py NAME FOLDER

Writes FOLDER/NAME.pth for Cardinal, and .onnx (float32, batch norm folded),
.qdq.onnx (ONNX Runtime's quantize_static: u8 activations, s8 weights per channel)
and .tflite (LiteRT's own converter and static int8 recipe), each unless it is
there. Times do not depend on what the weights are, but for saturation and zeros:
batch norm's statistics are therefore those of the calibration images.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

IMAGES = 8
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


def photographs() -> np.ndarray:
    """Smooth noise, bytes in NHWC."""
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, 14, 14, 3), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)) for image in noise]
    )


def batches() -> np.ndarray:
    return ((photographs() - MEAN) / DEVIATION).transpose(0, 3, 1, 2).astype(np.float32)


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    with torch.no_grad():
        model.train()(torch.from_numpy(batches()))
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.5
        for _ in range(4):
            model(torch.from_numpy(batches()))
    return model.eval()


def to_onnx(model: torch.nn.Module, path: Path) -> None:
    image = torch.zeros(1, 3, 224, 224)
    names = {"input_names": ["input"], "output_names": ["logits"]}
    torch.onnx.export(model, (image,), str(path), opset_version=17, dynamo=False, **names)


def to_qdq(network: Path, path: Path) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    class Reader(quantization.CalibrationDataReader):
        images = iter(batches())

        def get_next(self) -> dict | None:
            image = next(self.images, None)
            return None if image is None else {"input": image[None]}

    prepared = path.with_suffix(".prepared")
    shape_inference.quant_pre_process(network, prepared)
    kinds = {"activation_type": quantization.QuantType.QUInt8, "weight_type": quantization.QuantType.QInt8}
    quantization.quantize_static(
        prepared, path, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True, **kinds
    )
    prepared.unlink()


def to_tflite(model: torch.nn.Module, path: Path) -> None:
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    class ChannelsLast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x.permute(0, 3, 1, 2))

    floating = path.with_suffix(".float.tflite")
    litert_torch.convert(ChannelsLast().eval(), (torch.zeros(1, 224, 224, 3),)).export(str(floating))
    quantize = quantizer.Quantizer(str(floating), recipe.static_wi8_ai8())
    images = batches().transpose(0, 2, 3, 1)
    from ai_edge_litert.interpreter import Interpreter

    [(signature, names)] = Interpreter(str(floating)).get_signature_list().items()
    data = {signature: [{names["inputs"][0]: image[None]} for image in images]}
    quantize.quantize(quantize.calibrate(data)).export_model(str(path))
    floating.unlink()


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(photographs()):
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
    model = network(name)
    torch.save(model.state_dict(), folder / f"{name}.pth")
    steps = {".onnx": lambda path: to_onnx(model, path)}
    steps[".qdq.onnx"] = lambda path: to_qdq(folder / f"{name}.onnx", path)
    steps[".tflite"] = lambda path: to_tflite(model, path)
    for suffix, write in steps.items():
        path = folder / f"{name}{suffix}"
        try:
            if not path.exists():
                write(path)
        except Exception as error:  # one tool's converter must not keep the others from being measured
            print(f"{path.name}: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
