"""Cells without numbers: they keep their place in every table, so that no reader takes them for not asked for."""

from __future__ import annotations

from collections.abc import Mapping

from assignbench.analysis import StudyRecord
from assignbench.report.tables import Place


def lost_methods(study: StudyRecord) -> dict[Place, dict[str, str]]:
    """By data set and detector: the methods none of whose cells has numbers, with what became of them."""
    found: dict[Place, dict[str, str]] = {}
    for (place, method), cells in _by_method(study).items():
        states = list(dict.fromkeys(cells.values()))
        if "done" not in states:
            found.setdefault(place, {})[method] = ", ".join(states)
    return found


def lost_note(study: StudyRecord) -> str:
    """Which cells are in no number, in a sentence for every table; "" where none is lost."""
    told = []
    for (place, method), cells in _by_method(study).items():
        seeds: dict[str, list[str]] = {}
        for seed, state in cells.items():
            if state != "done":
                seeds.setdefault(state, []).append(str(seed))
        at = f" ({place[1]} on {place[0]})" if len(study.places) > 1 else ""
        told += [
            f"{method}{at} {state} for seed{'s' * (len(which) > 1)} {', '.join(which)}"
            for state, which in seeds.items()
        ]
    told += [f"{name} damaged" for name, _ in study.unreadable]
    return f"In no number here: {'; '.join(told)}; the table of cells says why." if told else ""


def _by_method(study: StudyRecord) -> Mapping[tuple[Place, str], dict[int, str]]:
    """What became of the seeds of every method at every place."""
    found: dict[tuple[Place, str], dict[int, str]] = {}
    for cell in study.cells:
        config = cell.config
        place = (config.data.name, config.detector.label)
        found.setdefault((place, config.method.name), {})[config.seed] = cell.state
    return found
