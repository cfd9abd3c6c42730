"""study.json: what the analyses and the report of a run folder know about the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import assignbench
from assignbench.errors import InputError, nearest
from assignbench.study.published import PUBLISHED, Published
from assignbench.study.reading import Study


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
) -> dict[str, Any]:
    """The content of study.json; `cells` are the ids of all cells, also of those that --only left out.

    `grid` says of every id its data set, detector and method: what can be known of a cell that was never begun. `tuned`
    is what the study's sweep chose.
    """
    spec = study.spec
    return {
        "study": spec.study,
        "title": spec.title or spec.study,
        "answers": spec.answers,
        "expect": spec.expect,
        "cost": spec.cost,
        "version": assignbench.__version__,
        "cells": list(cells),
        "grid": {name: dict(keys) for name, keys in grid.items()},
        "analyses": spec.analyses,
        "claims": [c.model_dump(mode="json") for c in spec.claims],
        "primary": spec.primary,
        "least_objects": spec.least_objects,
        "areas": {k: list(v) for k, v in spec.areas.items()},
        "max_dets": spec.max_dets,
        "pictures": [p.model_dump(mode="json") for p in spec.pictures],
        "published": _content(published_of(study)),
        "baselines": dict(baselines),
        "tuned": dict(tuned) if tuned else None,
        "notes": [],
        "imported": False,
        **asdict(stale or Stale()),
    }


def published_of(study: Study) -> Published | None:
    """The printed table that the study answers to. Raises InputError for a name that is not known."""
    name = study.spec.published
    if not name:
        return None
    if name not in PUBLISHED:
        raise InputError(f"{study.where('published')}: unknown table '{name}'{nearest(name, list(PUBLISHED))}")
    return PUBLISHED[name]


def _content(published: Published | None) -> dict[str, Any] | None:
    if published is None:
        return None
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for (detector, method), values in published.rows.items():
        rows.setdefault(detector, {})[method] = values
    return {
        "source": published.source,
        "setting": published.setting,
        "metric_names": published.metric_names,
        "rows": rows,
    }
