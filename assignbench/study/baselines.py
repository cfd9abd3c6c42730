"""What every method of a study is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assignbench.config.evaluation import entry_differences
from assignbench.config.method import MethodConfig, compared_with, differences
from assignbench.config.recipe import Schedule
from assignbench.errors import InputError, nearest
from assignbench.study.checks import belongs, evaluation_of, schedule_of
from assignbench.study.grid import Resolver
from assignbench.study.places import Study
from assignbench.study.spec import MethodEntry

Where = tuple[int, int]  # the places of a detector and of a data set in a study


def baselines_of(study: Study, resolver: Resolver) -> dict[str, str]:
    """The baseline that every method names, by its name; empty for one that names none.

    An entry's own `baseline` decides; else the baseline of its preset, if a method of that name or preset is in the
    study and goes with one of the same detectors. What is compared with what at a place, `compared_with` says. Raises
    InputError for a baseline that is not in the study, that is the method itself, or that never meets it on a detector.
    """
    entries = study.spec.methods
    found: dict[str, str] = {}
    for place, entry in enumerate(entries):
        meet = [other for other in entries if _meet(study, entry, other)]
        if entry.baseline:
            _check(study, place, entry, [m.name for m in meet])
            found[entry.name] = entry.baseline
            continue
        wanted = resolver.baseline(entry.start)
        others = [m for m in meet if m.name != entry.name]
        of_paper = [m.name for m in others if m.name == wanted] + [m.name for m in others if m.start == wanted]
        found[entry.name] = of_paper[0] if of_paper else ""
    return found


def pair_line(method: MethodConfig, baseline: MethodConfig | None, beyond: Sequence[str] = ()) -> str:
    """One line on a pair: what the method is compared with, and what differs beyond the assigner.

    `beyond`: what differs in how the two are trained and evaluated.
    """
    if baseline is None:
        return f"{method.name}: compared with nothing"
    parts = (*differences(method, baseline), *beyond)
    if parts:
        return f"{method.name} against {baseline.name}: a recipe; beyond the assigner differ " + ", ".join(parts)
    return f"{method.name} against {baseline.name}: the assigner alone differs"


def pair_lines(study: Study, methods: Mapping[str, MethodConfig], baselines: Mapping[str, str]) -> list[str]:
    """The pairs of a study, a line each; one that is not the same at all places (detector and data set) names them."""
    lines = []
    read = {m.name: evaluation_of(study, place, m) for place, m in enumerate(study.spec.methods)}
    for name, method in methods.items():
        places: dict[str, list[Where]] = {}
        alone: list[Where] = []
        for place, names in present(study).items():
            if name in names:
                other = compared_with(name, names, baselines)
                (alone if other and other not in names else places.setdefault(other, [])).append(place)
        for other, meets in places.items():
            where = _shown(study, meets)
            told = f" (on {', '.join(where)})" if len(places) > 1 or alone else ""
            beyond: tuple[str, ...] = ()
            if other in methods:
                # A method's own entries, and so what two of them differ in, are the same wherever they meet.
                one, two = (_taught(study, meets[0], m) for m in (name, other))
                beyond = entry_differences("schedule", one, two)
                beyond += entry_differences("evaluation", read[name], read[other])
            lines.append(pair_line(method, methods.get(other), beyond) + told)
        if alone:
            there = ", ".join(_shown(study, alone))
            lines.append(f"{name}: compared with nothing on {there}; its baseline {baselines[name]} is not there")
    return lines


def _shown(study: Study, places: Sequence[Where]) -> list[str]:
    return [f"{study.spec.detectors[d].shown}/{study.spec.data[s].name}" for d, s in places]


def _taught(study: Study, where: Where, method: str) -> Schedule:
    """The schedule of a method's cells at a place."""
    entry = next(m for m in study.spec.methods if m.name == method)
    return schedule_of(study, study.spec.data[where[1]], study.spec.detectors[where[0]], entry)


def present(study: Study) -> dict[Where, list[str]]:
    """The methods that meet at every place, in the study's order; none at a place without cells."""
    spec = study.spec
    return {
        (one, two): [m.name for m in spec.methods if belongs(d, m, data)]
        for one, d in enumerate(spec.detectors)
        for two, data in enumerate(spec.data)
    }


def _meet(study: Study, one: MethodEntry, other: MethodEntry) -> bool:
    spec = study.spec
    return any(belongs(d, one, data) and belongs(d, other, data) for d in spec.detectors for data in spec.data)


def _check(study: Study, place: int, entry: MethodEntry, meet: list[str]) -> None:
    where = study.where("methods", place, "baseline")
    names = [m.name for m in study.spec.methods]
    others = [n for n in names if n != entry.name]
    if entry.baseline not in names:
        raise InputError(f"{where}: no method '{entry.baseline}' in the study{nearest(entry.baseline, others)}")
    if entry.baseline == entry.name:
        raise InputError(f"{where}: method '{entry.name}' cannot be its own baseline (known: {', '.join(others)})")
    if entry.baseline not in meet:
        raise InputError(
            f"{where}: '{entry.baseline}' meets '{entry.name}' on no detector and data set: nothing to compare; "
            f"name one of: {', '.join(n for n in meet if n != entry.name)}"
        )
