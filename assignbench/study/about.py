"""study.json: what the analyses and the report of a run folder know about the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import assignbench
from assignbench.study.printed import printed_content
from assignbench.study.reading import Study
from assignbench.study.spec import StudySpec


@dataclass(frozen=True)
class Stale:
    """What is known of a study's inputs: groups of stale cells, those that were accepted, what was not compared.

    A group is {"reasons": [sentence, ...], "cells": [id, ...]}: the cells that are stale for the same reasons.
    """

    stale: list[dict[str, list[str]]] = field(default_factory=list)
    accepted: list[dict[str, list[str]]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def about(
    study: Study,
    cells: Sequence[str],
    grid: Mapping[str, Mapping[str, str]],
    baselines: Mapping[str, str],
    stale: Stale | None = None,
    tuned: Mapping[str, Any] | None = None,
    table: str = "",
    claims_elsewhere: int = 0,
) -> dict[str, Any]:
    """The content of study.json; `cells` are the ids of all cells, also of those that --only left out.

    `grid` says of every id its data set, detector and method: what can be known of a cell that was never begun. `tuned`
    is what the study's sweep chose, `table` the printed table that alone the page is about, and `claims_elsewhere` are
    the claims of methods outside of it.
    """
    spec = study.spec
    return {
        "study": spec.study,
        "title": spec.title or spec.study,
        "answers": question_of(spec),
        "expect": spec.expect,
        "cost": spec.cost,
        "version": assignbench.__version__,
        "cells": list(cells),
        "grid": {name: dict(keys) for name, keys in grid.items()},
        "analyses": spec.analyses,
        "claims": [c.model_dump(mode="json") for c in spec.claims],
        "claims_elsewhere": claims_elsewhere,
        "primary": spec.primary,
        "precision": study.precision,
        "least_objects": spec.least_objects,
        "areas": {k: list(v) for k, v in spec.areas.items()},
        "max_dets": spec.max_dets,
        "pictures": [p.model_dump(mode="json") for p in spec.pictures],
        "printed": printed_content(study),
        "unpublished": spec.published.removeprefix("none: "),
        "table": table,
        "baselines": dict(baselines),
        "tuned": dict(tuned) if tuned else None,
        "notes": [],
        "imported": False,
        **asdict(stale or Stale()),
    }


def question_of(spec: StudySpec) -> str:
    """The question that a study answers; of one that does not say it, how its methods differ on its data."""
    if spec.answers:
        return spec.answers
    names, where = [m.name for m in spec.methods], _listed([d.name for d in spec.data])
    return (
        f"How do {_listed(names)} differ on {where}?" if len(names) > 1 else f"What does {names[0]} reach on {where}?"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
