"""The measured rows of peers.json: merged by what they measure, and rendered as PEERS.md."""

import json
from collections.abc import Callable
from pathlib import Path

import checkpoint
from results import percent, table

HERE = Path(__file__).resolve().parent
MEASURED = HERE / "peers.json"
TABLE = HERE / "PEERS.md"

TOOLS = {"cardinal": "Cardinal", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO, NNCF"}
OURS, METHOD = "cardinal", "auto"
FLOAT = "float32"  # the method of a row that is not quantized
KEYS = {"accuracy": ("network", "tool", "method"), "calibration": ("network", "tool", "method", "calibration_images")}

# What is asked of Cardinal's default.
DROP_POINTS, AGREEMENT, AHEAD_DB = 0.10, 0.996, 3.0

INTRODUCTION = """# Beside other quantizers

Written by `peers.py` from `peers.json`; [README.md](README.md) tells how to make each row again.

All rows of a network have the same calibration images, drawn evenly over the classes of the training set, and the same
test pixels: those that Cardinal's network reads. Float top-1 and the logits that int8 is compared with are PyTorch's.

- **Cardinal**: `cardinal convert --method`, then `cardinal parity` ([PARITY.md](../../converter/PARITY.md) tells what
  the numbers are). Methods: `cardinal convert --help`.
- **ONNX Runtime**: `quantize_static` as its [guide](https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html)
  recommends for CPUs with VNNI: pre-processed, QDQ, weights s8, symmetric and per channel, activations u8, no
  `reduce_range`. The network is an ONNX file of opset 17, batch norm folded into the convolutions. `MinMax`, `Entropy`
  (after Migacz 2017, *8-bit inference with TensorRT*) and `Percentile` are its calibration methods with their defaults
  (99.999 for the percentile); `+moving-average` and `+99.99` are options of theirs.
- **OpenVINO, NNCF**: `nncf.quantize` as its
  [guide](https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html)
  has it, of the same ONNX file. `performance` and `mixed` are its presets (activations symmetric, or asymmetric); bias
  correction is the fast one, with `+bias` the one that goes through the network. By default NNCF takes the mean over
  the images of each one's least and greatest activation, and 7 bits for the first layer's weights. `+min-max` and
  `+histogram` are other range estimators of NNCF's, `+full-range` is `OverflowFix.DISABLE`. Layers that are not
  quantized run in float32 (`INFERENCE_PRECISION_HINT`).
- **float32** is the ONNX file, not quantized, on the same pixels: what is lost without any quantizing, by other JPEG
  decoding than Pillow's and by rounding.

The interval is Agresti and Min's adjusted Wald interval for paired proportions, 95 % (*Statistics in Medicine* 24,
2005); where it contains 0, these images do not show a difference from float. SQNR is
10 log₁₀ (Σ float² / Σ (int8 − float)²) over all logits of all images. CPU seconds (the machine did other work beside,
which wall time would show) and peak memory are those of one calibration with one thread: for Cardinal of the whole
program, which decodes the images as well; for the others time is without imports and decoding, memory is that of the
process, Python included.
"""


def key(kind: str, row: dict) -> tuple:
    return tuple(row[name] for name in KEYS[kind])


def merged(kind: str, rows: list[dict], new: list[dict], order: dict[str, list[str]]) -> list[dict]:
    """With new rows in place of those that measured the same; by network, tool, and method as `order` lists them."""
    held = {key(kind, row): row for row in rows} | {key(kind, row): row for row in new}
    networks = list(dict.fromkeys(row["network"] for row in held.values()))

    def place(row: dict) -> tuple:
        methods = order.get(row["tool"], [])
        method = methods.index(row["method"]) if row["method"] in methods else len(methods)
        return networks.index(row["network"]), list(TOOLS).index(row["tool"]), method

    return sorted(held.values(), key=place)


def read() -> dict[str, list[dict]]:
    return json.loads(MEASURED.read_text()) if MEASURED.exists() else {kind: [] for kind in KEYS}


def renew(kind: str, new: list[dict], order: dict[str, list[str]]) -> None:
    """Puts rows into peers.json and renders."""
    held = read()
    held[kind] = merged(kind, held[kind], new, order)
    checkpoint.replace(MEASURED, lambda path: path.write_text(json.dumps(held, indent=1) + "\n"))
    TABLE.write_text(render(held))


def drop(row: dict) -> str:
    low, high = row["interval_points"]
    return f"{row['drop_points']:.2f} ({low:.2f} to {high:.2f})"


# Head, text, and what is best: the value to compare, greatest first.
COLUMNS: list[tuple[str, Callable[[dict], str], Callable[[dict], float] | None]] = [
    ("float32 top-1", lambda row: percent(row["top1_float"]), None),
    ("int8 top-1", lambda row: percent(row["top1_int8"]), lambda row: row["top1_int8"]),
    ("drop, points", drop, lambda row: -row["drop_points"]),
    ("agreement", lambda row: percent(row["agreement"]), lambda row: row["agreement"]),
    ("logit SQNR", lambda row: f"{row['logit_sqnr_db']:.1f} dB", lambda row: row["logit_sqnr_db"]),
    ("CPU seconds", lambda row: f"{row['cpu_seconds']:.1f}", lambda row: -row["cpu_seconds"]),
    ("peak MB", lambda row: f"{row['peak_bytes'] / 1e6:.0f}", lambda row: -row["peak_bytes"]),
]


def cut(row: dict) -> str:
    """Why a row has no results, if it has none."""
    if "cut" in row:
        return f"cut after {row['seconds']:.0f} s with {row['peak_bytes'] / 1e9:.1f} GB (limit of {row['cut']})"
    return f"refused: {row['refused']}" if "refused" in row else ""


def measured(row: dict) -> bool:
    return "logit_sqnr_db" in row and row["method"] != FLOAT


def network_table(rows: list[dict]) -> str:
    """The best value of each column, as it is written, in bold."""
    best = {}
    for head, text, value in COLUMNS:
        if value and any(map(measured, rows)):
            first = max(filter(measured, rows), key=value)
            best[head] = text(first).split(" (")[0]
    lines = []
    for row in rows:
        line = [TOOLS[row["tool"]], f"`{row['method']}`"]
        if failure := cut(row):
            lines.append([*line, failure, *[""] * (len(COLUMNS) - 1)])
            continue
        for head, text, _ in COLUMNS:
            if row["method"] == FLOAT and head in ("CPU seconds", "peak MB"):
                line.append("")
                continue
            cell = text(row)
            bold = measured(row) and cell.split(" (")[0] == best.get(head)
            line.append(f"**{cell}**" if bold else cell)
        lines.append(line)
    return table(["tool", "method", *(head for head, _, _ in COLUMNS)], lines)


def verdict(rows: list[dict]) -> str:
    """Cardinal's default beside the best row of the others, and beside the goal."""
    peers = [row for row in rows if row["tool"] != OURS and measured(row)]
    own = [row for row in rows if (row["tool"], row["method"]) == (OURS, METHOD) and measured(row)]
    if not peers or not own:
        return ""
    peer, (own,) = max(peers, key=lambda row: row["logit_sqnr_db"]), own
    ahead = own["logit_sqnr_db"] - peer["logit_sqnr_db"]

    def met(reached: bool) -> str:
        return "met" if reached else "**not met**"

    # Without what is lost in binary fractions: 0.10 points of 10,000 images are ten images.
    return (
        f"The best SQNR of the others is {peer['logit_sqnr_db']:.2f} dB (`{peer['method']}` of {TOOLS[peer['tool']]}), "
        f"that of Cardinal's `{METHOD}` {own['logit_sqnr_db']:.2f} dB: {ahead:+.2f} dB. Goal: drop of at most "
        f"{DROP_POINTS:.2f} points {met(own['drop_points'] <= DROP_POINTS + 1e-9)} ({own['drop_points']:.2f}), "
        f"agreement of {100 * AGREEMENT:.1f} % {met(own['agreement'] >= AGREEMENT - 1e-9)} "
        f"({percent(own['agreement'])}), {AHEAD_DB:.0f} dB above the others {met(ahead >= AHEAD_DB)} "
        f"({ahead:+.2f} dB).\n"
    )


def calibration_table(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        if failure := cut(row):
            cells = [failure, "", ""]
        else:
            cells = [f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}", f"{row['peak_bytes'] / 1e6:,.0f}"]
        name = [TOOLS[row["tool"]], f"`{row['method']}`", f"{row['calibration_images']:,}", f"{row['threads']}"]
        lines.append([*name, *cells])
    return table(["tool", "method", "images", "threads", "seconds", "CPU seconds", "peak MB"], lines)


def render(held: dict[str, list[dict]]) -> str:
    parts = [INTRODUCTION]
    rows = held["accuracy"]
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        images = sorted({row["images"] for row in own if "images" in row})
        drawn = sorted({row["calibration_images"] for row in own})
        count = " and ".join(f"{n:,}" for n in images), " and ".join(f"{n:,}" for n in drawn)
        parts.append(f"\n## {network}\n\n{count[0]} test images, {count[1]} calibration images.\n\n")
        parts += [network_table(own), "\n" if verdict(own) else "", verdict(own)]
    if rows := held["calibration"]:
        networks = ", ".join(dict.fromkeys(row["network"] for row in rows))
        parts.append(
            f"\n## Calibrating {networks}\n\nTime and peak of resident memory of one calibration at 224×224, one after "
            "the other. Weights are seeded, not trained: this is about cost, not accuracy.\n\n"
        )
        parts.append(calibration_table(rows))
    everything = held["accuracy"] + held["calibration"]
    by_tool = {tool: sorted({row["version"] for row in everything if row["tool"] == tool}) for tool in TOOLS}
    versions = "; ".join(f"{', '.join(found)}" for found in by_tool.values() if found)
    devices = ", ".join(sorted({row["device"] for row in everything}))
    dates = sorted({row["date"] for row in everything})
    span = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else ""
    parts.append(f"\n## Where\n\n{versions}. {devices}, {span}.\n")
    return "".join(parts)
