"""`status` tells of whom nothing will come any more."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from assignbench.cli import main
from assignbench.commands import run as run_command
from assignbench.records import read_json, write_json
from assignbench.records.claim import CLAIM, _me


@pytest.fixture
def cells(tiny_study, tmp_path, monkeypatch) -> list[Path]:
    """The cells of a run in which nothing was trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_command.Jobs, "run", lambda *given: None)
    monkeypatch.setattr(run_command, "build_report", lambda folder, tell=None, say=None: folder / "report")
    main(["run", str(tiny_study), "--quiet", "--seeds", "1"])
    return [Path("runs/tiny") / name for name in read_json(Path("runs/tiny/study.json"))["cells"]]


def lines(study: Path, capsys, *options: str) -> list[str]:
    capsys.readouterr()
    assert main(["status", str(study), *options]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_cell_whose_process_is_gone_is_told_as_such(cells, tiny_study, capsys) -> None:
    folder, me = cells[0], _me(0)
    write_json(folder / "status.json", {"state": "running", "step": 7, "steps": 8})
    gone = "its process is gone; the same command goes on from step"
    assert lines(tiny_study, capsys)[0].endswith(f"{gone} 0")
    for step in (3, 6):
        write_json(folder / "checkpoint" / f"step-{step:08d}.json", {})
    for dead in (replace(me, began=1), replace(me, pid=10**7)):
        write_json(folder / CLAIM, asdict(dead))
        assert lines(tiny_study, capsys)[0].endswith(f"{gone} 6")
    away = replace(me, host="elsewhere", renewed=me.renewed - 1000)
    write_json(folder / CLAIM, asdict(away))
    told = lines(tiny_study, capsys)[0]
    assert "nothing is heard of process" in told and "on elsewhere since" in told
    write_json(folder / CLAIM, asdict(me))
    told = lines(tiny_study, capsys)[0]
    assert "gone" not in told and "trained by process" in told


def test_options_choose_the_cells_that_they_make(tiny_study, cells, capsys) -> None:
    main(["run", str(tiny_study), "--quiet", "--seeds", "2"])
    every = lines(tiny_study, capsys)
    assert len(every) == 4 and lines(tiny_study, capsys, "--seeds", "2") == every
    assert lines(tiny_study, capsys, "--seeds", "1") == every[:2]
    assert lines(tiny_study, capsys, "--set", "methods=[iou]", "--seeds", "2") == every[::2]
    assert lines(tiny_study, capsys, "--seeds", "2", "--only", "*-iou-*") == every[::2]
    assert main(["status", str(tiny_study), "--set", "schedule.lr=0.5"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--set schedule.lr=0.5: no cell of that was in the last run" in told
