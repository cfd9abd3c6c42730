"""Cells that take a training, killed at any moment of it, and two runs that want one training."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from assignbench.config.cell import LocalPaths
from assignbench.config.evaluation import Evaluation
from assignbench.records import CellRecord
from tests.engine.cells import place
from tests.faults.cases import CELL, await_that, same, write_study
from tests.faults.victims import Death, command, done, ended, start, train

READ = CELL.model_copy(update={"evaluation": Evaluation(floor=0.02, max_detections=30)})
SHARED = "methods: [iou, {name: soft, preset: iou, nms: {kind: soft}}]"


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The cell that takes a training in these tests, trained itself."""
    folder = place(READ, tmp_path_factory.mktemp("alone") / READ.id)
    assert done(train, folder) == 0
    return folder


def pair(whole: Path, folder: Path) -> Path:
    """A study's folder with a finished cell, and the folder of the one that is to take its training."""
    shutil.copytree(whole, folder / CELL.id)
    return place(READ, folder / READ.id, LocalPaths(training=CELL.id))


@pytest.mark.slow
def test_sigkill_while_a_training_is_taken(whole, alone, tmp_path) -> None:
    """At moments drawn from all, and at those that decide whether the copy counts."""
    diary = tmp_path / "diary.txt"
    assert done(train, pair(whole, tmp_path / "first"), Death(diary)) == 0
    moments = diary.read_text().splitlines()
    same(alone, tmp_path / "first" / READ.id)
    last = next(n for n, name in enumerate(moments, start=1) if name.endswith(f"step-{CELL.schedule.steps:08d}.json"))
    taken = next(n for n, name in enumerate(moments, start=1) if name.endswith("metrics.jsonl"))
    assert any(name.endswith("/training.json") for name in moments[taken:last])
    drawn = np.random.default_rng(4).choice(np.arange(taken, last - 2), 4, replace=False).tolist()
    for at in sorted({*drawn, *range(last - 2, last + 2)}):
        folder = pair(whole, tmp_path / str(at))
        assert done(train, folder, Death(tmp_path / "d.txt", at, after=bool(at % 2))) == -signal.SIGKILL
        assert CellRecord(folder).state != "done"
        if at % 3 == 0:  # the other one is gone meanwhile
            shutil.rmtree(folder.parent / CELL.id)
            place(READ, folder)
        assert done(train, folder) == 0, CellRecord(folder).reason
        assert bool(CellRecord(folder).training) == (at % 3 != 0 or at > last or (at == last and bool(at % 2)))
        same(alone, folder)
        shutil.rmtree(folder.parent)


def study_of(folder: Path, steps: int = 3) -> Path:
    """A study of two cells that share a training."""
    path = write_study(folder, steps)
    path.write_text(path.read_text().replace("methods: [iou, mutual_guidance]", SHARED))
    return path


def cells_in(out: Path) -> dict[str, CellRecord]:
    return {r.trained.method.name: r for r in (CellRecord(p.parent) for p in out.glob("tiny/*/config.json"))}


@pytest.mark.slow
def test_two_runs_share_one_training(tmp_path) -> None:
    """One asks for the first cell, the other one for the second: both end, with the same weights."""
    study = study_of(tmp_path, steps=12)
    for turn in range(4):
        out, told = tmp_path / str(turn), [tmp_path / f"{turn}-{i}.txt" for i in range(2)]
        runs = [
            start(command, ["run", str(study), "--out", str(out), "--workers", "1", "--quiet", "--only", name], path)
            for name, path in zip(("iou", "soft")[:: 1 - 2 * (turn % 2)], told, strict=True)
        ]
        assert [ended(p) for p in runs] == [0, 0], [p.read_text() for p in told]
        records = cells_in(out)
        assert {n: r.state for n, r in records.items()} == {"iou": "done", "soft": "done"}
        weights = {(r.folder / "checkpoint" / "weights.safetensors").read_bytes() for r in records.values()}
        assert len(weights) == 1
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_goes_on_with_one_training(tmp_path, number) -> None:
    study, out, told = study_of(tmp_path, steps=60), tmp_path / "runs", tmp_path / "told.txt"
    arguments = ["run", str(study), "--out", str(out), "--workers", "2", "--quiet"]
    process = start(command, arguments, told)
    await_that(lambda: any(int(r.status.get("step", 0)) >= 5 for r in cells_in(out).values()))
    os.kill(process.pid or 0, number)
    ended(process)
    assert {r.state for r in cells_in(out).values()} <= {"pending", "running"}
    assert done(command, arguments, told) == 0, told.read_text()
    records = cells_in(out)
    assert {n: bool(r.training) for n, r in records.items()} == {"iou": False, "soft": True}
    assert records["soft"].training["cell"] == records["iou"].id
    assert len((out / "tiny" / "trained.txt").read_text().split()) == 3  # iou twice, soft once
