"""Records whose manifest fits and whose insides do not: another cell's folder, hostile manifests, spoilt contents."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assignbench.records import finish
from tests.malformed.harness import Case, Need, Told
from tests.malformed.records import BRIEF, Spoil, cell_names, compare, not_done, run_folder, told


def misplaced() -> Iterator[Case]:
    """A folder that holds another cell is damaged."""
    first, second = cell_names()
    for name, put in (("a link", _link), ("a copy", _copy), ("half-trained", _half), ("exchanged", _exchanged)):
        what = str(Path("written") / first) if put is _link else first
        yield Case(
            "records",
            f"status: {name} of another cell",
            partial(_placed, ("status", "study.yaml"), put),
            ("damaged", second, what, ("--fresh", "remove the link")),
            (0, 1),
            partial(not_done, second) if put is not _exchanged else None,
        )
    yield Case(
        "records",
        "compare: a link to another cell",
        partial(_placed, ("compare", *(f"runs/written/{n}" for n in cell_names()), "--out", "comparison"), _link),
        (second, "remove the link"),
    )
    yield Case(
        "records",
        "sound: compare: a copy under another name",
        partial(_placed, ("compare", f"runs/written/{first}", "mine", "--out", "comparison"), _aside),
        (f"note: mine holds cell {second}",),
        (0,),
        written=("comparison",),
        instead=BRIEF,
    )


def _placed(command: tuple[str, ...], put: Callable[[Path, Path], None], folder: Path) -> list[str]:
    run = run_folder(folder)
    put(*(run / name for name in cell_names()))
    return list(command)


def _link(first: Path, second: Path) -> None:
    shutil.rmtree(second)
    second.symlink_to(first.name)


def _copy(first: Path, second: Path) -> None:
    shutil.rmtree(second)
    shutil.copytree(first, second)


def _half(first: Path, second: Path) -> None:
    _copy(first, second)
    (second / "manifest.json").unlink()
    (second / "status.json").write_text(json.dumps({"state": "pending", "step": 50, "steps": 100}))


def _exchanged(first: Path, second: Path) -> None:
    held = first.with_name("held")
    for source, target in ((first, held), (second, first), (held, second)):
        source.rename(target)


def _aside(first: Path, second: Path) -> None:
    shutil.copytree(second, second.parents[2] / "mine")


def manifests() -> Iterator[Case]:
    """Manifests that name what no file system takes, and what can be waited for but not read."""
    second = cell_names()[1]
    entry = {"bytes": 0, "sha256": "0" * 64, "modified": 0}
    names = {"a NUL": "a\0b", "half a pair": "\ud800", "5000 letters": "x" * 5000, "an escape": "a\x1b[31m"}
    for what, name in names.items():
        yield _status(f"a manifest that names {what}", second, partial(_names, name, entry), ("missing", "read"))
    yield _status("a manifest that names a pipe", second, partial(_pipe, entry), "p is no regular file", apart=True)
    yield _status("a manifest that names a folder", second, partial(_names, "probes", entry), "probes is no regular")


def _status(name: str, cell: str, spoil: Spoil, need: Need, **more: Any) -> Case:
    needs = () if "letters" in name else (need,)
    check = partial(not_done, cell)
    return Case("records", f"status: {name}", partial(told, "status", spoil), (cell, *needs), (0, 1), check, **more)


def _names(name: str, entry: dict[str, Any], cell: Path) -> None:
    path = cell / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "files": {**content["files"], name: entry}}))


def _pipe(entry: dict[str, Any], cell: Path) -> None:
    os.mkfifo(cell / "p")
    _names("p", entry, cell)


def contents() -> Iterator[Case]:
    """Files of a finished cell changed before its manifest was written."""
    second = cell_names()[1]
    changes: dict[str, dict[str, Callable[[Any], Any]]] = {
        "environment.json": {
            "without classes": lambda c: _without(c, "classes"),
            "with a word for classes": lambda c: {**c, "classes": "cat"},
            "with numbers for classes": lambda c: {**c, "classes": [1, 2, 3]},
            "empty": lambda c: {},
            "with a word for class_agnostic": lambda c: {**c, "class_agnostic": "no"},
            "with fewer classes": lambda c: {**c, "classes": c["classes"][:1]},
            "with a list for data": lambda c: {**c, "data": []},
            "with data of no split": lambda c: {**c, "data": {}},
            "with data without fingerprint": lambda c: {
                **c, "data": {k: _without(v, "fingerprint") for k, v in c["data"].items()}
            },
            "without threads": lambda c: _without(c, "threads"),
        },
        "summary.json": {"with a word for AP": lambda c: {**c, "AP": "high"}},
        "images.parquet": {
            "without width": lambda t: t.drop(columns="width"),
            "with other ids": lambda t: t.assign(image_id=t.image_id + 1000),
            "with an id twice": lambda t: t.assign(image_id=0),
        },
        "objects.parquet": {
            "without area": lambda t: t.drop(columns="area"),
            "with words for crowd": lambda t: t.assign(crowd="no"),
            "of unknown labels": lambda t: t.assign(label=99),
            "of negative labels": lambda t: t.assign(label=-1),
            "with boxes without end": lambda t: t.assign(x2=np.inf),
        },
        "detections.parquet": {
            "without score": lambda t: t.drop(columns="score"),
            "with words for scores": lambda t: t.assign(score="x"),
            "without columns": lambda t: pd.DataFrame(),
            "with NaN in boxes": lambda t: t.assign(x1=np.nan),
            "of unknown labels": lambda t: t.assign(label=99),
            "of unknown images": lambda t: t.assign(image_id=t.image_id + 1000),
        },
    }  # fmt: skip
    changes["candidates.parquet"] = {"without iou": lambda t: t.drop(columns="iou")}
    changes["pre_nms.parquet"] = {"with words for scores": lambda t: t.assign(ranking_score="x")}
    changes["probes/visit-00000050.parquet"] = {"without iou": lambda t: t.drop(columns="iou")}
    for file, ways in changes.items():
        for what, change in ways.items():
            spoil = partial(_finished, file, change)
            needs = (second, file)
            yield Case("records", f"compare: finished {file} {what}", partial(compare, spoil), needs, instead=BRIEF)
    for file, what in (
        ("environment.json", "without classes"),
        ("detections.parquet", "without score"),
        ("candidates.parquet", "without iou"),
    ):
        spoil = partial(_finished, file, changes[file][what])
        yield Case(
            "records",
            f"report: finished {file} {what}",
            partial(told, "report", spoil),
            (),
            (0,),
            partial(_left_out, second, file),
            written=("runs",),
        )


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k != key}


def _finished(file: str, change: Callable[[Any], Any], cell: Path) -> None:
    path = cell / file
    if path.suffix == ".json":
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
    else:
        change(pd.read_parquet(path)).to_parquet(path, index=False)
    finish(cell)


def _left_out(cell: str, file: str, folder: Path, said: Told) -> list[str]:
    """The report names the cell as damaged, with the file."""
    page = (folder / "runs" / "written" / "report" / "report.md").read_text().replace("\\", "")
    found = [line for line in page.splitlines() if "Damaged and left out" in line and cell in line and file in line]
    return [] if found else [f"the report does not say that {cell} is damaged at {file}"]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*misplaced(), *manifests(), *contents())
