"""Methods: from a preset and overrides to a checked composition, and to the built parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from assignbench import assigners
from assignbench.assigners import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA
from assignbench.config.method import MethodConfig, Preset
from assignbench.errors import InputError, nearest


def _collected() -> Iterable[Preset]:
    for module in vars(assigners).values():
        yield from getattr(module, "PRESETS", ())


PRESETS: dict[str, Preset] = {preset.name: preset for preset in _collected()}


@dataclass(frozen=True)
class Built:
    """A method ready to use: `assigner(priors, predictions, objects, context)` and `criterion(...)`."""

    method: MethodConfig
    assigner: Assigner
    criterion: nn.Module


def resolve(name: str, overrides: Mapping[str, Any] | None = None, *, label: str | None = None) -> MethodConfig:
    """A preset with overrides. Raises InputError for what is unknown."""
    if name not in PRESETS:
        raise InputError(f"unknown method '{name}'{nearest(name, list(PRESETS))}")
    content = PRESETS[name].method.model_dump() | {"name": label or name}
    for key, value in (overrides or {}).items():
        if isinstance(value, Mapping) and key in ("assigner", "criterion"):
            given = dict(value)
            part = given.pop("name", content[key]["name"])
            kept = content[key]["parameters"] if part == content[key]["name"] else {}
            content[key] = {"name": part, "parameters": {**kept, **given}}
        elif isinstance(value, Mapping) and isinstance(content.get(key), dict):
            content[key] = {**content[key], **value}
        else:
            content[key] = value
    return MethodConfig.model_validate(content)


def build(method: MethodConfig) -> Built:
    """The parts of a method, constructed. Raises InputError for refused parameter values."""
    assigner = ASSIGNERS.build(method.assigner.name, method.assigner.parameters)
    return Built(method, assigner, CRITERIA.build(method.criterion.name, method.criterion.parameters))


def build_method(name: str, **overrides: Any) -> Built:
    """A preset, built; overrides as in a study."""
    return build(resolve(name, overrides))
