"""Cells: paired by construction, bit-identical when repeated, unchanged by a kill, and never silently lost."""

import json
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from assignbench.data.catalog import load
from assignbench.engine import checkpoint
from assignbench.engine.cell import loader_of, seeded_detector
from assignbench.engine.run import run_cell
from assignbench.engine.stopping import Wish
from assignbench.methods import PRESETS
from assignbench.records import CellRecord, read_json, write_config, write_json
from tests.engine.cells import place, tiny
from tests.faults.victims import done, ended, start, train

TABLES = ("detections", "objects", "candidates", "pre_nms", "assignments", "images")
TIMED = ("assign_ms", "assign_cpu_ms", "criterion_ms", "criterion_cpu_ms")
CLOCKS = ["images_per_second", "seconds", "cpu_seconds", *TIMED]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint" / checkpoint.FINAL)


def identical(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def same_records(a: Path, b: Path) -> None:
    """Everything that two cells leave, but the clocks."""
    assert identical(weights(a), weights(b))
    one, two = CellRecord(a), CellRecord(b)
    for table in TABLES:
        pd.testing.assert_frame_equal(one.table(table), two.table(table), obj=table)
    pd.testing.assert_frame_equal(one.metrics().drop(columns=CLOCKS), two.metrics().drop(columns=CLOCKS))
    names = [sorted(p.name for p in (f / "probes").glob("*.parquet")) for f in (a, b)]
    assert names[0] == names[1] and len(names[0]) >= 4
    for name in names[0]:
        found = [pd.read_parquet(f / "probes" / name) for f in (a, b)]
        pd.testing.assert_frame_equal(*found, obj=name)
    assert [one.summary[k] for k in ("AP", "AP50", "AR100")] == [two.summary[k] for k in ("AP", "AP50", "AR100")]


def test_methods_of_one_seed_share_initial_weights_order_and_augmentation() -> None:
    cells = [tiny("iou"), tiny("mutual_guidance")]
    first, second = (seeded_detector(c, 8).state_dict() for c in cells)
    shared = first.keys() & second.keys()
    assert len(shared) >= len(first) and all(torch.equal(first[k], second[k]) for k in shared)
    data = load(cells[0].data, "train", Path())
    one, two = (loader_of(c, data) for c in cells)
    for a, b in zip(one.batches(0, 8), two.batches(0, 8), strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.objects.boxes, b.objects.boxes)


def test_a_quality_head_leaves_the_other_initial_weights_alone() -> None:
    plain = seeded_detector(tiny("iou"), 8).state_dict()
    more = seeded_detector(tiny("iou", parts={"quality": "iou"}), 8).state_dict()
    assert set(more) - set(plain) == {"head.quality.weight", "head.quality.bias"}
    assert all(torch.equal(more[k], v) for k, v in plain.items())
    other = seeded_detector(tiny("iou", seed=1), 8).state_dict()
    assert not torch.equal(other["head.cls.weight"], plain["head.cls.weight"])


def test_two_runs_of_a_cell_are_bit_identical_whatever_the_loader(tmp_path) -> None:
    one, two = tiny("iou"), tiny("iou", loader_workers=2)
    assert one.id == two.id
    folders = [place(c, tmp_path / n) for c, n in ((one, "a"), (two, "b"))]
    assert [run_cell(f, "cpu") for f in folders] == ["done", "done"]
    same_records(*folders)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("paa", {}),
        ("paa", {"ema": 0.9, "accumulate": 2, "batch_size": 2, "optimizer": "sgd", "clip_grad": None}),
        ("mutual_guidance", {"ema": 0.9, "amp": "fp16", "bias_lr": 2.0}),
        ("iou", {"average": 5}),
    ],
)
def test_a_stopped_cell_goes_on_to_the_same_end(tmp_path, method, changes) -> None:
    cell = tiny(method, **changes)
    whole, halved = place(cell, tmp_path / "whole"), place(cell, tmp_path / "halved")
    run_cell(whole, "cpu")
    calls = iter(range(1000))
    assert run_cell(halved, "cpu", Wish(lambda: next(calls) < 6)) == "pending"
    status = read_json(halved / "status.json")
    assert status["state"] == "pending" and status["reason"] == "stopped; resumes at step 6"
    assert run_cell(halved, "cpu") == "done"
    same_records(whole, halved)


def test_a_cell_that_was_stopped_after_its_last_step_leaves_what_others_leave(tmp_path) -> None:
    """The averaged weights are the final ones, and nothing stays of the checkpoint that was written for resuming."""
    cell = tiny(ema=0.5)
    whole, stopped = place(cell, tmp_path / "whole"), place(cell, tmp_path / "stopped")
    run_cell(whole, "cpu")
    calls = iter(range(1000))
    assert run_cell(stopped, "cpu", Wish(lambda: next(calls) < cell.schedule.steps)) == "pending"
    assert read_json(stopped / "status.json")["reason"] == "stopped; resumes at step 8"
    assert run_cell(stopped, "cpu") == "done"
    same_records(whole, stopped)
    left = [sorted(p.name for p in (folder / "checkpoint").iterdir()) for folder in (whole, stopped)]
    assert left[0] == left[1] == ["step-00000008.json", "weights.safetensors"]


COMMAND = [sys.executable, "-m", "assignbench.engine.run"]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "accumulate": 2, "batch_size": 2, "optimizer": "sgd"}])
def test_sigkill_at_random_steps_changes_no_number(tmp_path, changes) -> None:
    """A cell's own process is killed five times, wherever it is, and goes on with another number of workers."""
    cell = tiny("mutual_guidance", steps=60, **changes)
    whole, killed = place(cell, tmp_path / "whole"), place(cell, tmp_path / "killed")
    run_cell(whole, "cpu")
    steps = sorted(np.random.default_rng(0).choice(np.arange(3, 55), 5, replace=False))
    for workers, step in enumerate(steps, start=1):
        process = start(train, killed)
        _await_step(killed, int(step), process)
        process.kill()
        assert ended(process) == -signal.SIGKILL
        assert CellRecord(killed).state == "running", "the cell ended before it was killed"
        schedule = cell.schedule.model_copy(update={"loader_workers": workers % 3})
        write_config(killed, cell.model_copy(update={"schedule": schedule}))
    assert done(train, killed) == 0 and CellRecord(killed).state == "done"
    same_records(whole, killed)


def _await_step(folder: Path, step: int, process: BaseProcess) -> None:
    """Waits until the metrics of a step are on disk, which happens at every second step."""
    deadline = time.time() + 600
    path = folder / "metrics.jsonl"
    while time.time() < deadline and process.is_alive():
        lines = path.read_text().splitlines() if path.is_file() else []
        if lines and lines[-1].endswith("}") and json.loads(lines[-1])["step"] >= step:
            return
        time.sleep(0.005)
    raise AssertionError(f"step {step} was never reached")


def test_a_process_whose_launcher_is_gone_stops_and_can_be_resumed(tmp_path) -> None:
    folder = place(tiny(), tmp_path / "cell")
    ended = subprocess.run([*COMMAND, str(folder), "cpu", "1"], check=False)
    assert ended.returncode == 130 and CellRecord(folder).state == "pending"
    assert run_cell(folder, "cpu") == "done"
    assert done(train, tmp_path / "nothing") == 1


def test_a_diverged_cell_says_where(tmp_path) -> None:
    folder = place(tiny(lr=1.0e30, clip_grad=1.0e30, amp="none"), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "diverged"
    dump = json.loads((folder / "diverged.json").read_text())
    assert {"step", "losses", "grad_norm", "image_ids"} == set(dump)
    assert set(dump["losses"]) == {"loss_cls", "loss_box"} and len(dump["image_ids"]) == 4
    assert f"step {dump['step']}: not finite" in CellRecord(folder).status["reason"]


def test_a_failed_cell_keeps_its_reason(tmp_path) -> None:
    folder = place(tiny(), tmp_path / "cell")
    config = read_json(folder / "config.json")
    config["detector"]["spec"]["backbone"]["name"] = "gone"
    write_json(folder / "config.json", config)
    assert run_cell(folder, "cpu") == "failed"
    assert "backbone.name" in CellRecord(folder).status["reason"]
    assert (folder / "error.txt").read_text().startswith("Traceback")


@pytest.mark.parametrize("changes", [{}, {"ema": 0.8, "accumulate": 2, "batch_size": 2}])
def test_a_finished_training_is_evaluated_again_without_a_change(tmp_path, changes) -> None:
    """A cell that was killed while it was evaluated goes on from its final weights, averaged ones where asked for."""
    cell = tiny(steps=6, **changes)
    whole, again = place(cell, tmp_path / "whole"), tmp_path / "again"
    assert run_cell(whole, "cpu") == "done"
    shutil.copytree(whole, again)
    (again / "summary.json").unlink()
    (again / "detections.parquet").unlink()
    assert run_cell(again, "cpu") == "done"
    same_records(whole, again)


def test_a_milestone_that_never_comes_fails_the_cell_before_its_first_step(tmp_path) -> None:
    schedule = {"steps": None, "epochs": 2, "decay": "step", "milestones": [12]}  # 24 images, 6 updates an epoch
    folder = place(tiny(**schedule), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "failed"
    told = "schedule.milestones: 12 steps is never reached: the run has 12 updates, 6 in an epoch"
    assert told in CellRecord(folder).reason and not (folder / "metrics.jsonl").exists()
    late = place(tiny("mlc", parts={"assigner": {"start": {"epochs": 2}}}), tmp_path / "late")  # 8 steps
    assert run_cell(late, "cpu") == "failed"
    assert "method.assigner.start: 2 epochs is never reached" in CellRecord(late).reason


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("name", list(PRESETS))
def test_a_cell_trains_on_a_gpu(tmp_path, name) -> None:
    from tests.engine.cells import detector_for

    folder = place(tiny(name, detector_for(name)), tmp_path / "cell")
    assert run_cell(folder, "cuda") == "done", (folder / "error.txt").read_text()
