"""Instructions that Cardinal takes on 64-bit ARM, counted by an emulator: the same numbers on every machine.

    python3 tests/peers/instructions.py MODEL.cardinal [--json FILE]

Builds `layers` (runtime/examples) for aarch64-unknown-linux-gnu and for this
machine with .ci/cross and cargo, and instructions.c with cc; runs the model once
in QEMU as each CPU, with the best backend that the CPU has, and prints
instructions per multiply-add, layer by layer. The logits' checksum must be the one
that this machine computes.

Needs what .ci/cross installs on Debian: rustc-web, gcc-aarch64-linux-gnu, qemu-user.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = "aarch64-unknown-linux-gnu"
CPUS = ["cortex-a72", "cortex-a76", "max"]
MARK = "layer_mark"


def said(*command: object, **options: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def plugin(folder: Path) -> Path:
    """The plugin, for the interface that this QEMU speaks."""
    major = int(re.search(r"version (\d+)", said("qemu-aarch64", "--version")).group(1))
    path = folder / "instructions.so"
    said("cc", "-O2", "-shared", "-fPIC", f"-DAPI={1 if major < 9 else 2}", HERE / "instructions.c", "-o", path)
    return path


def built(*cargo: object) -> Path:
    """The example, as cargo says where it put it."""
    options = ["--release", "-p", "cardinal-runtime", "--features", "std", "--example", "layers"]
    lines = said(*cargo, "build", *options, "--message-format", "json", cwd=ROOT).splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    return Path(next(m["executable"] for m in messages if m.get("executable")))


class Run:
    """What `layers` printed: backend, (name, multiply-adds) of each layer, the logits' checksum."""

    def __init__(self, text: str) -> None:
        self.backend, *layers, self.checksum = text.split("\n")[:-1]
        pairs = [line.rsplit(" ", 1) for line in layers]
        self.layers = [(name, int(multiply_adds)) for name, multiply_adds in pairs]


def counted(program: Path, model: Path, cpu: str, counter: Path) -> tuple[Run, list[int]]:
    out = counter.with_suffix(".counts")
    run = Run(said("qemu-aarch64", "-cpu", cpu, "-plugin", f"{counter},mark={MARK},out={out}", program, model))
    marks = [int(line) for line in out.read_text().split()]
    if len(marks) != len(run.layers) + 1:
        raise SystemExit(f"{cpu}: {len(marks)} marks of {len(run.layers)} layers")
    return run, [after - before for before, after in zip(marks, marks[1:], strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--cpus", nargs="+", default=CPUS, help=f"as QEMU names them; default: {' '.join(CPUS)}")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    args = parser.parse_args()
    here = Run(said(built("cargo"), args.model))
    program = built(ROOT / ".ci" / "cross", TARGET)
    documents = []
    with tempfile.TemporaryDirectory() as folder:
        counter = plugin(Path(folder))
        for cpu in args.cpus:
            print(f"{cpu} …", file=sys.stderr)
            run, counts = counted(program, args.model, cpu, counter)
            if run.checksum != here.checksum:
                raise SystemExit(f"{cpu}, {run.backend}: logits {run.checksum}, on this machine {here.checksum}")
            layers = [{"name": name, "multiply_adds": n, "instructions": c} for (name, n), c in zip(run.layers, counts)]
            documents.append({"cpu": cpu, "backend": run.backend, "checksum": run.checksum, "layers": layers})

    print(f"{args.model.name}: logits {here.checksum} on all, as with {here.backend} on this machine")
    print(f"\n{'instructions per multiply-add':30}{'million':>10}" + "".join(f"{d['backend']:>10}" for d in documents))
    for number, (name, multiply_adds) in enumerate(here.layers):
        ratios = [d["layers"][number]["instructions"] / multiply_adds if multiply_adds else None for d in documents]
        words = "".join(f"{'-' if ratio is None else format(ratio, '.4f'):>10}" for ratio in ratios)
        print(f"{name:30}{multiply_adds / 1e6:>10.1f}{words}")
    total = sum(n for _, n in here.layers)
    for document in documents:
        document["instructions"] = sum(layer["instructions"] for layer in document["layers"])
        document["per_multiply_add"] = document["instructions"] / total
    print(f"{'all':30}{total / 1e6:>10.1f}" + "".join(f"{d['per_multiply_add']:>10.4f}" for d in documents))
    if args.json:
        args.json.write_text(json.dumps({"model": args.model.name, "cpus": documents}, indent=1) + os.linesep)


if __name__ == "__main__":
    main()
