"""Quantizes an ONNX network with ONNX Runtime or with OpenVINO's NNCF, and runs the result.

    python tests/reference/quantizers.py TOOL METHOD NETWORK.onnx IMAGES.npy OUTPUT

A program of its own, so that its time and its peak of memory are those of one
calibration. IMAGES.npy holds normalised float32 NCHW; one image at a time is
read of it. Prints JSON: seconds and CPU seconds of quantizing, without imports.

Both tools are used as their guides recommend for CPUs. METHOD is a word, and further words after +.

onnxruntime: quant_pre_process, then quantize_static with QDQ, per_channel, QUInt8 activations, QInt8 symmetric weights
and no reduce_range (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). First word: its
CalibrationMethod, with that method's defaults. Then

    moving-average  CalibMovingAverage, of MinMax
    99.99           CalibPercentile, of Percentile (any number)

openvino: convert_model, then nncf.quantize of as many images as there are (https://docs.openvino.ai/2025/
openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html). First word:
the preset. Then

    bias            fast_bias_correction=False: layer by layer through the network
    min-max         activations' ranges from the least and greatest value of all images; NNCF's default is the mean
                    over the images of each one's least and greatest value
    histogram       activations' ranges by least error over a histogram
    full-range      all eight bits for the first layer's weights too; NNCF's default leaves them seven, against
                    saturation on CPUs without VNNI
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

METHODS = {
    # Distribution, the fourth, is for float8: its int8 networks say nothing.
    "onnxruntime": ("MinMax", "MinMax+moving-average", "Entropy", "Percentile", "Percentile+99.99"),
    "openvino": (
        "performance", "performance+bias", "mixed", "mixed+bias",
        "mixed+min-max+full-range", "mixed+histogram+full-range", "mixed+bias+histogram+full-range",
    ),
}  # fmt: skip
SUFFIX = {"onnxruntime": ".onnx", "openvino": ".xml"}
INPUT = "input"


def each(path: Path) -> Iterator[np.ndarray]:
    """The images of an array file, each as a batch of its own; the file is not held in memory."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        for _ in range(shape[0]):
            yield np.fromfile(file, kind, int(np.prod(shape[1:]))).reshape(1, *shape[1:])


def stopwatch() -> Callable[[], dict]:
    start, cpu = time.monotonic(), time.process_time()
    return lambda: {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu}


def count(path: Path) -> int:
    return np.load(path, mmap_mode="r").shape[0]


def with_onnxruntime(network: Path, images: Path, method: str, output: Path) -> dict:
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    class Reader(quantization.CalibrationDataReader):
        batches = iter(Images(images))

        def get_next(self) -> dict | None:
            image = next(self.batches, None)
            return None if image is None else {INPUT: image}

    name, *words = method.split("+")
    options: dict[str, object] = {"WeightSymmetric": True}
    for word in words:
        options |= {"CalibMovingAverage": True} if word == "moving-average" else {"CalibPercentile": float(word)}
    took = stopwatch()
    prepared = output.with_suffix(".prepared.onnx")
    shape_inference.quant_pre_process(network, prepared)
    quantization.quantize_static(
        prepared,
        output,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=False,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod[name],
        extra_options=options,
    )
    return took()


def with_openvino(network: Path, images: Path, method: str, output: Path) -> dict:
    openvino = silent_openvino()
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Ranges

    preset, *words = method.split("+")
    ranges = {"min-max": Ranges.MINMAX, "histogram": Ranges.HISTOGRAM}
    advanced = nncf.AdvancedQuantizationParameters()
    for word in words:
        if word == "full-range":
            advanced.overflow_fix = nncf.OverflowFix.DISABLE
        elif word != "bias":
            advanced.activations_range_estimator_params = ranges[word]
    took = stopwatch()
    quantized = nncf.quantize(
        # As its guide says; read_model would leave the biases unfolded, and NNCF's bias correction would do nothing.
        openvino.convert_model(network),
        nncf.Dataset(Images(images)),
        preset=nncf.QuantizationPreset[preset.upper()],
        subset_size=count(images),
        fast_bias_correction="bias" not in words,
        advanced_parameters=advanced,
    )
    openvino.save_model(quantized, output, compress_to_fp16=False)
    return took()


def silent_openvino() -> object:
    """OpenVINO, without the package by which it and NNCF report their use."""
    sys.modules["openvino_telemetry"] = None
    import openvino

    return openvino


class Images:
    """An iterable that starts anew each time."""

    def __init__(self, path: Path):
        self.path = path

    def __iter__(self) -> Iterator[np.ndarray]:
        return each(self.path)

    def __len__(self) -> int:
        return count(self.path)


def session(model: Path | bytes, threads: int) -> object:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def logits(tool: str, model: Path, images: Iterable[np.ndarray], threads: int) -> np.ndarray:
    """What the tool's own CPU runtime says of images (1, channels, height, width)."""
    if tool == "onnxruntime":
        running = session(model, threads)
        return np.concatenate([running.run(None, {INPUT: image})[0] for image in images])
    # Layers that are not quantized stay float32, where the CPU could do them in bfloat16 too.
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = silent_openvino().Core().compile_model(model, "CPU", config)
    return np.concatenate([compiled(image)[0] for image in images])


def saturates() -> bool:
    """Whether ONNX Runtime's convolution of u8 with s8 is inexact on this CPU, as with vpmaddubsw it would be."""
    from onnx import TensorProto, helper

    channels = 64
    total = 255 * 127 * channels

    def one(name: str, kind: int, value: float) -> object:
        return helper.make_tensor(name, kind, [], [value])

    weights = np.full((channels, channels, 1, 1), 127, np.int8)
    node = helper.make_node("QLinearConv", [INPUT, "one", "none", "w", "one", "zero", "step", "none"], ["y"])
    graph = helper.make_graph(
        [node],
        "saturates",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, channels, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, channels, 8, 8])],
        [
            one("one", TensorProto.FLOAT, 1.0),
            one("none", TensorProto.UINT8, 0),
            one("zero", TensorProto.INT8, 0),
            one("step", TensorProto.FLOAT, total / 200),
            helper.make_tensor("w", TensorProto.INT8, weights.shape, weights.tobytes(), raw=True),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (y,) = session(model.SerializeToString(), 1).run(None, {INPUT: np.full((1, channels, 8, 8), 255, np.uint8)})
    return bool((y != 200).any())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tool", choices=METHODS)
    parser.add_argument("method")
    parser.add_argument("network", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="CPUs that it may run on (default: 1)")
    args = parser.parse_args(arguments)

    # Neither tool takes a number of threads for its calibration; both look at how many CPUs they may use.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    logging.disable(logging.INFO)
    # Both import PyTorch where it is there, which costs 500 MB and seconds, and need nothing of it here.
    sys.modules["torch"] = None
    quantize = with_onnxruntime if args.tool == "onnxruntime" else with_openvino
    try:
        took = quantize(args.network, args.images, args.method, args.output)
    except (ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(took))


if __name__ == "__main__":
    main()
