"""Measures the reference networks, float and int8, and writes RESULTS.md.

    python tests/reference/results.py measure cifar10-micro --from DIR --data DIR
    python tests/reference/results.py check cifar10-micro DIR/cifar10-micro.pth
    python tests/reference/results.py render

`measure` takes what train.py left in --from: records the float32 logits on
the CPU, converts with `cardinal convert`, evaluates with `cardinal eval`, and
keeps network and recording in networks/ if the repository may hold them.
`check` tells whether a network trained anew is the one that was measured.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import checkpoint
import datasets
import record
from networks import RECIPES, Recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NETWORKS = HERE / "networks"
MEASURED = HERE / "results.json"
TABLE = HERE / "RESULTS.md"


def recording(recipe: Recipe, trained: Path) -> Path:
    """Where a network's recorded logits are."""
    return (NETWORKS if recipe.kept else trained) / f"{recipe.name}.recorded.safetensors"


def find(recipe: Recipe, folder: Path) -> Path:
    for suffix in (".safetensors", ".pth"):
        if (path := folder / f"{recipe.name}{suffix}").exists():
            return path
    raise SystemExit(f"{folder}: has no {recipe.name}.safetensors or .pth; make it with train.py")


def cardinal(binary: Path | None, *arguments: object) -> dict:
    """The JSON that a `cardinal` command prints."""
    program = [binary] if binary else ["cargo", "run", "--release", "--quiet", "--bin", "cardinal", "--"]
    command = [str(word) for word in (*program, *arguments, "--json")]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def int8(path: Path, calib: Path, test: Path, binary: Path | None) -> dict:
    """How a network fares after conversion, beside its float32 self."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.cardinal"
        made = cardinal(binary, "convert", path, "--calib", calib, "-o", model)
        seen = cardinal(binary, "eval", model, test, "--float", path)
    return {
        "multiply_adds": made["multiply_adds"], "file_bytes": made["file_bytes"], "arena_bytes": made["arena_bytes"],
        "method": made["calibration"]["method"], "calibration_images": made["calibration"]["images"],
        "images": seen["images"], "top1": seen["top1"], "float_top1": seen["float"]["top1"],
        "agreement": seen["float"]["agreement"], "logit_sqnr_db": seen["float"]["logit_sqnr_db"],
    }  # fmt: skip


def measure(name: str, trained: Path, data: Path | None, binary: Path | None, date: str | None) -> None:
    recipe = RECIPES[name]
    path = find(recipe, trained)
    if recipe.kept and path.suffix == ".safetensors":
        NETWORKS.mkdir(exist_ok=True)
        for suffix in (".safetensors", ".toml", ".png", ".jsonl"):
            shutil.copyfile(trained / f"{recipe.name}{suffix}", NETWORKS / f"{recipe.name}{suffix}")
        path = NETWORKS / path.name
    out = recording(recipe, trained)
    where = ["--data", str(data)] if data else []
    record.main([name, str(path), *where, "--out", str(out), "--device", "cpu"])
    recorded = record.read_meta(out)
    model, meta = checkpoint.read(path, recipe)
    rows = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    rows[name] = {
        "network": recipe.name,
        "input": meta["input"], "parameters": meta["parameters"],
        "checkpoint": path.name, "checkpoint_bytes": path.stat().st_size, "kept": recipe.kept,
        "weights_sha256": checkpoint.weights_sha256(model.state_dict()),
        "training": {
            "epochs": meta["epochs"], "seed": meta["seed"], "device": meta["device"],
            "precision": meta.get("precision", "float32"), "torch": meta["torch"],
            "date": meta.get("date", date), "seconds": meta["seconds"],
            "images_per_second": meta["steps"] * meta.get("batch", recipe.batch) / meta["seconds"],
            "command": meta.get("command", f"train.py {name} --out DIR"),
            "test_images": meta["test_images"], "top1": meta["top1"],
        },
        "recorded": {
            "device": recorded["device"], "images": recorded["images"], "top1": recorded["top1"],
            "sha256": checkpoint.sha256(out),
        },
        "int8": int8(path, *datasets.folders(recipe.corpus, data), binary),
    }  # fmt: skip
    rows = {name: rows[name] for name in RECIPES if name in rows}
    checkpoint.replace(MEASURED, lambda path: path.write_text(json.dumps(rows, indent=1) + "\n"))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def render() -> str:
    rows = json.loads(MEASURED.read_text())
    accuracy, sizes, training, recordings, curves = [], [], [], [], []
    for name, row in rows.items():
        t, q, r = row["training"], row["int8"], row["recorded"]
        height, width = row["input"]
        accuracy.append([
            f"`{name}`", f"{r['images']:,}", percent(r["top1"]), percent(q["top1"]),
            f"{100 * (q['top1'] - r['top1']):+.2f}", percent(q["agreement"]), f"{q['logit_sqnr_db']:.1f} dB",
        ])  # fmt: skip
        sizes.append([
            f"`{name}`", f"{height}×{width}", f"{row['parameters']:,}", f"{q['multiply_adds'] / 1e6:.1f} M",
            f"{row['checkpoint_bytes'] / 1e6:.2f} MB", f"{q['file_bytes'] / 1e6:.2f} MB",
            f"{q['arena_bytes'] / 1e3:.1f} kB",
        ])  # fmt: skip
        training.append([
            f"`{name}`", percent(t["top1"]), f"{t['epochs']}", t["device"], t["precision"],
            f"{t['seconds'] / 60:.0f} min", f"{t['images_per_second']:.0f}", t["date"] or "", f"`{t['command']}`",
        ])  # fmt: skip
        recordings.append([
            f"`{name}`", "in the repository" if row["kept"] else "remade by the command", f"`{row['weights_sha256']}`",
            r["device"], f"`{r['sha256']}`",
        ])  # fmt: skip
        if (NETWORKS / f"{row['network']}.png").exists():
            curves.append(f"![{name}](networks/{row['network']}.png)\n")
    missing = [
        f"- `{name}`: `train.py {name} --data DIR --out DIR`, {recipe.epochs} epochs; meant for a GPU.\n"
        for name, recipe in RECIPES.items()
        if name not in rows
    ]
    parts = [
        "# The reference networks, measured\n\n",
        "Written by `results.py` from `results.json`; [README.md](README.md) says how to make each row again.\n\n",
        "## Accuracy\n\n",
        "Float32 is PyTorch's, int8 is `cardinal eval` of what `cardinal convert` made with its defaults: `--method "
        "auto` and 512 calibration images, of small networks 2,048, of `fmnist` the 256 that come with Cardinal. No "
        "epoch was chosen by its test accuracy: the last one's averaged weights are measured. `fmnist` is measured on "
        "the 2,000 test images that come with Cardinal; its float top-1 on all 10,000 is in the table of trainings."
        "\n\n",
        table(["network", "test images", "float32 top-1", "int8 top-1", "points", "agreement", "logit SQNR"], accuracy),
        "\nFor orientation: MLPerf Tiny's ResNet-8 for CIFAR-10 has 78 K parameters and 12.5 M multiply-adds, its "
        "benchmark asks for 85 % (Banbury et al. 2021, MLPerf Tiny Benchmark); on these images the networks published "
        "there reach 87.19 % in float32 and 86.97 % in int8 (`tests/peers/resnet8.py`).\n\n",
        "## Sizes\n\n",
        table(
            ["network", "input", "parameters", "multiply-adds", "checkpoint", ".cardinal", "activations (arena)"], sizes
        ),
        "\n## Trainings\n\n",
        table(
            ["network", "float32 top-1", "epochs", "device", "precision", "wall time", "images/s", "date", "command"],
            training,
        ),
        "\nTimes are of a machine that did other work beside.\n",
        "\nNot trained yet:\n\n" + "".join(missing) if missing else "",
        "\n## Identity\n\n",
        "SHA-256 of the weights (as `results.py check` computes it) and of the recorded logits.\n\n",
        table(["network", "where", "weights", "recorded on", "recording"], recordings),
        "\n## Curves\n\n" + "\n".join(curves) if curves else "",
    ]
    return "".join(parts)


def check(name: str, path: Path) -> None:
    row = json.loads(MEASURED.read_text())[name]
    model, meta = checkpoint.read(path, RECIPES[name])
    if checkpoint.weights_sha256(model.state_dict()) == row["weights_sha256"]:
        print(f"{path}: the weights that were measured")
        return
    print(
        f"{path}: other weights than were measured, top-1 {percent(meta['top1'])} instead of "
        f"{percent(row['training']['top1'])}. They are the same only with torch {row['training']['torch']} on "
        f"{row['training']['device']}."
    )
    sys.exit(1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("measure", help="record, convert, evaluate; then render")
    add.add_argument("network", choices=RECIPES)
    add.add_argument("--from", dest="trained", type=Path, required=True, help="folder that train.py wrote to")
    add.add_argument("--data", type=Path, help="folder of the data set (fmnist: the images that come with Cardinal)")
    add.add_argument("--cardinal", type=Path, help="the built program (default: cargo run --release)")
    add.add_argument("--date", help="of the training, where the checkpoint does not say it")
    add = commands.add_parser("check", help="compare a checkpoint with the one measured")
    add.add_argument("network", choices=RECIPES)
    add.add_argument("checkpoint", type=Path)
    commands.add_parser("render", help="write RESULTS.md from results.json")
    args = parser.parse_args(arguments)
    if args.command == "check":
        check(args.network, args.checkpoint)
        return
    if args.command == "measure":
        measure(args.network, args.trained.resolve(), args.data and args.data.resolve(), args.cardinal, args.date)
    TABLE.write_text(render())


if __name__ == "__main__":
    main()
