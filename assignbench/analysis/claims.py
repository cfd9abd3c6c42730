"""The papers' claims as data: each gets a verdict from paired differences over seeds.

Forms (METHOD is optional where it stands in brackets: then every method but the baseline is tested):

    METHOD > METHOD on MEASURE [for every detector]
    gain [of METHOD] grows with FACTOR
    MEASURE gain [of METHOD] > MEASURE gain
    divergence predicts MEASURE
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from assignbench.analysis.averages import METRICS
from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.divergence import JK, summary_of
from assignbench.analysis.intervals import Interval, paired_p, t_interval, with_verdicts
from assignbench.analysis.nms import cell_recall, mean_recall
from assignbench.analysis.pairs import gains
from assignbench.analysis.result import Result
from assignbench.analysis.trends import FACTORS, trend_rows
from assignbench.errors import InputError, nearest
from assignbench.measure.groups import CROWDING, ELONGATION, PER_IMAGE

Kind = Literal["greater", "trend", "gains", "divergence"]
_RECALL = re.compile(r"AR[1-9]\d{0,4}")  # at any number of detections per image and class
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
    if claim.method and claim.method == claim.other:
        raise InputError(f"claim '{claim.text}': compares '{claim.method}' with itself; name another method")
    for name, what, known in asked:
        if name and name not in known and not (what == "measure" and _RECALL.fullmatch(name)):
            raise InputError(f"claim '{claim.text}': unknown {what} '{name}'{nearest(name, known)}")


def recall_at(measure: str) -> int | None:
    """The detections per image and class at which a measure is a recall; None for any other measure."""
    return int(measure[2:]) if _RECALL.fullmatch(measure) else None


def measure_of(cell: CellData, measure: str) -> float:
    """One number of a cell; NaN where its records do not hold it."""
    if measure == "NR":
        recall = cell_recall(cell)
        return float("nan") if recall is None else mean_recall(recall["coverage"])
    if measure == "spearman":
        return float((summary_of(cell, JK) or {"spearman": float("nan")})["spearman"])
    if measure.startswith("AP_") and measure[3:] in CROWDING.names:
        place = CROWDING.place(cell.objects.crowdedness)
        return cell.group_numbers(place == CROWDING.names.index(measure[3:]))["AP"]
    value = cell.cell.summary.get(measure)
    count = recall_at(measure)
    if value is None and count is not None:
        return cell.recall(count)
    return float("nan") if value is None else float(value)


def measured(study: StudyRecord, measure: str) -> pd.DataFrame:
    """data, detector, method, seed, value of every finished cell."""
    return pd.DataFrame([{**c.keys, "value": measure_of(c, measure)} for c in study.data()])


@dataclass(frozen=True)
class Effect:
    """What a claim says is positive, for one method at one data set and detector, with its interval and p."""

    data: str
    detector: str
    method: str
    baseline: str
    pair: str
    interval: Interval
    p: float


def effects_of(claim: Claim, study: StudyRecord) -> list[Effect]:
    """What the claim says is positive, for every method that it is about."""
    found = _EFFECTS[claim.kind](claim, study)
    wanted = claim.method if claim.kind in ("trend", "gains") else ""
    return [e for e in found if not wanted or e.method == wanted]


def _over_seeds(values: Sequence[float]) -> tuple[Interval, float]:
    return t_interval(values), paired_p(values)


def _greater(claim: Claim, study: StudyRecord) -> list[Effect]:
    found = []
    for (data, detector), group in measured(study, claim.measure).groupby(["data", "detector"], sort=False):
        wide = group.pivot(index="seed", columns="method", values="value")
        if claim.method in wide and claim.other in wide:
            pair = study.pair(claim.method, claim.other, (str(data), str(detector)))
            told = _over_seeds((wide[claim.method] - wide[claim.other]).tolist())
            found.append(Effect(str(data), str(detector), claim.method, claim.other, pair, *told))
    return found


def _trend(claim: Claim, study: StudyRecord) -> list[Effect]:
    """The slope of the gain over the factor's groups, for other seeds and other images."""
    table = trend_rows(study, claim.factor, _GROUPINGS.get(claim.factor))
    return [
        Effect(
            r.data,
            r.detector,
            r.method,
            r.baseline,
            r.pair,
            Interval(r.slope, None if np.isnan(r.half) else r.half, r.n),
            r.p,
        )
        for r in table.itertuples()
    ]


def _difference_of_gains(claim: Claim, study: StudyRecord) -> list[Effect]:
    first = gains(measured(study, claim.measure), study, "value")
    second = gains(measured(study, claim.second), study, "value")
    keys = ["data", "detector", "method", "baseline", "pair"]
    both = first.merge(second[[*keys, "seed", "gain"]], on=[*keys, "seed"], suffixes=("", "_second"))
    both = both.assign(effect=both.gain - both.gain_second)
    found = []
    for key, group in both.groupby(keys, sort=False):
        data, detector, method, baseline, pair = (str(k) for k in key)
        found.append(Effect(data, detector, method, baseline, pair, *_over_seeds(group.effect.tolist())))
    return found


def _predicts(claim: Claim, study: StudyRecord) -> list[Effect]:
    """Spearman over the methods of a seed, at least three of them."""
    both = measured(study, "spearman").merge(
        measured(study, claim.measure), on=["data", "detector", "method", "seed"], suffixes=("", "_measure")
    )
    values: dict[tuple[str, str], list[float]] = {}
    for (data, detector, _), group in both.dropna().groupby(["data", "detector", "seed"], sort=False):
        if len(group) >= 3 and group.value.nunique() > 1 and group.value_measure.nunique() > 1:
            from scipy import stats  # takes a second to load

            value = float(stats.spearmanr(group.value, group.value_measure).statistic)
            values.setdefault((data, detector), []).append(value)
    return [Effect(*key, "over methods", "", "", *_over_seeds(v)) for key, v in values.items()]


_EFFECTS: dict[Kind, Callable[[Claim, StudyRecord], list[Effect]]] = {
    "greater": _greater,
    "trend": _trend,
    "gains": _difference_of_gains,
    "divergence": _predicts,
}


def unit_of(claim: Claim) -> tuple[float, str]:
    """By what an effect is multiplied in print, and in what it is then counted."""
    if claim.kind == "divergence":
        return 1.0, "rank correlation"
    if claim.kind == "trend":
        return 100.0, f"points per unit of {claim.factor}"
    return (1.0, "rank correlation") if claim.measure == "spearman" else (100.0, "points")


WORDS = {"higher": "supported", "lower": "contradicted", "not resolvable": "not resolvable"}
NOT_TESTABLE = "not testable"


def overall(verdicts: Sequence[str]) -> str:
    """A claim about several grids: supported by all, contradicted by any, otherwise not resolvable."""
    if not verdicts:
        return NOT_TESTABLE
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if set(verdicts) == {"supported"} else "not resolvable"


@analysis(
    "claims",
    title="Verdicts on the claims",
    question="Which claims of the papers hold in this study?",
    definition=(
        "Effect: what the claim says is positive, paired by seed (a difference in points of the measure; the slope of "
        "the gain in AP over the groups of a factor; the difference of two gains; Spearman's correlation over the "
        "methods of a seed), mean over seeds with the 95 % Student-t interval; a slope's interval also speaks for "
        "other test images. supported and contradicted: p below 0.05 after Holm's correction over all tests of this "
        "section, and the sign of the effect; not resolvable: otherwise, or with fewer than three seeds; not testable: "
        "the study's finished cells hold nothing to test it on. A claim about several detectors, methods or data sets "
        "is supported only where every row is, and contradicted where any is. pair: 'assigner' where method and "
        "baseline differ in nothing else, 'recipe' where losses, NMS or other parts differ too. Published effects were "
        "measured on other data and are not subtracted."
    ),
)
def claims(study: StudyRecord) -> list[Result]:
    """One row per claim; and one per claim, data set, detector and method."""
    entries = study.about.get("claims") or []
    detail = tests_of(entries, study)
    summary = []
    for entry in entries:
        text = " ".join(entry["claim"].split())
        mine = detail[(detail.claim == text) & (detail.data.isin(entry.get("data") or detail.data))]
        counts = mine.verdict.value_counts()
        told = ", ".join(f"{counts[v]} {v}" for v in WORDS.values() if v in counts)
        row = {"claim": text, "verdict": overall(mine.verdict.tolist()), "rows": told or "no pair of finished cells"}
        row["pair"] = ", ".join(dict.fromkeys(p for p in mine.pair if p))
        summary.append({**row, "published": entry.get("published") or "–", "paper": entry.get("paper") or "–"})
    if not summary:
        return []
    return [
        Result("claims", "Verdicts", pd.DataFrame(summary)),
        Result("claims.tests", "Every test behind them", detail),
    ]


COLUMNS = ["claim", "data", "detector", "method", "baseline", "pair", "effect", "half", "unit", "n", "p"]


def tests_of(entries: Sequence[dict[str, Any]], study: StudyRecord) -> pd.DataFrame:
    """Every test behind the claims, one family: the verdict of each is the corrected one."""
    rows = []
    for entry in entries:
        claim = parse(entry["claim"], study.methods)
        scale, unit = unit_of(claim)
        for one in effects_of(claim, study):
            if entry.get("data") and one.data not in entry["data"]:
                continue
            row: dict[str, object] = {"claim": claim.text, "data": one.data, "detector": one.detector}
            row |= {"method": one.method, "baseline": one.baseline, "pair": one.pair}
            row |= {"effect": scale * one.interval.mean, "half": scale * one.interval.half_or_nan, "unit": unit}
            row |= {"n": one.interval.n, "p": one.p, "published": entry.get("published") or "–"}
            rows.append({**row, "paper": entry.get("paper") or "–"})
    table = pd.DataFrame(rows, columns=[*COLUMNS, "published", "paper"])
    judged = with_verdicts(table, "effect").assign(verdict=lambda t: t.verdict.map(WORDS))
    return judged[[*COLUMNS, "p_holm", "verdict", "published", "paper"]]
