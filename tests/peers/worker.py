"""A worker of speed.py: python worker.py openvino|onnxruntime|litert NETWORK

Runs the network once on made-up pixels and prints `ready`, the seconds since its
start, imports included, and the process's largest resident set in bytes. For
every line with a number it then runs that many times, on one thread, and prints
each run's seconds.
"""

import resource
import sys
import time
from collections.abc import Callable

START = time.monotonic()

import numpy as np  # noqa: E402

PIXELS = (np.arange(3 * 224 * 224, dtype=np.int64) * 7 % 255 / 127.5 - 1).astype(np.float32).reshape(1, 3, 224, 224)


def openvino(path: str) -> Callable[[], object]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    tensor = openvino.Tensor(PIXELS)
    return lambda: request.infer([tensor])


def onnxruntime(path: str) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: PIXELS})


def litert(path: str) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    [entry] = interpreter.get_input_details()
    shape, kind = tuple(entry["shape"]), entry["dtype"]
    pixels = PIXELS if shape[1] == 3 else PIXELS.transpose(0, 2, 3, 1)
    scale, zero_point = entry["quantization"]
    if kind == np.int8:
        pixels = np.clip(np.rint(pixels / scale) + zero_point, -128, 127).astype(np.int8)
    interpreter.set_tensor(entry["index"], np.ascontiguousarray(pixels))
    return interpreter.invoke


def main() -> None:
    tool, path = sys.argv[1:]
    run = {"openvino": openvino, "onnxruntime": onnxruntime, "litert": litert}[tool](path)
    run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("ready", time.monotonic() - START, peak, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        print(*times, flush=True)


if __name__ == "__main__":
    main()
