"""The figures of the report before: one that would be drawn of the same again is taken from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.errors import InputError
from assignbench.records import read_json, write_json
from assignbench.records.manifest import MANIFEST
from assignbench.report.hues import rules_of
from assignbench.report.scenes import first_seed

INDEX = Path("cache") / "figures.json"  # in the run folder
FORMAT = 1
WORDS = ("title", "answers", "expect", "cost", "claims", "analyses", "version", "notes")  # of a study, in no figure
DRAWN_BY = ("report", "analysis", "measure", "records")  # packages whose code may change what a figure shows
DRAWN_WITH = ("matplotlib", "numpy", "pandas", "pillow")


@dataclass(frozen=True)
class Figure:
    """A saved figure: its wanted name and caption, the data set whose images it shows ("" for none), and its files by
    name and checksum, in the order in which a page offers them; none for a sentence in place of a figure.

    `changed_by`: the method whose lost and gained assignments it shows. `fold`: what it is folded under.
    """

    name: str
    caption: str
    photo_of: str
    files: Sequence[Sequence[str]]
    changed_by: str = ""
    fold: str = ""


@dataclass
class Kept:
    """What a run folder knows of the figures of its report, and what it will know of those of the next one.

    `study`: a digest of all that figures show beside the tables of their analysis; "" where nothing can be kept.
    `contents`: of the files of the figures that were found last, since another process may replace the report.
    """

    folder: Path
    study: str = ""
    known: dict[str, Any] = field(default_factory=dict)
    noted: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def key(self, name: str, frames: Mapping[str, pd.DataFrame] | None = None, more: Sequence[str] = ()) -> str:
        """What the figures of this name are drawn of, in a word; "" where that cannot be told."""
        try:
            tables = [[k, *_digest(f)] for k, f in sorted((frames or {}).items())]
        except TypeError:  # a table of lists, which pandas does not hash
            return ""
        return _sum([self.study, name, tables, list(more)]) if self.study else ""

    def find(self, key: str) -> list[Figure] | None:
        """The figures of a key, with every file as it was written; None where there is no such thing."""
        held = self.known.get(key) if key else None
        try:
            if held is None or held["sum"] != _sum(held["figures"]):
                return None
            found = [Figure(**one) for one in held["figures"]]
            self.contents = {n: self.path(n).read_bytes() for one in found for n, _ in one.files}
            whole = all(_sum_of(self.contents[n]) == s for one in found for n, s in one.files)
        except (OSError, TypeError, ValueError, KeyError):  # a spoilt index, or a figure that was removed
            return None
        if not whole:
            return None
        self.noted[key] = held
        return found

    def path(self, name: str) -> Path:
        """Where a figure of the report before lies."""
        return self.folder / "report" / "figures" / Path(name).name

    def note(self, key: str, figures: Sequence[Figure]) -> None:
        """Remembers figures that were just saved."""
        if key:
            told = [asdict(one) for one in figures]
            self.noted[key] = {"sum": _sum(told), "figures": told}

    def write(self) -> None:
        """Once the report is in its place; a folder that cannot be written to remembers nothing."""
        try:
            write_json(self.folder / INDEX, {"format": FORMAT, "figures": self.noted})
        except OSError:
            return


def kept_of(study: StudyRecord) -> Kept:
    """What the study's run folder knows."""
    return Kept(study.folder, _study(study), known_of(study.folder))


def known_of(folder: Path) -> dict[str, Any]:
    """The entries of a run folder's index; none where it is missing, broken or of another version."""
    try:
        index = read_json(folder / INDEX)
    except (InputError, OSError):
        return {}
    known = index.get("figures") if index.get("format") == FORMAT else None
    return known if isinstance(known, dict) else {}


def saved(
    name: str, caption: str, photo_of: str, paths: Sequence[Path], changed_by: str = "", fold: str = ""
) -> Figure:
    """A figure as it was just written."""
    return Figure(
        name, caption, photo_of, [(path.name, _sum_of(path.read_bytes())) for path in paths], changed_by, fold
    )


def copy(kept: Kept, files: Mapping[str, Path]) -> None:
    """Writes files of the figures that were found last, by their names, to where they are wanted."""
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kept.contents[name])


def _study(study: StudyRecord) -> str:
    """All that figures show beside tables: the records of the first seed, names, colours, places, and our own code."""
    try:
        cells = {c.id: _records(c.folder) for cells in first_seed(study).values() for c in cells}
    except (InputError, OSError, KeyError, TypeError):
        return ""
    about = {k: v for k, v in study.about.items() if k not in WORDS}
    return _sum([_code(), about, cells, study.methods, study.places, sorted(rules_of(study).items())])


def _records(folder: Path) -> dict[str, str]:
    """The checksums of a finished cell's files."""
    return {name: about["sha256"] for name, about in read_json(folder / MANIFEST)["files"].items()}


@cache
def _code() -> str:
    """Of what draws: the packages' files, and the versions of the libraries."""
    digest = hashlib.sha256(repr([(name, version(name)) for name in DRAWN_WITH]).encode())
    for package in DRAWN_BY:
        root = Path(str(resources.files(f"assignbench.{package}")))
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _digest(frame: pd.DataFrame) -> tuple[list[str], str]:
    """A table's columns with their types, and its contents in a word."""
    rows = pd.util.hash_pandas_object(frame, index=True).to_numpy()
    return [f"{c}: {t}" for c, t in frame.dtypes.items()], hashlib.sha256(rows.tobytes()).hexdigest()


def _sum(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
