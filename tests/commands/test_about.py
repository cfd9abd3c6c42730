"""study.json tells of the cells of the run whose report is written, whoever wrote it meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from assignbench.cli import main
from assignbench.commands import run as run_command
from assignbench.launch import slurm
from assignbench.records import read_json


@pytest.fixture
def told(tmp_path, monkeypatch) -> list[list[str]]:
    """The cells of which every report was written."""
    found: list[list[str]] = []

    def build(folder: Path, tell: object = None, say: object = None) -> Path:
        found.append(read_json(folder / "study.json")["cells"])
        return folder / "report"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_command, "build_report", build)
    return found


def test_a_report_is_about_the_cells_of_its_own_run(tiny_study, told, monkeypatch) -> None:
    """While they are trained, another run of one seed begins and ends."""
    during: list[list[str]] = []

    def other(jobs, waiting, watch) -> None:
        during.append(read_json(Path("runs/tiny/study.json"))["cells"])
        monkeypatch.setattr(run_command.Jobs, "run", lambda *given: None)
        tiny_study.write_text(tiny_study.read_text() + "# edited\n")
        assert main(["run", str(tiny_study), "--quiet", "--seeds", "1"]) == 1

    monkeypatch.setattr(run_command.Jobs, "run", other)
    before = tiny_study.read_text()
    assert main(["run", str(tiny_study), "--quiet", "--seeds", "2"]) == 1
    assert [len(cells) for cells in (*during, *told)] == [4, 2, 4]
    assert during[0] == told[1] == read_json(Path("runs/tiny/study.json"))["cells"]
    assert Path("runs/tiny/study.yaml").read_text() == before


def test_a_run_that_cannot_begin_tells_of_nothing(tiny_study, told, monkeypatch, capsys) -> None:
    monkeypatch.setattr(run_command.Jobs, "run", lambda *given: None)
    main(["run", str(tiny_study), "--quiet", "--seeds", "2"])
    before = read_json(Path("runs/tiny/study.json"))
    monkeypatch.setattr(slurm, "which", lambda name: None)
    capsys.readouterr()
    assert main(["run", str(tiny_study), "--quiet", "--seeds", "1", "--launcher", "slurm"]) == 2
    assert "sbatch is not here" in "".join(capsys.readouterr())
    assert read_json(Path("runs/tiny/study.json")) == before and len(told) == 1
