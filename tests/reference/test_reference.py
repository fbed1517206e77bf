"""Tests of the reference programs: python -m pytest tests/reference

They train on a few made-up images in the layout of the real data sets; what is
tested (resuming, recording, writing) does not ask what the images show.
"""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

import checkpoint
import datasets
import family
import make_cifar10
import record
import results
import train
from augment import ResizedCrop, Shift, mixup
from networks import RECIPES

HERE = Path(__file__).resolve().parent
TRAIN = HERE / "train.py"


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> dict[str, Path]:
    """A folder for each corpus: ten classes, four training images each, two of test."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(7)

    def noise(height: int, width: int) -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))

    for part, columns in (("train", 2), ("test", 1)):
        folder = root / "cifar10" / part
        folder.mkdir(parents=True)
        for label in range(10):
            noise(64, 32 * columns).save(folder / f"{label}_class{label}.webp", lossless=True)
    for part, count, size in (("train", 4, 160), ("val", 2, 224)):
        for label in range(10):
            folder = root / "imagenette" / part / f"n{label:08}"
            folder.mkdir(parents=True)
            for index in range(count):
                noise(size, size).save(folder / f"{index}.JPEG")
    (root / "fmnist").mkdir()
    for part, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        idx(root / "fmnist" / f"{part}-images-idx3-ubyte.gz", images)
        idx(root / "fmnist" / f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)
    return {corpus: root / corpus for corpus in ("fmnist", "cifar10", "imagenette")}


def idx(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + values.tobytes()))


def arguments(name: str, data: dict[str, Path], out: Path, *more: object) -> list[str]:
    """12 images a step: three steps an epoch and four images left over."""
    folder = data[RECIPES[name].corpus]
    return [str(word) for word in (name, "--data", folder, "--out", out, "--batch", 12, *more)]


def weights(name: str, folder: Path) -> str:
    recipe = RECIPES[name]
    model, _ = checkpoint.read(folder / f"{recipe.name}.pth", recipe)
    return checkpoint.weights_sha256(model.state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", RECIPES)
def test_resuming_changes_nothing(name, precision, data, tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    options = ["--precision", precision, "--epochs", 2]
    train.main(arguments(name, data, once, *options, "--steps", 4))
    # The second step is in the middle of the first epoch, the fourth in the second.
    train.main(arguments(name, data, twice, *options, "--steps", 2))
    two = weights(name, twice)
    train.main(arguments(name, data, twice, *options, "--steps", 4, "--resume"))
    assert weights(name, once) == weights(name, twice) != two


def test_a_run_may_be_stopped_at_any_minute(data, tmp_path):
    name, once, cut = "cifar10-micro", tmp_path / "once", tmp_path / "cut"
    command = arguments(name, data, cut, "--epochs", 500)
    process = subprocess.Popen([sys.executable, TRAIN, *command], stderr=subprocess.PIPE, text=True)
    assert json.loads(process.stderr.readline())["step"] == 0
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    stopped = json.loads(process.communicate(timeout=60)[1].splitlines()[-1])
    assert process.returncode == 130
    assert stopped["stopped"]
    assert not (cut / f"{name}.pth").exists()
    steps = stopped["step"] + 2
    train.main([*command, "--resume", "--steps", str(steps)])
    train.main(arguments(name, data, once, "--epochs", 500, "--steps", steps))
    assert weights(name, once) == weights(name, cut)


def test_resuming_asks_for_the_same_terms(data, tmp_path):
    train.main(arguments("cifar10-micro", data, tmp_path, "--steps", 1))
    with pytest.raises(SystemExit, match="another seed, epochs"):
        train.main(arguments("cifar10-micro", data, tmp_path, "--seed", 2, "--epochs", 3, "--resume"))


def test_the_log_goes_on_where_the_state_was_written(tmp_path):
    path = tmp_path / "log.jsonl"
    log = train.Log(path, 0)
    for step in (10, 20, 30):
        log(step=step)
    train.Log(path, 20)(step=25)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20, 25]


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory) -> Path:
    """The micro network after one step."""
    folder = tmp_path_factory.mktemp("trained")
    train.main(arguments("cifar10-micro", data, folder, "--steps", 1))
    return folder


def test_both_checkpoints_hold_the_same(trained):
    recipe = RECIPES["cifar10-micro"]
    read = [checkpoint.read(trained / f"{recipe.name}{suffix}", recipe) for suffix in (".pth", ".safetensors")]
    (one, meta), (other, same) = read
    assert meta == same
    assert meta["steps"] == 1 and meta["command"].startswith("train.py cifar10-micro --data DIR --out DIR")
    assert checkpoint.weights_sha256(one.state_dict()) == checkpoint.weights_sha256(other.state_dict())
    assert meta["weights_sha256"] == checkpoint.weights_sha256(one.state_dict())
    with pytest.raises(SystemExit, match="holds cifar10-micro, not cifar10-resnext20"):
        checkpoint.read(trained / f"{recipe.name}.pth", RECIPES["cifar10-resnext20"])


def test_recording_twice_gives_the_same_bytes(data, trained, tmp_path, capsys):
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    command = ["cifar10-micro", str(trained / "cifar10-micro.safetensors"), "--data", str(data["cifar10"])]
    record.main([*command, "--device", "cpu", "--out", str(one)])
    record.main([*command, "--device", "cpu", "--out", str(other), "--against", str(one)])
    assert one.read_bytes() == other.read_bytes()
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["largest_logit_difference"] == said["largest_layer_difference"] == said["classes_turned"] == 0


def test_what_is_recorded(data, trained, tmp_path):
    out = tmp_path / "recorded.safetensors"
    path = trained / "cifar10-micro.pth"
    record.main(["cifar10-micro", str(path), "--data", str(data["cifar10"]), "--out", str(out)])
    tensors, meta = safetensors.numpy.load_file(out), record.read_meta(out)
    assert tensors["logits"].shape == (20, 10) and tensors["logits"].dtype == np.float32
    assert meta["names"][:3] == ["0_class0.webp#0", "0_class0.webp#1", "1_class1.webp#0"]
    assert tensors["labels"].tolist() == [label for label in range(10) for _ in range(2)]
    assert len({row.tobytes() for row in tensors["image_sha256"]}) == 20
    assert tensors["sampled"].tolist() == [0, 5, 10, 15]
    # The four images' logits, once from their batch and once from the set's.
    sampled = tensors["layer.fc"].reshape(4, 10).astype(np.float32)
    assert np.abs(sampled - tensors["logits"][tensors["sampled"]]).max() < 1e-2
    assert tensors["layer.layer2.0.conv3"].shape == (4, 8, 8, 128) and tensors["layer.layer2.0.conv3"].min() == 0
    assert tensors["layer.layer2.0.downsample"].min() < 0
    tiles = datasets.cifar10_test(data["cifar10"])
    assert [row.tobytes() for row in tensors["image_sha256"]] == tiles.sha256
    mean, std = (torch.tensor(meta["preprocessing"][key]).view(-1, 1, 1) for key in ("mean", "std"))
    model, _ = checkpoint.read(path, RECIPES["cifar10-micro"])
    with torch.no_grad():
        again = model((tiles.images[tensors["sampled"]].float() - mean) / std)
    assert np.abs(again.numpy() - sampled).max() < 1e-2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_gpu_and_cpu_record_the_same(data, trained, tmp_path, capsys):
    cpu, cuda = tmp_path / "cpu.safetensors", tmp_path / "cuda.safetensors"
    command = ["cifar10-micro", str(trained / "cifar10-micro.pth"), "--data", str(data["cifar10"])]
    record.main([*command, "--device", "cpu", "--out", str(cpu)])
    record.main([*command, "--device", "cuda", "--out", str(cuda), "--against", str(cpu)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["largest_logit_difference"] < 1e-3


def test_cifar10_as_its_authors_publish_it(tmp_path):
    rng, records = np.random.default_rng(5), []
    # 50 images of each class in each of six files: a label, then red, green and blue planes.
    for name in make_cifar10.FILES["train"] + make_cifar10.FILES["test"]:
        batch = rng.integers(0, 256, (500, 3073), np.uint8)
        batch[:, 0] = rng.permutation(500) % 10
        (tmp_path / name).write_bytes(batch.tobytes())
        records.append(batch)
    (tmp_path / "batches.meta.txt").write_text("".join(f"class{label}\n" for label in range(10)) + "\n")
    make_cifar10.main([str(tmp_path), "--out", str(tmp_path / "out")])
    data = datasets.cifar10(tmp_path / "out")
    assert data.labels == tuple(f"class{label}" for label in range(10))
    assert (len(data.train.labels), len(data.test.labels)) == (2500, 500)
    for split, batches in ((data.train, records[:5]), (data.test, records[5:])):
        rows = np.concatenate(batches)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        assert np.array_equal(split.labels.numpy(), rows[:, 0])
        assert np.array_equal(split.images.numpy().reshape(-1, 3072), rows[:, 1:])


def test_centre_crop_rounds_as_mmpretrain_does():
    # 333·110/221 = 165.7: truncated to 165; (165 - 96) / 2 = 34.5: half to even.
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (221, 333, 3), np.uint8))
    resized = np.asarray(image.resize((165, 110), Image.Resampling.BILINEAR))
    assert np.array_equal(datasets.centre_crop(image, 96, 110), resized[7:103, 34:130])
    assert datasets.centre_crop(image.convert("L"), 96, 110).shape == (96, 96, 3)


def test_what_family_counts_as_wrong():
    rows = [{"name": "right", "float_relative_error": 1e-5}, {"name": "wrong", "float_relative_error": 1e-3}]
    rows += [
        {"name": "foreign", "refused": "no", "expected": True},
        {"name": "ours", "refused": "no", "expected": False},
    ]
    assert family.failed(rows) == ["wrong", "ours"]
    theirs = np.float32([[1, -4], [2, 0]])
    assert family.relative_error(theirs + 0.5, theirs) == 0.125
    assert family.sqnr_db(theirs * 0.9, theirs) == pytest.approx(20, abs=1e-3)


def test_views_are_drawn_from_the_generator_alone():
    images = torch.arange(2 * 3 * 40 * 40, dtype=torch.uint8).view(2, 3, 40, 40)
    for crop, size in ((Shift(4), 40), (ResizedCrop(24), 24)):
        one, same, other = (crop(crop.prepare(images), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert one.shape == (2, 3, size, size)
        assert torch.equal(one, same) and not torch.equal(one, other)
    share, partners = mixup(8, 0.2, torch.Generator().manual_seed(3))
    assert 0 <= share <= 1 and sorted(partners.tolist()) == list(range(8))


def test_a_shift_moves_pixels_and_zeros_in():
    image = torch.ones(64, 1, 8, 8, dtype=torch.uint8)
    views = Shift(2)(Shift(2).prepare(image), torch.Generator().manual_seed(1))
    lost = (views == 0).flatten(1).sum(1)
    assert lost.min() == 0 and lost.max() == 64 - 36


def test_the_table_is_rendered_from_the_measurements():
    assert results.TABLE.read_text() == results.render()


KEPT = [name for name, row in json.loads(results.MEASURED.read_text()).items() if row["kept"]]


@pytest.mark.parametrize("name", KEPT)
def test_kept_networks_are_the_measured_ones(name):
    recipe, row = RECIPES[name], json.loads(results.MEASURED.read_text())[name]
    recorded = results.recording(recipe, results.NETWORKS)
    assert checkpoint.sha256(recorded) == row["recorded"]["sha256"]
    folder = datasets.FMNIST_ASSETS if name == "fmnist" else results.NETWORKS
    path = folder / row["checkpoint"]
    assert path.stat().st_size <= 2_000_000
    results.main(["check", name, str(path)])
    tensors, meta = safetensors.numpy.load_file(recorded), record.read_meta(recorded)
    assert meta["checkpoint_sha256"] == checkpoint.sha256(path)
    assert (tensors["logits"].argmax(1) == tensors["labels"]).mean() == meta["top1"] == row["recorded"]["top1"]


def test_another_network_is_told_apart(trained, monkeypatch, tmp_path, capsys):
    measured = tmp_path / "results.json"
    row = {"weights_sha256": "0" * 64, "training": {"top1": 0.9, "torch": "2", "device": "CPU"}}
    measured.write_text(json.dumps({"cifar10-micro": row}))
    monkeypatch.setattr(results, "MEASURED", measured)
    with pytest.raises(SystemExit):
        results.main(["check", "cifar10-micro", str(trained / "cifar10-micro.pth")])
    assert "instead of 90.00 %" in capsys.readouterr().out
