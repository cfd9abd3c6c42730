"""From a study to its cells: every detector x method x data set x seed. No torch: methods are asked for by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.detector import DetectorConfig, DetectorSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.config.pictured import Pictured
from assignbench.config.recipe import Schedule
from assignbench.errors import InputError, nearest
from assignbench.study.checks import belongs, check_sizes, detector_of, evaluation_of, schedule_of
from assignbench.study.places import Study, weights_path
from assignbench.study.spec import DataEntry, DetectorEntry

_WITH_PARAMETERS = ("assigner", "criterion")


class Resolver(Protocol):
    """What the grid asks of methods; `assignbench.methods` is one."""

    def resolve(
        self, name: str, overrides: Mapping[str, Any] | None = None, *, label: str | None = None
    ) -> MethodConfig:
        """A preset with overrides, all parameters filled in and checked."""

    def part_of(self, preset: str, part: str, change: Any) -> str:
        """The name of the assigner or criterion that a preset has after a change of that part."""

    def has_parameter(self, part: str, name: str, parameter: str) -> bool:
        """Whether the assigner or criterion of that name has a parameter of this name."""

    def check(self, method: MethodConfig, spec: DetectorSpec) -> None:
        """Raises InputError if the method does not work on the detector."""

    def idle(self, method: MethodConfig, spec: DetectorSpec) -> dict[str, str]:
        """What does nothing in this composition on this detector: its place in a study's method, and the reason."""

    def baseline(self, preset: str) -> str:
        """The preset that a preset is compared with; empty where there is none."""


@dataclass(frozen=True)
class Cell:
    """One unit of work: `config` decides the id, `paths` say where things lie on this machine."""

    config: CellConfig
    paths: LocalPaths

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.config.id

    @property
    def slug(self) -> str:
        """Detector, method, data set and seed, readable."""
        return self.config.slug


def cells_of(study: Study, resolver: Resolver, *, only: str | None = None, cache: Path | None = None) -> list[Cell]:
    """The cells of a study in the order seeds, detectors, data sets, methods; everything in them is checked.

    `only` is a glob on slugs, ids or method names. Raises InputError for unknown names and values, for a method that
    does not work on its detector, and for an empty choice.
    """
    spec = study.spec
    methods = methods_of(study, resolver)
    found_detectors = [detector_of(study, place, entry) for place, entry in enumerate(spec.detectors)]
    evaluations = {m.name: evaluation_of(study, place, m) for place, m in enumerate(spec.methods)}
    check_sizes(study, found_detectors)
    _check_pairs(study, methods, found_detectors, resolver)
    _check_idle(study, methods, found_detectors, resolver)
    _check_quality_layers(study, methods)
    _check_fused(study, methods, evaluations)
    _check_reached(study, methods)
    found = []
    for seed, (entry, detector), data in product(
        spec.seeds, zip(spec.detectors, found_detectors, strict=True), spec.data
    ):
        for method in (m for m in spec.methods if belongs(entry, m, data)):
            read, taught = evaluations[method.name], schedule_of(study, data, entry, method)
            found.append(_cell(study, entry, detector, methods[method.name], data, taught, read, seed, cache))
    return chosen(found, only)


def methods_of(study: Study, resolver: Resolver) -> dict[str, MethodConfig]:
    """The methods of a study by name, in its order. Raises InputError for what is unknown."""
    found: dict[str, MethodConfig] = {}
    known: set[tuple[str, str]] = set()
    for place, entry in enumerate(study.spec.methods):
        try:
            # What a default may be set on depends on which assigner and criterion the method ends up with.
            wanted = _over(study.spec.method_defaults, entry.overrides())
            parts = {k: resolver.part_of(entry.start, k, _named(wanted.get(k))) for k in _WITH_PARAMETERS}
            defaults, taken = _defaults_for(study.spec.method_defaults, parts, resolver)
            known |= taken
            found[entry.name] = resolver.resolve(entry.start, _over(defaults, entry.overrides()), label=entry.name)
        except InputError as problem:
            raise study.refused(problem, ("methods", place), others=[("method_defaults",)]) from None
    for part in _WITH_PARAMETERS:
        for parameter in _named_parameters(study.spec.method_defaults.get(part)):
            if (part, parameter) not in known:
                there = sorted({p for m in found.values() for p in getattr(m, part).parameters})
                where = study.where("method_defaults", part, parameter)
                raise InputError(
                    f"{where}: no {part} of the study has the parameter '{parameter}'{nearest(parameter, there)}"
                )
    return found


def _named(value: Any) -> Any:
    """Which part is meant, without its parameters."""
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if k == "name"}
    return value


def _named_parameters(value: Any) -> list[str]:
    return [k for k in value if k != "name"] if isinstance(value, Mapping) else []


def _defaults_for(
    defaults: Mapping[str, Any], parts: Mapping[str, str], resolver: Resolver
) -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """The study's defaults that this method has a place for, and which parameters these are."""
    found: dict[str, Any] = {}
    taken: set[tuple[str, str]] = set()
    for key, value in defaults.items():
        if key not in _WITH_PARAMETERS:
            found[key] = value
            continue
        given = _as_mapping(value)
        kept = {k: v for k, v in given.items() if k == "name" or resolver.has_parameter(key, parts[key], k)}
        taken |= {(key, parameter) for parameter in _named_parameters(kept)}
        found[key] = kept
    return found, taken


def _over(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A method's own changes over the study's defaults, entry by entry where both are mappings."""
    result = dict(defaults)
    for key, value in own.items():
        below = result.get(key)
        if key in _WITH_PARAMETERS:
            below, value = _as_mapping(below), _as_mapping(value)
        result[key] = {**below, **value} if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _as_mapping(value: Any) -> Any:
    """An assigner or criterion that is given by its name alone, as a mapping."""
    return {"name": value} if isinstance(value, str) else {} if value is None else value


def _check_pairs(
    study: Study, methods: Mapping[str, MethodConfig], found: list[DetectorConfig], resolver: Resolver
) -> None:
    """Every method must work on every detector that it meets."""
    for place, method in enumerate(study.spec.methods):
        for entry, detector in zip(study.spec.detectors, found, strict=True):
            if any(belongs(entry, method, data) for data in study.spec.data):
                try:
                    resolver.check(methods[method.name], detector.spec)
                except InputError as problem:
                    where = f"{study.where('methods', place)} on detector '{detector.label}'"
                    raise InputError(f"{where}: {problem}") from None


def _check_idle(
    study: Study, methods: Mapping[str, MethodConfig], found: list[DetectorConfig], resolver: Resolver
) -> None:
    """What a study sets must do something: for a method on one of its detectors, as a default for one method."""
    spec, read = study.spec, set()
    defaults = _places(spec.method_defaults)
    for place, entry in enumerate(spec.methods):
        method = methods[entry.name]
        meets = [
            detector.spec
            for asked, detector in zip(spec.detectors, found, strict=True)
            if any(belongs(asked, entry, data) for data in spec.data)
        ]
        idle = [resolver.idle(method, s) for s in meets]
        for name in _places(entry.overrides()):
            if idle and all(name in one for one in idle):
                where = study.where("methods", place, *name.split("."))
                raise InputError(f"{where} does nothing in method '{entry.name}': {idle[0][name]}; or leave it out")
        read |= {name for name in defaults if _has(method, name) and any(name not in one for one in idle)}
    for name in defaults:
        if name not in read:
            where = study.where("method_defaults", *name.split("."))
            raise InputError(f"{where} does nothing in any method of the study; leave it out")


def _check_quality_layers(study: Study, methods: Mapping[str, MethodConfig]) -> None:
    """Where a quality layer sits is said of a detector that has one, by one of its methods."""
    for place, entry in enumerate(study.spec.detectors):
        head = entry.spec.get("head")
        meets = [m for m in study.spec.methods if any(belongs(entry, m, data) for data in study.spec.data)]
        if isinstance(head, Mapping) and "quality_on" in head and all(methods[m.name].quality is None for m in meets):
            where = study.where("detectors", place, "spec", "head", "quality_on")
            raise InputError(
                f"{where} does nothing: no method on detector '{entry.shown}' has a quality head; leave it out, or set "
                "quality of a method"
            )


def _check_fused(study: Study, methods: Mapping[str, MethodConfig], evaluations: Mapping[str, Evaluation]) -> None:
    """`fuse: voting` does nothing in a method that votes anyway."""
    spec = study.spec
    own = [(place, m) for place, m in enumerate(spec.methods) if evaluations[m.name].fuse == "voting"]
    voting = [(place, m) for place, m in own if methods[m.name].voting is not None]
    told = "votes by its own voting; leave fuse out, or set voting: null in the method"
    for place, entry in voting:
        if "fuse" in entry.evaluation:
            where = study.where("methods", place, "evaluation", "fuse")
            raise InputError(f"{where} does nothing: method '{entry.name}' {told}")
    if own and len(own) == len(voting) and spec.evaluation.fuse == "voting":
        raise InputError(f"{study.where('evaluation', 'fuse')} does nothing: every method of the study {told}")


def _check_reached(study: Study, methods: Mapping[str, MethodConfig]) -> None:
    """What a method does after some epochs must come. Where a study counts steps, this is known for embedded scenes
    alone; for other data `doctor` and the run look at it.
    """
    for (place, entry), detector, data in product(enumerate(study.spec.methods), study.spec.detectors, study.spec.data):
        if not belongs(detector, entry, data):
            continue
        schedule = schedule_of(study, data, detector, entry)
        images = data.train_images if data.kind == "shapes" else None
        epochs = schedule.epochs if images is None else schedule.total_epochs(images)
        late = "" if epochs is None else methods[entry.name].unreached(epochs)
        if late:
            raise InputError(f"{study.where('methods', place)}: on data set '{data.name}': {late}")


def _has(method: MethodConfig, name: str) -> bool:
    part, _, parameter = name.partition(".")
    return part not in _WITH_PARAMETERS or not parameter or parameter in getattr(method, part).parameters


def _places(changes: Mapping[str, Any]) -> list[str]:
    """The entries that changes of a method set, e.g. "criterion.box" and "nms.iou"."""
    found = []
    for key, value in changes.items():
        entries = {"iou": value} if key == "nms" and not isinstance(value, Mapping) else value
        inner = entries if isinstance(entries, Mapping) else {"": None}
        found += [f"{key}.{name}" if name else key for name in inner if name != "name"]
    return found


def _cell(
    study: Study,
    entry: DetectorEntry,
    detector: DetectorConfig,
    method: MethodConfig,
    data: DataEntry,
    schedule: Schedule,
    evaluation: Evaluation,
    seed: int,
    cache: Path | None,
) -> Cell:
    config = CellConfig(
        seed=seed,
        detector=detector,
        method=method,
        data=data.data_set(),
        schedule=schedule,
        evaluation=evaluation,
        probe_images=study.spec.probe_images,
        pictures=tuple(
            Pictured(image=p.image, object=p.object) for p in study.spec.pictures if p.data in ("", data.name)
        ),
    )
    return Cell(config, _paths(study, entry, detector.spec, data, cache))


def _paths(study: Study, entry: DetectorEntry, spec: DetectorSpec, data: DataEntry, cache: Path | None) -> LocalPaths:
    folder = study.path.resolve().parent
    return LocalPaths(
        root=str(data.where(folder)),
        weights=str(weights_path(entry.weights, spec.backbone, folder)) if entry.weights else "",
        cache=str(cache) if cache else "",
    )


def paths_of(study: Study, config: CellConfig) -> LocalPaths | None:
    """Where the data and weights of a recorded cell lie by the study file; None if it no longer has its parts."""
    detector = next((d for d in study.spec.detectors if d.shown == config.detector.label), None)
    data = next((d for d in study.spec.data if d.name == config.data.name), None)
    return None if detector is None or data is None else _paths(study, detector, config.detector.spec, data, None)


def chosen(found: list[Cell], only: str | None) -> list[Cell]:
    """The cells whose slug, id or method matches a glob; all without one. Raises InputError if none does."""
    if only is None:
        return found
    matching = [c for c in found if any(fnmatch(name, only) for name in (c.slug, c.id, c.config.method.name))]
    if not matching:
        raise InputError(f"--only {only}: no cell matches; the cells are\n  " + "\n  ".join(c.slug for c in found))
    return matching
