"""What is wrong with a claim that has one of the forms: unknown names, and what can never be tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assignbench.analysis.measures import ALIASES, MEASURES, known, unit_of_measure
from assignbench.analysis.trends import FACTORS
from assignbench.errors import InputError, nearest

if TYPE_CHECKING:
    from assignbench.analysis.claim_forms import Claim

# Between what a measure lies, by what it is counted in; costs have no highest value.
_RANGES: dict[str, tuple[float, float]] = {
    "points": (0.0, 100.0),
    "rank correlation": (-1.0, 1.0),
    "IoU": (0.0, 1.0),
    "per cent of objects": (0.0, 100.0),
    "per cent of positives": (0.0, 100.0),
}


def check_claim(claim: Claim, methods: Sequence[str] = (), detectors: Sequence[str] = ()) -> None:
    """Raises InputError, with the claim and the way out, for an unknown measure, factor, method or detector (of those
    that are given), and for a claim that no records could tell of, or that is true or false whatever they are.
    """
    for told in (
        _unknown(claim, methods, detectors),
        _half_said(claim),
        _of_itself(claim),
        _without_unit(claim),
        _beyond_range(claim),
        _wide(claim),
    ):
        if told:
            raise InputError(f"claim '{claim.text}': {told}")


def range_of(measure: str) -> tuple[float, float]:
    """Between what values of a measure lie, as they are printed; infinity where there is no highest one."""
    return _RANGES.get(unit_of_measure(measure)[1], (0.0, math.inf))


def _unknown(claim: Claim, methods: Sequence[str], detectors: Sequence[str]) -> str:
    words = (*MEASURES, *ALIASES)
    asked = [(claim.measure, "measure", words), (claim.second, "measure", words), (claim.factor, "factor", FACTORS)]
    if methods:
        asked += [(name, "method", tuple(methods)) for _, name in claim.sides]
    if detectors:
        asked += [(name, "detector", tuple(detectors)) for name, _ in claim.sides]
    for name, what, known_ones in asked:
        if name and name not in known_ones and not (what == "measure" and known(name)):
            return f"unknown {what} '{name}'{nearest(name, known_ones)}"
    return ""


def _half_said(claim: Claim) -> str:
    """A gain over a named method is held against one that is named as fully, or against its own."""
    for method, other in ((claim.method, claim.other), (claim.second_method, claim.second_other)):
        if claim.second_method and not (method and other):
            of = method or "the first method"
            return f"say over what the gain of {of} is: 'gain of METHOD over METHOD' on both sides"
    return ""


def _of_itself(claim: Claim) -> str:
    """What is compared with itself is no question."""
    one, two = ((claim.detector, claim.method), (claim.other_detector, claim.other))
    if one == two and claim.method:
        return f"compares '{claim.method}' with itself; name another method"
    if claim.second_method and claim.second_method == claim.second_other:
        return f"compares '{claim.second_method}' with itself; name another method"
    if claim.kind == "gains" and claim.measure == claim.second and not claim.second_method:
        return f"compares the gain in {claim.measure} with itself; name two measures"
    if claim.kind == "divergence" and claim.measure == "spearman":
        return "divergence is the mean of spearman itself; name another measure"
    return ""


def _without_unit(claim: Claim) -> str:
    units = [unit_of_measure(m)[1] for m in (claim.measure, claim.second) if m]
    if claim.kind == "gains" and units[0] != units[1]:
        return f"{' and '.join(units)} have no common unit; name two measures that have one"
    return ""


def _beyond_range(claim: Claim) -> str:
    """A level that is always, or never, below or above its number."""
    if claim.kind != "level":
        return ""
    low, high = range_of(claim.measure)
    bound, ends = claim.bound, (low if claim.below else high)
    if low <= bound <= high and bound != ends and math.isfinite(bound):
        return ""
    where = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at {low:g} or above"
    always = bound > high if claim.below else bound < low
    told = f"{claim.measure} lies {where} ({unit_of_measure(claim.measure)[1]})"
    way = "below" if claim.below else "above"
    return f"{told}, so it {'always' if always else 'never'} lies {way} {bound:g}; write a number in between"


def _wide(claim: Claim) -> str:
    """An equality needs room, and less of it than there is."""
    if claim.kind != "equal":
        return ""
    if not claim.within > 0 or not math.isfinite(claim.within):
        return f"within {claim.within:g} leaves no room; write a bound above 0"
    low, high = range_of(claim.measure)
    if not claim.percent and claim.within >= high - low:
        told = f"{claim.measure} lies from {low:g} to {high:g} ({unit_of_measure(claim.measure)[1]})"
        return f"{told}, so any two values are within {claim.within:g}; write a smaller bound"
    return ""
