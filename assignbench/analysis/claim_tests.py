"""What tests a claim: one value for every data set, detector and method that it is about, positive where it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assignbench.analysis import measures
from assignbench.analysis.base import CellData, StudyRecord
from assignbench.analysis.categories import category_trends, population_of
from assignbench.analysis.claim_forms import Claim, Kind, unit_of
from assignbench.analysis.estimates import Estimate, Measured, less
from assignbench.analysis.pairs import (
    Pair,
    estimated,
    others_of,
    over_pairs,
    pair_across,
    pair_of,
    pairs_of,
    without_cells,
)
from assignbench.analysis.parts import Key, by_method, of_measure, own_estimates
from assignbench.analysis.prediction import predictions
from assignbench.analysis.trends import trends

FAILED = 0.01  # AP below which a training that came to its end has learned nothing
NOTHING = "the records do not hold it, or nothing counts for it"


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
    if claim.measure in measures.COUNTED and claim.kind in ("greater", "equal", "level"):
        found = [_counted(test) for test in found]
    return found or [Tested("", "", claim.method, claim.other, "", untestable=_nowhere(claim, study))]


def _counted(test: Tested) -> Tested:
    """The verdict on what is counted and the same for every seed: one cell tells it, and no test image is in it."""
    if test.untestable or not np.isfinite(test.value):
        return test
    return replace(test, p=0.0, detectable=float("nan"))


def _nowhere(claim: Claim, study: StudyRecord) -> str:
    """Why a claim meets nothing in the study."""
    absent = dict.fromkeys(m for _, m in claim.sides if m not in study.methods)
    if absent:
        return "; ".join(f"{m} has no cell in the study" for m in absent)
    if claim.detector:
        named = " and ".join(f"{m} on {d}" for d, m in claim.sides)
        return f"{named} never meet on one data set" if claim.other else f"{named} has no cell in the study"
    if claim.other:
        named = " and ".join(dict.fromkeys(m for _, m in claim.sides))
        return f"{named} never meet on one data set and detector"
    if claim.method:
        return f"{claim.method} is compared with nothing: it is the baseline itself"
    return "no method of the study is compared with another one"


def _told(pair: Pair, e: Estimate, p: float, detail: str = "", missing: str = "") -> Tested:
    reason = pair.untestable or missing or ("" if np.isfinite(e.mean) else NOTHING)
    found = Tested(pair.data, pair.detector, pair.method, pair.baseline, pair.kind, e.mean, e.half, e.n)
    population = e.population if e.n else ""
    detail = "" if reason else detail
    return replace(found, population=population, p=p, detail=detail, detectable=e.detectable, untestable=reason)


# Two methods, on one detector or on two.


def _asked(claim: Claim, study: StudyRecord) -> tuple[list[Pair], list[Pair]]:
    """The pairs of a claim that names two methods, wherever the study has both; and those that tell of its spread.

    Two detectors vary otherwise than two methods of one: such pairs are asked alone.
    """
    if claim.detector:
        ours, theirs = claim.sides
        sides = {(data, *side) for data, *side in study.grid.values()}
        where = [d for d in dict.fromkeys(d for d, _ in study.places) if {(d, *ours), (d, *theirs)} <= sides]
        return [pair_across(study, data, ours, theirs) for data in where], []
    return [pair_of(study, claim.method, claim.other, p) for p in _meeting(claim, study)], pairs_of(study)


def _greater(claim: Claim, study: StudyRecord) -> list[Tested]:
    pairs, beside = _asked(claim, study)
    found = estimated(pairs, claim.measure, beside=beside)
    why = [measures.why_untestable(p.cells, claim.measure) for p in pairs]
    return [_told(p, e, e.p, missing=w) for p, e, w in zip(pairs, found, why, strict=True)]


def _equal(claim: Claim, study: StudyRecord) -> list[Tested]:
    """Two one-sided tests of a difference within the bound, or one of a difference beyond it, at 5 % together.

    The value is the room that the difference leaves below the bound; its p is doubled, so that it reads as all others.
    """
    scale = unit_of(claim)[0]
    pairs, beside = _asked(claim, study)
    bound, tests = claim.within / scale, []
    for pair, e in zip(pairs, estimated(pairs, claim.measure, beside=beside, relative=claim.percent), strict=True):
        one_sided = e.p_within(bound) if abs(e.mean) < bound else e.p_beyond(bound)
        detail = f"difference {_printed(scale * e.mean, '+')}{_half(scale * e.half)}"
        why = measures.why_untestable(pair.cells, claim.measure)
        test = _told(pair, e, float(np.minimum(1.0, 2 * one_sided)), detail, why)
        tests.append(replace(test, value=bound - abs(e.mean), detectable=e.confirmable))
    return tests


def _printed(number: float, sign: str = "") -> str:
    """A tenth of a point, or three digits of what is smaller."""
    return f"{number:{sign}.1f}" if not 1e-6 < abs(number) < 1 else f"{number:{sign}.3g}"


def _half(half: float) -> str:
    """The half-width of an interval behind its middle, where there is one."""
    return f" ± {_printed(half)}" if np.isfinite(half) else ""


def _gains(claim: Claim, study: StudyRecord) -> list[Tested]:
    """The gain in one measure less the gain in another one, over the baseline or over the method that is named."""
    if claim.second_method:
        return _gains_of_two(claim, study)
    own = pairs_of(study)
    pairs = [p for p in own if claim.method in ("", p.method)]
    if claim.other:
        pairs = [pair_of(study, claim.method, claim.other, p) for p in _meeting(claim, study)]
    every = [*pairs, *others_of(pairs, own)]
    found = over_pairs(every, [less(p.measured(claim.measure), p.measured(claim.second)) for p in every])
    return [_told(p, e, e.p, missing=_unheld(claim, p.cells)) for p, e in zip(pairs, found, strict=False)]


def _gains_of_two(claim: Claim, study: StudyRecord) -> list[Tested]:
    """The gain of one pair less that of another one, on the seeds that all four methods have finished.

    A difference of two differences varies otherwise than any pair does, so that it is asked alone.
    """
    places = _meeting(claim, study)
    ours = [pair_of(study, claim.method, claim.other, p) for p in places]
    theirs = [pair_of(study, claim.second_method, claim.second_other, p) for p in places]
    shared = [[s for s in one.seeds if s in two.seeds] for one, two in zip(ours, theirs, strict=True)]
    ours = [_kept(p, seeds) for p, seeds in zip(ours, shared, strict=True)]
    theirs = [_kept(p, seeds) for p, seeds in zip(theirs, shared, strict=True)]
    samples = [
        less(one.measured(claim.measure), two.measured(claim.second)) for one, two in zip(ours, theirs, strict=True)
    ]
    tests = []
    against = f"{claim.second} gain of {claim.second_method} over {claim.second_other}"
    for one, two, e in zip(ours, theirs, over_pairs(ours, samples), strict=True):
        why = two.untestable or ("" if one.seeds or one.untestable else "the four have no finished seed in common")
        test = _told(one, e, e.p, missing=why or _unheld(claim, [*one.cells, *two.cells]))
        tests.append(replace(test, baseline=f"{claim.other}, less the {against}"))
    return tests


def _kept(pair: Pair, seeds: Sequence[int]) -> Pair:
    """A pair with these of its seeds alone."""
    ours, theirs = ({s: cells[s] for s in seeds} for cells in (pair.ours, pair.theirs))
    return replace(pair, ours=ours, theirs=theirs)


def _meeting(claim: Claim, study: StudyRecord) -> list[tuple[str, str]]:
    """Where the study has all methods that a claim names."""
    named = {method for _, method in claim.sides}
    return [p for p in study.places if named <= set(study.present_at(p))]


def _unheld(claim: Claim, cells: Sequence[CellData]) -> str:
    """Why no test on the two measures may rest on these cells."""
    why = [measures.why_untestable(cells, m) for m in (claim.measure, claim.second)]
    return "; ".join(dict.fromkeys(w for w in why if w))


# A method by itself.


def _level(claim: Claim, study: StudyRecord) -> list[Tested]:
    """A measure of a method against a number."""
    cells = {k: list(v.values()) for k, v in by_method(study).items()}
    asked = {k: of_measure(cells[k], claim.measure) for k in cells if k[2] == claim.method}
    found = _own(study, claim.measure, asked)
    scale, way = unit_of(claim)[0], -1 if claim.below else 1
    tests = []
    for place in _places(claim, study):
        key, alone = (*place, claim.method), Tested(*place, claim.method, "", "")
        if key not in found:
            tests.append(replace(alone, untestable=without_cells(study, claim.method, place)))
            continue
        why = measures.why_untestable(cells[key], claim.measure)
        detail = f"{claim.measure} {_printed(scale * found[key].mean)}{_half(scale * found[key].half)}"
        tests.append(_against(alone, found[key], claim.bound / scale, way, detail, why))
    return tests


def _fails(claim: Claim, study: StudyRecord) -> list[Tested]:
    """AP below `FAILED`, where a training that diverged has an AP of 0. Cells that failed otherwise say nothing."""
    samples = {place: _outcome(study, claim.method, place) for place in _places(claim, study)}
    asked = {(*place, claim.method): s for place, s in samples.items() if len(s.values)}
    found = _own(study, "AP", asked)
    tests = []
    for place in samples:
        key, alone = (*place, claim.method), Tested(*place, claim.method, "", "")
        states = study.states_of(claim.method, place)
        if key not in found:
            tests.append(replace(alone, untestable=without_cells(study, claim.method, place)))
            continue
        detail = f"AP {_printed(100 * found[key].mean)}; {', '.join(f'{n} {state}' for state, n in states.items())}"
        tests.append(_against(alone, found[key], FAILED, -1, detail, ""))
    return tests


def _outcome(study: StudyRecord, method: str, place: tuple[str, str]) -> Measured:
    """AP of every training that came to its end, and 0 of every one that diverged."""
    done = by_method(study).get((*place, method), {})
    lost = sum(c.state == "diverged" for c in study.cells if study.grid.get(c.id) == (*place, method))
    known = of_measure(list(done.values()), "AP") if done else Measured(np.zeros(0))
    values = np.concatenate([known.values, np.zeros(lost)])
    if known.replicates is None:
        return Measured(values)
    nothing = np.zeros((len(known.replicates), lost))
    return Measured(values, np.concatenate([known.replicates, nothing], axis=1), known.freedom)


def _against(alone: Tested, e: Estimate, bound: float, way: int, detail: str, why: str) -> Tested:
    """The test of a level: the distance of the mean from the bound, counted upwards (1) or downwards (-1)."""
    distance = e.mean - bound
    reason = why or ("" if np.isfinite(distance) else NOTHING)
    p = e.p_of(distance) if e.resolvable else float("nan")
    told = replace(alone, value=way * distance, half=e.half, n=e.n, population=e.population if e.n else "", p=p)
    return replace(told, detail="" if reason else detail, detectable=e.detectable, untestable=reason)


def _places(claim: Claim, study: StudyRecord) -> list[tuple[str, str]]:
    """Where the study has a claim's method, on the detector that it names."""
    here = [p for p in study.places if claim.detector in ("", p[1])]
    return [p for p in here if claim.method in study.present_at(p)]


def _own(study: StudyRecord, measure: str, asked: dict[Key, Measured]) -> dict[Key, Estimate]:
    """What a method's own numbers are worth; those of the study's other methods help to know the spread over seeds."""
    others = {k: _values(v.values(), measure) for k, v in by_method(study).items() if k not in asked}
    samples = {**asked, **others}
    return dict(zip(samples, own_estimates(list(samples), list(samples.values())), strict=True))


def _values(cells: Iterable[CellData], measure: str) -> Measured:
    return Measured(np.asarray([measures.measured(c, measure) for c in cells], float))


# Gains over a factor; divergence over methods.


def _trend(claim: Claim, study: StudyRecord) -> list[Tested]:
    """The slope of the gain over the factor's groups."""
    told = trends(pairs_of(study), claim.factor, relative=claim.relative)
    return [_told(p, e, e.p, s.detail, s.untestable) for p, s, e in told if claim.method in ("", p.method)]


def _categories(claim: Claim, study: StudyRecord) -> list[Tested]:
    """The slope of the gain over categories, each at the mean factor of its objects."""
    tests = []
    for pair, sample, e in category_trends(pairs_of(study), claim.factor, relative=claim.relative):
        if claim.method in ("", pair.method):
            told = _told(pair, e, e.p, sample.detail, sample.untestable)
            tests.append(replace(told, population=population_of(e) if e.n else ""))
    return tests


def _predicts(claim: Claim, study: StudyRecord) -> list[Tested]:
    """Spearman's correlation over methods, each the mean of its seeds: they are the units, not the cells."""
    return [
        Tested(f.data, f.detector, "over methods", "", "", f.correlation, n=f.methods, p=f.p, untestable=f.untestable)
        for f in predictions(study, claim.measure)
    ]


_TESTS: dict[Kind, Callable[[Claim, StudyRecord], list[Tested]]] = {
    "greater": _greater,
    "equal": _equal,
    "level": _level,
    "fails": _fails,
    "trend": _trend,
    "categories": _categories,
    "gains": _gains,
    "divergence": _predicts,
}
