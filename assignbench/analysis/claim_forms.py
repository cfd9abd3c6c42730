"""The language of claims: sentences about methods, and what they ask.

METHOD is optional where it stands in brackets: then every method but the baseline is tested. A claim that says "for
every detector" is about all of them at once. `<` may stand for `>`. A gain is over the method's baseline, or "over"
another method that it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assignbench.analysis.claim_checks import check_claim
from assignbench.analysis.claim_spellings import respelt
from assignbench.analysis.measures import canonical, unit_of_measure
from assignbench.analysis.trends import BY_IMAGE, unit_of_gain
from assignbench.errors import InputError

Kind = Literal["greater", "equal", "level", "fails", "trend", "categories", "gains", "divergence"]
FORMS = (
    "METHOD > METHOD on MEASURE [for every detector]",
    "METHOD on DETECTOR > METHOD on DETECTOR on MEASURE",
    "METHOD = METHOD on MEASURE within NUMBER [%] [for every detector]",
    "METHOD on DETECTOR = METHOD on DETECTOR on MEASURE within NUMBER [%]",
    "MEASURE of METHOD [on DETECTOR] > NUMBER [for every detector]",
    "METHOD fails [for every detector]",
    "[relative] gain [of METHOD] grows with FACTOR [over categories]",
    "MEASURE gain [of METHOD] > MEASURE gain",
    "MEASURE gain of METHOD over METHOD > MEASURE gain [of METHOD over METHOD]",
    "divergence predicts MEASURE",
)
_NAME = r"[\w.+-]+"  # as a study file allows it
_MEASURE = r"\w+(?:\[.+?\])?"
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_EVERY = r"(?P<every> (?:for|on|at) (?:(?:every|each) detector|all detectors))?"
_ONE, _OTHER = rf"(?P<method>{_NAME})", rf"(?P<other>{_NAME})"
_AT, _AND_AT = rf" on (?P<detector>{_NAME})", rf" on (?P<other_detector>{_NAME})"
_ON = rf" on (?P<measure>{_MEASURE})"
_WITHIN = rf" within (?P<within>[+-]?{_NUMBER})(?P<percent> ?%| ?per ?cent)?"
_SIGN, _EQUALS = r" ?(?P<sign>[<>]) ?", " ?= ?"
_OF = rf"(?: of {_ONE})?"
_OVER = rf"(?: of {_ONE}(?: over {_OTHER})?)?"
_AND_OVER = rf"(?: of (?P<second_method>{_NAME})(?: over (?P<second_other>{_NAME}))?)?"
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("greater", rf"{_ONE}{_SIGN}{_OTHER}{_ON}{_EVERY}"),
    ("greater", rf"{_ONE}{_AT}{_SIGN}{_OTHER}{_AND_AT}{_ON}"),
    ("equal", rf"{_ONE}{_EQUALS}{_OTHER}{_ON}{_WITHIN}{_EVERY}"),
    ("equal", rf"{_ONE}{_AT}{_EQUALS}{_OTHER}{_AND_AT}{_ON}{_WITHIN}"),
    ("level", rf"(?P<measure>{_MEASURE}) of {_ONE}(?:{_AT})?{_SIGN}(?P<bound>[+-]?{_NUMBER}){_EVERY}"),
    ("fails", rf"{_ONE} fails{_EVERY}"),
    ("categories", rf"(?P<relative>relative )?gain{_OF} grows with (?P<factor>\w+) over categories"),
    ("trend", rf"(?P<relative>relative )?gain{_OF} grows with (?P<factor>\w+)"),
    ("gains", rf"(?P<measure>{_MEASURE}) gain{_OVER}{_SIGN}(?P<second>{_MEASURE}) gain{_AND_OVER}"),
    ("divergence", rf"divergence predicts (?P<measure>{_MEASURE})"),
)


@dataclass(frozen=True)
class Claim:
    """A parsed claim; `method` is empty where every method is meant.

    `detector` and `other_detector` are named where two detectors are compared, or a level is one's alone. `bound` is
    the number that a level is held against, `below` whether it lies under it. `relative`: gains are shares of the
    baseline's AP, as they always are by groups of images. `percent`: `within` is in per cent of the other side. A gain
    is over `other` where that is named, and is held against that of `second_method` over `second_other` where these
    are; else both gains are of one pair.
    """

    text: str
    kind: Kind
    method: str = ""
    other: str = ""
    measure: str = ""
    second: str = ""
    factor: str = ""
    within: float = 0.0
    every: bool = False
    detector: str = ""
    other_detector: str = ""
    bound: float = 0.0
    below: bool = False
    relative: bool = False
    percent: bool = False
    second_method: str = ""
    second_other: str = ""

    @property
    def sides(self) -> list[tuple[str, str]]:
        """The detectors (empty for any) and methods that it names."""
        named = ((self.detector, self.method), (self.other_detector, self.other))
        return [(d, m) for d, m in (*named, ("", self.second_method), ("", self.second_other)) if m]


def parse(text: str, methods: Sequence[str] = (), detectors: Sequence[str] = ()) -> Claim:
    """A claim from its sentence.

    Raises InputError naming the forms, or how a sentence that is nearly of one is written; the nearest measure, factor,
    method or detector (of those that are given); and why a claim can never be tested.
    """
    sentence = " ".join(text.split())
    claim = _read(sentence)
    if claim is None:
        forms = "\n  ".join(FORMS)
        written = respelt(sentence)
        told = f"; write '{written}'" if _read(written) is not None else f":\n  {forms}"
        raise InputError(f"claim '{text}' has none of the known forms{told}")
    check_claim(claim, methods, detectors)
    return claim


def _read(sentence: str) -> Claim | None:
    """The claim of the first form that a sentence has, unchecked; None where it has none."""
    for kind, pattern in _PATTERNS:
        found = re.fullmatch(pattern, sentence)
        if found:
            return _claim(sentence, kind, {k: v for k, v in found.groupdict().items() if v})
    return None


def _claim(sentence: str, kind: Kind, given: dict[str, str]) -> Claim:
    """From the parts of the sentence, with measures by their own names; "A < B" is "B > A"."""

    def names(*parts: str) -> list[str]:
        return [given.get(part, "") for part in parts]

    less = given.get("sign") == "<"
    method, detector, other, other_detector = names("method", "detector", "other", "other_detector")
    measure, second = map(canonical, names("measure", "second"))
    second_method, second_other = names("second_method", "second_other")
    if kind == "gains":
        if (second_method, second_other) in ((method, other), (method, "")):  # said twice
            second_method = second_other = ""
        if less:
            measure, second = second, measure
        if less and second_method:
            method, other, second_method, second_other = second_method, second_other, method, other
    elif less and other:
        method, detector, other, other_detector = other, other_detector, method, detector
    (factor,) = names("factor")
    return Claim(
        sentence,
        kind,
        method,
        other,
        measure,
        second,
        factor,
        within=float(given.get("within", 0)),
        every="every" in given,
        detector=detector,
        other_detector=other_detector,
        bound=float(given.get("bound", 0)),
        below=less and kind == "level",
        relative="relative" in given or (kind == "trend" and factor in BY_IMAGE),
        percent="percent" in given,
        second_method=second_method,
        second_other=second_other,
    )


def unit_of(claim: Claim) -> tuple[float, str]:
    """By what a value is multiplied in print, and in what it is then counted."""
    if claim.kind == "divergence":
        return 1.0, "rank correlation"
    if claim.factor:
        return 100.0, f"{unit_of_gain(claim.factor, relative=claim.relative)} per unit of {claim.factor}"
    if claim.percent:
        return 100.0, "per cent of the other"
    return unit_of_measure(claim.measure)


def grouped_factor(claim: Claim) -> str:
    """The factor of a trend whose gains by group the tables by that factor print too; "" for any other claim."""
    ours = claim.kind == "trend" and claim.relative == (claim.factor in BY_IMAGE)
    return claim.factor if ours else ""
