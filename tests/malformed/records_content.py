"""Records that can be read and do not hold what they should, and folders that are no cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.malformed.harness import Case, Told
from tests.malformed.records import (
    BRIEF,
    DAMAGES,
    Spoil,
    cell_names,
    compare,
    faults,
    run_folder,
    told,
)


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
            yield Case(
                "records",
                f"compare: {name} holds {what}",
                partial(compare, _json(name, lambda c, v=value: v)),
                (cell_names()[1],),
                (0, 2) if name == "status.json" else (2,),
                written=("comparison",) if name == "status.json" else (),
                instead=BRIEF,
            )
    for what, text in (
        ("NaN", '{"state": NaN}'),
        ("two keys", '{"state": "failed", "state": "done"}'),
        ("deep", "[" * 100_000 + "]" * 100_000),
        ("many digits", '{"state": ' + "9" * 5000 + "}"),
    ):
        yield Case(
            "records",
            f"compare: status.json holds {what}",
            partial(compare, lambda c, t=text: _put(c / "status.json", t)),
            (cell_names()[1],),
            (0, 2),
            written=("comparison",),
            instead=BRIEF,
        )
    # Another size than the manifest says comes first: what is wrong inside is not looked at any more.
    config = {
        "format": 99, "seed": -1, "method": {}, "data": 5, "detector": None, "schedule": {"steps": "x"}, "surprise": 1,
    }  # fmt: skip
    for key, value in config.items():
        spoil = _json("config.json", lambda c, k=key, v=value: {**c, k: v})
        needs = (cell_names()[1], ("config.json", "format"))
        yield Case("records", f"compare: config.json: {key} is {value}", partial(compare, spoil), needs, instead=BRIEF)
    for state in ("dne", "", None, 5, ["done"], "done\x1b[31m"):
        yield Case(
            "records",
            f"status: the state is {state!r}",
            partial(told, "status", _json("status.json", lambda c, s=state: {**c, "state": s})),
            (cell_names()[1],),
            (0, 1, 2),
        )
    for key, value in (
        ("step", "x"),
        ("steps", None),
        ("step", -5),
        ("heartbeat", "yesterday"),
        ("pid", "x"),
        ("host", 5),
        ("reason", ["a"]),
        ("reason", "a\x1b[31m[/red]"),
        ("reason", {"a": 1}),
    ):
        yield Case(
            "records",
            f"status: {key} is {value!r}",
            partial(told, "status", _json("status.json", lambda c, k=key, v=value: {**c, "state": "failed", k: v})),
            (cell_names()[1],),
            (0, 1, 2),
        )
    for table in ("detections", "objects", "images"):
        first = {"detections": "score", "objects": "crowdedness", "images": "width"}[table]
        changes: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
            "a column less": lambda t, f=first: t.drop(columns=f),
            "a column more": lambda t: t.assign(surprise=1),
            "half of its rows": lambda t: t.head(len(t) // 2),
            "no rows": lambda t: t.head(0),
            "its rows twice": lambda t: pd.concat([t, t]),
            "no columns": lambda t: pd.DataFrame(),
            "text for numbers": lambda t, f=first: t.assign(**{f: "x"}),
            "other names": lambda t: t.rename(columns=str.upper),
            "other images": lambda t: t.assign(image_id=t.image_id + 1000),
            "rows in another order": lambda t: t.iloc[::-1],
        }
        if table != "images":
            changes |= {
                "NaN in boxes": lambda t: t.assign(x1=np.nan),
                "unknown labels": lambda t: t.assign(label=99),
                "negative labels": lambda t: t.assign(label=-1),
                "inverted boxes": lambda t: t.assign(x1=t.x2, x2=t.x1),
                "infinite boxes": lambda t: t.assign(x2=np.inf),
            }
        if table == "detections":
            changes |= {
                "scores above one": lambda t: t.assign(score=5.0),
                "NaN scores": lambda t: t.assign(score=np.nan),
            }
        for what, change in changes.items():
            yield Case(
                "records",
                f"compare: {table}.parquet has {what}",
                partial(compare, _table(table, change)),
                (cell_names()[1], f"{table}.parquet"),
                (2,),
                instead=BRIEF,
            )


def _put(path: Path, text: str) -> None:
    path.write_text(text)


def studies() -> Iterator[Case]:
    """study.json with wrong values, and folders that are no cells."""
    # What the report says is taken from the study file; which cells there are stands in study.json alone.
    for value in (5, "x", None, [5], ["../../x"], ["/etc"], [""], {}, ["a\x1b[31m"]):
        spoil = partial(_study_json, "status", "cells", value)
        yield Case("records", f"status: study.json: cells is {value!r}", spoil, ("study.json", "cells"))
    for name in ("empty", "cut", "all zero", "a folder"):
        yield Case(
            "records",
            f"status: study.json is {name}",
            partial(_study_file, "status", DAMAGES[name]),
            ("study.json",),
            (2,),
        )
        yield Case(
            "records",
            f"report: study.json is {name}",
            partial(_study_file, "report", DAMAGES[name]),
            ("study.json",),
            (2,),
        )
    first, second = cell_names()
    for name, cells, needs in (
        ("a file", (first, f"{second}/config.json"), ("config.json",)),
        ("the study's folder", (first, "."), ("cell",)),
        ("nothing", (first, "gone"), ("gone",)),
        ("a NUL", (first, "a\0b"), ("cell",)),
        ("a very long name", (first, "x" * 5000), ("xxx",)),
    ):
        yield Case("records", f"compare with {name}", partial(_compared, cells), needs, instead=BRIEF)
    yield Case(
        "records",
        "compare: --out is a file",
        lambda f: [*compare(lambda c: None, f)[:3], "--out", _taken(f)],
        ("taken", "--out"),
        instead=BRIEF,
    )
    yield Case(
        "records",
        "compare: --images is missing",
        lambda f: [*compare(lambda c: None, f), "--images", "gone"],
        ("gone",),
        instead=(BRIEF[0],),
    )
    same = partial(_compared, (first, first))
    yield Case("records", "compare with itself", same, (first,), (0, 2), written=("comparison",), instead=BRIEF)
    yield Case("records", "show: a cell without weights", _shown, (first,), (2,))
    yield Case(
        "records",
        "sound: compare as it is",
        partial(compare, lambda c: None),
        ("pictures",),
        (0,),
        None,
        written=("comparison",),
    )
    yield Case(
        "records", "sound: status as it is", partial(told, "status", lambda c: None), (first, second), (0,), _both_done
    )
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
