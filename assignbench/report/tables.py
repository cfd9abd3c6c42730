"""Tables as the report prints them: strings in cells, one header row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis.averages import METRICS
from assignbench.analysis.intervals import LEAST_SEEDS

ONE_SEED = "†"


@dataclass(frozen=True)
class Table:
    """A caption, a header, rows of printable cells, and notes below."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as GitHub markdown."""

        def line(cells: list[str]) -> str:
            return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

        body = [line(self.header), "|" + "---|" * len(self.header), *(line(r) for r in self.rows)]
        return "\n".join([f"**{self.caption}**", "", *body, "", *(f"{n}  " for n in self.notes)])


def percent(mean: float | None, half: float | None = None, n: int = 3) -> str:
    """A share as per cent with its half-width; marked where a single value stands behind it."""
    if mean is None or np.isnan(mean):
        return "n/a"
    text = f"{100 * mean:.1f}"
    if n < 2:
        return text + ONE_SEED
    return text if half is None or np.isnan(half) else f"{text} ± {100 * half:.1f}"


def difference(mean: float | None, half: float | None, n: float) -> str:
    """A signed difference in points; below three seeds it is not resolvable and says so."""
    if mean is None or np.isnan(mean):
        return "–"
    text = f"{100 * mean:+.1f}"
    if n < 3 or half is None or np.isnan(half):
        return f"{text} (n={int(n)}: not resolvable)"
    return f"{text} ± {100 * half:.1f}"


def average_tables(averages: pd.DataFrame, methods: list[str], published: Mapping[str, Any]) -> list[Table]:
    """One table per data set and detector: a row per method, ours beside the published numbers if there are any."""
    tables = []
    for (data, detector), group in averages.groupby(["data", "detector"], sort=False):
        metrics = [m for m in METRICS if m in set(group.metric)]
        wide = {(r.method, r.metric): r for r in group.itertuples(index=False)}
        voc = ", VOC2007 11-point AP as AP07" if "AP07" in metrics else ""
        rows_of = published.get("rows", {}).get(detector, {}) if published else {}
        columns = list(published.get("metric_names", {})) if rows_of else []
        header = ["method", *metrics, f"Δ{metrics[0]}", *(f"published {c}" for c in columns)]
        rows = []
        for method in methods:
            cells = [wide.get((method, m)) for m in metrics]
            if not any(cells):
                continue
            shown = [percent(c.mean, c.half, c.n) if c else "n/a" for c in cells]
            first = cells[0]
            gain = difference(first.delta, first.delta_half, first.delta_n) if first else "–"
            theirs = [f"{rows_of[method][c]:.1f}" if method in rows_of else "–" for c in columns]
            rows.append([method, *shown, gain, *theirs])
        tables.append(
            Table(
                f"{detector} on {data}, test split: COCO AP{voc} in per cent",
                header,
                rows,
                _average_notes(group, published, rows_of),
            )
        )
    return tables


def _average_notes(group: pd.DataFrame, published: Mapping[str, Any], rows_of: Mapping[str, Any]) -> list[str]:
    notes = []
    if bool((group.n < 2).any()):
        notes.append(f"{ONE_SEED} one seed: no interval, and no verdict can rest on it.")
    gains = group[(group.metric == "AP") & (group.delta_n >= 3)]
    if len(gains):
        least = 100 * gains.delta_half.max()
        notes.append(
            f"Smallest difference in AP that this study could have resolved for every method: {least:.1f} points."
        )
    else:
        notes.append("Fewer than three seeds: this study cannot resolve any difference between methods.")
    if rows_of:
        notes.append(f"Published: {published['source']}; measured on {published['setting']}. Not subtracted from ours.")
    return notes


# Columns that hold shares and differences of shares; printed in per cent or points.
_SHARES = re.compile(
    r"(AP|AR|NR)\w*|gain|relative_gain|difference|low|high|misranking|room|share|better_share|agreement|churn|"
    r"classification|localization|both|duplicate|background|missed|disagreement|orphans_\w+|level \d+"
)


def tidy_table(caption: str, frame: pd.DataFrame, notes: list[str] | None = None) -> Table:
    """A tidy table in print: X and X_half become "X ± half", shares become per cent, numbers of seeds are kept.

    Columns without a single value are left out; a relative size of an interval is never hidden.
    """
    shown = frame.dropna(axis=1, how="all")
    paired = {c.removesuffix("_half") for c in shown.columns if c.endswith("_half")} & set(shown.columns)
    columns = [c for c in shown.columns if c.removesuffix("_half") not in paired or c in paired]
    scaled = {c for c in columns if _SHARES.fullmatch(str(c)) and pd.api.types.is_float_dtype(shown[c])}
    if "difference" in shown and "half" in shown:
        scaled.add("half")
    rows = []
    for row in shown.to_dict("records"):
        rows.append([_shown(row, c, 100.0 if c in scaled else 1.0, c in paired) for c in columns])
    told = list(notes or [])
    if scaled:
        told.append("In per cent or points: " + ", ".join(str(c) for c in columns if c in scaled) + ".")
    if "n" in columns and bool((shown.n < LEAST_SEEDS).any()):
        told.append(f"n < {LEAST_SEEDS}: no verdict can rest on it.")
    return Table(caption, [str(c).replace("_", " ") for c in columns], rows, told)


def _shown(row: Mapping[Any, Any], column: str, scale: float, paired: bool) -> str:
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    number = float(value)
    if np.isnan(number):
        return "n/a"
    if number == int(number) and (abs(number) >= 1 or number == 0) and scale == 1.0:
        return f"{number:.0f}"
    half = float(row.get(f"{column}_half", np.nan)) if paired else np.nan
    digits = 1 if scale != 1.0 or abs(number) >= 100 else 3 if column not in ("p", "p_holm") else 4
    text = f"{scale * number:.{digits}f}"
    return text if np.isnan(half) else f"{text} ± {scale * half:.{digits}f}"


def plain_table(caption: str, frame: pd.DataFrame, notes: list[str] | None = None) -> Table:
    """A table as it is: floats with three significant decimals, the rest as text."""

    def show(value: object) -> str:
        if isinstance(value, float | np.floating):
            if np.isnan(value):
                return "n/a"
            number = float(value)
            return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
        return str(value)

    rows = [[show(v) for v in row] for row in frame.itertuples(index=False)]
    return Table(caption, [str(c) for c in frame.columns], rows, notes or [])
