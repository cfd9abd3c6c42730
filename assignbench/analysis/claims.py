"""The papers' claims as data: each gets a verdict from paired differences over seeds (`claim_forms` has the language).

A claim that says "for every detector" is one test: it holds only if it holds everywhere (intersection-union). Any other
claim is as many tests as it has data sets, detectors and methods. What cannot be tested is a row with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.claim_forms import Claim, parse, unit_of
from assignbench.analysis.claim_tests import Tested, tests_of
from assignbench.analysis.claim_values import value_notes, values_told
from assignbench.analysis.estimates import ALPHA, LEAST_SEEDS
from assignbench.analysis.places import reasons_told
from assignbench.analysis.power import smallest_values_told
from assignbench.analysis.result import Result
from assignbench.analysis.verdicts import HIGHER, LOWER, NOT_TESTABLE, OPEN, holm

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
        "Value: what the claim says is positive, paired by seed (a difference in the unit of the measure; the room "
        "below the bound of an equality; the distance of a level from its number; the slope of the gain over the "
        "groups of a factor, or over categories; the difference of two gains; Spearman's correlation over methods), "
        "with the 95 % interval for the population that is named. values: that of every test with its place (of an "
        "equality the difference, of a level the measure itself), of a slope also the gains by group that make it and "
        "where one goes against it. supported and contradicted: p below 0.05 after "
        "Holm's correction over all tests on the claims of one paper, and the sign of the value; not resolvable: "
        "otherwise, or with fewer than three seeds; not testable: the study's finished cells hold nothing to test it "
        "on, for the reason given. An equality is tested by two one-sided tests. A method fails where its AP lies "
        "below 1 point; a training that diverged has an AP of 0. detectable: the smallest true value that such a study "
        "resolves in 80 % of its runs, before correction; of an equality, the smallest bound that it confirms in 80 % "
        "where there is no difference. A claim about every detector is one test and holds only if it holds at each. "
        "Any other claim is supported where all its tests are, supported in part where some are and none contradicts "
        "it, mixed where some do, contradicted where some do and none supports it. pair: 'assigner' where method and "
        "baseline differ in nothing else, 'recipe' where losses, NMS or other parts differ too, 'detector' where two "
        "detectors are compared. Published effects were measured on other data and are not subtracted."
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
            "values": values_told(mine, parse(entry["claim"]).kind, detail),
        }
        row["pair"] = ", ".join(dict.fromkeys(p for p in mine.pair if p)) or "–"
        row["reason"] = why_open(mine, detail) or "–"
        summary.append({**row, "published": entry.get("published") or "–", "paper": entry.get("paper") or "–"})
    smallest = smallest_values_told(detail)
    return [
        Result("claims", "Verdicts", pd.DataFrame(summary), notes=(*value_notes(detail), *smallest)),
        Result("claims.tests", "Every test behind them", detail[SHOWN], notes=smallest),
        Result("claims.p", "The p values behind them", detail[["paper", *KEYS, "n", "p", "p_holm"]], role="appendix"),
    ]


def why_open(tests: pd.DataFrame, among: pd.DataFrame | None = None) -> str:
    """Why some of a claim's tests (of the table `among`) have no verdict, with their places; "" where all have one.

    Where other places have one, it is said that these have none.
    """
    lost = tests.verdict == NOT_TESTABLE
    stem = NOT_TESTABLE if lost.any() and not lost.all() else ""
    others = reasons_told(tests[~lost], tests, among=among)
    return "; ".join(filter(None, (others, reasons_told(tests[lost], tests, stem, among=among))))


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
            if row["verdict"] == OPEN and row["n"] < LEAST_SEEDS:
                row["untestable"] = f"n = {row['n']}: a verdict needs {LEAST_SEEDS} seeds"
    table = pd.DataFrame(rows)
    words = table.groupby("number").verdict.agg(lambda v: overall(v.tolist()))
    return table.assign(claim_verdict=table.number.map(words)).rename(columns={"untestable": "reason"})
