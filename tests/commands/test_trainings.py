"""Of which cell a run takes a training: a finished one, one that has begun, or the first; two runs agree."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from assignbench import methods
from assignbench.commands import trainings
from assignbench.commands.staleness import Staleness
from assignbench.commands.trainings import Trainings
from assignbench.config.evaluation import Evaluation
from assignbench.config.formats import formats_of
from assignbench.config.inputs import Inputs
from assignbench.records import finish, write_config, write_json
from assignbench.records.identity import write_inputs
from assignbench.study.grid import Cell, cells_of
from assignbench.study.reading import read_study

SHARED = """methods:
  - iou
  - {name: soft, preset: iou, nms: {kind: soft}}
  - {name: tight, preset: iou, nms: 0.4}
  - {name: loose, preset: iou, nms: 0.7}
  - mutual_guidance"""


@pytest.fixture
def cells(tiny_study) -> list[Cell]:
    """Four cells that share a training, and one of its own."""
    tiny_study.write_text(tiny_study.read_text().replace("methods: [iou, mutual_guidance]", SHARED))
    return cells_of(read_study(tiny_study), methods)


def chosen(folder: Path, cells: list[Cell], waiting: list[Cell], stale: tuple[str, ...] = (), **how: bool) -> list[str]:
    """Whose training each waiting cell takes, by the names of methods; "" for its own."""
    names = {c.id: c.config.method.name for c in cells}
    inputs = Staleness(folder, dict.fromkeys(stale, ("changed",)))
    found = Trainings(folder, cells, inputs, folder.parent, Console(quiet=True)).shared(waiting, **how)
    return [names.get(found.get(c.id, ""), found.get(c.id, "")) for c in waiting]


def make_done(folder: Path, cell: Cell, formats: dict[str, int] | None = None) -> None:
    config = cell.config
    write_config(folder / cell.id, config)
    write_inputs(folder / cell.id, Inputs(formats=formats or formats_of(config)), {})
    finish(folder / cell.id)


def test_the_first_of_the_study_is_trained_for_all(cells, tmp_path) -> None:
    assert chosen(tmp_path / "s", cells, cells) == ["", "iou", "iou", "iou", ""]
    assert chosen(tmp_path / "s", cells, cells[1:3]) == ["", "soft"]
    assert chosen(tmp_path / "s", cells, cells[2:3]) == [""]
    assert chosen(tmp_path / "s", cells, []) == []


def test_a_finished_cell_comes_first(cells, tmp_path) -> None:
    folder = tmp_path / "s"
    make_done(folder, cells[2])
    waiting = [c for c in cells if c is not cells[2]]
    assert chosen(folder, cells, waiting) == ["tight", "tight", "tight", ""]
    assert chosen(folder, cells, waiting, fresh=True) == ["", "iou", "iou", ""]
    assert chosen(folder, cells, waiting, stale=(cells[2].id,)) == ["", "iou", "iou", ""]
    (folder / cells[2].id / "config.json").write_text("{")
    assert chosen(folder, cells, waiting) == ["", "iou", "iou", ""]


def test_a_finished_training_is_taken_although_its_cell_is_not(cells, tmp_path) -> None:
    """Its evaluation failed: another reading needs no other training; a finished cell is preferred."""
    folder = tmp_path / "s"
    make_done(folder, cells[2])
    (folder / cells[2].id / "manifest.json").unlink()
    write_json(folder / cells[2].id / "status.json", {"state": "failed", "reason": "the memory is used up"})
    about = folder / cells[2].id / "checkpoint" / "step-00000004.json"
    write_json(about, {"files": {"weights.safetensors": {}}})
    assert chosen(folder, cells, cells[3:]) == ["tight", ""]
    assert chosen(folder, cells, cells) == ["tight", "tight", "", "tight", ""]
    make_done(folder, cells[3])
    assert chosen(folder, cells, cells[:3]) == ["loose"] * 3
    (folder / cells[3].id / "manifest.json").unlink()
    write_json(about, {"files": {"weights-00000004.safetensors": {}}})
    assert chosen(folder, cells, cells[3:]) == ["", ""]


def test_a_cell_that_has_begun_comes_before_the_first(cells, tmp_path) -> None:
    write_json(tmp_path / "s" / cells[1].id / "checkpoint" / "step-00000004.json", {})
    assert chosen(tmp_path / "s", cells, cells) == ["soft", "", "soft", "soft", ""]
    assert chosen(tmp_path / "s", cells, cells[2:]) == ["", "tight", ""]  # it is not asked for, and nobody trains it


def test_a_finished_cell_of_an_earlier_study_is_taken_unless_it_is_stale(cells, tmp_path) -> None:
    folder = tmp_path / "s"
    old = cells[0].config.model_copy(update={"evaluation": Evaluation(floor=0.3)})
    make_done(folder, Cell(old, cells[0].paths), {**formats_of(old), "optimiser": 0})
    assert chosen(folder, cells, cells) == ["", "iou", "iou", "iou", ""]
    make_done(folder, Cell(old, cells[0].paths))
    assert chosen(folder, cells, cells) == [old.id] * 4 + [""]


def held(*running: bool) -> SimpleNamespace:
    """A claim of another run; `running`: the cell's own process has it."""
    return SimpleNamespace(alive=True, mine=False, training=any(running))


def test_a_training_of_another_run_is_taken(cells, tmp_path, monkeypatch) -> None:
    claims = {cells[0].id: held()}
    monkeypatch.setattr(trainings, "holder_of", lambda folder: claims.get(folder.name))
    assert chosen(tmp_path / "s", cells, cells[1:]) == ["iou", "iou", "iou", ""]
    claims.clear()
    claims[cells[1].id] = held()  # waits there as well
    assert chosen(tmp_path / "s", cells, [cells[0], cells[2]]) == ["", "iou"]
    claims[cells[1].id] = held(True)
    assert chosen(tmp_path / "s", cells, [cells[0], cells[2]]) == ["soft", "soft"]


def test_two_runs_never_wait_for_each_other(cells, tmp_path, monkeypatch) -> None:
    """Every way to deal four cells of one training to two runs, whichever has begun: all waiting ends at a cell that
    waits for nobody.
    """
    group, started = cells[:4], [(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 1)]
    for number, (dealt, begun) in enumerate(product(product((0, 1, 2), repeat=4), started)):
        folder = tmp_path / str(number)
        for cell, yes in zip(group, begun, strict=True):
            if yes:
                write_json(folder / cell.id / "checkpoint" / "step-00000004.json", {})
        waits: dict[str, str] = {}
        runs = [[c for c, to in zip(group, dealt, strict=True) if to == one] for one in (0, 1)]
        for mine, other in (runs, runs[::-1]):
            claims = {c.id: held() for c in other}
            monkeypatch.setattr(trainings, "holder_of", lambda path, claims=claims: claims.get(path.name))
            found = Trainings(folder, cells, Staleness(folder, {}), tmp_path, Console(quiet=True)).shared(mine)
            waits |= found
        for start in waits:
            seen, at = {start}, start
            while at in waits:
                at = waits[at]
                assert at not in seen, (dealt, begun)
                seen.add(at)
        asked = {c.id for run in runs for c in run}
        assert set(waits) | set(waits.values()) <= asked
        assert len(asked) - len(waits) == min(1, len(asked)), "one training"
