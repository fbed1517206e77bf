"""How accurate is MLPerf Tiny's ResNet-8 on the images that `cifar10-micro` is measured on?

    python3 tests/peers/resnet8.py --data FOLDER [--tiny CHECKOUT]

Takes the benchmark's float32 and int8 network from its repository, cloned to
target/mlperf unless --tiny names a checkout, and runs both in LiteRT on
CIFAR-10's test images; FOLDER is laid out as tests/reference/README.md says.
Works in the virtual environment of speed.py, which it makes.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from fetching import fetched

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REPOSITORY, RELEASE = "https://github.com/mlcommons/tiny", "v1.1"
NETWORKS = "benchmark/training/image_classification/trained_models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10's folder")
    parser.add_argument("--tiny", type=Path, help="a checkout of MLPerf Tiny")
    options = parser.parse_args()
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError:
        from speed import environment

        raise SystemExit(subprocess.run([environment(), __file__, *sys.argv[1:]]).returncode) from None
    checkout = options.tiny or fetched(REPOSITORY, RELEASE, ROOT / "target/mlperf")
    images, labels = test_images(options.data)
    print(f"{len(images)} images")
    for name in ("pretrainedResnet", "pretrainedResnet_quant"):
        correct = sum(top1(checkout / NETWORKS / f"{name}.tflite", images) == labels)
        print(f"{name}: {100 * correct / len(images):.2f} %")


def test_images(folder: Path):
    """uint8 NHWC, and labels."""
    sys.path.insert(0, str(ROOT / "tests/reference"))
    from datasets import cifar10_test

    split = cifar10_test(folder)
    return split.images.permute(0, 2, 3, 1).numpy(), split.labels.numpy()


def top1(network: Path, images):
    """The class of each image. The networks take pixels as they are: 0 to 255 in float32, less 128 in int8."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(network))
    interpreter.allocate_tensors()
    read, written = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    offset = 128 if read["dtype"] is np.int8 else 0
    classes = np.empty(len(images), int)
    for number, image in enumerate(images):
        interpreter.set_tensor(read["index"], (image.astype(np.int16) - offset).astype(read["dtype"])[None])
        interpreter.invoke()
        classes[number] = interpreter.get_tensor(written["index"])[0].argmax()
    return classes


if __name__ == "__main__":
    main()
