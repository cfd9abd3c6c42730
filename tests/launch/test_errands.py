"""What a task does on a node that does not see the run folder: its cell comes, is trained there, and comes back."""

from __future__ import annotations

import random
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assignbench.errors import InputError
from assignbench.launch import errands
from assignbench.launch.errands import Desk, Errand, run_there
from assignbench.launch.parcels import Parcels, unpack
from assignbench.records import write_json
from assignbench.records.claim import EXIT_CLAIMED, EXIT_STOPPED, holder_of


class Calls:
    """An actor of Ray as tasks see it: every method has `.remote`."""

    def __init__(self, actor: Desk) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Any:
        return types.SimpleNamespace(remote=getattr(self.actor, name))


@pytest.fixture
def desk(monkeypatch) -> Calls:
    """The desk of the launching machine; `ray.get` gives what it is given."""
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(get=lambda found: found))
    monkeypatch.setattr(errands, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(errands, "SEND_SECONDS", 0.05)
    return Calls(Desk())


@pytest.fixture
def errand(tmp_path) -> Errand:
    cell = tmp_path / "home" / "cell"
    write_json(cell / "config.json", {"a": 1})
    write_json(cell / "local.json", {"root": "here"})
    local = {"root": "there", "weights": "", "cache": "/nowhere", "training": "other"}
    after = tmp_path / "home" / "other"
    write_json(after / "config.json", {"b": 2})
    return Errand((str(cell),), str(after), (local,), "cpu", 1, str(tmp_path / "marker"), "word")


def stand_in(monkeypatch, code: str) -> None:
    """Python code in the place of the engine: `cell` is its folder."""

    def start(folders: list[Path], device: str, threads: int, log: Any) -> subprocess.Popen[bytes]:
        head = "import os, signal, sys, time; from pathlib import Path; cell = Path(sys.argv[1])\n"
        return subprocess.Popen([sys.executable, "-S", "-c", head + code, *map(str, folders)], stdout=log)

    monkeypatch.setattr(errands, "start", start)


TRAINS = """
assert (cell.parent / 'other' / 'config.json').is_file() and 'there' in (cell / 'local.json').read_text()
(cell / 'checkpoint').mkdir(exist_ok=True)
done = max((int(p.stem[5:]) for p in (cell / 'checkpoint').glob('step-*.json')), default=0)
for step in range(done + 1, 4):
    (cell / 'checkpoint' / f'weights-{step}').write_text(str(step))
    (cell / 'checkpoint' / f'step-{step}.json').write_text(str(step))
    for old in (cell / 'checkpoint').glob(f'*-{step - 2}*'):
        old.unlink()
    time.sleep(0.15)
    if END == step: END_HERE
(cell / 'manifest.json').write_text('{}')
"""


def told(cell: Path) -> set[str]:
    return {p.relative_to(cell).as_posix() for p in cell.rglob("*") if p.is_file()}


def test_a_lost_node_costs_what_came_after_its_last_checkpoint(desk, errand, monkeypatch) -> None:
    cell = Path(errand.folders[0])
    stand_in(monkeypatch, TRAINS.replace("END_HERE", "os.kill(os.getpid(), 9)").replace("END ==", "2 =="))
    assert run_there(errand, desk) == -9
    assert holder_of(cell) is None
    assert {"checkpoint/step-1.json", "checkpoint/step-2.json", "checkpoint/weights-2"} <= told(cell)
    assert "manifest.json" not in told(cell) and "here" in (cell / "local.json").read_text()
    stand_in(monkeypatch, TRAINS.replace("END ==", "-1 ==").replace("END_HERE", "pass"))
    assert run_there(errand, desk) == 0
    names = {f"checkpoint/{kind}" for kind in ("step-2.json", "step-3.json", "weights-2", "weights-3")}
    assert told(cell) == names | {"config.json", "local.json", "log.txt", "manifest.json"}


def test_where_the_folder_is_seen_the_cell_works_in_it(desk, errand, monkeypatch) -> None:
    Path(errand.marker).write_text("word")
    stand_in(monkeypatch, "(cell / 'here').touch()")
    assert run_there(errand, desk) == 0
    assert (Path(errand.folders[0]) / "here").exists()
    Path(errand.marker).write_text("of another machine with the same paths")
    assert not errand.shared


def test_a_cell_of_another_one_is_left_alone(desk, errand, monkeypatch) -> None:
    monkeypatch.setattr(desk.actor, "begin", lambda folder, after: None)
    assert run_there(errand, desk) == EXIT_CLAIMED


def test_a_task_that_is_cancelled_brings_back_its_checkpoint(desk, errand, monkeypatch) -> None:
    code = f"""
def end(*given):
    (cell / 'checkpoint').mkdir(); (cell / 'checkpoint' / 'step-7.json').touch(); sys.exit({EXIT_STOPPED})
signal.signal(signal.SIGTERM, end); (cell / 'ready').touch(); time.sleep(60)
"""
    stand_in(monkeypatch, code)

    def sleep(seconds: float) -> None:
        real(seconds)
        if "ready" in told(Path(errand.folders[0])) and not asked:
            asked.append(True)
            raise KeyboardInterrupt

    real, asked = errands.time.sleep, []
    monkeypatch.setattr(errands.time, "sleep", sleep)
    assert run_there(errand, desk) == EXIT_STOPPED
    assert "checkpoint/step-7.json" in told(Path(errand.folders[0])) and holder_of(Path(errand.folders[0])) is None


def cohort(errand: Errand) -> Errand:
    """The errand of its cell and of another one beside it."""
    cell = Path(errand.folders[0])
    beside = cell.with_name("beside")
    write_json(beside / "config.json", {"a": 2})
    return replace(errand, folders=(str(cell), str(beside)), local=(errand.local[0], {"root": "too"}))


BOTH = TRAINS.replace("for step in", "cells = [Path(a) for a in sys.argv[1:]]\nfor step in").replace(
    "time.sleep(0.15)",
    "[(c / 'checkpoint').mkdir(exist_ok=True) for c in cells]\n"
    "    [(c / 'checkpoint' / f'step-{step}.json').write_text(c.name) for c in cells]\n    time.sleep(0.15)",
)


def test_a_cohort_comes_back_cell_by_cell(desk, errand, monkeypatch) -> None:
    both = cohort(errand)
    stand_in(monkeypatch, BOTH.replace("END_HERE", "os.kill(os.getpid(), 9)").replace("END ==", "2 =="))
    assert run_there(both, desk) == -9
    for folder in map(Path, both.folders):
        assert holder_of(folder) is None
        assert (folder / "checkpoint" / "step-2.json").read_text() == folder.name
    assert "log.txt" in told(Path(both.folders[0])) and "log.txt" not in told(Path(both.folders[1]))
    assert not (Path(both.folders[1]) / "local.json").exists()


@pytest.mark.parametrize(("mine", "code"), [(0, 0), (1, 0), (0, 1), (1, EXIT_STOPPED)])
def test_of_a_cohort_one_that_another_one_has_is_left_alone(desk, errand, monkeypatch, mine, code) -> None:
    both, real = cohort(errand), desk.actor.begin
    monkeypatch.setattr(
        desk.actor, "begin", lambda folder, after: real(folder, after) if folder == both.folders[mine] else None
    )
    stand_in(monkeypatch, f"(cell / 'here').touch(); assert len(sys.argv) == 2; sys.exit({code})")
    assert run_there(both, desk) == (EXIT_CLAIMED if code in (0, 1) else code)
    assert [(Path(folder) / "here").exists() for folder in both.folders] == [mine == 0, mine == 1]


@pytest.mark.parametrize("seed", range(20))
def test_a_folder_is_the_other_one_after_every_parcel(tmp_path, seed) -> None:
    dice, one, two = random.Random(seed), tmp_path / "one", tmp_path / "two"
    names = ["status.json", "manifest.json", "metrics.jsonl", "a/b.png", "checkpoint/step-1.json", "checkpoint/w-1"]
    one.mkdir()
    parcels = Parcels(one)
    for turn in range(8):
        for name in dice.sample(names, 3):
            path = one / name
            path.parent.mkdir(exist_ok=True)
            if path.exists() and dice.random() < 0.4:
                path.unlink()
            else:
                path.write_text("x" * dice.randrange(5) + str(turn))
        unpack(two, *parcels.next())
        assert {n: (one / n).read_bytes() for n in told(one)} == {n: (two / n).read_bytes() for n in told(two)}


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../up", "", "claim.json", "local.json"])
def test_nothing_is_written_outside_of_a_cell(tmp_path, name) -> None:
    with pytest.raises(InputError, match="which is none of a cell's"):
        unpack(tmp_path / "cell", {name: b""})
    assert not list(tmp_path.rglob("up"))
