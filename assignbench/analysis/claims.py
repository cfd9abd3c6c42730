"""The papers' claims as data: each gets a verdict from paired differences over seeds.

Forms (METHOD is optional where it stands in brackets: then every method but the baseline is tested):

    METHOD > METHOD on MEASURE [for every detector]
    gain [of METHOD] grows with FACTOR
    MEASURE gain [of METHOD] > MEASURE gain
    divergence predicts MEASURE
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from assignbench.analysis.averages import METRICS
from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.divergence import RULES, summary_of
from assignbench.analysis.groups import (
    CROWDING,
    ELONGATION,
    FACTORS,
    PER_IMAGE,
    factor_gains,
    group_table,
    slopes_of,
)
from assignbench.analysis.nms import cell_recall, mean_recall
from assignbench.analysis.intervals import LEVEL, Interval, gains, holm, paired_p, t_interval
from assignbench.errors import InputError, nearest

Kind = Literal["greater", "trend", "gains", "divergence"]
MEASURES = (*METRICS, "NR", "spearman", *(f"AP_{name}" for name in CROWDING.names))
FORMS = (
    "METHOD > METHOD on MEASURE [for every detector]",
    "gain [of METHOD] grows with FACTOR",
    "MEASURE gain [of METHOD] > MEASURE gain",
    "divergence predicts MEASURE",
)
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("greater", r"(?P<method>[\w-]+) > (?P<other>[\w-]+) on (?P<measure>\w+)(?P<every> for every detector)?"),
    ("trend", r"gain(?: of (?P<method>[\w-]+))? grows with (?P<factor>\w+)"),
    ("gains", r"(?P<measure>\w+) gain(?: of (?P<method>[\w-]+))? > (?P<second>\w+) gain"),
    ("divergence", r"divergence predicts (?P<measure>\w+)"),
)
# LTM's groups where it has some; otherwise groups of equal size.
_GROUPINGS = {"crowdedness": CROWDING, "aspect_ratio": ELONGATION, "objects_in_image": PER_IMAGE}


@dataclass(frozen=True)
class Claim:
    """A parsed claim; `method` is empty where every method is meant."""

    text: str
    kind: Kind
    method: str = ""
    other: str = ""
    measure: str = ""
    second: str = ""
    factor: str = ""
    every: bool = False


def parse(text: str, methods: Sequence[str] = ()) -> Claim:
    """A claim from its sentence. Raises InputError naming the forms, or the nearest measure, factor or method."""
    sentence = " ".join(text.split())
    for kind, pattern in _PATTERNS:
        found = re.fullmatch(pattern, sentence)
        if found:
            given = {k: v for k, v in found.groupdict().items() if v}
            claim = Claim(sentence, kind, **{**given, "every": bool(given.pop("every", ""))})  # type: ignore[arg-type]
            _check(claim, methods)
            return claim
    forms = "\n  ".join(FORMS)
    raise InputError(f"claim '{text}' has none of the known forms:\n  {forms}")


def _check(claim: Claim, methods: Sequence[str]) -> None:
    asked = [(claim.measure, "measure", MEASURES), (claim.second, "measure", MEASURES)]
    asked += [(claim.factor, "factor", FACTORS)]
    if methods:
        asked += [(claim.method, "method", tuple(methods)), (claim.other, "method", tuple(methods))]
    for name, what, known in asked:
        if name and name not in known:
            raise InputError(f"claim '{claim.text}': unknown {what} '{name}'{nearest(name, known)}")


def measure_of(cell: CellData, measure: str) -> float:
    """One number of a cell; NaN where its records do not hold it."""
    if measure == "NR":
        recall = cell_recall(cell)
        return float("nan") if recall is None else mean_recall(recall["coverage"])
    if measure == "spearman":
        return float(summary_of(cell, RULES[0])["spearman"])
    if measure.startswith("AP_") and measure[3:] in CROWDING.names:
        place = CROWDING.place(cell.objects.crowdedness)
        return cell.group_numbers(place == CROWDING.names.index(measure[3:]))["AP"]
    value = cell.cell.summary.get(measure)
    return float("nan") if value is None else float(value)


def measured(study: StudyRecord, measure: str) -> pd.DataFrame:
    """data, detector, method, seed, value of every finished cell."""
    return pd.DataFrame([{**c.keys, "value": measure_of(c, measure)} for c in study.data()])


Effects = dict[tuple[str, str, str], list[float]]  # by data, detector, method: one effect per seed


def effects_of(claim: Claim, study: StudyRecord) -> Effects:
    """What the claim says is positive, seed by seed."""
    if claim.kind == "greater":
        return _greater(claim, study)
    if claim.kind == "trend":
        table = _trend_table(claim, study)
        return _by_method(table, "slope", claim.method)
    if claim.kind == "gains":
        first = gains(measured(study, claim.measure), study, "value")
        second = gains(measured(study, claim.second), study, "value")
        keys = ["data", "detector", "method", "seed"]
        both = first.merge(second, on=keys, suffixes=("", "_second"))
        return _by_method(both.assign(effect=both.gain - both.gain_second), "effect", claim.method)
    return _predicts(claim, study)


def _greater(claim: Claim, study: StudyRecord) -> Effects:
    table = measured(study, claim.measure)
    found: Effects = {}
    for (data, detector), group in table.groupby(["data", "detector"], sort=False):
        wide = group.pivot(index="seed", columns="method", values="value")
        if claim.method in wide and claim.other in wide:
            found[data, detector, claim.method] = (wide[claim.method] - wide[claim.other]).tolist()
    return found


def _trend_table(claim: Claim, study: StudyRecord) -> pd.DataFrame:
    """The slope of the gain over the factor's groups, one row per cell."""
    if claim.factor in _GROUPINGS:
        table = gains(group_table(study, _GROUPINGS[claim.factor]), study)
    else:
        table = factor_gains(study, claim.factor)
    return slopes_of(table)


def _by_method(table: pd.DataFrame, column: str, method: str) -> Effects:
    found: Effects = {}
    if len(table):
        for key, group in table.groupby(["data", "detector", "method"], sort=False):
            if not method or key[2] == method:
                found[key] = group[column].tolist()
    return found


def _predicts(claim: Claim, study: StudyRecord) -> Effects:
    """Spearman over the methods of a seed, at least three of them."""
    both = measured(study, "spearman").merge(
        measured(study, claim.measure), on=["data", "detector", "method", "seed"], suffixes=("", "_measure")
    )
    found: Effects = {}
    for (data, detector, _), group in both.dropna().groupby(["data", "detector", "seed"], sort=False):
        if len(group) >= 3 and group.value.nunique() > 1 and group.value_measure.nunique() > 1:
            value = float(stats.spearmanr(group.value, group.value_measure).statistic)
            found.setdefault((data, detector, "over methods"), []).append(value)
    return found


def unit_of(claim: Claim) -> tuple[float, str]:
    """By what an effect is multiplied in print, and in what it is then counted."""
    if claim.kind == "divergence":
        return 1.0, "rank correlation"
    if claim.kind == "trend":
        return 100.0, f"points per unit of {claim.factor}"
    return (1.0, "rank correlation") if claim.measure == "spearman" else (100.0, "points")


def verdict_of(interval: Interval) -> str:
    """supported, contradicted or not resolvable."""
    return {"higher": "supported", "lower": "contradicted"}.get(interval.verdict, "not resolvable")


def overall(verdicts: Sequence[str]) -> str:
    """A claim about several grids: supported by all, contradicted by any, otherwise not resolvable."""
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if verdicts and set(verdicts) == {"supported"} else "not resolvable"


@analysis(
    "claims",
    title="Verdicts on the claims",
    question="Which claims of the papers hold in this study?",
    definition=(
        "Effect: what the claim says is positive, paired by seed (a difference in points of the measure; the slope of "
        "the gain in AP over the groups of a factor; the difference of two gains; Spearman's correlation over the "
        "methods of a seed), mean over seeds with the 95 % Student-t interval. supported: the interval lies above "
        "zero; contradicted: below; not resolvable: it holds zero, or there are fewer than three seeds. corrected: the "
        "verdict if p is below 0.05 after Holm's correction over all tests of this section. A claim about several "
        "detectors, methods or data sets is supported only where every row is, and contradicted where any is. "
        "Published effects were measured on other data and are not subtracted."
    ),
)
def claims(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """One row per claim; and one per claim, data set, detector and method."""
    rows = []
    for entry in study.about.get("claims") or []:
        claim = parse(entry["claim"], study.methods)
        found = effects_of(claim, study)
        for (data, detector, method), values in found.items():
            if entry.get("data") and data not in entry["data"]:
                continue
            interval = t_interval(values)
            half = np.nan if interval.half is None else interval.half
            row: dict[str, object] = {"claim": claim.text, "data": data, "detector": detector, "method": method}
            scale, unit = unit_of(claim)
            row |= {"effect": scale * interval.mean, "half": scale * half, "unit": unit, "n": interval.n}
            row |= {"p": paired_p(values)}
            row |= {"verdict": verdict_of(interval), "published": entry.get("published") or "–"}
            rows.append({**row, "paper": entry.get("paper") or "–"})
    if not rows:
        return {}
    detail = pd.DataFrame(rows)
    detail.insert(detail.columns.get_loc("verdict"), "p_holm", holm(detail.p.tolist()))
    kept = np.where(detail.p_holm < 1 - LEVEL, detail.verdict, "not resolvable")
    detail.insert(detail.columns.get_loc("verdict") + 1, "corrected", kept)
    summary = []
    for text, group in detail.groupby("claim", sort=False):
        counts = group.verdict.value_counts()
        told = ", ".join(f"{counts[v]} {v}" for v in ("supported", "contradicted", "not resolvable") if v in counts)
        row = {"claim": text, "verdict": overall(group.verdict.tolist()), "rows": told}
        row["corrected"] = overall(group.corrected.tolist())
        summary.append({**row, "published": group.published.iloc[0], "paper": group.paper.iloc[0]})
    return {"Verdicts": pd.DataFrame(summary), "Every test behind them": detail}
