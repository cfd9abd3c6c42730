"""A cell that several processes train: from its folder to its records, and what becomes of it when one breaks off."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.engine import checkpoint, team
from assignbench.engine.run import run_cell
from assignbench.engine.stopping import Wish
from assignbench.records import CellRecord, read_json, write_json
from assignbench.records.check import problems_of
from tests.engine.cells import place, tiny
from tests.engine.test_training import CLOCKS, weights
from tests.forked import peers_forked


@pytest.fixture(autouse=True)
def forked() -> Iterator[None]:
    """What starts the others anew is looked at by tests/commands/test_processes.py."""
    with peers_forked():
        yield


def together(folder: Path, config: CellConfig, processes: int) -> Path:
    return place(config, folder, LocalPaths(processes=processes))


def close(found: Path, wanted: Path) -> None:
    """The same training up to rounding: what was taught in every logged step, and how it went."""
    one, two = CellRecord(found), CellRecord(wanted)
    assert one.state == two.state == "done" and problems_of(found) == []
    pd.testing.assert_frame_equal(one.table("assignments"), two.table("assignments"), rtol=1e-4)
    lines, others = (r.metrics().drop(columns=CLOCKS) for r in (one, two))
    pd.testing.assert_frame_equal(lines, others, rtol=1e-3, atol=1e-4)
    for name, value in weights(wanted).items():
        torch.testing.assert_close(weights(found)[name], value, rtol=1e-3, atol=1e-3)
    assert sorted(p.name for p in found.rglob("*.parquet")) == sorted(p.name for p in wanted.rglob("*.parquet"))


QUIET = {"optimizer": "sgd", "lr": 1e-4, "amp": "none"}  # rounding errors stay small


def test_a_cell_of_two_processes_goes_on_in_one(tmp_path) -> None:
    """It leaves what one process leaves; the checkpoint of two is that of one."""
    config = tiny("paa", batch_size=5, **QUIET)
    whole, shared = place(config, tmp_path / "whole"), together(tmp_path / "shared", config, 2)
    assert run_cell(whole, "cpu") == "done"
    stop = lambda: checkpoint.newest(shared) < 4  # noqa: E731
    assert run_cell(shared, "cpu", Wish(stop)) == "pending", CellRecord(shared).status
    assert checkpoint.newest(shared) == 4 and read_json(shared / "environment.json")["processes"] == 2
    write_json(shared / "local.json", LocalPaths().model_dump(mode="json"))
    assert run_cell(shared, "cpu") == "done", CellRecord(shared).status
    close(shared, whole)


@pytest.mark.slow
def test_a_cell_of_one_process_goes_on_in_three(tmp_path) -> None:
    config = tiny("paa", batch_size=5, accumulate=2, ema=0.5, **QUIET)
    whole, shared = place(config, tmp_path / "whole"), place(config, tmp_path / "shared")
    assert run_cell(whole, "cpu") == "done"
    assert run_cell(shared, "cpu", Wish(lambda: checkpoint.newest(shared) < 4)) == "pending"
    assert run_cell(together(shared, config, 3), "cpu") == "done", CellRecord(shared).status
    close(shared, whole)


@pytest.mark.slow
def test_what_one_process_cannot_do_is_told_with_its_reason(tmp_path) -> None:
    few = together(tmp_path / "few", tiny(batch_size=2), 3)
    assert run_cell(few, "cpu") == "failed"
    assert "processes is 3, but a batch holds 2 images" in CellRecord(few).reason
    begun = time.monotonic()
    folder = together(tmp_path / "cell", tiny(parts={"assigner": "tests.engine.own_assigners:Deserts"}), 2)
    assert run_cell(folder, "cpu") == "failed"
    reason = CellRecord(folder).reason
    assert reason.startswith("process of rank 1: ") and "own_assigners.py" in reason and "three is not four" in reason
    assert time.monotonic() - begun < team.PATIENCE.total_seconds() / 4


@pytest.mark.slow
def test_processes_diverge_together(tmp_path) -> None:
    folder = together(tmp_path / "cell", tiny(lr=1e30, clip_grad=1e30, amp="none"), 2)
    assert run_cell(folder, "cpu") == "diverged"
    assert len(read_json(folder / "diverged.json")["image_ids"]) == 4


@pytest.mark.slow
def test_a_process_that_is_killed_fails_the_cell_at_once_and_it_goes_on(tmp_path, monkeypatch) -> None:
    """Nobody waits for one that is gone, and none is left behind."""
    config = tiny(steps=400, **QUIET)
    folder = together(tmp_path / "cell", config, 3)
    children: list[int] = []
    begin = team._started

    def noted(*given):
        found = begin(*given)
        children.extend(p.pid for p in found)
        return found

    monkeypatch.setattr(team, "_started", noted)

    def kill() -> None:
        while checkpoint.newest(folder) < 4:
            time.sleep(0.05)
        os.kill(children[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    assert run_cell(folder, "cpu") == "failed"
    assert "the process of rank 1 ended by signal 9" in CellRecord(folder).reason
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    done = checkpoint.newest(folder)
    assert done >= 4
    write_json(folder / "local.json", LocalPaths(processes=2).model_dump(mode="json"))
    assert run_cell(folder, "cpu", Wish(lambda: checkpoint.newest(folder) < done + 4)) == "pending"
