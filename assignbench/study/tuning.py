"""A sweep that is the same for each method: its settings, the study under each of them, and what they came to.

Settings are chosen on the validation split and with seeds of their own, so that neither the test split nor a seed that
verdicts rest on has a part in the choice. What was chosen is kept in tuned.json of a run folder of its own, beside the
cells that it was chosen from; the study takes it from there, as long as these are still the cells of its sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import assignbench
from assignbench.config.base import merge
from assignbench.config.evaluation import Evaluation
from assignbench.config.recipe import laid_over
from assignbench.config.tuned import Setting, Trialled, Tuned
from assignbench.config.words import complaints
from assignbench.errors import InputError, nearest
from assignbench.study.grid import Cell, Resolver, cells_of
from assignbench.study.places import Study
from assignbench.study.spec import PARTS, MethodEntry, Tune

FILE = "tuned.json"
MOST_SETTINGS = 50
_SWEPT = ("schedule", *PARTS)


@dataclass(frozen=True)
class Trial:
    """One setting of a sweep, and the cells of all methods that have it."""

    setting: Setting
    cells: tuple[Cell, ...]


def trials_of(study: Study, resolver: Resolver, *, cache: Path | None = None) -> list[Trial]:
    """All settings of a study's sweep with their cells, which are measured on the validation split; none without one.

    Raises InputError for an entry that no method has, for a value that it may not take, and for settings that make the
    same cells.
    """
    tune = study.spec.tune
    if tune is None:
        return []
    _check_sweep(study, tune)
    on_val = {**study.spec.evaluation.model_dump(), "split": "val"}
    spec = study.spec.model_copy(update={"seeds": tune.seeds, "evaluation": Evaluation.model_validate(on_val)})
    found: list[Trial] = []
    first: dict[str, Setting] = {}
    for setting in settings_of(tune):
        try:
            changed = _applied(replace(study, spec=spec), dict.fromkeys((m.name for m in spec.methods), setting))
            cells = cells_of(changed, resolver, cache=cache)
        except InputError as problem:
            raise InputError(f"{study.where('tune', 'sweep')}: with {named(setting)}: {problem}") from None
        for cell in cells:
            same = first.setdefault(cell.id, setting)
            if same is not setting:
                told = f"{named(setting)} and {named(same)} are the same for method '{cell.config.method.name}'"
                raise InputError(f"{study.where('tune', 'sweep')}: {told}; leave one of the values out")
        found.append(Trial(setting, tuple(cells)))
    return found


def settings_of(tune: Tune) -> Iterator[Setting]:
    """All combinations of a sweep's values, the last entry changing fastest."""
    for values in product(*tune.sweep.values()):
        yield dict(zip(tune.sweep, values, strict=True))


def named(setting: Mapping[str, Any]) -> str:
    """A setting for people: "schedule.lr 0.004, criterion.box_weight 2.0"."""
    return ", ".join(f"{key} {value}" for key, value in setting.items())


def outcome(study: Study, trials: Sequence[Trial], measured: Mapping[str, float | None]) -> Tuned:
    """What every setting came to, and which one each method takes.

    `measured` is the metric of every cell by its id, None for one that diverged. A method takes the setting with the
    highest mean over its detectors, data sets and seeds, the first of equal ones, and none under which it diverged.
    Raises InputError for a method that diverged under all of them.
    """
    tune = study.spec.tune
    if tune is None:
        raise ValueError("the study names no sweep")
    rows: list[Trialled] = []
    for method in (m.name for m in study.spec.methods):
        for trial in trials:
            values = [measured[c.id] for c in trial.cells if c.config.method.name == method]
            known = [v for v in values if v is not None]
            mean = sum(known) / len(known) if len(known) == len(values) else None
            rows.append(Trialled(method=method, setting=trial.setting, cells=len(values), mean=mean))
    chosen = {m.name: _best(study, m.name, [row for row in rows if row.method == m.name]) for m in study.spec.methods}
    return Tuned(
        version=assignbench.__version__,
        split="val",
        metric=tune.metric,
        seeds=tune.seeds,
        sweep=tune.sweep,
        cells=_ids(trials),
        rows=rows,
        chosen=chosen,
        at_end={method: _at_end(tune, setting) for method, setting in chosen.items()},
    )


def _best(study: Study, method: str, rows: Sequence[Trialled]) -> Setting:
    known = [(row.mean, row.setting) for row in rows if row.mean is not None]
    if not known:
        told = f"method '{method}' diverged under every setting; name lower rates or other values"
        raise InputError(f"{study.where('tune', 'sweep')}: {told}")
    return max(known, key=lambda found: found[0])[1]


def _at_end(tune: Tune, setting: Setting) -> list[str]:
    """The swept entries of numbers that have the lowest or the highest value."""
    found = []
    for key, values in tune.sweep.items():
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if numbers and len(values) > 1 and setting[key] in (min(values), max(values)):
            found.append(key)
    return found


def read_tuned(content: Mapping[str, Any], path: Path) -> Tuned | None:
    """The content of a tuned.json; None for none. Raises InputError for what `tune` did not write."""
    if not content:
        return None
    try:
        return Tuned.model_validate(content)
    except ValidationError as problem:
        told = complaints(problem, Tuned)
        raise InputError(f"{path}: {told}; remove it, and `assignbench tune` writes it anew") from None


def tuned(study: Study, found: Tuned | None, trials: Sequence[Trial]) -> Study:
    """The study with what its sweep chose.

    Raises InputError where that is not known, or where the sweep has other cells by now: something that they depend on
    was changed.
    """
    again = f"`assignbench tune {study.path}` chooses"
    if found is None:
        raise InputError(f"{study.where('tune')}: nothing has been chosen yet; {again}")
    if found.cells != _ids(trials):
        told = "the study has changed since its settings were chosen"
        raise InputError(f"{study.where('tune')}: {told}; {again} anew, and keeps the cells that are the same")
    return _applied(study, found.chosen)


def _ids(trials: Sequence[Trial]) -> list[str]:
    return [cell.id for trial in trials for cell in trial.cells]


def _check_sweep(study: Study, tune: Tune) -> None:
    for key, values in tune.sweep.items():
        part, _, entry = key.partition(".")
        if part not in _SWEPT or (part == "schedule" and not entry):
            told = f"'{key}' is no entry of a method{nearest(part, list(_SWEPT))}; write e.g. schedule.lr"
            raise InputError(f"{study.where('tune', 'sweep', key)}: {told}")
        if any(values.count(v) > 1 for v in values):
            raise InputError(f"{study.where('tune', 'sweep', key)}: a value is there twice; keep one of them")
    count = sum(1 for _ in settings_of(tune))
    if not 2 <= count <= MOST_SETTINGS:
        told = f"makes {count} settings; name 2 to {MOST_SETTINGS} of them"
        raise InputError(f"{study.where('tune', 'sweep')}: {told}")


def _applied(study: Study, chosen: Mapping[str, Setting]) -> Study:
    """The study whose methods have these settings over their own entries."""
    methods = [_changed(study, place, chosen[m.name]) for place, m in enumerate(study.spec.methods)]
    return replace(study, spec=study.spec.model_copy(update={"methods": methods}))


def _changed(study: Study, place: int, setting: Setting) -> MethodEntry:
    entry = study.spec.methods[place]
    content = entry.model_dump(exclude_unset=True)
    for key, value in setting.items():
        part, *steps = key.split(".")
        change: Any = value
        for step in reversed(steps):
            change = {step: change}
        below = content.get(part, {})
        if part == "schedule":
            content[part] = laid_over(below, change)
        elif isinstance(below, str) and isinstance(change, dict):
            content[part] = {"name": below, **change}  # an assigner or a criterion by its name alone
        elif part == "nms" and not isinstance(below, dict) and isinstance(change, dict):
            content[part] = {"iou": below, **change}
        else:
            content[part] = merge(below, change)
    try:
        return MethodEntry.model_validate(content)
    except ValidationError as problem:
        raise InputError(f"method '{entry.name}': {complaints(problem, MethodEntry)}") from None
