"""Run folders with a file cut, emptied, exchanged or made up: every command says which, and no other cell suffers."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tests.malformed.harness import Case, Need, Told
from tests.report.written import METHODS, write_study

Spoil = Callable[[Path], None]
# The bootstrap and the pictures of `compare` take seconds; one case in full has them.
BRIEF = (("assignbench.commands.compare.REPLICATES", 10), ("assignbench.commands.compare.difference_sheet", lambda *a: a[-1]))
_STUDY = {
    "study": "written", "answers": "nothing", "cost": "nothing", "expect": "nothing", "detectors": [{"name": "retinanet-slim", "label": "slim"}],
    "methods": ["iou", "mutual_guidance"], "data": {"name": "shapes"}, "schedule": {"steps": 2},
}  # fmt: skip


@cache
def _sound() -> Path:
    """A written run folder of two cells, made once."""
    folder = Path(tempfile.mkdtemp(prefix="corpus-records-"))
    chosen = {k: METHODS[k] for k in ("iou", "mutual_guidance")}
    write_study(folder / "runs" / "written", seeds=1, images=8, methods=chosen, analyses=["averages"])
    return folder


def cell_names() -> tuple[str, str]:
    """The folders of both cells, the baseline first."""
    about = json.loads((_sound() / "runs" / "written" / "study.json").read_text())
    first, second = about["cells"]
    return first, second


def run_folder(folder: Path) -> Path:
    """A copy of the written run folder with its study file."""
    shutil.copytree(_sound() / "runs", folder / "runs")
    (folder / "study.yaml").write_text(yaml.safe_dump(_STUDY))
    return folder / "runs" / "written"


def _cell(folder: Path, spoil: Spoil) -> Path:
    """The second cell of a copy, spoilt."""
    found = run_folder(folder) / cell_names()[1]
    spoil(found)
    return found


def compare(spoil: Spoil, folder: Path) -> list[str]:
    """Compares the sound first cell with the spoilt second one."""
    _cell(folder, spoil)
    return ["compare", *(f"runs/written/{n}" for n in cell_names()), "--out", "comparison"]


def told(command: str, spoil: Spoil, folder: Path) -> list[str]:
    """Another command on the whole study."""
    _cell(folder, spoil)
    return [command, "study.yaml"]


# -- what can happen to a file


def empty(path: Path) -> None:
    """Nothing is left."""
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """Half is left."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def gone(path: Path) -> None:
    """It is not there."""
    path.unlink()


def flipped(path: Path) -> None:
    """One byte in the middle is another one, the size is the same."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x5A
    path.write_bytes(bytes(content))


def zeros(path: Path) -> None:
    """As a file system leaves it after a power cut: the right size, all zero."""
    path.write_bytes(b"\0" * path.stat().st_size)


def folder_of(path: Path) -> None:
    """A folder of that name."""
    path.unlink()
    path.mkdir()


def appended(path: Path) -> None:
    """Something follows."""
    path.write_bytes(path.read_bytes() + b"\nmore")


def exchanged(path: Path) -> None:
    """The same file of the other cell."""
    other = path.parent.parent / cell_names()[0] / path.name
    path.write_bytes(other.read_bytes() + (b" " if path.suffix == ".json" else b""))


_DAMAGES: dict[str, Spoil] = {"empty": empty, "cut": cut, "gone": gone, "flipped": flipped, "all zero": zeros, "a folder": folder_of, "followed by more": appended}
_FILES = ("config.json", "status.json", "summary.json", "environment.json", "images.parquet", "objects.parquet", "detections.parquet", "manifest.json")
_OF_REPORT = ("pre_nms.parquet", "candidates.parquet", "assignments.parquet", "metrics.jsonl", "probes/visit-00000050.parquet", "probes/objects-00000050.parquet")


def _at(name: str, damage: Spoil) -> Spoil:
    def spoil(cell: Path) -> None:
        if not (cell / name).is_file():  # records of a version without such a file
            (cell / name).write_text("{}")
        damage(cell / name)

    return spoil


def faults() -> Iterator[Case]:
    """Every file of a finished cell with every damage, seen by `compare` and by `status`."""
    cell = cell_names()[1]
    for name in _FILES:
        for what, damage in _DAMAGES.items():
            spoil = _at(name, damage)
            if name == "status.json":
                # The manifest says what is whole: the state may be told from it, or the cell be refused by its folder.
                yield Case("records", f"compare: {name} is {what}", partial(compare, spoil), (cell,), (0, 2), written=("comparison",), instead=BRIEF)
                yield Case("records", f"status: {name} is {what}", partial(told, "status", spoil), (*cell_names(),), (0, 1))
                continue
            yield Case("records", f"compare: {name} is {what}", partial(compare, spoil), (cell, name), (2,), instead=BRIEF)
            if what in ("empty", "cut", "gone", "all zero"):
                yield Case("records", f"status: {name} is {what}", partial(told, "status", spoil), (cell_names()[0], cell, name), (0, 1), partial(_not_done, cell))
                yield Case("records", f"plan: {name} is {what}", partial(told, "plan", spoil), ("left",), (0,))
    for name in _OF_REPORT:
        for what in ("empty", "cut", "gone", "all zero"):
            spoil = _at(name, _DAMAGES[what])
            yield Case("records", f"status: {name} is {what}", partial(told, "status", spoil), (cell, name), (0, 1), partial(_not_done, cell))


def _not_done(cell: str, folder: Path, said: Told) -> list[str]:
    """The spoilt cell is not called done, the other one is."""
    lines = [line for line in said.out.splitlines() if cell in line]
    wrong = [f"the spoilt cell is called done: {line}" for line in lines if line.startswith("done")]
    others = [line for line in said.out.splitlines() if cell_names()[0] in line and line.startswith("done")]
    return wrong + ([] if others else ["the sound cell is not called done"])


# -- what can be written into a file


def _json(name: str, change: Callable[[dict[str, Any]], Any]) -> Spoil:
    def spoil(cell: Path) -> None:
        path = cell / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return spoil


def _table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    def spoil(cell: Path) -> None:
        path = cell / f"{name}.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)

    return spoil


def contents() -> Iterator[Case]:
    """Files that can be read and do not hold what they should."""
    for name in ("config.json", "status.json", "summary.json", "environment.json"):
        for what, value in (("a list", []), ("nothing", None), ("a number", 5), ("text", "x"), ("empty", {})):
            yield Case("records", f"compare: {name} holds {what}", partial(compare, _json(name, lambda c, v=value: v)), (cell_names()[1],), (0, 2) if name == "status.json" else (2,), written=("comparison",) if name == "status.json" else (), instead=BRIEF)
    for what, text in (("NaN", '{"state": NaN}'), ("two keys", '{"state": "failed", "state": "done"}'), ("deep", "[" * 100_000 + "]" * 100_000), ("many digits", '{"state": ' + "9" * 5000 + "}")):
        yield Case("records", f"compare: status.json holds {what}", partial(compare, lambda c, t=text: _put(c / "status.json", t)), (cell_names()[1],), (0, 2), written=("comparison",), instead=BRIEF)
    config: dict[str, tuple[Any, tuple[Need, ...]]] = {
        "format": (99, ("99",)), "seed": (-1, ("seed", "-1")), "method": ({}, ("method",)), "data": (5, ("data", "5")), "detector": (None, ("detector",)), "schedule": ({"steps": "x"}, ("schedule",)), "surprise": (1, ("surprise",)),
    }  # fmt: skip
    for key, (value, needs) in config.items():
        yield Case("records", f"compare: config.json: {key} is {value}", partial(compare, _json("config.json", lambda c, k=key, v=value: {**c, k: v})), ("config.json" if key != "format" else cell_names()[1], *needs), (2,), instead=BRIEF)
    for state in ("dne", "", None, 5, ["done"], "done\x1b[31m"):
        yield Case("records", f"status: the state is {state!r}", partial(told, "status", _json("status.json", lambda c, s=state: {**c, "state": s})), (cell_names()[1],), (0, 1, 2))
    for key, value in (("step", "x"), ("steps", None), ("step", -5), ("heartbeat", "yesterday"), ("pid", "x"), ("host", 5), ("reason", ["a"]), ("reason", "a\x1b[31m[/red]"), ("reason", {"a": 1})):
        yield Case("records", f"status: {key} is {value!r}", partial(told, "status", _json("status.json", lambda c, k=key, v=value: {**c, "state": "failed", k: v})), (cell_names()[1],), (0, 1, 2))
    for table in ("detections", "objects", "images"):
        first = {"detections": "score", "objects": "crowdedness", "images": "width"}[table]
        changes: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
            "a column less": lambda t, f=first: t.drop(columns=f), "a column more": lambda t: t.assign(surprise=1), "half of its rows": lambda t: t.head(len(t) // 2), "no rows": lambda t: t.head(0), "its rows twice": lambda t: pd.concat([t, t]), "no columns": lambda t: pd.DataFrame(),
            "text for numbers": lambda t, f=first: t.assign(**{f: "x"}), "other names": lambda t: t.rename(columns=str.upper), "other images": lambda t: t.assign(image_id=t.image_id + 1000), "rows in another order": lambda t: t.iloc[::-1],
        }  # fmt: skip
        if table != "images":
            changes |= {"NaN in boxes": lambda t: t.assign(x1=np.nan), "unknown labels": lambda t: t.assign(label=99), "negative labels": lambda t: t.assign(label=-1), "inverted boxes": lambda t: t.assign(x1=t.x2, x2=t.x1), "infinite boxes": lambda t: t.assign(x2=np.inf)}
        if table == "detections":
            changes |= {"scores above one": lambda t: t.assign(score=5.0), "NaN scores": lambda t: t.assign(score=np.nan)}
        for what, change in changes.items():
            yield Case("records", f"compare: {table}.parquet has {what}", partial(compare, _table(table, change)), (cell_names()[1], f"{table}.parquet"), (2,), instead=BRIEF)


def _put(path: Path, text: str) -> None:
    path.write_text(text)


def studies() -> Iterator[Case]:
    """study.json with wrong values, and folders that are no cells."""
    values: dict[str, tuple[Any, ...]] = {"cells": (5, "x", None, [5], ["../../x"], ["/etc"], [""], {}, ["a\x1b[31m"]), "baselines": (5, ["x"]), "claims": (5, [5]), "analyses": (5, ["nobody"], ["os:system"]), "areas": (5, {"a": [1]}), "max_dets": ("x",), "version": (5,)}
    for key, wrong in values.items():
        for value in wrong:
            command = "status" if key == "cells" else "report"
            if key in ("baselines", "version") or (command == "report" and key != "claims"):
                continue  # the report takes these from the study file
            yield Case("records", f"{command}: study.json: {key} is {value!r}", partial(_study_json, command, key, value), ("study.json", key), (2,))
    for name in ("empty", "cut", "all zero", "a folder"):
        yield Case("records", f"status: study.json is {name}", partial(_study_file, "status", _DAMAGES[name]), ("study.json",), (2,))
        yield Case("records", f"report: study.json is {name}", partial(_study_file, "report", _DAMAGES[name]), ("study.json",), (2,))
    first, second = cell_names()
    for name, cells, needs in (
        ("itself", (first, first), (first,)), ("a file", (first, f"{second}/config.json"), ("config.json",)), ("the study's folder", (first, "."), ("cell",)), ("nothing", (first, "gone"), ("gone",)), ("a NUL", (first, "a\0b"), ("cell",)), ("a very long name", (first, "x" * 5000), ("xxx",)),
    ):  # fmt: skip
        yield Case("records", f"compare with {name}", partial(_compared, cells), needs, (2,))
    yield Case("records", "compare: --out is a file", lambda f: [*compare(lambda c: None, f)[:3], "--out", _taken(f)], ("taken", "--out"), (2,))
    yield Case("records", "compare: --images is missing", lambda f: [*compare(lambda c: None, f), "--images", "gone"], ("gone",), (2,))
    yield Case("records", "show: a cell without weights", _shown, (first,), (2,))
    yield Case("records", "sound: compare as it is", partial(compare, lambda c: None), ("pictures",), (0,), None, written=("comparison",))
    yield Case("records", "sound: status as it is", partial(told, "status", lambda c: None), (first, second), (0,), _both_done)
    yield Case("records", "sound: the folder is moved", _moved, ("pictures",), (0,), None, written=("comparison",))


def _both_done(folder: Path, said: Told) -> list[str]:
    done = [line for line in said.out.splitlines() if line.startswith("done")]
    return [] if len(done) == 2 else [f"done are {done}"]


def _moved(folder: Path) -> list[str]:
    run_folder(folder)
    (folder / "runs").rename(folder / "my runs ü")
    return ["compare", *(f"my runs ü/written/{n}" for n in cell_names()), "--out", "comparison"]


def _shown(folder: Path) -> list[str]:
    run_folder(folder)
    return ["show", "assign", f"runs/written/{cell_names()[0]}"]


def _taken(folder: Path) -> str:
    (folder / "taken").write_text("mine")
    return "taken"


def _compared(cells: tuple[str, str], folder: Path) -> list[str]:
    run_folder(folder)
    return ["compare", *(f"runs/written/{n}" for n in cells), "--out", "comparison"]


def _study_json(command: str, key: str, value: Any, folder: Path) -> list[str]:
    path = run_folder(folder) / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    return [command, "study.yaml"]


def _study_file(command: str, damage: Spoil, folder: Path) -> list[str]:
    damage(run_folder(folder) / "study.json")
    return [command, "study.yaml"]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*faults(), *contents(), *studies())
