"""One small registry: a name, the class that it stands for, and parameters checked against that class."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from assignbench.config.sources import GROUPS
from assignbench.config.words import REQUIRED, Word, complaints, shown, word
from assignbench.errors import InputError, nearest
from assignbench.plugins import imported, told as raised

T = TypeVar("T")
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


class Registry(Generic[T]):
    """Names to classes. `kind` is what an error calls an entry, e.g. "assigner"; `base` is what each must derive from.

    A name with a colon (`my_module:MyAssigner`) is imported; entry points of the group `assignbench.assigners` or
    `assignbench.criteria` are found by their names. Nothing is called before it is known to derive from `base`.
    """

    def __init__(self, kind: str, base: type[T]) -> None:
        self.kind, self.base = kind, base
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Decorator that enters a class under `name`."""

        def enter(found: type[T]) -> type[T]:
            if name in self._classes:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._classes[name] = found
            return found

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def factory(self, name: str) -> type[T]:
        """The class behind `name`. Raises InputError with the nearest known name, and for what is no such class."""
        if name in self._classes:
            return self._classes[name]
        if ":" in name:
            return self._checked(name, imported(name, self.kind))
        for entry in entry_points(group=GROUPS[self.kind], name=name):
            return self._checked(name, imported(f"{entry.module}:{entry.attr}", self.kind))
        raise InputError(f"unknown {self.kind} '{name}'{nearest(name, list(self._classes))}")

    def _checked(self, name: str, found: object) -> type[T]:
        # The type of `found` is asked, since an object can pretend to be a class by its attributes.
        is_class = issubclass(type(found), type)
        if is_class and issubclass(found, self.base):  # type: ignore[arg-type]
            return found  # type: ignore[return-value]
        what = f"the class {found.__name__}" if is_class else f"a {type(found).__name__}"  # type: ignore[attr-defined]
        raise InputError(
            f"{self.kind} '{name}' is {what}, which does not derive from "
            f"{self.base.__module__}.{self.base.__qualname__}; write module:Class of a class that does"
        )

    def words(self, name: str) -> dict[str, Word]:
        """The parameters of `name`, their defaults and what they may be."""
        hints = self._hints(name)
        return {key: word(key, hint, default) for key, (hint, default) in hints.items()}

    def filled(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of `name` as plain values: those given, checked, and the defaults of the rest.

        Raises InputError for a parameter that `name` does not have, for a value that it does not take, and for one
        that must be given and is not.
        """
        self.check(name, parameters)
        found: dict[str, Any] = {}
        for key, (_, default) in self._hints(name).items():
            if key in parameters:
                found[key] = parameters[key]
            elif default is REQUIRED:
                raise InputError(f"{self.kind} '{name}': the parameter '{key}' is missing")
            else:
                found[key] = default
        try:
            plain: dict[str, Any] = json.loads(json.dumps(found))
        except (TypeError, ValueError, RecursionError) as problem:
            raise InputError(
                f"{self.kind} '{name}': a default is not plain data ({problem}); parameters are numbers, text, true or "
                "false, lists and mappings"
            ) from None
        return plain

    def check(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Raises InputError for a parameter that `name` does not have, and for a value that it does not take."""
        hints = self._hints(name)
        for key, value in parameters.items():
            if key not in hints:
                told = f"{self.kind} '{name}' has no parameter '{key}'{nearest(str(key), list(hints))}"
                raise InputError(told, (key,))
            hint, default = hints[key]
            model = _described(hint)
            if model is not None and isinstance(value, Mapping):
                try:
                    model.model_validate(value)
                except ValidationError as refused:
                    told = f"parameter {complaints(refused, model, at=key)}"
                    raise InputError(f"{self.kind} '{name}': {told}", (key,)) from None
            try:
                _adapter(hint).validate_json(json.dumps(value))
            except (ValidationError, TypeError, ValueError):
                may = word(key, hint, default)
                allowed = f" (allowed: {may.allowed})" if may.allowed else ""
                problem = f"parameter '{key}' is {shown(value)}{may.nearest(value)}{allowed}"
                raise InputError(f"{self.kind} '{name}': {problem}", (key,)) from None

    def build(self, name: str, parameters: Mapping[str, Any] | None = None) -> T:
        """An instance of `name`. Raises InputError for unknown names, parameters and refused values."""
        given = dict(parameters or {})
        self.check(name, given)
        hints = self._hints(name)
        try:
            typed = {key: _adapter(hints[key][0]).validate_json(json.dumps(value)) for key, value in given.items()}
            made: object = self.factory(name)(**typed)
        except (TypeError, ValueError) as problem:
            raise InputError(f"{self.kind} '{name}': {problem}") from problem
        except (Exception, SystemExit) as problem:
            if name in self._classes:
                raise
            raise InputError(f"{self.kind} '{name}' raised {raised(problem)}") from problem
        if not isinstance(made, self.base):
            raise InputError(f"{self.kind} '{name}': calling the class gave a {type(made).__name__}, no {self.kind}")
        return made

    def _hints(self, name: str) -> dict[str, tuple[Any, Any]]:
        """Annotation and default of every parameter."""
        found: type[Any] = self.factory(name)
        try:
            return _hints_of(found)  # type: ignore[arg-type]
        except (Exception, SystemExit) as problem:  # annotations and defaults are someone's code
            if name in self._classes:
                raise
            raise InputError(f"{self.kind} '{name}': its parameters cannot be read: {raised(problem)}") from problem


@lru_cache(maxsize=1024)
def _hints_of(found: type[Any]) -> dict[str, tuple[Any, Any]]:
    owner = next(c for c in found.__mro__ if "__init__" in vars(c))
    if "__dataclass_fields__" in vars(owner):
        hints = get_type_hints(owner, include_extras=True)
        return {f.name: (hints[f.name], _default(f)) for f in dataclasses.fields(owner) if f.init}
    hints = get_type_hints(found.__init__, include_extras=True)
    signature = inspect.signature(found)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    empty = inspect.Parameter.empty
    return {
        key: (hints.get(key, _kind_of(p.default)), REQUIRED if p.default is empty else p.default)
        for key, p in signature.parameters.items()
        if p.kind in named
    }


def _kind_of(default: Any) -> Any:
    """What a parameter without an annotation may be: what its default is; a number where that is one."""
    if isinstance(default, bool | str):
        return type(default)
    return float if isinstance(default, int | float) else Any


def _described(hint: Any) -> type[BaseModel] | None:
    """The description that an annotation takes as a mapping beside plain values."""
    return next((a for a in get_args(hint) if isinstance(a, type) and issubclass(a, BaseModel)), None)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return REQUIRED if field.default_factory is dataclasses.MISSING else field.default_factory()


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(hint: Any) -> TypeAdapter[Any]:
    """What checks values of an annotation; kept by what the annotation reads as, since not all can be hashed."""
    key = repr(hint)
    if key not in _ADAPTERS:
        try:
            _ADAPTERS[key] = TypeAdapter(hint, config=_STRICT)
        except PydanticUserError as problem:
            raise TypeError(f"{key} is no type of plain data") from problem
    return _ADAPTERS[key]
