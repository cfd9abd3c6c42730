"""The contract of an analysis, and the records that it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis.answers import answered
from assignbench.analysis.kept import Kept, kept_of
from assignbench.analysis.result import Result
from assignbench.config.cell import CellConfig
from assignbench.config.evaluation import LEAST_OBJECTS
from assignbench.config.method import compared_with, differing_parts
from assignbench.errors import InputError, nearest
from assignbench.measure.coco import COCO_LIMITS
from assignbench.measure.matching import COCO_THRESHOLDS, Matches, Overlaps, match, overlaps_of
from assignbench.measure.precision import average_precision, average_recall, mean_over_classes
from assignbench.plugins import imported
from assignbench.records import CellRecord, Snapshot, read_about, read_cells, refuse_old
from assignbench.records.contents import check_others, check_table, read_environment
from assignbench.records.hashes import FileHashes
from assignbench.records.manifest import CACHE, MANIFEST, listed

AROUND = 0.1  # IoU from which a box before NMS lies around an object
T = TypeVar("T")


class CellData:
    """A finished cell's test split as an analysis wants it: read once, labels as the detector is judged on them.

    `environment` is what environment.json holds; it is read where none is given. Raises InputError naming the file if
    it is not what a finished cell has.
    """

    def __init__(
        self, cell: CellRecord, environment: Mapping[str, Any] | None = None, kept: Kept | None = None
    ) -> None:
        self.cell = cell
        self.kept = Kept() if kept is None else kept
        self.config = cell.config
        environment = read_environment(cell.folder) if environment is None else environment
        self.agnostic = bool(environment.get("class_agnostic"))
        self.true_classes: list[str] = list(environment["classes"])
        self.classes = ["object"] if self.agnostic else self.true_classes
        self._known: dict[Hashable, Any] = {}

    def check(self) -> None:
        """Raises InputError naming file and column where the cell's files do not hold what an analysis counts on."""
        self.keep("checked", self._check)

    def _check(self) -> bool:
        tables = {"images": self.images, "objects": self.cell.table("objects"), "detections": self.detections}
        check_others(self.cell.folder)
        for name, classes in zip(tables, (self.classes, self.true_classes, self.classes), strict=True):
            check_table(self.cell.folder, name, tables, classes)
        return True

    def keep(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, worked out once for these records, whichever report asks (`kept.Kept.get`).

        For what the package's own code works out from this cell and the key alone: of other code nobody knows whether
        it has changed, it asks for `once`.
        """
        return self.kept.get(key, compute)

    def release(self) -> None:
        """Forgets the tables and what was worked out `once`, which are read again if anybody asks; saves the rest."""
        self.kept.save()
        self._known.clear()
        for name in ("images", "objects", "detections", "overlaps", "matches", "around", "before"):
            self.__dict__.pop(name, None)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, worked out the first time that the key is asked for since the cell was opened."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found

    @cached_property
    def keys(self) -> dict[str, Any]:
        """data, detector, method, seed."""
        return keys_of(self.cell)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """AP and its relatives, cost."""
        return self.cell.summary

    def describes(self, column: str) -> bool:
        """Whether the objects have this column."""
        return self.keep(("describes", column), lambda: column in self.objects)

    @property
    def image_count(self) -> int:
        """The number of test images."""
        return self.keep("number of images", lambda: len(self.images))

    @cached_property
    def images(self) -> pd.DataFrame:
        """The test images, also those without objects."""
        return self.cell.table("images")

    @cached_property
    def objects(self) -> pd.DataFrame:
        """The objects; `true_label` is the annotated class, `label` the one that detections are judged by."""
        table = self.cell.table("objects")
        table["true_label"] = table.label
        if self.agnostic:
            table["label"] = 0
        return table

    @cached_property
    def detections(self) -> pd.DataFrame:
        """What is left after NMS."""
        return self.cell.table("detections")

    def pre_nms(self) -> pd.DataFrame | None:
        """The boxes before NMS; None where an import came without them."""
        return self.once("pre_nms", lambda: self._table("pre_nms"))

    def candidates(self) -> pd.DataFrame | None:
        """Predictions around the objects, never cut by score; None where an import came without them."""
        return self.once("candidates", lambda: self._table("candidates"))

    def _table(self, name: str) -> pd.DataFrame | None:
        return self.cell.table(name) if self.cell.holds(name) else None

    @property
    def most(self) -> int:
        """Detections per image and class that AP counts: all of a trained cell's, COCO's hundred of an import's."""
        return max(COCO_LIMITS[-1], self.config.evaluation.max_detections)

    @cached_property
    def overlaps(self) -> Overlaps:
        """Detections and objects of one class with IoU 0.5 or more."""
        return overlaps_of(self.images, self.objects, self.detections, len(self.classes))

    @cached_property
    def around(self) -> Overlaps | None:
        """Boxes before NMS, best ranking score first, and objects of one class with IoU 0.1 or more; None without."""
        boxes = self.pre_nms()
        if boxes is None:
            return None
        ranked = boxes.assign(score=boxes.ranking_score)
        return overlaps_of(self.images, self.objects, ranked, len(self.classes), least=AROUND)

    @cached_property
    def before(self) -> Overlaps | None:
        """Boxes before NMS, best ranking score first, and objects of one class with IoU 0.5 or more; None without."""
        return self.around.closer(COCO_THRESHOLDS[0]) if self.around is not None else None

    @cached_property
    def matches(self) -> Matches:
        """Which detection found which object, at COCO's thresholds."""
        return match(self.overlaps, max_detections=self.most)

    def precision(self) -> npt.NDArray[np.float64]:
        """AP [T, C]."""
        return self.keep("precision", lambda: np.asarray(average_precision(self.matches)[0]))

    def recall(self, most: int) -> float:
        """AR with the best `most` detections of each image and class; NaN where no object counts."""

        def compute() -> float:
            matches = self.matches if most <= self.most else match(self.overlaps, max_detections=most)
            return float(mean_over_classes(average_recall(matches.first(most))[0]))

        return self.keep(("recall", most), compute)


@dataclass(frozen=True)
class StudyRecord:
    """A study's run folder: what was asked (`about`) and its cells in the study's order.

    Folders of earlier configurations stay on disk but are not part of the study any more. `unreadable`: id and reason
    of cells whose configuration or contents are damaged, so that nothing else can be said of them.
    """

    folder: Path
    about: dict[str, Any]
    cells: tuple[CellRecord, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    _read: dict[str, CellData] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def finished(self) -> tuple[CellRecord, ...]:
        """The cells that are finished and whole, also those whose test split has no annotations."""
        return tuple(c for c in self.cells if c.state == "done")

    @cached_property
    def done(self) -> tuple[CellRecord, ...]:
        """The cells that are finished and whole, and whose test split has annotations."""
        return tuple(c for c in self.finished if c.measurable)

    @cached_property
    def grid(self) -> dict[str, tuple[str, str, str]]:
        """Data set, detector and method of every cell that was asked for, by its id and in the study's order: also of
        those that are damaged or were never begun, whose records say nothing.
        """
        asked, names = self.about.get("grid") or {}, self.about.get("cells", [])
        told = {i: (asked[i]["data"], asked[i]["detector"], asked[i]["method"]) for i in names if i in asked}
        return told | {c.id: (c.config.data.name, c.config.detector.label, c.config.method.name) for c in self.cells}

    @cached_property
    def split(self) -> str:
        """The split that the numbers are of: "val" where the study chooses settings, else "test"."""
        read = (c.config.evaluation.split for c in self.cells if isinstance(c.config, CellConfig))
        return next(iter(read), "test")

    @property
    def least_objects(self) -> int:
        """How many objects a group that a trend rests on has."""
        return int(self.about.get("least_objects", LEAST_OBJECTS))

    @cached_property
    def methods(self) -> list[str]:
        """The labels of the methods in the study's order."""
        return list(dict.fromkeys(method for _, _, method in self.grid.values()))

    @cached_property
    def places(self) -> list[tuple[str, str]]:
        """Every data set and detector that the study trains on, in its order."""
        return list(dict.fromkeys((data, detector) for data, detector, _ in self.grid.values()))

    @cached_property
    def baselines(self) -> dict[str, str]:
        """The label of the method that each one is compared with, as study.json says; "" where it names none."""
        named = self.about.get("baselines") or {}
        return {m: str(named.get(m) or "") for m in self.methods}

    def baseline_of(self, method: str, place: tuple[str, str]) -> str:
        """What `method` is compared with at a place (data set and detector), whether that has finished cells or not; ""
        where it is compared with nothing.

        Nothing takes the place of a baseline whose cells failed: what cannot be tested then is said to be so.
        """
        return compared_with(method, self.present_at(place), self.baselines)

    def present_at(self, place: tuple[str, str]) -> list[str]:
        """The methods that the study has on a data set and detector, in its order."""
        there = {method for *where, method in self.grid.values() if tuple(where) == place}
        return [m for m in self.methods if m in there]

    def states_of(self, method: str, place: tuple[str, str]) -> dict[str, int]:
        """How many cells a method has at a place in each state: as `CellRecord.state` has it, "without annotations"
        for finished ones that cannot be measured, "damaged" and "not begun" for those whose records say nothing.
        """
        mine = [i for i, where in self.grid.items() if where == (*place, method)]
        return dict(Counter(self._states.get(i, "not begun") for i in mine))

    @cached_property
    def _states(self) -> dict[str, str]:
        """The state of every cell that is there, by id, as it was when the first analysis asked."""
        silent = dict.fromkeys((name for name, _ in self.unreadable), "damaged")
        states = ((c, c.state) for c in self.cells)
        return silent | {c.id: s if s != "done" or c.measurable else "without annotations" for c, s in states}

    def differing(self, method: str, baseline: str, place: tuple[str, str]) -> tuple[str, ...]:
        """The parts beyond the assigner in which two methods differ at a place (data set and detector).

        "schedule" where their detectors are trained differently, "evaluation" where they are read differently. Nothing
        is known of how imported predictions were made: their one part is "unknown". No part is named where one of the
        two has no record there.
        """
        ours, theirs = (self._config_at(name, place) for name in (method, baseline))
        if ours is None or theirs is None:
            return ()
        if isinstance(ours, CellConfig) and isinstance(theirs, CellConfig):
            others = tuple(p for p in ("schedule", "evaluation") if getattr(ours, p) != getattr(theirs, p))
            return (*differing_parts(ours.method, theirs.method), *others)
        return ("unknown",)

    def pair(self, method: str, baseline: str, place: tuple[str, str]) -> str:
        """ "assigner" where two methods differ in the assigner alone, else "recipe"; "import" for imported cells; ""
        where one of the two has no record.
        """
        if self._config_at(method, place) is None or self._config_at(baseline, place) is None:
            return ""
        parts = self.differing(method, baseline, place)
        return "import" if parts == ("unknown",) else "recipe" if parts else "assigner"

    def _config_at(self, name: str, place: tuple[str, str]) -> object:
        configs = (c.config for c in self.cells)
        here = (c for c in configs if (c.data.name, c.detector.label) == place and c.method.name == name)
        return next(here, None)

    def data(self) -> list[CellData]:
        """The finished cells, opened."""
        for cell in self.done:
            if cell.id not in self._read:
                self._read[cell.id] = CellData(cell, kept=kept_of(cell))
        return [self._read[c.id] for c in self.done]


def read_study_record(folder: Path, only: Sequence[str] | None = None) -> StudyRecord:
    """The record of a study from its run folder; of the cells of these ids alone, if some are named.

    Raises InputError for a broken study.json and for records of an earlier version; a damaged cell costs the others
    nothing.
    """
    about = _of_table(read_about(folder))
    names = about.get("cells", [c.id for c in read_cells(folder)])
    cells, unreadable, opened = [], [], {}
    asked = [n for n in names if (folder / n).is_dir() and (only is None or n in only)]
    for record in (Snapshot(folder / n, thorough=True, digest=remembered(folder / n)) for n in asked):
        refuse_old(record)
        try:
            _ = record.config
            if record.state == "done":
                opened[record.id] = CellData(record, kept=kept_of(record))
                opened[record.id].check()
            cells.append(record)
        except InputError as problem:
            if record.state != "pending":  # one that was never begun says nothing
                unreadable.append((record.id, str(problem)))
    return StudyRecord(folder, about, tuple(cells), tuple(unreadable), opened)


def remembered(folder: Path) -> Callable[[Path], str]:
    """The sha256 of a cell's files, remembered under the cell for as long as nobody writes to them."""
    cache = folder / CACHE
    hashes = FileHashes(None if cache.is_symlink() else cache / "hashes.json")
    hashes.of_all(listed(folder) if (folder / MANIFEST).is_file() else ())
    return hashes.of


def _of_table(about: dict[str, Any]) -> dict[str, Any]:
    """What was asked, kept to the cells of the printed table that alone the page is about (`--table`), if it is so."""
    table = about.get("table") or ""
    if table not in about.get("printed", {}):
        return about
    printed, grid = about["printed"][table], about.get("grid", {})
    wanted = {tuple(cell) for row in printed["rows"] for cell in row["cells"]}
    cells = [i for i in about.get("cells", []) if i in grid and (grid[i]["detector"], grid[i]["method"]) in wanted]
    return {**about, "cells": cells, "printed": {table: printed}}


def keys_of(cell: CellRecord) -> dict[str, Any]:
    """The columns that identify a cell in every table."""
    config = cell.config
    return {
        "data": config.data.name,
        "detector": config.detector.label,
        "method": config.method.name,
        "seed": config.seed,
    }


Run = Callable[[StudyRecord], "Result | list[Result]"]


@dataclass(frozen=True)
class Analysis:
    """A question put to records; title, question, definition and paper are printed with its answer."""

    name: str
    title: str
    question: str
    definition: str
    paper: str
    function: Callable[[StudyRecord], Any]

    def run(self, study: StudyRecord) -> list[Result]:
        """Its results; a column `seed` marks one row per cell, which the report averages.

        Each result has its answer, where `answers` knows one for it.
        A third party's function may return a bare table, whose key and caption are then the analysis' own. Raises
        InputError for anything else and for two results of one key.
        """
        found = self.function(study)
        if isinstance(found, pd.DataFrame):
            found = Result(self.name, self.title, found)
        results = [found] if isinstance(found, Result) else found
        if not isinstance(results, list) or not all(isinstance(r, Result) for r in results):
            raise InputError(
                f"analysis '{self.name}' returned a {type(found).__name__}; "
                "it must return a DataFrame, a Result or a list of Results"
            )
        keys = [r.key for r in results]
        twice = sorted({k for k in keys if keys.count(k) > 1})
        if twice:
            raise InputError(f"analysis '{self.name}' returned two results of the key '{twice[0]}'; keys are unique")
        return [answered(r) for r in results]


ANALYSES: dict[str, Analysis] = {}


def analysis(name: str, *, title: str, question: str, definition: str, paper: str = "") -> Callable[[Run], Run]:
    """Decorator that makes a function an analysis: nothing else is called as one.

    Raises ValueError for a name that another function has.
    """

    def mark(run: Run) -> Run:
        held = ANALYSES.get(name)
        if held is not None and _origin(held.function) != _origin(run):
            raise ValueError(f"there is an analysis '{name}' already, {':'.join(_origin(held.function))}")
        ANALYSES[name] = Analysis(name, title, question, definition, paper, run)
        return run

    return mark


def _origin(function: Callable[[StudyRecord], Any]) -> tuple[str, str]:
    """Module and name of a function, the same after its module is loaded again."""
    return function.__module__, getattr(function, "__qualname__", type(function).__qualname__)


def chosen(names: list[str], order: tuple[str, ...]) -> list[Analysis]:
    """The analyses of a study by name or `module:function`; those of the package, in `order`, if none are named.

    Raises InputError for an unknown name, for a module that cannot be imported, and for what no `@analysis` marks.
    """
    return [_one(name, order) for name in names or order]


def _one(name: str, order: tuple[str, ...]) -> Analysis:
    if name in order:
        return ANALYSES[name]
    if ":" not in name:
        raise InputError(f"unknown analysis '{name}'{nearest(name, list(order))}; your own is module:function")
    found = imported(name, "analysis")
    for known in ANALYSES.values():
        if known.function is found:
            return known
    raise InputError(
        f"analysis '{name}' is a {type(found).__name__} that is not marked as an analysis; write "
        "@analysis(name, title=..., question=..., definition=...) of assignbench.analysis.base above the function"
    )
