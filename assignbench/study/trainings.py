"""Which cells of a study share one training."""

from __future__ import annotations

from collections.abc import Iterable

from assignbench.study.grid import Cell

Key = tuple[str, str, str]


def training_of(cell: Cell) -> Key:
    """What two cells have in common that share a training: its configuration, the data and the weights on disk."""
    return cell.config.training_id, cell.paths.root, cell.paths.weights


def trainings_of(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells in groups of one training each, in the order in which they were given."""
    found: dict[Key, list[Cell]] = {}
    for cell in cells:
        found.setdefault(training_of(cell), []).append(cell)
    return list(found.values())


def counted(cells: int, trainings: int) -> str:
    """ "6 cells", or "6 cells, 4 trainings" where some share one."""
    told = f"{cells} cell{'s' * (cells != 1)}"
    return told if cells == trainings else f"{told}, {trainings} training{'s' * (trainings != 1)}"
