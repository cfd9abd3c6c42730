"""Cells: paired by construction, bit-identical when repeated, unchanged by a kill, and never silently lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from assignbench.cli import main
from assignbench.config.data import DataSpec
from assignbench.config.recipe import Schedule, learning_rate
from assignbench.data.catalog import load
from assignbench.data.stream import TrainLoader
from assignbench.engine import checkpoint
from assignbench.engine.trainer import build_detector, method_of, run_cell
from assignbench.errors import InputError
from assignbench.launch.local import choose_device
from assignbench.methods import PRESETS, resolve
from assignbench.records import CellRecord, read_json, write_json
from assignbench.study.grid import cells_of
from assignbench.study.spec import read_study


def place(cell, folder: Path) -> Path:
    """Writes a cell's folder as the launcher does."""
    write_json(folder / "config.json", cell.config)
    write_json(folder / "local.json", cell.local)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint" / checkpoint.FINAL)


def identical(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_methods_of_one_seed_share_initial_weights_order_and_augmentation(tiny_study) -> None:
    cells = cells_of(read_study(tiny_study))
    detectors = [build_detector(c.config["detector"], method_of(c.config["method"]), 8, c.seed) for c in cells]
    first, second = (d.state_dict() for d in detectors)
    assert identical(first, second)
    spec = DataSpec.model_validate(cells[0].config["data"])
    data = load(spec, "train", Path())
    one, two = (TrainLoader(data, 64, 4, c.seed, spec.augment) for c in cells)
    for a, b in zip(one.batches(0, 8), two.batches(0, 8), strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.objects.boxes, b.objects.boxes)


def test_a_quality_head_leaves_the_other_initial_weights_alone() -> None:
    config = {"name": "retinanet-slim", "parameters": {}}
    plain = build_detector(config, resolve("iou"), 8, 0).state_dict()
    more = build_detector(config, resolve("iou", {"quality": "iou"}), 8, 0).state_dict()
    assert set(more) - set(plain) == {"head.quality.weight", "head.quality.bias"}
    assert all(torch.equal(more[k], v) for k, v in plain.items())
    other = build_detector(config, resolve("iou"), 8, 1).state_dict()
    assert not torch.equal(other["head.cls.weight"], plain["head.cls.weight"])


def test_two_runs_of_a_cell_are_bit_identical_whatever_the_loader(tiny_study, tmp_path) -> None:
    (one, _) = cells_of(read_study(tiny_study))
    (two, _) = cells_of(read_study(tiny_study, sets=["schedule.loader_workers=2"]))
    assert one.id == two.id
    folders = [place(c, tmp_path / n) for c, n in ((one, "a"), (two, "b"))]
    assert [run_cell(f, "cpu") for f in folders] == ["done", "done"]
    assert identical(*(weights(f) for f in folders))
    a, b = (CellRecord(f) for f in folders)
    for table in ("detections", "objects", "candidates", "pre_nms", "assignments", "images"):
        assert a.table(table).equals(b.table(table)), table
    assert a.summary["AP"] == b.summary["AP"]


def test_a_stopped_cell_goes_on_to_the_same_end(tiny_study, tmp_path) -> None:
    (cell, _) = cells_of(read_study(tiny_study))
    whole, halved = place(cell, tmp_path / "whole"), place(cell, tmp_path / "halved")
    run_cell(whole, "cpu")
    calls = iter(range(1000))
    assert run_cell(halved, "cpu", alive=lambda: next(calls) < 6) == "pending"
    assert read_json(halved / "status.json")["state"] == "running"
    assert (halved / "checkpoint" / checkpoint.STATE).is_file()
    assert run_cell(halved, "cpu") == "done"
    assert identical(weights(whole), weights(halved))
    a, b = CellRecord(whole), CellRecord(halved)
    clocks = ["images_per_second", "assign_ms", "criterion_ms"]
    assert a.metrics().drop(columns=clocks).equals(b.metrics().drop(columns=clocks))
    for table in ("detections", "assignments"):
        assert a.table(table).equals(b.table(table)), table
    assert [p.name for p in a.probe_visits()] == [p.name for p in b.probe_visits()]


@pytest.mark.slow
def test_sigkill_in_the_second_cell(tiny_study, tmp_path) -> None:
    """The whole process tree is killed; the same command ends the study, keeps the first cell, changes no number."""
    sets = ["--set", "schedule.steps=60", "--workers", "1", "--out"]
    command = [sys.executable, "-m", "assignbench", "run", str(tiny_study), *sets, str(tmp_path / "killed")]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        deadline = time.time() + 120
        second = None
        while time.time() < deadline and second is None:
            time.sleep(0.05)
            found = list((tmp_path / "killed" / "tiny").glob("*mutual*/status.json"))
            if found and int(read_json(found[0]).get("step", 0)) >= 6:
                second = found[0]
        assert second is not None, "the second cell never trained"
        os.killpg(process.pid, signal.SIGKILL)
    first = next((tmp_path / "killed" / "tiny").glob("*iou*/summary.json"))
    before = first.stat().st_mtime_ns
    assert CellRecord(second.parent).state == "running"
    assert main(["run", str(tiny_study), *sets, str(tmp_path / "killed"), "--quiet"]) == 0
    assert first.stat().st_mtime_ns == before
    assert main(["run", str(tiny_study), *sets, str(tmp_path / "whole"), "--quiet"]) == 0
    for folder in (tmp_path / "whole" / "tiny").glob("*/config.json"):
        name = folder.parent.name
        assert identical(weights(folder.parent), weights(tmp_path / "killed" / "tiny" / name))
        a, b = CellRecord(folder.parent).summary, CellRecord(tmp_path / "killed" / "tiny" / name).summary
        assert [a[k] for k in ("AP", "AP50", "AR100")] == [b[k] for k in ("AP", "AP50", "AR100")]


def test_a_diverged_cell_says_where(tiny_study, tmp_path) -> None:
    study = read_study(tiny_study, sets=["schedule.lr=1.0e30", "schedule.clip_grad=1.0e30", "schedule.amp=none"])
    folder = place(cells_of(study)[0], tmp_path / "cell")
    assert run_cell(folder, "cpu") == "diverged"
    dump = json.loads((folder / "diverged.json").read_text())
    assert {"step", "losses", "grad_norm", "image_ids"} <= set(dump)
    assert "not finite" in CellRecord(folder).status["reason"]


def test_a_failed_cell_keeps_its_reason(tiny_study, tmp_path) -> None:
    folder = place(cells_of(read_study(tiny_study))[0], tmp_path / "cell")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, "detector": {**config["detector"], "name": "gone"}})
    assert run_cell(folder, "cpu") == "failed"
    assert "unknown detector 'gone'" in CellRecord(folder).status["reason"]
    assert (folder / "error.txt").read_text().startswith("Traceback")


def test_learning_rate() -> None:
    schedule = Schedule(steps=100, lr=1.0, warmup=0.1)
    rates = [learning_rate(schedule, s, 100) for s in range(100)]
    assert rates[0] == pytest.approx(1 / 11) and rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(0.01, abs=1e-3)
    stepped = Schedule(steps=90, lr=1.0, warmup=0.0, decay="step")
    assert [round(learning_rate(stepped, s, 90), 4) for s in (0, 59, 60, 80)] == [1.0, 1.0, 0.1, 0.01]
    with pytest.raises(ValueError, match="exactly one"):
        Schedule(steps=3, epochs=1)


def test_devices() -> None:
    assert choose_device("cpu") == ("cpu", choose_device("cpu")[1])
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no usable GPU"):
            choose_device("cuda")
        assert choose_device("auto")[0] == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("name", list(PRESETS))
def test_a_cell_trains_on_a_gpu(tiny_study, tmp_path, name) -> None:
    study = read_study(tiny_study, sets=[f"methods=[{name}]"])
    folder = place(cells_of(study)[0], tmp_path / "cell")
    assert run_cell(folder, "cuda") == "done", (folder / "error.txt").read_text()
