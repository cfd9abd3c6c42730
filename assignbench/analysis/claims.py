"""The papers' claims as data: each gets a verdict from paired differences over seeds.

Forms (METHOD is optional where it stands in brackets: then every method but the baseline is tested):

    METHOD > METHOD on MEASURE [for every detector]
    METHOD = METHOD on MEASURE within NUMBER [for every detector]
    gain [of METHOD] grows with FACTOR
    MEASURE gain [of METHOD] > MEASURE gain
    divergence predicts MEASURE

A claim that says "for every detector" is one test: it holds only if it holds everywhere (intersection-union). Any other
claim is as many tests as it has data sets, detectors and methods. What cannot be tested is a row with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.estimates import ALPHA, Estimate, less
from assignbench.analysis.measures import MEASURES, known
from assignbench.analysis.pairs import Pair, estimated, over_pairs, pair_of, pairs_of
from assignbench.analysis.power import smallest_values_told
from assignbench.analysis.prediction import predictions
from assignbench.analysis.result import Result
from assignbench.analysis.trends import FACTORS, trends, unit_of_gain
from assignbench.analysis.verdicts import HIGHER, LOWER, NOT_TESTABLE, OPEN, holm
from assignbench.errors import InputError, nearest

Kind = Literal["greater", "equal", "trend", "gains", "divergence"]
FORMS = (
    "METHOD > METHOD on MEASURE [for every detector]",
    "METHOD = METHOD on MEASURE within NUMBER [for every detector]",
    "gain [of METHOD] grows with FACTOR",
    "MEASURE gain [of METHOD] > MEASURE gain",
    "divergence predicts MEASURE",
)
_NAME = r"[\w.+-]+"  # as a study file allows it
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("greater", rf"(?P<method>{_NAME}) > (?P<other>{_NAME}) on (?P<measure>\w+)(?P<every> for every detector)?"),
    (
        "equal",
        rf"(?P<method>{_NAME}) = (?P<other>{_NAME}) on (?P<measure>\w+) within (?P<within>\d+(?:\.\d+)?)"
        r"(?P<every> for every detector)?",
    ),
    ("trend", rf"gain(?: of (?P<method>{_NAME}))? grows with (?P<factor>\w+)"),
    ("gains", rf"(?P<measure>\w+) gain(?: of (?P<method>{_NAME}))? > (?P<second>\w+) gain"),
    ("divergence", r"divergence predicts (?P<measure>\w+)"),
)


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
    within: float = 0.0
    every: bool = False


def parse(text: str, methods: Sequence[str] = ()) -> Claim:
    """A claim from its sentence. Raises InputError naming the forms, or the nearest measure, factor or method."""
    sentence = " ".join(text.split())
    for kind, pattern in _PATTERNS:
        found = re.fullmatch(pattern, sentence)
        if found:
            given = {k: v for k, v in found.groupdict().items() if v}
            every, within = bool(given.pop("every", "")), float(given.pop("within", "0"))
            claim = Claim(sentence, kind, **given, every=every, within=within)
            _check(claim, methods)
            return claim
    forms = "\n  ".join(FORMS)
    raise InputError(f"claim '{text}' has none of the known forms:\n  {forms}")


def _check(claim: Claim, methods: Sequence[str]) -> None:
    asked = [(claim.measure, "measure", tuple(MEASURES)), (claim.second, "measure", tuple(MEASURES))]
    asked += [(claim.factor, "factor", FACTORS)]
    if methods:
        asked += [(claim.method, "method", tuple(methods)), (claim.other, "method", tuple(methods))]
    if claim.method and claim.method == claim.other:
        raise InputError(f"claim '{claim.text}': compares '{claim.method}' with itself; name another method")
    if claim.kind == "equal" and not claim.within > 0:
        raise InputError(f"claim '{claim.text}': within {claim.within:g} leaves no room; write a bound above 0")
    if claim.kind == "gains" and (claim.measure == "spearman") != (claim.second == "spearman"):
        raise InputError(
            f"claim '{claim.text}': a rank correlation and points have no common unit; name other measures"
        )
    for name, what, words in asked:
        if name and name not in words and not (what == "measure" and known(name)):
            raise InputError(f"claim '{claim.text}': unknown {what} '{name}'{nearest(name, words)}")


@dataclass(frozen=True)
class Tested:
    """One test of a claim: `value` is positive where the claim holds, `p` two-sided; or `untestable` says why not."""

    data: str
    detector: str
    method: str
    baseline: str
    pair: str
    value: float = float("nan")
    half: float = float("nan")
    n: int = 0
    population: str = ""
    p: float = float("nan")
    detail: str = ""
    detectable: float = float("nan")
    untestable: str = ""


def tests_of(claim: Claim, study: StudyRecord) -> list[Tested]:
    """Every test of a claim; at least one, which then says why nothing can be tested."""
    found = _TESTS[claim.kind](claim, study)
    return found or [Tested("", "", claim.method, claim.other, "", untestable=_nowhere(claim, study))]


def _nowhere(claim: Claim, study: StudyRecord) -> str:
    """Why a claim meets nothing in the study."""
    absent = [m for m in (claim.method, claim.other) if m and m not in study.methods]
    if absent:
        return "; ".join(f"{m} has no cell in the study" for m in absent)
    if claim.other:
        return f"{claim.method} and {claim.other} never meet on one data set and detector"
    if claim.method:
        return f"{claim.method} is compared with nothing: it is the baseline itself"
    return "no method of the study is compared with another one"


def _told(pair: Pair, estimate: Estimate, p: float, detail: str = "", missing: str = "") -> Tested:
    reason = (
        pair.untestable
        or missing
        or ("" if np.isfinite(estimate.mean) else "the records do not hold it, or nothing counts for it")
    )
    numbers = (estimate.mean, estimate.half, estimate.n, estimate.population if estimate.n else "")
    told = Tested(pair.data, pair.detector, pair.method, pair.baseline, pair.kind, *numbers, p, detail)
    return replace(told, detectable=estimate.detectable, untestable=reason)


def _asked(claim: Claim, study: StudyRecord) -> list[Pair]:
    """The pairs of a claim that names two methods, wherever the study has both."""
    places = [p for p in study.places if {claim.method, claim.other} <= set(study.present_at(p))]
    return [pair_of(study, claim.method, claim.other, p) for p in places]


def _greater(claim: Claim, study: StudyRecord) -> list[Tested]:
    pairs = _asked(claim, study)
    found = estimated(pairs, claim.measure, beside=pairs_of(study))
    return [_told(p, e, e.p) for p, e in zip(pairs, found, strict=True)]


def _equal(claim: Claim, study: StudyRecord) -> list[Tested]:
    """Two one-sided tests of a difference within the bound, or one of a difference beyond it, at 5 % together.

    The value is the room that the difference leaves below the bound; its p is doubled, so that it reads as all others.
    """
    scale = unit_of(claim)[0]
    pairs, bound, tests = _asked(claim, study), claim.within / scale, []
    for pair, e in zip(pairs, estimated(pairs, claim.measure, beside=pairs_of(study)), strict=True):
        one_sided = e.p_within(bound) if abs(e.mean) < bound else e.p_beyond(bound)
        detail = f"difference {scale * e.mean:+.1f} ± {scale * e.half:.1f}"
        test = _told(pair, e, min(1.0, 2 * one_sided), detail)
        tests.append(replace(test, value=bound - abs(e.mean), detectable=e.confirmable))
    return tests


def _trend(claim: Claim, study: StudyRecord) -> list[Tested]:
    """The slope of the gain over the factor's groups."""
    told = trends(pairs_of(study), claim.factor)
    return [_told(p, e, e.p, s.detail, s.untestable) for p, s, e in told if claim.method in ("", p.method)]


def _gains(claim: Claim, study: StudyRecord) -> list[Tested]:
    """The gain in one measure less the gain in another one."""
    pairs = pairs_of(study)
    samples = [less(p.measured(claim.measure), p.measured(claim.second)) for p in pairs]
    told = zip(pairs, over_pairs(pairs, samples), strict=True)
    return [_told(p, e, e.p) for p, e in told if claim.method in ("", p.method)]


def _predicts(claim: Claim, study: StudyRecord) -> list[Tested]:
    """Spearman's correlation over methods, each the mean of its seeds: they are the units, not the cells."""
    return [
        Tested(f.data, f.detector, "over methods", "", "", f.correlation, n=f.methods, p=f.p, untestable=f.untestable)
        for f in predictions(study, claim.measure)
    ]


_TESTS: dict[Kind, Callable[[Claim, StudyRecord], list[Tested]]] = {
    "greater": _greater,
    "equal": _equal,
    "trend": _trend,
    "gains": _gains,
    "divergence": _predicts,
}


def unit_of(claim: Claim) -> tuple[float, str]:
    """By what a value is multiplied in print, and in what it is then counted."""
    if claim.kind == "divergence":
        return 1.0, "rank correlation"
    if claim.kind == "trend":
        return 100.0, f"{unit_of_gain(claim.factor)} per unit of {claim.factor}"
    return (1.0, "rank correlation") if claim.measure == "spearman" else (100.0, "points")


SUPPORTED, CONTRADICTED = "supported", "contradicted"
PARTLY, MIXED = "supported in part", "mixed"
WORDS = {HIGHER: SUPPORTED, LOWER: CONTRADICTED, OPEN: OPEN, NOT_TESTABLE: NOT_TESTABLE}


def overall(verdicts: Sequence[str]) -> str:
    """A claim's word from those of its tests: the one that all of them have, or how they differ.

    "supported in part": by some tests, and by the others neither supported nor contradicted, whether they resolve
    nothing or cannot be made; "mixed": supported by some and contradicted by others. One contradiction is enough
    where nothing supports the claim.
    """
    told = set(verdicts)
    if len(told) == 1:
        return verdicts[0]
    if {SUPPORTED, CONTRADICTED} <= told:
        return MIXED
    if CONTRADICTED in told:
        return CONTRADICTED
    if SUPPORTED in told:
        return PARTLY
    return OPEN if OPEN in told else NOT_TESTABLE


def everywhere(tests: Sequence[Tested]) -> tuple[float, str]:
    """p and direction of a claim about every detector.

    It holds only if it holds everywhere: the largest p decides, and needs no correction; one place where it cannot be
    tested leaves it open ("not testable"). It is contradicted by a single place: the smallest p of those against it,
    times the number of places. A p of NaN (fewer than three seeds) speaks neither for nor against.
    """
    tested = [t for t in tests if not t.untestable]
    against = [t.p for t in tested if t.value < 0]
    known = [p for p in against if np.isfinite(p)]
    p = min(1.0, len(tested) * min(known)) if known else float("nan")
    if p < ALPHA or (against and len(tested) == len(tests)):
        return p, LOWER
    if len(tested) < len(tests):
        return float("nan"), NOT_TESTABLE
    return float(np.max([t.p for t in tested])), HIGHER


@analysis(
    "claims",
    title="Verdicts on the claims",
    question="Which claims of the papers hold in this study?",
    definition=(
        "Value: what the claim says is positive, paired by seed (a difference in points of the measure; the room below "
        "the bound of an equality; the slope of the gain over the groups of a factor; the difference of two gains; "
        "Spearman's correlation over methods), with the 95 % interval for the population that is named. supported and "
        "contradicted: p below 0.05 after Holm's correction over all tests on the claims of one paper, and the sign of "
        "the value; not resolvable: otherwise, or with fewer than three seeds; not testable: the study's finished "
        "cells hold nothing to test it on, for the reason given. An equality is tested by two one-sided tests. "
        "detectable: the smallest true value that such a study resolves in 80 % of its runs, before correction; of an "
        "equality, the smallest bound that it confirms in 80 % where there is no difference. A claim "
        "about every detector is one test and holds only if it holds at each. Any other claim is supported where all "
        "its tests are, supported in part where some are and none contradicts it, mixed where some do, contradicted "
        "where some do and none supports it. pair: "
        "'assigner' where method and baseline differ in nothing else, 'recipe' where losses, NMS or other parts "
        "differ too. Published effects were measured on other data and are not subtracted."
    ),
)
def claims(study: StudyRecord) -> list[Result]:
    """One row per claim; one per claim, data set, detector and method; and the p values behind."""
    entries = study.about.get("claims") or []
    if not entries:
        return []
    detail = judged(entries, study)
    summary = []
    for number, entry in enumerate(entries):
        mine = detail[detail.number == number]
        counts = mine.verdict.value_counts()
        words = mine.claim_verdict.tolist()
        row = {
            "claim": mine.claim.iloc[0],
            "verdict": words[0],
            "tests": ", ".join(f"{n} {v}" for v, n in counts.items()),
        }
        row["pair"] = ", ".join(dict.fromkeys(p for p in mine.pair if p)) or "–"
        row["reason"] = "; ".join(dict.fromkeys(r for r in mine.reason if r)) or "–"
        summary.append({**row, "published": entry.get("published") or "–", "paper": entry.get("paper") or "–"})
    return [
        Result("claims", "Verdicts", pd.DataFrame(summary)),
        Result("claims.tests", "Every test behind them", detail[SHOWN], notes=smallest_values_told(detail)),
        Result("claims.p", "The p values behind them", detail[["paper", *KEYS, "n", "p", "p_holm"]], role="appendix"),
    ]


KEYS = ["claim", "data", "detector", "method", "baseline"]
SHOWN = [*KEYS, "pair", "value", "half", "unit", "n", "population", "detectable", "verdict", "detail", "reason"]


@dataclass
class _Unit:
    """What is corrected: a test, or a whole claim about every detector. `rows` are the places of its tests."""

    family: str
    p: float
    way: str
    rows: range


def judged(entries: Sequence[Mapping[str, Any]], study: StudyRecord) -> pd.DataFrame:
    """Every test behind the claims with its verdict; the claims of one paper are one family."""
    rows: list[dict[str, Any]] = []
    units: list[_Unit] = []
    for number, entry in enumerate(entries):
        claim = parse(entry["claim"])
        wanted = entry.get("data")
        tests = [t for t in tests_of(claim, study) if not wanted or not t.data or t.data in wanted]
        tests = tests or [Tested("", "", claim.method, claim.other, "", untestable="nothing of it on these data sets")]
        paper = entry.get("paper") or "–"
        told = {"number": number, "claim": claim.text, "paper": paper, "unit": unit_of(claim)[1]}
        units += _units(claim, tests, family_of(paper), len(rows))
        for test in tests:
            row = asdict(test)
            row |= {name: unit_of(claim)[0] * row[name] for name in ("value", "half", "detectable")}
            rows.append({**told, **row})
    return _corrected(rows, units)


def family_of(paper: str) -> str:
    """The paper itself, without table and section: its claims are one question."""
    return paper.split(",", maxsplit=1)[0].strip()


def _units(claim: Claim, tests: Sequence[Tested], family: str, first: int) -> list[_Unit]:
    """What a claim adds to its family; `first` is the row of its first test."""
    if claim.every:
        return [_Unit(family, *everywhere(tests), range(first, first + len(tests)))]
    ways = [NOT_TESTABLE if t.untestable else HIGHER if t.value > 0 else LOWER for t in tests]
    return [
        _Unit(family, t.p, w, range(first + k, first + k + 1)) for k, (t, w) in enumerate(zip(tests, ways, strict=True))
    ]


ELSEWHERE = "not testable at another detector, and the claim is about every one"


def _corrected(rows: list[dict[str, Any]], units: list[_Unit]) -> pd.DataFrame:
    """The tests with p_holm, verdict, claim_verdict (of all of them) and the reason where there is none."""
    testable = [u for u in units if u.way != NOT_TESTABLE]
    corrected: dict[int, float] = {}
    for family in dict.fromkeys(u.family for u in testable):
        members = [u for u in testable if u.family == family]
        corrected |= {id(u): float(p) for u, p in zip(members, holm([u.p for u in members]), strict=True)}
    for unit in units:
        p = corrected.get(id(unit), float("nan"))
        word = WORDS[NOT_TESTABLE if unit.way == NOT_TESTABLE else unit.way if p < ALPHA else OPEN]
        for row in (rows[k] for k in unit.rows):
            if word == NOT_TESTABLE and not row["untestable"]:
                row["untestable"] = ELSEWHERE
            row |= {"p_holm": p, "verdict": NOT_TESTABLE if row["untestable"] else word}
    table = pd.DataFrame(rows)
    words = table.groupby("number").verdict.agg(lambda v: overall(v.tolist()))
    return table.assign(claim_verdict=table.number.map(words)).rename(columns={"untestable": "reason"})
