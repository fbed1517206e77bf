"""Tests of the comparison with other quantizers, without any of them: python -m pytest tests/reference"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import checkpoint
import paired
import peers_table
import quantizers
import subject
from command import Cut, Refused, run
from networks import RECIPES
from paired import Paired
from resnext import ResNeXt


@pytest.mark.parametrize(
    "cells, low, high",
    [
        # The tables and expected values of converter/src/parity/statistics.rs.
        ((1883, 1, 3, 113), -0.31876808034438214, 0.11896788054418235),
        ((0, 0, 0, 0), -97.99819922700271, 97.99819922700271),
        ((100, 0, 0, 0), -1.9215333181765237, 1.9215333181765237),
        ((8800, 120, 86, 994), 0.05807740707343856, 0.6217866201211225),
        ((794, 150, 86, 570), 2.121718911797262, 5.868293572597245),
        ((0, 5, 0, 0), 27.79452477060862, 100.0),
    ],
)
def test_interval(cells, low, high):
    assert Paired(*cells).interval_points() == pytest.approx([low, high], rel=1e-9)


def test_comparing():
    labels = np.array([0, 0, 1, 1, 1])
    floats = np.eye(2)[[0, 0, 1, 1, 0]]
    int8 = np.eye(2)[[0, 1, 1, 1, 1]]
    assert paired.count(floats, int8, labels) == Paired(3, 1, 1, 0)
    row = paired.compare(floats, int8, labels)
    assert (row["images"], row["top1_float"], row["top1_int8"], row["drop_points"]) == (5, 0.8, 0.8, 0)
    assert row["agreement"] == 0.6
    # Of five logits of 1, two moved: noise 4.
    assert row["logit_sqnr_db"] == pytest.approx(10 * np.log10(5 / 4))
    with pytest.raises(SystemExit, match="finite"):
        paired.compare(floats, np.full((5, 2), np.inf), labels)


def test_drawing_is_even_and_repeats_itself():
    labels = np.repeat(np.arange(10), 50)
    drawn = subject.draw(labels, 52)
    assert sorted(Counter(labels[drawn].tolist()).values()) == [5] * 8 + [6] * 2
    assert (np.diff(drawn) > 0).all()
    assert (drawn == subject.draw(labels, 52)).all() and (drawn != subject.draw(labels, 52, seed=1)).any()
    # Fewer are a part of more.
    assert set(subject.draw(labels, 20)) < set(drawn)
    # A class that has too few gives all.
    assert Counter(np.array([0, 1, 1, 1, 1])[subject.draw(np.array([0, 1, 1, 1, 1]), 4)].tolist()) == {0: 1, 1: 3}
    with pytest.raises(SystemExit, match="500 images"):
        subject.draw(labels, 501)


def test_tiles_and_photographs_in_class_folders(tmp_path):
    rng = np.random.default_rng(3)
    mosaics, photographs = tmp_path / "mosaics", tmp_path / "photographs"
    mosaics.mkdir()
    for label in range(2):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(mosaics / f"{label}_kind{label}.png")
        (photographs / f"n{label}").mkdir(parents=True)
        for index in range(3):
            Image.fromarray(pixels).save(photographs / f"n{label}/{index}.JPEG")
        (photographs / f"n{label}/notes.txt").write_text("no photograph")
    tiles = subject.write_tiles(mosaics, tmp_path / "tiles", 4, 4)
    assert sorted({path.parent.name for path in tiles}) == ["00_kind0", "01_kind1"] and len(tiles) == 4
    split = subject.datasets.read_mosaics(mosaics, 4)
    for path in tiles:
        assert (np.array(Image.open(path)) == split.images[int(path.stem)].permute(1, 2, 0).numpy()).all()
    copies = subject.copy_photographs(photographs, tmp_path / "copies", 4)
    assert Counter(path.parent.name for path in copies) == {"n0": 2, "n1": 2}
    for path in copies:
        assert path.read_bytes() == (photographs / path.relative_to(tmp_path / "copies")).read_bytes()


def test_arrays_are_read_image_by_image(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 2, 4, 5)).astype(np.float32)
    subject.write_normalised(tmp_path / "images.npy", pixels, [10.0, 20.0], [2.0, 4.0])
    images = quantizers.Images(tmp_path / "images.npy")
    assert len(images) == 3
    for _ in range(2):  # more than once
        for image, expected in zip(images, pixels, strict=True):
            assert image.shape == (1, 2, 4, 5)
            assert (image[0] == (expected - [[[10]], [[20]]]) / np.array([[[2]], [[4]]])).all()


@pytest.mark.parametrize("name", RECIPES)
def test_shapes_are_read_off_checkpoints(name, tmp_path):
    recipe = RECIPES[name]
    with torch.device("meta"):
        state = ResNeXt(recipe.shape).state_dict()
    settings = {"stem-stride": recipe.shape.stem_stride, "stem-pool": recipe.shape.stem_pool}
    assert subject.shape_of(state, settings | {"strides": list(recipe.shape.strides)}) == recipe.shape


def test_another_checkpoint_is_adopted(tmp_path):
    like, folder = RECIPES["cifar10-micro"], tmp_path / "theirs"
    folder.mkdir()
    network = ResNeXt(RECIPES["cifar10-resnext20"].shape).eval()
    torch.save({"meta": {}, "state_dict": network.state_dict()}, folder / "other.pth")
    (folder / "other.toml").write_text(
        'input = [32, 32]\nstem-stride = 1\nstem-pool = false\nstrides = [2, 2, 2]\n'
        'mean = [1.0, 2.0, 3.0]\nstd = [4.0, 5.0, 6.0]\nlabels = ["a", "b"]\n'
    )  # fmt: skip
    recipe, path = subject.adopt(folder / "other.pth", like, tmp_path)
    assert recipe.name == "other" and recipe.shape == RECIPES["cifar10-resnext20"].shape
    model, meta = checkpoint.read(path, recipe)
    assert meta["mean"] == [1.0, 2.0, 3.0]
    assert path.with_suffix(".toml").exists()
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(model(image), network(image))


def test_programs_are_cut_at_their_limits(tmp_path):
    ran = run([sys.executable, "-c", "print(7)"], tmp_path, seconds=60, memory=1e9)
    assert ran.out == "7\n" and 0 < ran.seconds < 60 and ran.peak_bytes > 1e6
    with pytest.raises(Refused, match="no such thing"):
        run([sys.executable, "-c", "import sys; sys.exit('error: no such thing')"], tmp_path)
    with pytest.raises(Cut) as cut:
        run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, seconds=0.3)
    assert cut.value.limit == "time" and 0.3 <= cut.value.seconds < 30


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read of /proc")
def test_programs_are_cut_at_their_memory(tmp_path):
    hungry = "import time; held = bytearray(400_000_000); time.sleep(60)"
    with pytest.raises(Cut) as cut:
        run([sys.executable, "-c", hungry], tmp_path, memory=2e8)
    assert cut.value.limit == "memory" and cut.value.peak_bytes > 2e8


def row(tool: str, method: str, sqnr: float, **more: object) -> dict:
    return {
        "network": "net", "tool": tool, "version": f"{tool} 1", "method": method, "calibration_images": 512,
        "images": 10000, "top1_float": 0.9, "top1_int8": 0.899, "drop_points": 0.1, "interval_points": [-0.05, 0.25],
        "agreement": 0.996, "logit_sqnr_db": sqnr, "seconds": 10.0, "cpu_seconds": 9.0, "peak_bytes": 50e6,
        "threads": 1, "device": "CPU", "date": "2026-01-02", **more,
    }  # fmt: skip


ORDER = {"cardinal": ["auto", "mse"], "onnxruntime": ["float32", "MinMax"], "openvino": ["mixed"]}


def test_rows_are_replaced_by_what_they_measure():
    held = peers_table.merged("accuracy", [], [row("openvino", "mixed", 1), row("cardinal", "mse", 2)], ORDER)
    assert [line["method"] for line in held] == ["mse", "mixed"]
    newer = [row("cardinal", "mse", 3), row("cardinal", "auto", 4), row("onnxruntime", "own", 5),
             row("onnxruntime", "MinMax", 6), row("cardinal", "auto", 7, network="first")]  # fmt: skip
    held = peers_table.merged("accuracy", held, newer, ORDER)
    assert [(line["network"], line["method"], line["logit_sqnr_db"]) for line in held] == [
        ("net", "auto", 4), ("net", "mse", 3), ("net", "MinMax", 6), ("net", "own", 5), ("net", "mixed", 1),
        ("first", "auto", 7),
    ]  # fmt: skip
    # Of calibrations, the number of images tells them apart.
    held = [row("onnxruntime", "MinMax", 0)]
    assert (
        len(peers_table.merged("calibration", held, [row("onnxruntime", "MinMax", 0, calibration_images=9)], {})) == 2
    )


def test_the_best_is_bold_and_failures_are_told():
    lines = peers_table.network_table([
        row("cardinal", "auto", 33.04, cpu_seconds=20.0),
        row("onnxruntime", "float32", 128.0),
        row("onnxruntime", "MinMax", 33.01, agreement=0.99, drop_points=-0.2, interval_points=[-0.3, -0.1]),
        {"network": "net", "tool": "onnxruntime", "method": "Entropy", "cut": "memory", "seconds": 43.2,
         "peak_bytes": 12.04e9},
        {"network": "net", "tool": "openvino", "method": "mixed", "refused": "ValueError: no"},
    ]).splitlines()  # fmt: skip
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(line) for line in cells} == {9}
    assert cells[2][2:] == ["90.00 %", "**89.90 %**", "0.10 (-0.05 to 0.25)", "**99.60 %**", "**33.0 dB**", "20.0",
                            "**50**"]  # fmt: skip
    assert cells[3][6:] == ["128.0 dB", "", ""]
    # As good as it can be told in what is written.
    assert cells[4][4] == "**-0.20 (-0.30 to -0.10)**" and cells[4][6] == "**33.0 dB**"
    assert cells[5][2] == "cut after 43 s with 12.0 GB (limit of memory)" and cells[6][2] == "refused: ValueError: no"


def test_the_goal_is_computed():
    peers = [row("onnxruntime", "float32", 128), row("onnxruntime", "MinMax", 28), row("openvino", "mixed", 30.0)]
    text = peers_table.verdict([row("cardinal", "auto", 33.0), *peers])
    assert "30.00 dB (`mixed` of OpenVINO, NNCF)" in text and "+3.00 dB" in text
    assert text.count(" met ") == 3 and "not met" not in text
    text = peers_table.verdict([row("cardinal", "auto", 32.9, agreement=0.9959, drop_points=0.11), *peers])
    assert text.count("**not met**") == 3
    assert peers_table.verdict(peers) == "" == peers_table.verdict([row("cardinal", "auto", 33.0)])


def test_all_is_rendered(tmp_path, monkeypatch):
    monkeypatch.setattr(peers_table, "MEASURED", tmp_path / "peers.json")
    monkeypatch.setattr(peers_table, "TABLE", tmp_path / "PEERS.md")
    peers_table.renew("accuracy", [row("cardinal", "auto", 33), row("onnxruntime", "MinMax", 28)], ORDER)
    took = {"calibration_images": 256, "seconds": 512.0, "cpu_seconds": 600, "peak_bytes": 9e9}
    peers_table.renew("calibration", [row("onnxruntime", "Entropy", 0) | took], ORDER)
    assert len(json.loads((tmp_path / "peers.json").read_text())["accuracy"]) == 2
    text = (tmp_path / "PEERS.md").read_text()
    assert "## net\n\n10,000 test images, 512 calibration images.\n" in text
    assert "| ONNX Runtime | `Entropy` | 256 | 1 | 512 | 600 | 9,000 |" in text
    assert text.endswith("CPU, 2026-01-02.\n")


def test_the_tables_kept_are_those_of_the_rows_kept():
    if peers_table.MEASURED.exists():
        assert peers_table.TABLE.read_text() == peers_table.render(peers_table.read())


def test_no_quantizer_is_needed_to_render():
    code = "import peers, sys; assert not {'nncf', 'openvino', 'onnxruntime', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)
