"""Runs `cardinal` and sees what it took."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The peak of a child counts from before its exec, when it still was a copy of a Python that holds networks. So a
# small Python stands between. It ends a child that takes more seconds or more resident bytes than it may.
BETWEEN = """
import json, resource, subprocess, sys, time
report, seconds, memory, *command = sys.argv[1:]
seconds, memory = float(seconds), float(memory)
cut, start = None, time.monotonic()
child = subprocess.Popen(command)
while seconds or memory:
    try:
        child.wait(0.1)
        break
    except subprocess.TimeoutExpired:
        pass
    if seconds and time.monotonic() - start > seconds:
        cut = "time"
    if memory:
        lines = open(f"/proc/{child.pid}/status").read().splitlines()
        if 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) > memory:
            cut = "memory"
    if cut:
        child.kill()
        break
code, took = child.wait(), time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu, peak = used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss
json.dump({"seconds": took, "cpu_seconds": cpu, "peak_bytes": peak, "cut": cut}, open(report, "w"))
sys.exit(code if code >= 0 else 128 - code)
"""


class Refused(Exception):
    """What the program said when it failed."""


@dataclass
class Cut(Exception):
    """It was ended at its limit of `time` or of `memory`."""

    limit: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass
class Ran:
    out: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command: list[object], work: Path, seconds: float = 0, memory: float = 0) -> Ran:
    """Runs a program within limits of time and resident bytes (0: none; of bytes on Linux only)."""
    report = work / "took.json"
    ran = subprocess.run(
        [sys.executable, "-c", BETWEEN, report, str(seconds), str(memory), *map(str, command)],
        capture_output=True, text=True,
    )  # fmt: skip
    took = json.loads(report.read_text())
    if limit := took.pop("cut"):
        raise Cut(limit, **took)
    if ran.returncode:
        said = ran.stderr.strip() or ran.stdout.strip() or f"it ended with code {ran.returncode}"
        raise Refused(said.removeprefix("error: "))
    return Ran(ran.stdout, **took)


class Cardinal:
    def __init__(self, binary: Path, work: Path, threads: int | None = None, seconds: float = 0, memory: float = 0):
        self.binary, self.work, self.threads = binary.resolve(), work, threads
        self.options = ["--threads", threads] if threads else []
        self.limits = {"seconds": seconds, "memory": memory}

    def __call__(self, *arguments: object) -> Ran:
        return run([self.binary, *arguments, *self.options], self.work, **self.limits)

    def features(self, model: Path, images: list[Path], which: str, *options: object) -> np.ndarray:
        """What `predict --features` writes: a row for each image, in their order."""
        path = self.work / "features.npy"
        path.unlink(missing_ok=True)
        self("predict", model, *images, "--features", which, "-o", path, *options)
        values = np.load(path)
        if len(values) != len(images):
            raise Refused(f"{len(values)} rows were written for {len(images)} images")
        return values
