"""Run folders with a file cut, emptied or removed: every command says which, and no other cell suffers."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import yaml

from tests.malformed.harness import Case, Told
from tests.report.written import METHODS, write_study

Spoil = Callable[[Path], None]
# The bootstrap and the pictures of `compare` take seconds; one case in full has them.
BRIEF = (
    ("assignbench.commands.compare.REPLICATES", 10),
    ("assignbench.report.sheet.difference_sheet", lambda *a: a[-1]),
)
STUDY = {
    "study": "written",
    "answers": "nothing",
    "cost": "nothing",
    "expect": "nothing",
    "detectors": [{"name": "retinanet-slim", "label": "slim"}],
    "methods": ["iou", "mutual_guidance"],
    "data": {"name": "shapes"},
    "schedule": {"steps": 2},
}


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
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
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


DAMAGES: dict[str, Spoil] = {
    "empty": empty,
    "cut": cut,
    "gone": gone,
    "flipped": flipped,
    "all zero": zeros,
    "a folder": folder_of,
    "followed by more": appended,
}
FILES = (
    "config.json",
    "status.json",
    "summary.json",
    "environment.json",
    "images.parquet",
    "objects.parquet",
    "detections.parquet",
    "manifest.json",
)
OF_REPORT = (
    "pre_nms.parquet",
    "candidates.parquet",
    "assignments.parquet",
    "metrics.jsonl",
    "probes/visit-00000050.parquet",
    "probes/objects-00000050.parquet",
)


def spoil_file(name: str, damage: Spoil) -> Spoil:
    def spoil(cell: Path) -> None:
        if not (cell / name).is_file():  # records of a version without such a file
            (cell / name).write_text("{}")
        damage(cell / name)

    return spoil


def faults() -> Iterator[Case]:
    """Every file of a finished cell with every damage, seen by `compare` and by `status`."""
    cell = cell_names()[1]
    for name in FILES:
        for what, damage in DAMAGES.items():
            spoil = spoil_file(name, damage)
            if name == "status.json":
                # The manifest says what is whole: the state may be told from it, or the cell be refused by its folder.
                yield Case(
                    "records",
                    f"compare: {name} is {what}",
                    partial(compare, spoil),
                    (cell,),
                    (0, 2),
                    written=("comparison",),
                    instead=BRIEF,
                )
                yield Case(
                    "records", f"status: {name} is {what}", partial(told, "status", spoil), (*cell_names(),), (0, 1)
                )
                continue
            yield Case(
                "records", f"compare: {name} is {what}", partial(compare, spoil), (cell, name), (2,), instead=BRIEF
            )
            if what in ("empty", "cut", "gone", "all zero"):
                yield Case(
                    "records",
                    f"status: {name} is {what}",
                    partial(told, "status", spoil),
                    (cell_names()[0], cell, name),
                    (0, 1),
                    partial(not_done, cell),
                )
                yield Case("records", f"plan: {name} is {what}", partial(told, "plan", spoil), ("left",), (0,))
    for name in OF_REPORT:
        for what in ("empty", "cut", "gone", "all zero"):
            spoil = spoil_file(name, DAMAGES[what])
            yield Case(
                "records",
                f"status: {name} is {what}",
                partial(told, "status", spoil),
                (cell, name),
                (0, 1),
                partial(not_done, cell),
            )


def not_done(cell: str, folder: Path, said: Told) -> list[str]:
    """The spoilt cell is not called done, the other one is."""
    lines = [line for line in said.out.splitlines() if cell in line]
    wrong = [f"the spoilt cell is called done: {line}" for line in lines if line.startswith("done")]
    others = [line for line in said.out.splitlines() if cell_names()[0] in line and line.startswith("done")]
    return wrong + ([] if others else ["the sound cell is not called done"])
