"""Cardinal beside ONNX Runtime and OpenVINO, on the same images: writes peers.json and PEERS.md.

    python tests/reference/peers.py accuracy --network cifar10-micro --from DIR --data DIR --cardinal BINARY
    python tests/reference/peers.py calibration --data DIR --cardinal BINARY
    python tests/reference/peers.py render

`accuracy` quantizes a reference network by every method of every tool and
compares each with PyTorch's recorded float32 logits. `calibration` measures
time and memory of calibrating ResNeXt-50 32x4d at 224x224. Rows that are there
already are replaced one by one, so single ones can be renewed with --only and
--methods. `quantizers.py --help` tells how the others' methods are named.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import calibration
import measuring
import paired
import peers_table
import quantizers
import subject
from command import Cardinal, Refused
from networks import RECIPES
from peers_table import FLOAT, OURS, TOOLS

EXACT_DB = 60  # SQNR of the same float network on the same pixels, at least


def cardinal_row(test: subject.Subject, cardinal: Cardinal, method: str) -> dict:
    model = test.work / "model.cardinal"
    drawn = ["--calib", test.calib, "--calib-images", len(test.drawn)]
    made = cardinal("convert", test.path, *drawn, "--method", method, "-o", model, "--json")
    judge = Cardinal(cardinal.binary, cardinal.work, cardinal.threads)
    seen = json.loads(judge("parity", model, "--reference", test.recording, "--data", test.test, "--json").out)
    top1 = seen["top1"]
    return {
        "images": seen["images"], "top1_float": top1["float"], "top1_int8": top1["int8"],
        "drop_points": top1["drop_points"], "interval_points": top1["interval_points"],
        "agreement": seen["agreement"], "logit_sqnr_db": seen["logit_sqnr_db"],
        **measuring.took(made),
    }  # fmt: skip


def peer_row(test: subject.Subject, cardinal: Cardinal, tool: str, method: str, args: argparse.Namespace) -> dict:
    network = test.export()
    if method == FLOAT:
        made, took = network, {}
    else:
        made = test.work / f"quantized{quantizers.SUFFIX[tool]}"
        took = measuring.quantized(tool, method, network, test.calibration(cardinal), made, args)
    logits = quantizers.logits(tool, made, test.tests(cardinal), args.threads)
    return {**paired.compare(test.logits, logits, test.labels), **took}


def chosen(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """(tool, method) of the rows to measure."""
    if args.methods and not args.only:
        raise SystemExit("--methods: say whose with --only")
    for tool, methods in measuring.order().items():
        if args.only in (None, tool):
            # The network that is not quantized needs one row.
            yield from ((tool, method) for method in args.methods or methods if (tool, method) != ("openvino", FLOAT))


def accuracy(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cardinal = measuring.within_limits(args, Path(folder))
        test = subject.prepare(args.network, args.trained, args.checkpoint, args.data, args.calib_images, cardinal.work)
        for tool, method in chosen(args):
            if tool == "onnxruntime" and quantizers.saturates():
                raise SystemExit("ONNX Runtime saturates u8 by s8 on this CPU: it needs VNNI")

            def measure(tool: str = tool, method: str = method) -> dict:
                if tool == OURS:
                    return cardinal_row(test, cardinal, method)
                return peer_row(test, cardinal, tool, method, args)

            row = {"network": test.name, "tool": tool, "method": method, "calibration_images": len(test.drawn)}
            row = measuring.renew("accuracy", args, row, measure)
            if method == FLOAT and test.mosaics and row["logit_sqnr_db"] < EXACT_DB:
                raise SystemExit("the exported network does not compute what PyTorch's does")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("accuracy", help="float and int8 of one network by every method")
    add.add_argument("--network", choices=RECIPES, required=True)
    add.add_argument("--from", dest="trained", type=Path, help="folder that train.py wrote to")
    add.add_argument("--checkpoint", type=Path, help="another network for this one's data, its .toml beside it")
    both = [add, commands.add_parser("calibration", help="time and memory of calibrating ResNeXt-50 at 224x224")]
    for add in both:
        add.add_argument(
            "--data", type=Path, help="folder of the data set (fmnist: the images that come with Cardinal)"
        )
        add.add_argument("--cardinal", type=Path, required=True, help="the built program")
        add.add_argument("--only", choices=TOOLS, help="rows of this tool")
        add.add_argument("--methods", type=lambda text: text.split(","), help="these rows of --only: a,b")
        add.add_argument("--calib-images", type=int, help="images to calibrate with")
        add.add_argument("--threads", type=int, default=1, help="of every tool (default: 1)")
        add.add_argument("--limit", type=float, default=900, help="seconds a calibration may take (default: 900)")
        add.add_argument("--memory", type=float, default=12, help="GB a calibration may hold (default: 12)")
    commands.add_parser("render", help="write PEERS.md from peers.json")
    args = parser.parse_args(arguments)
    if args.command == "render":
        peers_table.TABLE.write_text(peers_table.render(peers_table.read()))
        return
    torch.set_num_threads(args.threads)
    try:
        {"accuracy": accuracy, "calibration": calibration.measure}[args.command](args)
    except Refused as refusal:
        raise SystemExit(f"cardinal: {refusal}") from None


if __name__ == "__main__":
    main()
