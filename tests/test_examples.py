"""The examples of the docstrings run and say what they print."""

import doctest
import importlib
import pkgutil

import pytest

import assignbench
from assignbench.assigners import ASSIGNERS

MODULES = [m.name for m in pkgutil.walk_packages(assignbench.__path__, "assignbench.") if "__main__" not in m.name]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def test_every_assigner_has_an_example() -> None:
    for name in ASSIGNERS:
        assert ">>>" in (type(ASSIGNERS.build(name, {})).__doc__ or ""), name
