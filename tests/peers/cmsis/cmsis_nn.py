"""Instructions that CMSIS-NN takes for a model's layers on Cortex-M, counted by an emulator.

    python3 tests/peers/cmsis/cmsis_nn.py MODEL.cardinal [--cardinal] [--json FILE]

Fetches CMSIS-NN, builds it for each core as its own CMake would, and calls it
once in QEMU for each layer of the model: the same shapes, with random weights and
activations. A shortcut is an addition after the convolution, a projection one more
convolution. A sample of each call's results is computed in plain C too, and must
be the same. What can be prepared when a model is loaded is not counted.

--cardinal adds Cardinal's instructions, counted by firmware/mcu's `bench` with the same
model, and their ratio to CMSIS-NN's: below 1 Cardinal takes fewer.

Needs, as Debian calls them: gcc-arm-none-eabi, libnewlib-arm-none-eabi,
qemu-system-arm; and the built `cardinal`.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.append(str(HERE.parent))

from fetching import fetched  # noqa: E402

REPOSITORY, RELEASE = "https://github.com/ARM-software/CMSIS-NN", "v7.0.0"
FOLDERS = ["BasicMath", "Convolution", "FullyConnected", "NNSupport", "Pooling"]
RESTRICT = "OPTIONAL_RESTRICT_KEYWORD=__restrict"  # CMSIS-NN's README has it for Cortex-M7; all take fewer with it
PROGRAMS = {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}


@dataclass
class Machine:
    """A board that QEMU knows: its core, where its memories and the counters of its FPGA lie, how fast these count."""

    cpu: str
    code: int
    data: int
    arena: int  # 16 MiB at least
    counters: int
    counter_mhz: int


MACHINES = {
    "mps2-an386": Machine("cortex-m4", 0, 0x2000_0000, 0x2100_0000, 0x4002_8000, 25),
    "mps2-an500": Machine("cortex-m7", 0, 0x2000_0000, 0x6000_0000, 0x4002_8000, 25),
    "mps2-an505": Machine("cortex-m33", 0x1000_0000, 0x3800_0000, 0x8000_0000, 0x5030_2000, 20),
    "mps3-an547": Machine("cortex-m55", 0x1000_0000, 0x3000_0000, 0x7000_0000, 0x5930_2000, 20),
}


@dataclass
class Step:
    """One call of CMSIS-NN: harness.h's `struct step`, field by field from `kind` on."""

    function: str
    multiply_adds: int
    kind: str
    input: list[int]
    output: list[int]
    kernel: list[int]
    stride: list[int]
    padding: list[int]
    groups: int = 1
    input_zero: int = -128
    output_zero: int = -128
    low: int = -128
    shift: int = 0

    def written(self) -> str:
        fields = list(vars(self).values())[2:]
        words = [f"{{{', '.join(map(str, f))}}}" if isinstance(f, list) else str(f) for f in fields]
        return f"    {{{', '.join(words)}}},\n"


@dataclass
class Layer:
    """A layer of the model, and what CMSIS-NN is called for."""

    name: str
    shape: str
    kernel: str
    groups: int
    multiply_adds: int
    steps: list[Step]


def product(
    kind: str, function: str, inputs: list[int], output: list[int], kernel: list[int], stride: list[int], groups: int
) -> Step:
    """A convolution or matrix product, with scales that fill the range of int8."""
    depth = math.prod(kernel) * inputs[2] // groups
    # Of random codes: the deviation of weights is 74, the root mean square of inputs 147, that of results 40.
    shift = math.frexp(40 / (math.sqrt(depth) * 74 * 147))[1]
    sizes = [inputs, output, kernel, stride, padding(inputs, output, kernel, stride)]
    return Step(function, math.prod(output) * depth, kind, *sizes, groups=groups, shift=shift)


def padding(inputs: list[int], output: list[int], kernel: list[int], stride: list[int]) -> list[int]:
    """Above and at the left: half the kernel, as all ResNeXt have it, or none. A model's description does not say."""
    for pads in ([k // 2 for k in kernel], [0, 0]):
        if [(i + 2 * p - k) // s + 1 for i, p, k, s in zip(inputs, pads, kernel, stride)] == output[:2]:
            return pads
    raise SystemExit(f"{inputs} to {output} with a kernel of {kernel}: its padding cannot be told")


def layers(document: dict) -> Iterator[Layer]:
    """Of `cardinal inspect --json`. Each reads what the one before it wrote."""
    inputs, zero = document["input"], 0
    for layer in document["layers"]:
        kind, kernel, stride = layer["kind"], layer["kernel"] or [1, 1], layer["stride"] or [1, 1]
        groups, output = layer["cardinality"] or 1, layer["output"] or [1, 1, document["classes"]]
        window = [inputs, output, kernel, stride]
        if kind == "convolution":
            steps = [product("CONVOLUTION", "arm_convolve_wrapper_s8", *window, groups)]
            if projection := layer["projection"]:
                sizes = [projection["input"], output, [1, 1], projection["stride"]]
                steps.append(product("CONVOLUTION", "arm_convolve_wrapper_s8", *sizes, 1))
            if layer["adds_shortcut"]:
                for step in steps:  # ReLU follows the addition
                    step.output_zero = 0
                sizes = [output, output, [1, 1], [1, 1], [0, 0]]
                steps.append(Step("arm_elementwise_add_s8", 0, "ADDITION", *sizes, input_zero=0))
        elif kind == "max-pool":
            steps = [Step("arm_max_pool_s8", 0, "MAXIMUM", *window, padding(*window))]
        elif kind.startswith("global average pool"):
            kernel = stride = inputs[:2]
            steps = [Step("arm_avgpool_s8", 0, "MEAN", inputs, output, kernel, stride, [0, 0])]
        elif kind == "linear":
            steps = [product("LINEAR", "arm_fully_connected_wrapper_s8", *window, 1)]
            steps[0].output_zero = 0
        else:
            raise SystemExit(f"{layer['name']} is a {kind}: not known here")
        steps[0].input_zero = zero
        if layer["multiply_adds"] != sum(step.multiply_adds for step in steps):
            raise SystemExit(f"{layer['name']}: other multiply-adds than {layer['multiply_adds']}")
        words = "×".join(map(str, kernel)) + f"/{stride[0]}" if layer["kernel"] else "-"
        yield Layer(layer["name"], "×".join(map(str, output)), words, groups, layer["multiply_adds"], steps)
        inputs, zero = output, -128


def said(*command: object, **options: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def built(machine: Machine, cmsis: Path, steps: str, options: argparse.Namespace, folder: Path) -> Path:
    """The program that runs the steps, with CMSIS-NN in it."""
    folder.mkdir()
    gcc = ["arm-none-eabi-gcc", f"-mcpu={machine.cpu}", "-mthumb", "-mfloat-abi=hard"]
    gcc += [f"-D{define}" for define in options.define]
    gcc += ["-I", cmsis / "Include", "-I", HERE]
    sources = sorted(s for f in FOLDERS for s in (cmsis / "Source" / f"{f}Functions").glob("*_s8*.c"))
    said(*gcc, options.optimize, "-ffunction-sections", "-c", *sources, cwd=folder)
    (folder / "steps.c").write_text(steps)
    own = [HERE / "harness.c", HERE / "start.c", "steps.c"]
    counter = [f"-DCOUNTERS={machine.counters:#x}", f"-DCOUNTER_MHZ={machine.counter_mhz}"]
    said(*gcc, *counter, "-O2", "-c", *own, cwd=folder)
    symbols = {
        "code_start": machine.code,
        "data_start": machine.data,
        "stack_end": machine.data + (512 << 10),
        "arena_start": machine.arena,
        "arena_end": machine.arena + (16 << 20),
    }
    linking = ["-nostartfiles", "-Wl,--gc-sections", *(f"-Wl,--defsym={k}={v:#x}" for k, v in symbols.items())]
    said(*gcc, *linking, "-T", HERE / "harness.ld", *sorted(folder.glob("*.o")), "-o", "steps.elf", cwd=folder)
    return folder / "steps.elf"


def counted(name: str, program: Path, steps: int) -> tuple[list[int], int]:
    """Instructions of each step, and how many results were checked."""
    command = ["qemu-system-arm", "-machine", name, "-icount", "shift=6", "-display", "none", "-monitor", "none"]
    command += ["-serial", "null", "-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = (ran.stdout + ran.stderr).splitlines()  # the program's words are in one of these, by QEMU's release
    rows = [words for words in map(str.split, lines) if len(words) == 2 and all(word.isdigit() for word in words)]
    if ran.returncode or len(rows) != steps:
        raise SystemExit(f"{name}, call {len(rows) + 1} of {steps}: {lines[-1] if lines else 'no word'}")
    return [int(row[0]) for row in rows], sum(int(row[1]) for row in rows)


def table(model: list[Layer], counts: list[int], ours: dict[str, int] | None) -> list[dict]:
    """The layers' numbers on a machine; the last row is their sum."""
    left, rows = iter(counts), []
    for layer in model:
        calls = [{"function": step.function, "instructions": next(left)} for step in layer.steps]
        row = {"name": layer.name, "multiply_adds": layer.multiply_adds, "calls": calls}
        row["cmsis_nn"] = sum(call["instructions"] for call in calls)
        if ours:
            row["cardinal"] = ours[layer.name]
        rows.append(row)
    sums = [key for key in ("multiply_adds", "cmsis_nn", "cardinal") if key in rows[0]]
    return [*rows, {"name": "all", **{key: sum(row[key] for row in rows) for key in sums}}]


def printed(model: list[Layer], rows: list[dict]) -> None:
    """Instructions, and instructions per multiply-add."""
    sides = [side for side in ("cmsis_nn", "cardinal") if side in rows[0]]
    titles = {"cmsis_nn": "CMSIS-NN", "cardinal": "Cardinal"}
    line = f"{'':20}{'output':>10}{'kernel':>9}{'groups':>8}{'calls':>7}{'mult-adds':>12}"
    print(line + "".join(f"{titles[side]:>13}{'each':>8}" for side in sides) + f"{'ratio':>8}" * (len(sides) - 1))
    for layer, row in zip([*model, None], rows):
        words = [layer.shape, layer.kernel, layer.groups, len(layer.steps)] if layer else [""] * 4
        line = f"{row['name']:18}{words[0]:>12}{words[1]:>9}{words[2]:>8}{words[3]:>7}{row['multiply_adds']:>12}"
        for side in sides:
            each = f"{row[side] / row['multiply_adds']:.3f}" if row["multiply_adds"] else "-"
            line += f"{row[side]:>13}{each:>8}"
        print(line + (f"{row['cardinal'] / row['cmsis_nn']:>8.2f}" if "cardinal" in row else ""))


def cardinals(args: argparse.Namespace, name: str, folder: Path) -> dict[str, int]:
    """Cardinal's instructions on a machine: `bench` of firmware/mcu, with the model and a grey image built in."""
    image, golden = folder / "grey.pgm", folder / "golden"
    image.write_bytes(b"P5 64 64 255\n" + bytes(range(64)) * 64)
    said(args.binary, "golden", args.model, image, "-o", golden)
    environment = os.environ | {"CARDINAL_MODEL": str(args.model.resolve()), "CARDINAL_GOLDEN": str(golden)}
    command = [ROOT / "firmware" / "mcu" / "run", name, "bench"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {(ran.stderr or ran.stdout).strip()}")
    counts: dict[str, dict[str, int]] = {}
    for line in ran.stdout.splitlines():
        if "layer," in line:
            _, backend, layer, count, _ = line.split(",")
            counts.setdefault(backend, {})[layer] = int(count)
    return next(iter(counts.values()))  # the best backend comes first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "cardinal", help="of `cardinal`")
    parser.add_argument("--cardinal", action="store_true", help="count Cardinal's instructions too, and compare")
    parser.add_argument("--machines", nargs="+", choices=MACHINES, default=list(MACHINES), help="default: all")
    parser.add_argument("--cmsis-nn", type=Path, metavar="DIR", help=f"CMSIS-NN, instead of fetching {RELEASE}")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "cmsis", help="a folder to fetch to; kept")
    parser.add_argument("--optimize", default="-Ofast", help="for CMSIS-NN; default: -Ofast, as in its CMakeLists.txt")
    parser.add_argument(
        "--define", nargs="+", default=[RESTRICT], metavar="NAME[=VALUE]", help=f"for CMSIS-NN; default: {RESTRICT}"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    args = parser.parse_args()
    if missing := [package for program, package in PROGRAMS.items() if not shutil.which(program)]:
        raise SystemExit(f"missing; on Debian: apt-get install {' '.join(missing)}")
    if not shutil.which(args.binary):
        raise SystemExit(f"{args.binary}: not there; build it with cargo build --release, or give --binary")
    described = json.loads(said(args.binary, "inspect", "--json", args.model))
    model = list(layers(described))
    cmsis = (args.cmsis_nn or fetched(REPOSITORY, RELEASE, args.work)).resolve()
    version = str(args.cmsis_nn or RELEASE)

    steps = [step for layer in model for step in layer.steps]
    written = "".join(step.written() for step in steps)
    source = f'#include "harness.h"\nconst struct step steps[] = {{\n{written}}};\n'
    source += f"const int32_t step_count = {len(steps)};\n"
    compiler = said("arm-none-eabi-gcc", "--version").splitlines()[0]
    document = {"model": args.model.name, "content_sha256": described["content_sha256"], "cmsis_nn": version}
    document |= {"compiler": compiler, "options": [args.optimize, *args.define], "machines": {}}
    print(f"{args.model.name}: instructions, and instructions per multiply-add")
    print(f"CMSIS-NN {version}, {' '.join(document['options'])}, {compiler}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.machines:
            print(f"{name} …", file=sys.stderr)
            program = built(MACHINES[name], cmsis, source, args, Path(folder) / name)
            counts, checked = counted(name, program, len(steps))
            rows = table(model, counts, cardinals(args, name, Path(folder)) if args.cardinal else None)
            print(f"\n{name}, {MACHINES[name].cpu}; {checked} results are those of plain C")
            printed(model, rows)
            document["machines"][name] = {"cpu": MACHINES[name].cpu, "checked": checked, "layers": rows}
    if args.json:
        args.json.write_text(json.dumps(document, indent=1) + os.linesep)


if __name__ == "__main__":
    main()
