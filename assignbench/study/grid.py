"""From a study to its cells: every detector x method x data set x seed, each with an id that its content decides."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from inspect import Parameter
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.config.recipe import Schedule
from assignbench.detectors import DETECTORS
from assignbench.errors import InputError, nearest
from assignbench.methods import Method, build, resolve
from assignbench.registry import Registry
from assignbench.study.spec import DataEntry, DetectorEntry, MethodEntry, Study, local_path

FORMAT = 1  # raised when records of older runs can no longer be read


@dataclass(frozen=True)
class Cell:
    """One unit of work: `config` decides the id, `local` says where things lie on this machine."""

    detector: str
    method: str
    data: str
    seed: int
    config: dict[str, Any]
    local: dict[str, Any]

    @property
    def slug(self) -> str:
        """Detector, method, data set and seed, readable."""
        return f"{self.detector}/{self.method}/{self.data}/seed{self.seed}"

    @property
    def id(self) -> str:
        """The readable slug and 8 hex digits of the resolved configuration."""
        text = json.dumps(_identity(self.config), sort_keys=True)
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", self.slug) + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def cells_of(study: Study, *, only: str | None = None, cache: Path | None = None) -> list[Cell]:
    """The cells of a study in the order methods, data sets, detectors, seeds.

    `only` is a glob on slugs or ids. Raises InputError for unknown names and parameters, and for an empty choice.
    """
    spec = study.spec
    _check_detectors(study)
    methods = [(m, _method(m, study)) for m in spec.methods]
    found = []
    for seed, detector, data in product(spec.seeds, spec.detectors, spec.data):
        for entry, method in methods:
            if _belongs(detector, entry, data):
                found.append(_cell(study, detector, entry, method, data, seed, cache))
    if only is not None:
        chosen = [c for c in found if any(fnmatch(name, only) for name in (c.slug, c.id, c.method))]
        if not chosen:
            raise InputError(f"--only {only}: no cell matches; the cells are\n  " + "\n  ".join(c.slug for c in found))
        return chosen
    names = [c.slug for c in found]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise InputError(f"{study.path}: two cells are called {sorted(twice)[0]}; give one a `label` or another name")
    return found


def _belongs(detector: DetectorEntry, method: MethodEntry, data: DataEntry) -> bool:
    """Whether neither the method nor the data set is kept to other detectors or methods."""
    names = {detector.label, detector.name}
    allowed = all(not chosen or names & set(chosen) for chosen in (method.detectors, data.detectors))
    return allowed and (not data.methods or method.name in data.methods)


def _check_detectors(study: Study) -> None:
    """Every detector that a method or a data set names must be in the study, and so must a data set's methods."""
    known = [name for d in study.spec.detectors for name in (d.label, d.name) if name]
    methods = [m.name for m in study.spec.methods]
    for data in study.spec.data:
        for kind, names, there in (("detector", data.detectors, known), ("method", data.methods, methods)):
            for name in names:
                if name not in there:
                    raise InputError(f"{study.path}: data set '{data.name}': no {kind} '{name}'{nearest(name, there)}")
    for entry in study.spec.methods:
        for name in entry.detectors:
            if name not in known:
                raise InputError(f"{study.path}: method '{entry.name}': no detector '{name}'{nearest(name, known)}")


def _method(entry: MethodEntry, study: Study) -> Method:
    from assignbench.methods import PRESETS

    preset = entry.preset or entry.name
    base = PRESETS[preset].assigner.name if preset in PRESETS else None
    overrides: dict[str, Any] = dict(entry.overrides())
    for key, value in study.spec.method_defaults.items():
        if key in ("assigner", "criterion") and isinstance(value, dict) and isinstance(overrides.get(key), dict | None):
            overrides[key] = {**value, **(overrides.get(key) or {})}
        else:
            overrides.setdefault(key, value)
    if base is None:
        resolve(preset, overrides)  # raises the error with the nearest name
    method = resolve(preset, overrides, label=entry.name)
    build(method)
    return method


def _cell(
    study: Study,
    detector: DetectorEntry,
    entry: MethodEntry,
    method: Method,
    data: DataEntry,
    seed: int,
    cache: Path | None,
) -> Cell:
    spec = study.spec
    DETECTORS.check(detector.name, detector.parameters)
    folder = study.path.resolve().parent
    weights = local_path(detector.weights, folder) if detector.weights else None
    config = {
        "format": FORMAT,
        "seed": seed,
        "detector": {
            "name": detector.name,
            "label": detector.label or detector.name,
            "parameters": _plain(_full(DETECTORS, detector.name, detector.parameters, drop=_RUNTIME)),
            "weights": Path(detector.weights).name,
        },
        "method": {
            "name": entry.name,
            "preset": entry.preset or entry.name,
            "assigner": _part(ASSIGNERS, method.assigner.name, dict(method.assigner.parameters)),
            "criterion": _part(CRITERIA, method.criterion.name, dict(method.criterion.parameters)),
            "quality": method.quality,
            "ranking": method.ranking,
            "nms": method.nms,
            "nms_kind": method.nms_kind,
            "voting": method.voting,
            "prior_prob": method.prior_prob,
            "zero_box": method.zero_box,
        },
        "data": data.data_set(),
        "schedule": _schedule(study, data).model_dump(mode="json"),
        "evaluation": spec.evaluation.model_dump(mode="json"),
        "probe_images": spec.probe_images,
    }
    local = {
        "root": str(data.where(folder)),
        "weights": str(weights) if weights else "",
        "cache": str(cache) if cache else "",
    }
    return Cell(detector.label or detector.name, entry.name, data.name, seed, config, local)


def _schedule(study: Study, data: DataEntry) -> Schedule:
    try:
        return data.schedule_over(study.spec.schedule)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = f"{study.path}: data set '{data.name}': schedule.{'.'.join(str(p) for p in first['loc'])}"
        known = nearest(str(first["loc"][-1]), list(Schedule.model_fields)) if first["loc"] else ""
        raise InputError(f"{where}: {first['msg']}{known}") from None


_RUNTIME = ("num_classes", "quality_kind", "weights")


def _part(registry: Registry[Any], name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "parameters": _plain(_full(registry, name, given))}


def _full(registry: Registry[Any], name: str, given: dict[str, Any], drop: tuple[str, ...] = ()) -> dict[str, Any]:
    """All parameters with their values, so that a changed default changes the cell id too."""
    defaults = {k: v for k, v in registry.parameters(name).items() if v is not Parameter.empty and k not in drop}
    return {**defaults, **given}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """The same through JSON: tuples become lists, what is not plain data is refused."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(value))
    except TypeError as problem:
        raise InputError(f"parameters must be plain values: {problem}") from problem
    return plain


def _identity(config: dict[str, Any]) -> dict[str, Any]:
    """What makes two cells the same: not where files lie, not how many threads prepare batches, no titles."""
    data = {k: v for k, v in config["data"].items() if k not in ("root", "title", "obtain")}
    schedule = {k: v for k, v in config["schedule"].items() if k not in ("loader_workers", "checkpoint_every")}
    return {**config, "data": data, "schedule": schedule}
