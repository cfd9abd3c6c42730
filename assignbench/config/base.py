"""The base of every description: frozen, no unknown key, no text for a number, no number that is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Config(BaseModel):
    """Frozen plain data that survives JSON: `model_dump(mode="json")` and `model_validate` are each other's inverse.

    Values are taken as they are: `"8"`, `8.0` and `true` are not the number 8. Only a list may stand for a tuple,
    since YAML and JSON have no tuples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_for_tuples(cls, value: Any, info: ValidationInfo) -> Any:
        return _as_tuples(cls.model_fields[str(info.field_name)].annotation, value)


def _as_tuples(annotation: Any, value: Any) -> Any:
    """The value with lists turned into tuples where the annotation wants tuples."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _as_tuples(arguments[0], value)
    if origin in (Union, UnionType):
        members = [get_args(a)[0] if get_origin(a) is Annotated else a for a in arguments]
        tuples = [a for a in members if get_origin(a) is tuple]
        return _as_tuples(tuples[0], value) if tuples else value
    if origin is tuple and isinstance(value, list):
        return tuple(value)
    if origin is list and isinstance(value, list):
        return [_as_tuples(arguments[0], v) for v in value]
    if origin is dict and isinstance(value, dict):
        return {k: _as_tuples(arguments[1], v) for k, v in value.items()}
    return value


def merge(base: Any, change: Any) -> Any:
    """`change` over `base`: mappings are merged key by key, everything else is replaced."""
    if isinstance(base, Mapping) and isinstance(change, Mapping):
        return {**base, **{k: merge(base.get(k), v) for k, v in change.items()}}
    return deepcopy(change)
