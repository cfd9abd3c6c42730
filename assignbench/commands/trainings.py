"""Which cells of a run take the training of another one, and of which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from assignbench.commands.staleness import Staleness, look
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_cells
from assignbench.records.claim import holder_of
from assignbench.study.grid import Cell
from assignbench.study.trainings import Key, training_of, trainings_of


@dataclass(frozen=True)
class Trainings:
    """The trainings of a run folder: `everything` are all cells of the study, `inputs` says which are stale."""

    folder: Path
    everything: Sequence[Cell]
    inputs: Staleness
    out: Path
    console: Console

    def shared(self, waiting: Sequence[Cell], *, fresh: bool = False) -> dict[str, str]:
        """By the id of a waiting cell the id of the cell whose training it takes; one without an entry is trained.

        A finished cell of the run folder comes first, then one whose training alone is finished, also of cells that the
        study does not have any more; one that is stale or damaged does not count, and none does with `fresh`. Else one
        cell is trained for all: one that has begun, or the first one in the study's order, which may also be one that
        another run trains now.
        """
        finished = {} if fresh else self._finished(waiting)
        planned = self._planned(waiting)
        found: dict[str, str] = {}
        for group in trainings_of(waiting):
            key = training_of(group[0])
            source = finished.get(key) or min(planned[key])[-1]
            found |= {cell.id: source for cell in group if cell.id != source}
        return found

    def _planned(self, waiting: Sequence[Cell]) -> dict[Key, list[tuple[bool, bool, int, str]]]:
        """Per training the cells that may be trained for all, the best first when sorted.

        Two runs that share a training find the same one, so that none waits in vain: a cell whose process runs waits
        for nobody, and the rest have one order.
        """
        asked, wanted = {c.id for c in waiting}, {training_of(c) for c in waiting}
        found: dict[Key, list[tuple[bool, bool, int, str]]] = {key: [] for key in wanted}
        for place, cell in enumerate(self.everything):
            key, name = training_of(cell), cell.id
            if key not in wanted:
                continue
            holder = holder_of(self.folder / name)
            elsewhere = holder is not None and holder.alive and not holder.mine
            if elsewhere or name in asked:
                runs = elsewhere and holder is not None and holder.training
                begun = any((self.folder / name / "checkpoint").glob("step-*.json"))
                found[key].append((not runs, not begun, place, name))
        return found

    def _finished(self, waiting: Sequence[Cell]) -> dict[Key, str]:
        """Per training the first cell that has it to its end, whole and not stale; one that is finished comes first."""
        paths = {training_of(c): c.paths for c in waiting}
        place = {c.id: (number, training_of(c)) for number, c in enumerate(self.everything)}
        found: dict[Key, str] = {}
        records = self._records({key[0] for key in paths})
        for record in sorted(records, key=lambda r: (r.state != "done", place.get(r.id, (len(place),))[0])):
            for key, where in paths.items():
                if key in found or key[0] != record.trained.training_id:
                    continue
                if record.id in place:
                    sound = place[record.id][1] == key and record.id not in self.inputs.reasons
                else:  # of an earlier state of the study: what it was made from lies where this training's lies
                    cell = Cell(record.trained, where)
                    sound = not look(self.folder, [cell], self.out, self.console).reasons
                if sound:
                    found[key] = record.id
        return found

    def _records(self, trainings: set[str]) -> list[CellRecord]:
        """The cells of the run folder that have one of these trainings and lend it."""
        found = []
        for record in (CellRecord(r.folder, thorough=True) for r in read_cells(self.folder)):
            try:
                alike = record.trained.training_id in trainings
            except InputError:  # of an earlier version, or damaged
                continue
            if alike and record.lends:
                found.append(record)
        return found
