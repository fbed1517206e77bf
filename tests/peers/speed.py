"""How fast is Cardinal beside the others? One run, one thread, everyone in turn.

    python3 tests/peers/speed.py --cardinal target/release/cardinal --work DIR [--networks resnext50_32x4d …]

Makes a virtual environment of requirements.txt for itself (3 GB, kept in the
user's cache), builds rust/ (rten and tract), makes the networks (networks.py),
and measures at 224 x 224, one image at a time: Cardinal with each backend of this
CPU, OpenVINO limited to the same instructions (ONEDNN_MAX_CPU_ISA), ONNX Runtime,
LiteRT, rten and tract, the last two in float32 and int8. In each round everyone
runs a few times, and the round's number is the least of them: other work of the
machine only adds. Printed are medians over the rounds and their ratios to
Cardinal, with the least and the greatest ratio of a round.

`first` is the time from starting the process to its first logits, `peak` its
largest resident set; with Python and its packages where the tool is used from
there, and of `cardinal predict` for Cardinal. A tool or network that cannot be had
is a row that says why.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETWORKS = ["resnext50_32x4d", "resnext101_32x8d"]
# Cardinal's backends, and oneDNN's name for the same instructions.
INSTRUCTIONS = {"avx2": "AVX2", "avxvnni": "AVX2_VNNI", "avx512vnni": "AVX512_CORE_VNNI", "amx": "AVX512_CORE_AMX"}


def environment() -> Path:
    """The Python of a virtual environment with the packages."""
    requirements = HERE / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "cardinal" / f"peers-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"making {folder} …", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
        (folder / "complete").touch()
    return python


@dataclass
class Row:
    """A tool on a network: how its worker is started, and what was measured."""

    tool: str
    kind: str  # arithmetic
    instructions: str  # or empty: whatever the tool chooses
    command: list[object]
    variables: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # of each round
    first: float = 0.0
    peak: float = 0.0
    failure: str = ""
    process: subprocess.Popen | None = None

    def start(self) -> None:
        start = time.monotonic()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "RTEN_NUM_THREADS": "1", **self.variables}
        self.process = subprocess.Popen([str(word) for word in self.command], env=variables, text=True, **pipes)
        for line in self.process.stdout:
            if line.startswith("ready"):  # tools print greetings
                self.first, self.peak = time.monotonic() - start, float(line.split()[2])
                return
        self.failure = (self.process.stderr.read().strip().splitlines() or ["ended without a word"])[-1]

    def measure(self, runs: int) -> None:
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        self.seconds.append(min(float(word) for word in self.process.stdout.readline().split()))

    def end(self) -> None:
        if self.process:
            self.process.stdin.close()
            self.process.wait()


class Cardinal(Row):
    """`cardinal bench` of a few runs a round; first logits and peak are those of `cardinal predict`."""

    def start(self) -> None:
        binary, model, image = self.command
        backend = ["--backend", self.instructions]
        start = time.monotonic()
        command = [binary, "predict", model, image, *backend]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        words = process.stderr.read().strip().splitlines()
        _, status, used = os.wait4(process.pid, 0)
        self.first, self.peak = time.monotonic() - start, used.ru_maxrss * 1024
        if status:
            self.failure = (words or ["ended without a word"])[0]

    def measure(self, runs: int) -> None:
        binary, model, _ = self.command
        command = [binary, "bench", model, "--backend", self.instructions, "--runs", str(runs), "--json"]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.seconds.append(result["least_ms"] / 1e3)

    def end(self) -> None:
        pass


def backends(binary: Path, model: Path) -> list[str]:
    """Of this CPU, best first: as the refusal of a name that nobody has lists them."""
    ran = subprocess.run([binary, "bench", model, "--backend", "?"], capture_output=True, text=True)
    return [name for name in reversed(INSTRUCTIONS) if name in ran.stderr.replace(",", " ").split()]


def rows(args: argparse.Namespace, python: Path, name: str) -> Iterator[Row]:
    at, model = args.work / name, args.work / f"{name}.cardinal"
    own = backends(args.cardinal, model)
    for backend in own:
        yield Cardinal("Cardinal", "int8", backend, [args.cardinal, model, args.work / "images" / "0.png"])
    worker, rust = [python, HERE / "worker.py"], args.rust
    qdq, floating = f"{at}.qdq.onnx", f"{at}.onnx"
    for backend in own:
        limit = {"ONEDNN_MAX_CPU_ISA": INSTRUCTIONS[backend]}
        yield Row("OpenVINO", "int8", backend, [*worker, "openvino", qdq], limit)
    yield Row("OpenVINO", "float32", "", [*worker, "openvino", floating])
    yield Row("ONNX Runtime", "int8", "", [*worker, "onnxruntime", qdq])
    yield Row("ONNX Runtime", "float32", "", [*worker, "onnxruntime", floating])
    yield Row("LiteRT", "int8", "", [*worker, "litert", f"{at}.tflite"])
    for tool in ("rten", "tract"):
        yield Row(tool, "int8", "", [rust, tool, qdq])
        yield Row(tool, "float32", "", [rust, tool, floating])


def measured(args: argparse.Namespace, python: Path, name: str) -> list[Row]:
    everyone = list(rows(args, python, name))
    try:
        for row in everyone:
            print(f"{name}: {row.tool} {row.kind} {row.instructions}", file=sys.stderr)
            row.start()
        for number in range(args.rounds):
            print(f"{name}: round {number + 1} of {args.rounds}", file=sys.stderr)
            for row in everyone:
                if not row.failure:
                    row.measure(args.runs)
    finally:
        for row in everyone:
            row.end()
    return everyone


def document(everyone: list[Row]) -> list[dict]:
    """A row's numbers, with its ratio to Cardinal at the same instructions, or at the best."""
    ours = {row.instructions: row.seconds for row in everyone if row.tool == "Cardinal"}
    best = next(iter(ours.values()))
    result = []
    for row in everyone:
        entry = {"tool": row.tool, "kind": row.kind, "instructions": row.instructions}
        if row.failure:
            result.append(entry | {"failure": row.failure})
            continue
        ratios = [own / other for own, other in zip(ours.get(row.instructions, best), row.seconds, strict=True)]
        entry |= {"ms": statistics.median(row.seconds) * 1e3, "ratio": statistics.median(ratios)}
        entry |= {"ratio_spread": [min(ratios), max(ratios)], "first_ms": row.first * 1e3, "peak_bytes": row.peak}
        result.append(entry)
    return result


def printed(name: str, entries: list[dict]) -> None:
    print(f"\n{name}, 224 x 224, one thread")
    print(f"{'':30}{'ms':>8}  {'Cardinal / it':>20}  {'first ms':>9}  {'peak MB':>8}")
    for entry in entries:
        title = f"{entry['tool']} {entry['kind']} {entry['instructions']}"
        if "failure" in entry:
            print(f"{title:30}{entry['failure'][:90]}")
            continue
        low, high = entry["ratio_spread"]
        ratio = "" if entry["tool"] == "Cardinal" else f"{entry['ratio']:.2f} ({low:.2f}–{high:.2f})"
        numbers = f"{entry['first_ms']:>9.0f}  {entry['peak_bytes'] / 1e6:>8.0f}"
        print(f"{title:30}{entry['ms']:>8.1f}  {ratio:>20}  {numbers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cardinal", type=Path, required=True, help="the command, built with --release")
    parser.add_argument("--work", type=Path, required=True, help="a folder for the networks; kept")
    parser.add_argument(
        "--networks", nargs="+", default=NETWORKS, help=f"of torchvision; default: {' '.join(NETWORKS)}"
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5, help="of everyone in each round")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    parser.add_argument(
        "--python", type=Path, help="a Python that has the packages, instead of an environment of its own"
    )
    parser.add_argument("--rust", type=Path, help="the built worker of rust/, instead of building it")
    args = parser.parse_args()
    python = args.python or environment()
    if not args.rust:
        target = args.work / "rust"
        command = [
            "cargo",
            "build",
            "--release",
            "--manifest-path",
            HERE / "rust" / "Cargo.toml",
            "--target-dir",
            target,
        ]
        subprocess.run(command, check=True)
        args.rust = target / "release" / "cardinal-peers"
    result = {"cpu": cpu(), "networks": {}}
    for name in args.networks:
        subprocess.run(
            [python, HERE / "networks.py", name, args.work],
            check=True,
            stdout=sys.stderr,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        model = args.work / f"{name}.cardinal"
        if not model.exists():
            options = ["--calib", args.work / "images", "--method", "min-max", "--output", model]
            subprocess.run(
                [args.cardinal, "convert", args.work / f"{name}.pth", *options], check=True, stdout=sys.stderr
            )
        result["networks"][name] = document(measured(args, python, name))
        printed(name, result["networks"][name])
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
