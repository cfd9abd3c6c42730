"""One small registry: a name, the class that it stands for, and parameters checked against that class."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from assignbench.errors import InputError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to factories. `kind` is what an error calls an entry, e.g. "assigner".

    A name with a colon (`my_module:MyAssigner`) is imported; entry points of the group
    `assignbench.<kind>s` are found by their names.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator that enters a class or factory under `name`."""

        def enter(factory: Callable[..., T]) -> Callable[..., T]:
            if name in self._factories:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._factories[name] = factory
            return factory

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __contains__(self, name: object) -> bool:
        return name in self._factories

    def factory(self, name: str) -> Callable[..., T]:
        """The class behind `name`. Raises InputError with the nearest known name."""
        if name in self._factories:
            return self._factories[name]
        if ":" in name:
            return _imported(name, self.kind)
        for entry in entry_points(group=f"assignbench.{self.kind}s", name=name):
            loaded: Callable[..., T] = entry.load()
            return loaded
        raise InputError(f"unknown {self.kind} '{name}'{nearest(name, list(self._factories))}")

    def parameters(self, name: str) -> dict[str, Any]:
        """The parameters of `name` with their defaults (`inspect.Parameter.empty` where there is none)."""
        signature = inspect.signature(self.factory(name))
        return {key: parameter.default for key, parameter in signature.parameters.items()}

    def check(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Raises InputError for a parameter that `name` does not have."""
        known = list(self.parameters(name))
        for key in parameters:
            if key not in known:
                raise InputError(f"{self.kind} '{name}' has no parameter '{key}'{nearest(key, known)}")

    def build(self, name: str, parameters: Mapping[str, Any] | None = None) -> T:
        """An instance of `name`. Raises InputError for unknown names, parameters and refused values."""
        given = dict(parameters or {})
        self.check(name, given)
        try:
            return self.factory(name)(**given)
        except (TypeError, ValueError) as problem:
            raise InputError(f"{self.kind} '{name}': {problem}") from problem


def _imported(path: str, kind: str) -> Callable[..., Any]:
    module, _, attribute = path.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as problem:
        raise InputError(f"{kind} '{path}' cannot be imported: {problem}") from problem
    return found
