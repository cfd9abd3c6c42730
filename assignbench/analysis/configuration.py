"""What differs between a method and its baseline: the assigner alone, or more."""

from __future__ import annotations

from typing import Any

import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.result import Result

# What a cell is called, what is different between the cells of a method by intention, and what only pictures read.
NAMES = ("method.name", "method.preset", "seed", "pictures")


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys with printable values."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: str(value)}


@analysis(
    "configuration",
    title="Differences of configuration",
    question="Is it the assigner alone that differs?",
    definition=(
        "Pairs: each method with its baseline, and the parts beyond the assigner in which they differ ('assigner': "
        "none; 'recipe': some). Entries: every entry of the resolved configuration that is not equal between the "
        "methods of one detector and data set. Entries of `schedule.` and `evaluation.` make a pair one of recipes; "
        "those of `schedule.` have to be chosen by a sweep that is the same for each method. Any others outside "
        "`method.` would make the comparison unfair; there must be none."
    ),
)
def configuration(study: StudyRecord) -> list[Result]:
    """The pairs (data, detector, method, baseline, pair, differs), and the entries (data, detector, key, methods)."""
    return [
        Result("configuration.pairs", "Each method and its baseline", pairs(study)),
        Result("configuration.entries", "Entries that differ between the methods", entries(study)),
    ]


def pairs(study: StudyRecord) -> pd.DataFrame:
    """data, detector, method, baseline ("" for none), pair, differs (the parts beyond the assigner, by comma)."""
    rows = []
    for place in study.places:
        present = study.present_at(place)
        for method in present:
            baseline = study.baseline_of(method, place)
            parts = study.differing(method, baseline, place) if baseline else ()
            row = {"data": place[0], "detector": place[1], "method": method, "baseline": baseline}
            pair = study.pair(method, baseline, place) if baseline else ""
            rows.append({**row, "pair": pair, "differs": ", ".join(p.replace("_", " ") for p in parts)})
    return pd.DataFrame(rows, columns=["data", "detector", "method", "baseline", "pair", "differs"])


def entries(study: StudyRecord) -> pd.DataFrame:
    """data, detector, key, then one column per method, for the first seed of every detector and data set."""
    rows: list[dict[str, Any]] = []
    for data, detector in study.places:
        methods: dict[str, dict[str, str]] = {}
        for cell in study.cells:
            config = cell.config
            if (config.data.name, config.detector.label) == (data, detector):
                flat = {k: v for k, v in flatten(config.model_dump(mode="json")).items() if k not in NAMES}
                methods.setdefault(config.method.name, flat)
        for key in sorted({k for flat in methods.values() for k in flat}):
            values = {m: flat.get(key, "–") for m, flat in methods.items()}
            if len(set(values.values())) > 1:
                rows.append({"data": data, "detector": detector, "key": key, **values})
    return pd.DataFrame(rows)
