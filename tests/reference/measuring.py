"""Runs the tools that are compared, each calibration in a process of its own, and makes rows of what is measured."""

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

import checkpoint
import peers_table
import quantizers
from command import Cardinal, Cut, Ran, Refused, run
from peers_table import FLOAT, OURS

HERE = Path(__file__).resolve().parent
GB = 1e9
# Of `cardinal convert --method`: auto, and each way to choose ranges.
OWN_METHODS = ["auto", "min-max", "moving-average", "percentile", "entropy", "mse", "sensitivity"]


def said(binary: Path | str, *arguments: object) -> str:
    return subprocess.run([binary, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def versions(binary: Path) -> dict[str, str]:
    """Of the tools; ours with the repository's commit, OpenVINO's is that of the pair."""
    return {
        OURS: f"{said(binary, '--version')} ({said('git', '-C', HERE, 'describe', '--always', '--dirty')})",
        "onnxruntime": f"onnxruntime {version('onnxruntime')}",
        "openvino": f"openvino {version('openvino')}, nncf {version('nncf')}",
    }


def order() -> dict[str, list[str]]:
    """The methods of each tool, as their rows follow each other."""
    others = {tool: [FLOAT, *methods] for tool, methods in quantizers.METHODS.items()}
    return {OURS: OWN_METHODS, **others}


def within_limits(args: argparse.Namespace, work: Path) -> Cardinal:
    return Cardinal(args.cardinal, work, args.threads, args.limit, args.memory * GB)


def quantized(tool: str, method: str, network: Path, images: Path, output: Path, args: argparse.Namespace) -> dict:
    """What a peer's calibration took, in its own process; time without the imports."""
    command = [sys.executable, HERE / "quantizers.py", tool, method, network, images, output]
    ran = run([*command, "--threads", args.threads], output.parent, args.limit, args.memory * GB)
    return {**json.loads(ran.out.splitlines()[-1]), "peak_bytes": ran.peak_bytes}


def took(ran: Ran | Cut) -> dict:
    return {"seconds": ran.seconds, "cpu_seconds": ran.cpu_seconds, "peak_bytes": ran.peak_bytes}


def attempt(tool: str, measure: Callable[[], dict]) -> dict:
    """A row's results; or that a limit was reached, or why another tool refused. Cardinal's refusals are errors."""
    try:
        return measure()
    except Cut as cut:
        return {"cut": cut.limit, **took(cut)}
    except Refused as refusal:
        if tool == OURS:
            raise
        # The last line: Python's programs tell where before they tell what.
        return {"refused": str(refusal).splitlines()[-1]}


def renew(kind: str, args: argparse.Namespace, row: dict, measure: Callable[[], dict]) -> dict:
    """Measures a row of `kind`, completes it and puts it into peers.json at once: the next may take minutes."""
    row = {
        **row, "version": versions(args.cardinal)[row["tool"]], **attempt(row["tool"], measure),
        "threads": args.threads, "device": checkpoint.device_name(torch.device("cpu")),
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    print(json.dumps(row), file=sys.stderr)
    peers_table.renew(kind, [row], order())
    return row
