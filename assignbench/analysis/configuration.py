"""What differs between the rows of a table: it must be the method and nothing else."""

from __future__ import annotations

from typing import Any

import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis


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
    question="Is it the method alone that differs?",
    definition=(
        "Every entry of the resolved configuration that is not equal between the methods of one detector, data set "
        "and seed. Entries outside `method.` would make the comparison unfair; there must be none."
    ),
)
def configuration(study: StudyRecord) -> pd.DataFrame:
    """key, then one column per method, for the first seed of every detector and data set."""
    rows: list[dict[str, Any]] = []
    groups: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for cell in study.cells:
        config = cell.config
        where = (config["data"]["name"], config["detector"]["label"])
        name = config["method"]["name"]
        flat = {k: v for k, v in flatten(config).items() if k not in ("method.name", "method.preset", "seed")}
        groups.setdefault(where, {}).setdefault(name, flat)
    for (data, detector), methods in groups.items():
        keys = sorted({k for flat in methods.values() for k in flat})
        for key in keys:
            values = {m: flat.get(key, "–") for m, flat in methods.items()}
            if len(set(values.values())) > 1:
                rows.append({"data": data, "detector": detector, "key": key, **values})
    return pd.DataFrame(rows)
