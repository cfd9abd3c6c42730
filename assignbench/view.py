"""One image as a detector sees it, for looking at assignments: of a finished cell, or of an untrained study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench import methods as known_methods
from assignbench.assigners.base import Assigner
from assignbench.config import CellConfig, LocalPaths
from assignbench.config.method import MethodConfig
from assignbench.contract import Context
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.engine import checkpoint
from assignbench.engine.cell import Cell, build_cell
from assignbench.engine.probing import probe_tables
from assignbench.errors import InputError, nearest
from assignbench.methods import PRESETS, Built, build, resolve
from assignbench.records import CellRecord, read_json
from assignbench.records.store import REDO
from assignbench.study.grid import Cell as Planned, cells_of, methods_of
from assignbench.study.reading import Study, read_study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_METHODS = 4  # of a study that are looked at unless they are named


@dataclass(frozen=True)
class View:
    """An image of a data set, a detector, and the methods that may be asked what they assign on it.

    `methods` are the study's own, or the cell's one, by name; presets go by their names too. Untrained networks have
    the initial weights of the study's first seed: they say what a rule does at the first step of a training.
    """

    cell: Cell
    batch: Batch
    name: str
    trained: bool
    methods: Mapping[str, MethodConfig]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of their labels."""
        return self.cell.test.classes

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image [H, W, 3] at the size at which the network sees it."""
        return np.asarray(self.batch.images[0].permute(1, 2, 0).numpy(), np.uint8)

    @property
    def boxes(self) -> list[list[float]]:
        """The objects' boxes x1, y1, x2, y2 in pixels of `pixels`."""
        found: list[list[float]] = self.batch.objects.boxes[0][self.batch.objects.valid[0]].tolist()
        return found

    @property
    def labels(self) -> list[int]:
        """The objects' classes, counted from 0."""
        found: list[int] = self.batch.objects.labels[0][self.batch.objects.valid[0]].tolist()
        return found

    @property
    def context(self) -> Context:
        """The moment of training: its end for a finished cell, its beginning otherwise."""
        moment = 1.0 if self.trained else 0.0
        return Context(progress=moment, image_ids=self.batch.image_ids, image_hw=self.batch.sizes[0])

    def fitting(self) -> list[str]:
        """The names of all methods that work on this detector and its quality head: the view's own, and presets."""
        return [name for name in dict.fromkeys((*self.methods, *PRESETS)) if not self._unfit(name)]

    def shown_methods(self) -> list[str]:
        """The names of `methods` that work on this detector, the first few."""
        return [name for name in self.methods if not self._unfit(name)][:MOST_METHODS]

    def method(self, named: str | Assigner | None = None) -> Built:
        """A method by its name (the cell's own for None), or an assigner beside the cell's losses.

        Raises InputError for an unknown name, and for a method that does not work on the detector and its quality head.
        """
        own = self.cell.learner.method
        if named is None or named == own.method.name:
            return own
        if isinstance(named, Assigner):
            return replace(own, assigner=named)
        problem = self._unfit(named)
        if problem is not None:
            raise problem
        return build(self._config(named))

    def table(self, named: str | Assigner | None = None) -> pd.DataFrame:
        """What a method assigns: a row per object and prior of interest, with the columns of probes/visit-{n}.parquet.

        `positive_cls` and `positive_box` say which prior learns the object for which task.
        """
        return probe_tables(self.cell.learner.detector, self.method(named), [self.batch], self.context)[0]

    def draw(self, ax: Axes, table: pd.DataFrame, task: str = "cls", object: int | None = None) -> None:
        """The image with its objects, and the priors of a `table` that learn one of them (or all) for a task."""
        from assignbench.report.single import draw_positives

        mine = table if object is None else table[table.object == object]
        draw_positives(ax, self.pixels, self.boxes, mine, task)

    def _config(self, name: str) -> MethodConfig:
        return _config(name, self.methods)

    def _unfit(self, name: str) -> InputError | None:
        """Why a method does not work on the detector with the quality head that it has; None if it does."""
        try:
            _check_fit(name, self.methods, self.cell.config)
        except InputError as problem:
            return problem
        return None


def _config(name: str, own: Mapping[str, MethodConfig]) -> MethodConfig:
    """One of a study's own methods, or a preset. Raises InputError for an unknown name."""
    if name not in own and name not in PRESETS:
        raise InputError(f"unknown method '{name}'{nearest(name, [*own, *PRESETS])}")
    return own[name] if name in own else resolve(name)


def _check_fit(name: str, own: Mapping[str, MethodConfig], cell: CellConfig) -> None:
    """Raises InputError for an unknown method, and for one that does not work on a cell's detector with its head."""
    method = _config(name, own)
    if name != cell.method.name:
        known_methods.check(method.model_copy(update={"quality": cell.method.quality}), cell.detector.spec)


def open_view(
    target: Path | str,
    *,
    image: str | None = None,
    data: str | None = None,
    method: str | None = None,
    methods: Sequence[str] = (),
    sets: Sequence[str] = (),
    cache: Path | None = None,
) -> View:
    """The view of an image of a finished cell (its folder), or of a study (a file, or the name of one of the package).

    `image` is a file name or an id of the test or training split; without it an image with several objects. `data` is
    another data set for a study, by its catalogue name; `method` chooses the cell of a study by its method; `sets`
    are changes of a study as `--set` has them. `methods` are those that will be asked for, and the first of them is
    `method` if that is not named: what is wrong with one is said before an image is read.
    Embedded scenes are kept in `cache`. Raises InputError for what is unknown, and for what does not fit together.
    """
    target = Path(target)
    trained = target.is_dir() and (target / "config.json").is_file()
    method = method or next(iter(methods), None)
    if trained:
        CellRecord(target, thorough=True).require_done()
        config = CellRecord(target).trained
        own, chosen = {config.method.name: config.method}, None
    else:
        chosen, own = _untrained(read_study(target, data=data, sets=sets), method, cache)
        config = chosen.config
    for name in methods:
        _check_fit(name, own, config)
    cell = _trained(target, cache) if chosen is None else build_cell(Path(), config, chosen.paths, "cpu")
    images, index = _find(cell, image)
    (batch,) = evaluation_batches(images, [index], cell.config.data, 1, training=True)
    return View(cell, batch, images.images[index].name, trained, own)


def _trained(folder: Path, cache: Path | None) -> Cell:
    """A finished cell with its final weights. Raises InputError where these are gone."""
    weights = folder / "checkpoint" / checkpoint.FINAL
    if not weights.is_file():  # looked for first: building the cell renders scenes
        raise InputError(f"{weights}: the cell's weights are not there; {REDO}")
    local = LocalPaths.model_validate(read_json(folder / "local.json"))
    local = local.model_copy(update={"cache": str(cache or "")})
    cell = build_cell(folder, CellRecord(folder).trained, local, "cpu")
    checkpoint.load_final(folder / "checkpoint", cell.learner.model)
    return cell


def _untrained(study: Study, method: str | None, cache: Path | None) -> tuple[Planned, dict[str, MethodConfig]]:
    """The first cell of a study, or the first one of a method; and the study's methods."""
    found = cells_of(study, known_methods, cache=cache)
    chosen = next((c for c in found if c.config.method.name == method), found[0])
    return chosen, methods_of(study, known_methods)


def _find(cell: Cell, wanted: str | None) -> tuple[DetectionData, int]:
    """The image of that name or id in the test or training split; the first with several objects if none is named."""
    splits = (cell.test, cell.train)
    if wanted is None:
        record = max(range(min(50, len(cell.test))), key=lambda i: min(len(cell.test.images[i].labels), 4))
        return cell.test, record
    for data in splits:
        for index, image in enumerate(data.images):
            if wanted in (image.name, Path(image.name).stem, str(image.id)):
                return data, index
    known = [i.name for data in splits for i in data.images]
    raise InputError(f"no image '{wanted}' in {cell.config.data.name}{nearest(wanted, known)}")
