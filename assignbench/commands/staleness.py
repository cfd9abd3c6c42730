"""What commands say and do about cells whose inputs are no longer those that their numbers were made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from assignbench.config.cell import LocalPaths
from assignbench.errors import InputError
from assignbench.records import CellRecord, move_records, read_json
from assignbench.records.claim import Claimed, release, take_patiently
from assignbench.records.hashes import FileHashes
from assignbench.records.identity import Identity
from assignbench.study.about import Stale
from assignbench.study.grid import Cell, paths_of
from assignbench.study.reading import Study

Groups = list[dict[str, list[str]]]  # "reasons" and the "cells" that share them
SETTLED = ("done", "pending", "failed", "diverged")  # states that nothing else is to be said of
NAMED = 6  # cells that a line names


@dataclass(frozen=True)
class Staleness:
    """Why cells are stale, by id; which of them the user keeps; and what could not be compared."""

    folder: Path
    reasons: Mapping[str, tuple[str, ...]]
    unchecked: tuple[str, ...] = ()
    accepted: frozenset[str] = field(default_factory=frozenset)

    def state(self, record: CellRecord) -> str:
        """A cell's state as lists show it; one that is being trained stays "running"."""
        state: str = record.state
        return "STALE" if record.id in self.reasons and state in SETTLED else state

    def to_renew(self, cells: Iterable[Cell], *, accept: bool) -> list[str]:
        """Which of the cells that are asked for must be trained anew.

        `accept` keeps finished ones. A half-finished one never goes on: its numbers would be of a mixture.
        """
        stale = [c.id for c in cells if c.id in self.reasons]
        return [i for i in stale if not (accept and CellRecord(self.folder / i).state == "done")]

    def without(self, cells: Iterable[str], *, accepted: Iterable[str] = ()) -> Staleness:
        """The same when cells are gone from the folder, and `accepted` of those that are left are kept."""
        gone = set(cells)
        left = {name: why for name, why in self.reasons.items() if name not in gone}
        return replace(self, reasons=left, accepted=frozenset(self.accepted | set(accepted)) & set(left))

    def about(self) -> Stale:
        """What study.json holds of it."""
        kept, others = self._split(self.reasons)
        return Stale(others, kept, list(self.unchecked))

    def tell(self, console: Console, cells: Sequence[str]) -> None:
        """The reasons, once for all cells that share them, and the way out; nothing if no cell is stale."""
        kept, others = self._split({name: why for name, why in self.reasons.items() if name in set(cells)})
        for groups, told in ((kept, "STALE, kept by --accept-stale"), (others, "STALE")):
            for group in groups:
                console.print(f"{told}: {_named(group['cells'])}: {'; '.join(group['reasons'])}", markup=False)
        if others:
            told = f"`assignbench run` moves stale cells to {self.folder / 'stale'} and trains them anew"
            console.print(f"  {told}; with --accept-stale it keeps finished ones", markup=False)
        for one in self.unchecked:
            console.print(f"not checked: {one}", markup=False)

    def _split(self, reasons: Mapping[str, tuple[str, ...]]) -> tuple[Groups, Groups]:
        """The groups of cells that were accepted, and of the others."""
        kept = {name: why for name, why in reasons.items() if name in self.accepted}
        return _groups(kept), _groups({name: why for name, why in reasons.items() if name not in kept})


def look(folder: Path, cells: Iterable[Cell], out: Path, console: Console) -> Staleness:
    """Compares what every cell was made from with what its study names now.

    What an earlier run accepted stays accepted for the same reasons; for others it is stale again.
    """
    identity = Identity(
        FileHashes(out / ".cache" / "hashes.json"), lambda text: console.print(f"{text} ...", markup=False)
    )
    reasons: dict[str, tuple[str, ...]] = {}
    unchecked: dict[str, None] = {}
    for cell in cells:
        found = identity.compare(CellRecord(folder / cell.id), cell.paths)
        unchecked |= dict.fromkeys(found.unchecked)
        if found.reasons:
            reasons[cell.id] = found.reasons
    groups = read_json(folder / "study.json").get("accepted", []) if reasons else []
    before = {(name, tuple(group["reasons"])) for group in groups for name in group["cells"]}
    accepted = frozenset(name for name, why in reasons.items() if (name, why) in before)
    return Staleness(folder, reasons, tuple(unchecked), accepted)


def recorded(study: Study, records: Iterable[CellRecord]) -> list[Cell]:
    """The cells of a run folder, with data and weights where the study says; no methods are loaded for it."""
    cells = []
    for record in records:
        try:
            config = record.trained
        except InputError:  # not begun, or damaged, which its state says
            continue
        paths = paths_of(study, config)
        if paths is None:
            paths = LocalPaths.model_validate(read_json(record.folder / "local.json"))
        cells.append(Cell(config, paths))
    return cells


def set_aside(
    inputs: Staleness, cells: Sequence[Cell], renewed: Sequence[str], out: Path, console: Console
) -> Staleness:
    """Moves the folders of `renewed` cells out of the way and says so; the others of `cells` count as accepted.

    One that another run has moved meanwhile, or trains anew, stays where it is.
    """
    kept = [c.id for c in cells if c.id in inputs.reasons and c.id not in renewed]
    aside = inputs.folder / "stale"
    again = {c.id: c for c in cells if c.id in renewed}
    moved = [
        name
        for name, cell in again.items()
        if _moved(inputs.folder / name, aside, partial(look, inputs.folder, [cell], out, console))
    ]
    for names, told in ((kept, "kept by --accept-stale"), (moved, f"moved to {aside}, trained anew")):
        for group in _groups({name: inputs.reasons[name] for name in names}):
            console.print(f"STALE, {told}: {_named(group['cells'])}: {'; '.join(group['reasons'])}", markup=False)
    return inputs.without(renewed, accepted=kept)


def _moved(folder: Path, to: Path, look_again: Callable[[], Staleness]) -> bool:
    """Moves a cell's records to the first free name there, if nobody trains the cell and it still is stale."""
    try:
        take_patiently(folder)
    except Claimed:
        return False
    try:
        if not look_again().reasons:
            return False
        number = 1
        while (to / f"{folder.name}.{number}").exists():
            number += 1
        move_records(folder, to / f"{folder.name}.{number}")
    finally:
        release(folder)
    return True


def _groups(reasons: Mapping[str, tuple[str, ...]]) -> Groups:
    """Cells with the same reasons together."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, why in reasons.items():
        found.setdefault(why, []).append(name)
    return [{"reasons": list(why), "cells": names} for why, names in found.items()]


def _named(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    return ", ".join(cells[:NAMED]) + more
