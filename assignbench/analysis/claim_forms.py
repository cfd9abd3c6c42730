"""The language of claims: sentences about methods, and what they ask.

METHOD is optional where it stands in brackets: then every method but the baseline is tested. A claim that says "for
every detector" is about all of them at once. `<` may stand for `>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assignbench.analysis.measures import ALIASES, MEASURES, canonical, known, unit_of_measure
from assignbench.analysis.trends import BY_IMAGE, FACTORS, unit_of_gain
from assignbench.errors import InputError, nearest

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
    "divergence predicts MEASURE",
)
_NAME = r"[\w.+-]+"  # as a study file allows it
_MEASURE = r"\w+(?:\[.+?\])?"
_NUMBER = r"\d+(?:\.\d+)?"
_EVERY = r"(?P<every> for every detector)?"
_ONE, _OTHER = rf"(?P<method>{_NAME})", rf"(?P<other>{_NAME})"
_AT, _AND_AT = rf" on (?P<detector>{_NAME})", rf" on (?P<other_detector>{_NAME})"
_ON = rf" on (?P<measure>{_MEASURE})"
_WITHIN = rf" within (?P<within>{_NUMBER})(?P<percent> ?%| per cent)?"
_OF = rf"(?: of {_ONE})?"
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("greater", rf"{_ONE} (?P<sign>[<>]) {_OTHER}{_ON}{_EVERY}"),
    ("greater", rf"{_ONE}{_AT} (?P<sign>[<>]) {_OTHER}{_AND_AT}{_ON}"),
    ("equal", rf"{_ONE} = {_OTHER}{_ON}{_WITHIN}{_EVERY}"),
    ("equal", rf"{_ONE}{_AT} = {_OTHER}{_AND_AT}{_ON}{_WITHIN}"),
    ("level", rf"(?P<measure>{_MEASURE}) of {_ONE}(?:{_AT})? (?P<sign>[<>]) (?P<bound>-?{_NUMBER}){_EVERY}"),
    ("fails", rf"{_ONE} fails{_EVERY}"),
    ("categories", rf"(?P<relative>relative )?gain{_OF} grows with (?P<factor>\w+) over categories"),
    ("trend", rf"(?P<relative>relative )?gain{_OF} grows with (?P<factor>\w+)"),
    ("gains", rf"(?P<measure>{_MEASURE}) gain{_OF} > (?P<second>{_MEASURE}) gain"),
    ("divergence", rf"divergence predicts (?P<measure>{_MEASURE})"),
)


@dataclass(frozen=True)
class Claim:
    """A parsed claim; `method` is empty where every method is meant.

    `detector` and `other_detector` are named where two detectors are compared, or a level is one's alone. `bound` is
    the number that a level is held against, `below` whether it lies under it. `relative`: gains are shares of the
    baseline's AP, as they always are by groups of images. `percent`: `within` is in per cent of the other side.
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

    @property
    def sides(self) -> list[tuple[str, str]]:
        """The detectors (empty for any) and methods that it names."""
        named = ((self.detector, self.method), (self.other_detector, self.other))
        return [(detector, method) for detector, method in named if method]


def parse(text: str, methods: Sequence[str] = (), detectors: Sequence[str] = ()) -> Claim:
    """A claim from its sentence.

    Raises InputError naming the forms, or the nearest measure, factor, method or detector (of those that are given).
    """
    sentence = " ".join(text.split())
    for kind, pattern in _PATTERNS:
        found = re.fullmatch(pattern, sentence)
        if found:
            claim = _claim(sentence, kind, {k: v for k, v in found.groupdict().items() if v})
            _check(claim, methods, detectors)
            return claim
    forms = "\n  ".join(FORMS)
    raise InputError(f"claim '{text}' has none of the known forms:\n  {forms}")


def _claim(sentence: str, kind: Kind, given: dict[str, str]) -> Claim:
    """From the parts of the sentence, with measures by their own names; "A < B" is "B > A"."""

    def name(part: str) -> str:
        return given.get(part, "")

    less = name("sign") == "<"
    method, detector, other, other_detector = map(name, ("method", "detector", "other", "other_detector"))
    if less and other:
        method, detector, other, other_detector = other, other_detector, method, detector
    return Claim(
        sentence,
        kind,
        method,
        other,
        canonical(name("measure")),
        canonical(name("second")),
        name("factor"),
        within=float(given.get("within", 0)),
        every="every" in given,
        detector=detector,
        other_detector=other_detector,
        bound=float(given.get("bound", 0)),
        below=less and kind == "level",
        relative="relative" in given or (kind == "trend" and name("factor") in BY_IMAGE),
        percent="percent" in given,
    )


def _check(claim: Claim, methods: Sequence[str], detectors: Sequence[str]) -> None:
    words = (*MEASURES, *ALIASES)
    asked = [(claim.measure, "measure", words), (claim.second, "measure", words), (claim.factor, "factor", FACTORS)]
    if methods:
        asked += [(name, "method", tuple(methods)) for _, name in claim.sides]
    if detectors:
        asked += [(name, "detector", tuple(detectors)) for name, _ in claim.sides]
    sides = claim.sides
    if len(sides) == 2 and sides[0] == sides[1]:
        raise InputError(f"claim '{claim.text}': compares '{claim.method}' with itself; name another method")
    if claim.kind == "equal" and not claim.within > 0:
        raise InputError(f"claim '{claim.text}': within {claim.within:g} leaves no room; write a bound above 0")
    for name, what, known_ones in asked:
        if name and name not in known_ones and not (what == "measure" and known(name)):
            raise InputError(f"claim '{claim.text}': unknown {what} '{name}'{nearest(name, known_ones)}")
    units = [unit_of_measure(m)[1] for m in (claim.measure, claim.second) if m]
    if claim.kind == "gains" and units[0] != units[1]:
        raise InputError(
            f"claim '{claim.text}': {' and '.join(units)} have no common unit; name two measures that have one"
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
