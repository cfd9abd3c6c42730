"""SIGKILL at random moments: what is resumed ends with the same bits, and no training is lost twice."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from assignbench.engine import checkpoint
from assignbench.records import CellRecord, write_json
from tests.faults.cases import CELL, fresh, same
from tests.faults.victims import Death, done, train, write_report

KILLS = 20


@pytest.mark.slow
def test_sigkill_at_random_writes(whole, moments, tmp_path) -> None:
    """Half of the moments are drawn from all, half from what a cell writes when its training is complete."""
    rng = np.random.default_rng(9)
    begun = next(i for i, name in enumerate(moments) if name.endswith(checkpoint.FINAL))
    assert 20 < begun < len(moments) - 10
    killed: list[str] = []
    for turn in range(2 * KILLS):
        folder, diary = fresh(tmp_path / str(turn) / "cell"), tmp_path / f"{turn}.txt"
        first = begun if turn % 2 else 0
        for _ in range(2):
            at = 1 + int(rng.integers(first, len(moments)))
            code = done(train, folder, Death(diary, at, after=bool(rng.integers(2))))
            if code == 0:
                break
            assert code == -signal.SIGKILL
            killed.append(diary.read_text().splitlines()[-1])
            assert CellRecord(folder).state != "done" or killed[-1].endswith(("manifest.json", "claim.json"))
            first = 0
        assert done(train, folder) == 0
        same(whole, folder)
        shutil.rmtree(folder)
        if len(killed) >= KILLS:
            break
    assert len(killed) >= KILLS
    for part in ("checkpoint/", ".parquet", ".json"):
        assert any(part in name for name in killed), f"no kill at {part}"


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["images.parquet", "summary.json", "manifest.json"])
def test_a_kill_in_the_evaluation_costs_no_step(whole, tmp_path, name, after) -> None:
    folder = fresh(tmp_path / "cell")
    assert done(train, folder, Death(tmp_path / "first.txt", name=name, after=after)) == -signal.SIGKILL
    assert checkpoint.newest(folder) == CELL.schedule.steps
    assert done(train, folder, Death(tmp_path / "second.txt")) == 0
    assert "metrics.jsonl" not in (tmp_path / "second.txt").read_text()
    same(whole, folder)


@pytest.mark.slow
def test_a_kill_while_the_report_is_written(whole, tmp_path) -> None:
    study = tmp_path / "study"
    shutil.copytree(whole, study / CELL.id)
    write_json(study / "study.json", {"study": "s", "answers": "a", "version": "0", "cells": [CELL.id]})
    diary = tmp_path / "report.txt"
    assert done(write_report, study, Death(diary)) == 0
    page = (study / "report" / "report.md").read_text()
    moments = len(diary.read_text().splitlines())
    for death in ({"at": 1}, {"at": moments // 2}, {"name": "report.md"}, {"name": "report.md", "after": True}):
        assert done(write_report, study, Death(diary, **death)) == -signal.SIGKILL
        assert done(write_report, study) == 0
        assert (study / "report" / "report.md").read_text() == page
    assert CellRecord(study / CELL.id).state == "done"


def _damage(path: Path, how: str) -> None:
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if how == "cut" else b"")


HOW = ("cut", "emptied", "removed")


@pytest.mark.slow
def test_every_file_of_a_half_trained_cell_in_turn(whole, tmp_path) -> None:
    """A checkpoint's files are spoilt in all three ways, the others in one each, in turn."""
    half = fresh(tmp_path / "half")
    assert done(train, half, Death(tmp_path / "half.txt", name="step-00000009.json")) == -signal.SIGKILL
    files = sorted(p.relative_to(half) for p in half.rglob("*") if p.is_file())
    assert len(files) > 15
    wrong = []
    for number, name in enumerate(files):
        for how in HOW if name.parts[0] == "checkpoint" and "partial" not in name.name else (HOW[number % 3],):
            folder = tmp_path / "spoilt" / "cell"
            shutil.copytree(half, folder)
            _damage(folder / name, how)
            fresh(folder)
            assert done(train, folder) == 0, f"{name} {how}: {CellRecord(folder).reason}"
            try:
                same(whole, folder)
            except AssertionError as problem:
                wrong.append((str(name), how, str(problem)[:300]))
            shutil.rmtree(folder)
    assert wrong == []


def test_the_older_checkpoint_is_taken_and_told(whole, tmp_path) -> None:
    folder = fresh(tmp_path / "cell")
    assert done(train, folder, Death(tmp_path / "d.txt", name="step-00000009.json")) == -signal.SIGKILL
    (folder / "checkpoint" / "training-00000006.pt").write_bytes(b"half")
    assert done(train, folder) == 0
    record = CellRecord(folder)
    assert "training-00000006.pt is damaged" in record.reason and "from the checkpoint of step 3" in record.reason
    same(whole, folder)


@pytest.mark.slow
def test_a_damaged_finished_cell_is_done_again(whole, tmp_path) -> None:
    """The evaluation alone where that is enough, else the training too; every file of the folder is covered."""
    names = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file() and p.name != "log.txt")
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        _damage(folder / name, HOW[number % 3])
        if name.name != "local.json":  # where things lie may change
            assert CellRecord(folder).state == "damaged", name
            assert name.name in CellRecord(folder).reason
        if number % 6:
            continue
        fresh(folder)
        diary = tmp_path / "diary.txt"
        diary.unlink(missing_ok=True)
        assert done(train, folder, Death(diary)) == 0
        if name.suffix == ".parquet" and len(name.parts) == 1:
            assert "metrics.jsonl" not in diary.read_text(), f"{name}: trained again"
        same(whole, folder)
