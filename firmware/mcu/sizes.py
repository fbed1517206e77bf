#!/usr/bin/env python3
"""What the runtime takes of flash and RAM on each board, for `cardinal inspect --target`: ./sizes.py [--renew]

Builds `classify`, whose sections the linker laid out, and runs `selftest`, which measures the stack by painting it. The
figures must be those of converter/assets/targets.json; --renew writes them there. They are one compiler's: with another
one, figures may differ by a tenth.
"""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "../../converter/assets/targets.json"
GOLDEN = HERE / "assets/cifar10-micro.golden"
MODEL = HERE / "assets/cifar10-micro.cardinal"
# Name of the target, its board, and the board whose stack is taken (a Pico 2 is no QEMU machine; its core is the M33).
TARGETS = [
    ("cortex-m4", "mps2-an386", "mps2-an386"),
    ("cortex-m7", "mps2-an500", "mps2-an500"),
    ("cortex-m33", "mps2-an505", "mps2-an505"),
    ("cortex-m55", "mps3-an547", "mps3-an547"),
    ("pico2", "pico2", "mps2-an505"),
]
ALLOC, NOBITS, WRITE = 2, 8, 1


def sections(elf: bytes) -> dict[str, tuple[int, int, int]]:
    """Type, flags and size of an ELF32 file's sections."""
    offset, (size, count, names) = struct.unpack_from("<I", elf, 32)[0], struct.unpack_from("<3H", elf, 46)
    headers = [struct.unpack_from("<10I", elf, offset + i * size) for i in range(count)]
    strings = headers[names][4]

    def name(at: int) -> str:
        return elf[strings + at : elf.index(b"\0", strings + at)].decode()

    return {name(header[0]): (header[1], header[2], header[5]) for header in headers}


def run(*command: str) -> str:
    return subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout


def build(board: str) -> bytes:
    run("./cross", board, "build", "--quiet", "--bin", "classify")
    folder = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target")) / board
    return next(folder.glob("thumb*/release/classify")).read_bytes()


def figures(name: str, board: str, painted: str) -> dict[str, object]:
    found = sections(build(board))
    arena = int.from_bytes(MODEL.read_bytes()[16:20], "little")
    flash = sum(size for kind, flags, size in found.values() if flags & ALLOC and kind != NOBITS)
    # Initialised statics lie in both.
    ram = sum(size for kind, flags, size in found.values() if flags & ALLOC and flags & WRITE and kind == NOBITS)
    ram += found.get(".data", (0, 0, 0))[2]
    stacks = re.findall(r"stack: (\d+) bytes", run("./run", painted, "selftest"))
    code = flash - found[".model"][2] - GOLDEN.stat().st_size
    return {"name": name, "board": board, "code": code, "statics": ram - arena, "stack": max(map(int, stacks))}


def main() -> int:
    compiler = run("rustc", "--version").split()[1]
    measured = {"rustc": compiler, "targets": [figures(*target) for target in TARGETS]}
    if "--renew" in sys.argv:
        FIGURES.write_text(json.dumps(measured, indent=2) + "\n")
    stored = json.loads(FIGURES.read_text())
    allowed = 0.0 if stored["rustc"] == compiler else 0.1
    good = True
    for old, new in zip(stored["targets"], measured["targets"], strict=True):
        same = all(abs(new[key] - old[key]) <= allowed * old[key] for key in ("code", "statics", "stack"))
        good &= same
        print(f"{new['name']:<11} code {new['code']:>6}  statics {new['statics']:>5}  stack {new['stack']:>6}", end="")
        print("" if same else f"  *** stored: {old['code']}, {old['statics']}, {old['stack']}; ./sizes.py --renew")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
