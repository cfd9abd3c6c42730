"""What a study asks: its claims, analyses and primary measure, checked before hours of training and not after."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from assignbench.config.method import compared_with
from assignbench.errors import InputError, nearest
from assignbench.study.baselines import present
from assignbench.study.checks import check_recall
from assignbench.study.grid import Cell
from assignbench.study.reading import Study
from assignbench.study.spec import Claim as Entry

if TYPE_CHECKING:
    from assignbench.analysis.claim_forms import Claim

Places = Mapping[tuple[str, str], Sequence[str]]  # the methods by detector and data set
MOST_NAMED = 8  # classes in an error


def check_questions(study: Study) -> None:
    """Claims, analyses and the primary measure must be known. Raises InputError with the place. Loads no torch."""
    from assignbench.analysis import ORDER, chosen as analyses_of

    names = [m.name for m in study.spec.methods]
    for place, name in enumerate(study.spec.analyses):
        try:
            analyses_of([name], ORDER)
        except InputError as problem:
            raise InputError(f"{study.where('analyses', place)}: {problem}") from None
    _check_claims(study, names)
    _check_primary(study)


def _check_primary(study: Study) -> None:
    """The primary measure is one in points: differences in it stand in the table of differences."""
    from assignbench.analysis.measures import IN_POINTS, in_points

    name = study.spec.primary
    if not in_points(name):
        raise InputError(f"{study.where('primary')}: no measure in points is called '{name}'{nearest(name, IN_POINTS)}")


def _check_claims(study: Study, methods: Sequence[str]) -> None:
    """Each must be a claim, and none be there twice: its tests would count twice in the correction of all verdicts."""
    from assignbench.analysis.claim_forms import parse
    from assignbench.analysis.measures import recall_at

    everywhere, detectors = {d.name for d in study.spec.data}, [d.shown for d in study.spec.detectors]
    first: dict[tuple[Hashable, str], int] = {}
    for place, entry in enumerate(study.spec.claims):
        try:
            claim = parse(entry.claim, methods, detectors)
        except InputError as problem:
            raise InputError(f"{study.where('claims', place)}: {problem}") from None
        asked = [name for _, name in claim.sides] or methods
        for count in filter(None, map(recall_at, (claim.measure, claim.second))):
            check_recall(study, count, asked, study.where("claims", place))
        # "for every detector" makes no other tests, so two claims that differ in it alone are one.
        meant = replace(claim, text="", every=False)
        for data in sorted(set(entry.data) or everywhere):
            same = first.setdefault((meant, data), place)
            if same != place:
                told = f"claim '{claim.text}' on {data} is that of claims.{same} too"
                raise InputError(f"{study.where('claims', place)}: {told}; keep one of them")


def check_answerable(study: Study, baselines: Mapping[str, str]) -> None:
    """Raises InputError for a claim that no finished cells of the study could tell of: of methods that never meet, of
    the gain of a method that is compared with nothing, and of too few methods. `baselines` are those that methods name.
    """
    from assignbench.analysis.claim_forms import parse

    spec = study.spec
    everywhere = {(spec.detectors[d].shown, spec.data[s].name): methods for (d, s), methods in present(study).items()}
    for place, entry in enumerate(spec.claims):
        claim = parse(entry.claim)
        there = {key: names for key, names in everywhere.items() if not entry.data or key[1] in entry.data}
        told = _never_there(claim, there) or _without_gain(claim, there, baselines) or _too_few(claim, there)
        if told:
            where = f" on {', '.join(entry.data)}" if entry.data else ""
            raise InputError(f"{study.where('claims', place)}: claim '{claim.text}'{where} can never be tested: {told}")


def _never_there(claim: Claim, there: Places) -> str:
    """Why the sides of a claim never meet."""
    apart = claim.kind in ("greater", "equal") and bool(claim.detector)
    if apart:
        sets = [{data for (d, data), names in there.items() if d == at and m in names} for at, m in claim.sides]
        named = " and ".join(f"{m} on {d}" for d, m in claim.sides)
        return "" if set.intersection(*sets) else f"{named} have no data set in common; name cells of the study"
    names = {m for _, m in claim.sides}
    if any(names <= set(found) and claim.detector in ("", d) for (d, _), found in there.items()):
        return ""
    if len(names) > 1:
        return f"{' and '.join(sorted(names))} never meet on one data set and detector; name methods that do"
    at = f" on {claim.detector}" if claim.detector else ""
    return f"{''.join(names)} is not trained{at}; name a method and a detector of the study that go together"


def _without_gain(claim: Claim, there: Places, baselines: Mapping[str, str]) -> str:
    """Why there is no gain: a baseline has none over itself."""
    if claim.kind not in ("trend", "categories", "gains") or claim.other:
        return ""
    compared = {m for names in there.values() for m in names if compared_with(m, names, baselines) in names}
    if not compared:
        return "no method of the study is compared with another one; add a method, or give one a baseline"
    if not claim.method or claim.method in compared:
        return ""
    over = f", or write 'gain of {claim.method} over METHOD'" if claim.kind == "gains" else ""
    return (
        f"{claim.method} is what others are compared with, and has no gain over itself; name one of "
        f"{', '.join(sorted(compared))}, or give {claim.method} a baseline{over}"
    )


def _too_few(claim: Claim, there: Places) -> str:
    """Why methods, which are the units of a prediction, do not do."""
    from assignbench.analysis.prediction import LEAST_METHODS

    most = max((len(names) for names in there.values()), default=0)
    if claim.kind != "divergence" or most >= LEAST_METHODS:
        return ""
    told = f"methods are its units, and {most} meet on one data set and detector where {LEAST_METHODS} are needed"
    return f"{told}; add some, or leave it out"


def check_classes(study: Study, cells: Sequence[Cell]) -> None:
    """Raises InputError for a claim about a class that its data sets do not have, as far as these are there.

    A data set that a claim names must have the class; where it names none, one of the study's data sets must.
    """
    roots = {c.config.data.name: (c.config.data, Path(c.paths.root)) for c in cells}
    known: dict[str, tuple[str, ...] | None] = {}
    for place, entry in enumerate(study.spec.claims):
        for name in _classes_named(entry):
            from assignbench.data.classes import class_names

            asked = entry.data or [d.name for d in study.spec.data]
            known |= {d: class_names(*roots[d]) for d in asked if d in roots and d not in known}
            lacking = [d for d in asked if name not in (known.get(d) or (name,))]
            if lacking and (entry.data or len(lacking) == len(asked)):
                told = f"data set '{lacking[0]}' has no class '{name}'{_likely(name, known[lacking[0]] or ())}"
                raise InputError(
                    f"{study.where('claims', place)}: claim '{entry.claim}': {told}; name one of its classes, as it is "
                    "written in the data, or a data set that has it under data"
                )


def _classes_named(entry: Entry) -> Iterator[str]:
    """The classes that a claim's measures are about."""
    from assignbench.analysis.claim_forms import parse
    from assignbench.analysis.measures import OF_CLASS

    claim = parse(entry.claim)
    found = (OF_CLASS.fullmatch(m) for m in (claim.measure, claim.second))
    yield from dict.fromkeys(f[2] for f in found if f)


def _likely(name: str, known: Sequence[str]) -> str:
    """The nearest class, and some of those that there are."""
    folded = {k.casefold(): k for k in known}
    close = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    more = len(known) - MOST_NAMED
    listed = ", ".join(known[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{f'; did you mean {folded[close[0]]!r}?' if close else ''} (known: {listed})"
