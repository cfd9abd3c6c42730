"""Methods: from a preset and overrides to a checked composition, and to the built parts."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from pydantic import ValidationError

from assignbench import assigners
from assignbench.assigners import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA, Criterion
from assignbench.config.detector import DetectorSpec
from assignbench.config.method import MethodConfig, Needs, Preset, idle_entries
from assignbench.config.words import complaints, shown
from assignbench.errors import InputError, nearest
from assignbench.plugins import told
from assignbench.registry import Registry

S = TypeVar("S")

# The papers that AssignBench is about come first, then those that they are compared with, then controls.
_PAPERS = ("mutual_guidance", "mlc", "musu", "ltm", "paa")
_LAST = ("controls",)
_PARTS = ("assigner", "criterion")
_REGISTRIES: dict[str, Registry[Any]] = {"assigner": ASSIGNERS, "criterion": CRITERIA}
# Parts of a method that a study changes by a mapping of entries.
_NESTED = ("nms", "voting", "head_init", "coder")


def _collected() -> Iterator[Preset]:
    """All presets: `iou`, which everything is compared with, then file by file."""
    names = [module.name for module in pkgutil.iter_modules(assigners.__path__)]
    others = [n for n in names if n not in _PAPERS + _LAST]
    files = [import_module(f"{assigners.__name__}.{n}") for n in (*_PAPERS, *others, *_LAST)]
    presets = [preset for file in files for preset in getattr(file, "PRESETS", ())]
    yield from sorted(presets, key=lambda preset: preset.name != "iou")


PRESETS: dict[str, Preset] = {preset.name: preset for preset in _collected()}


@dataclass(frozen=True)
class Built:
    """A method ready to use: `assigner(priors, predictions, objects, context)` and `criterion(...)`."""

    method: MethodConfig
    assigner: Assigner
    criterion: Criterion


def resolve(name: str, overrides: Mapping[str, Any] | None = None, *, label: str | None = None) -> MethodConfig:
    """A preset with overrides, all parameters filled in and checked.

    `overrides` are the fields of a MethodConfig as a study writes them: assigner and criterion are a name or a mapping
    of parameters (with a `name` for another part); a bare number for `nms` is its IoU. Raises InputError for what is
    unknown, naming the place, the value and the nearest that is known.
    """
    content = _preset(name).method.model_dump(mode="json") | {"name": label or name}
    known = [key for key in MethodConfig.model_fields if key not in ("name", "preset")]
    for key, value in (overrides or {}).items():
        if key not in known:
            raise InputError(f"method '{label or name}': unknown key '{key}'{nearest(key, known)}", (key,))
        content[key] = _part(key, content[key], value) if key in _PARTS else _entry(key, content[key], value)
    for key, registry in _REGISTRIES.items():
        content[key]["parameters"] = _filled(key, registry, content[key], label or name)
    try:
        method = MethodConfig.model_validate(content)
    except ValidationError as problem:
        text = f"method '{label or name}': {complaints(problem, MethodConfig)}"
        raise InputError(text, problem.errors()[0]["loc"]) from None
    build(method)  # rules between parameters
    return method


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise InputError(f"unknown method '{name}'{nearest(name, list(PRESETS))}", ("preset",))
    return PRESETS[name]


def _part(key: str, held: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """An assigner or criterion with changes; the parameters of another part start from that part's defaults."""
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("name", ""), str):
        told = f"{key} is {shown(value)}; write a name, or a mapping of parameters, e.g. {{name: ..., ...}}"
        raise InputError(told, (key, "name") if isinstance(given, Mapping) else (key,))
    part = given.get("name", held["name"])
    kept = held["parameters"] if part == held["name"] else {}
    return {"name": part, "parameters": {**kept, **{k: v for k, v in given.items() if k != "name"}}}


def _entry(key: str, held: Any, value: Any) -> Any:
    """Another field with changes: entries of a mapping are replaced one by one."""
    if key == "nms" and isinstance(value, int | float) and not isinstance(value, bool):
        value = {"iou": value}
    if key in _NESTED and isinstance(value, Mapping):
        return {**(held or {}), **value}
    return value


def _filled(kind: str, registry: Registry[Any], part: Mapping[str, Any], method: str) -> dict[str, Any]:
    try:
        return registry.filled(part["name"], part["parameters"])
    except InputError as problem:
        raise InputError(f"method '{method}': {problem}", (kind, *(problem.place or ("name",)))) from None


def baseline(preset: str) -> str:
    """The preset that a preset is compared with, which differs in the assigner alone; empty where there is none."""
    return PRESETS[preset].baseline


def part_of(preset: str, part: str, change: Any) -> str:
    """The name of the assigner or criterion that a preset has after a change of that part. Raises InputError."""
    held = _preset(preset).method.model_dump(mode="json")[part]
    return str(_part(part, held, change or {})["name"])


def has_parameter(part: str, name: str, parameter: str) -> bool:
    """Whether the assigner or criterion of that name has a parameter of this name."""
    try:
        return parameter in _REGISTRIES[part].words(name)
    except InputError as problem:
        raise InputError(problem, (part, "name")) from None


def check(method: MethodConfig, spec: DetectorSpec) -> None:
    """Raises InputError, with reason and remedy, if the detector does not suit the method or its parts do not fit."""
    built = build(method)
    for kind, part, of in (
        ("assigner", method.assigner.name, built.assigner),
        ("criterion", method.criterion.name, built.criterion),
    ):
        needs = _said(method, kind, part, of, "needs", Needs)
        gives = _said(method, "assigner", method.assigner.name, built.assigner, "gives", frozenset)
        problem = _unmet(needs, method, spec, gives)
        if problem:
            why = f" ({needs.why})" if needs.why else ""
            raise InputError(f"method '{method.name}': the {kind} '{part}' {problem}{why}")
    if spec.priors.inclusive and method.coder.legacy_plus_one == "none":
        raise InputError(
            f"method '{method.name}' counts pixels continuously, but spec.priors.inclusive of the detector ends "
            "anchors at their last pixel: they would be one px too small; leave inclusive out, or set coder: "
            "{legacy_plus_one: freeanchor} of the method"
        )


def idle(method: MethodConfig, spec: DetectorSpec) -> dict[str, str]:
    """What does nothing in this composition on this detector: its place in a study's method, and the reason."""
    built = build(method)
    found = idle_entries(method, spec.priors.kind)
    for kind, name, part in (
        ("assigner", method.assigner.name, built.assigner),
        ("criterion", method.criterion.name, built.criterion),
    ):
        entries = _said(method, kind, name, part, "idle", dict)
        found |= {f"{kind}.{entry}": str(why) for entry, why in entries.items()}
    return found


def _said(method: MethodConfig, kind: str, name: str, part: Assigner | Criterion, attribute: str, wanted: type[S]) -> S:
    """What a part says of itself; a third party's may say anything."""
    try:
        value: object = getattr(part, attribute)
    except (Exception, SystemExit) as problem:
        if name in _REGISTRIES[kind]:
            raise
        raise InputError(
            f"method '{method.name}': `{attribute}` of the {kind} '{name}' raised {told(problem)}"
        ) from problem
    if not isinstance(value, wanted):
        raise InputError(
            f"method '{method.name}': `{attribute}` of the {kind} '{name}' is {shown(value)}, not a {wanted.__name__}"
        )
    return value


def _unmet(needs: Needs, method: MethodConfig, spec: DetectorSpec, gives: frozenset[str]) -> str:
    """What is missing and the way out; empty if nothing is."""
    family = "detector" if spec.function else spec.family
    if spec.priors.kind not in needs.priors:
        return (
            f"works on {' or '.join(f'{k}s' for k in needs.priors)}, not on the {spec.priors.kind}s of this "
            f"{family}; keep the method to detectors that have them with `detectors: [...]`"
        )
    if needs.one_class and not spec.class_agnostic:
        return (
            f"is for detectors of one class, this {family} learns all classes; keep the method to such detectors "
            "with `detectors: [...]`, e.g. rpn-slim"
        )
    if method.quality not in needs.quality:
        allowed = ", ".join(str(kind or "none") for kind in needs.quality)
        return f"does not go with quality: {method.quality or 'none'}; set quality to one of: {allowed}"
    if needs.bags and "bags" not in gives:
        return f"reads bags, which the assigner '{method.assigner.name}' does not form; take the assigner ltm"
    if needs.soft and "soft" not in gives:
        return (
            f"learns soft targets, which the assigner '{method.assigner.name}' does not give; take another assigner, "
            "or losses on hard labels"
        )
    return ""


def build(method: MethodConfig) -> Built:
    """The parts of a method, constructed. Raises InputError for refused parameter values."""
    try:
        assigner = ASSIGNERS.build(method.assigner.name, method.assigner.parameters)
        return Built(method, assigner, CRITERIA.build(method.criterion.name, method.criterion.parameters))
    except InputError as problem:
        raise InputError(f"method '{method.name}': {problem}") from None


def build_method(name: str, **overrides: Any) -> Built:
    """A preset, built; overrides as in a study."""
    return build(resolve(name, overrides))
