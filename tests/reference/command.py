"""Runs `cardinal` and sees what it took."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The peak of a child counts from before its exec, when it still was a copy of a Python that holds networks. So a
# small Python stands between.
BETWEEN = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


class Refused(Exception):
    """What the program said when it failed."""


@dataclass
class Ran:
    out: str
    seconds: float
    peak_bytes: int


class Cardinal:
    def __init__(self, binary: Path, work: Path, threads: int | None = None):
        self.binary, self.work = binary.resolve(), work
        self.options = ["--threads", threads] if threads else []

    def __call__(self, *arguments: object) -> Ran:
        peak = self.work / "peak"
        start = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-c", BETWEEN, peak, self.binary, *map(str, (*arguments, *self.options))],
            capture_output=True, text=True,
        )  # fmt: skip
        if ran.returncode:
            raise Refused((ran.stderr.strip() or ran.stdout.strip()).removeprefix("error: "))
        return Ran(ran.stdout, time.monotonic() - start, 1024 * int(peak.read_text()))

    def features(self, model: Path, images: list[Path], which: str, *options: object) -> np.ndarray:
        """What `predict --features` writes: a row for each image, in their order."""
        path = self.work / "features.npy"
        path.unlink(missing_ok=True)
        self("predict", model, *images, "--features", which, "-o", path, *options)
        values = np.load(path)
        if len(values) != len(images):
            raise Refused(f"{len(values)} rows were written for {len(images)} images")
        return values
