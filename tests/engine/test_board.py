"""Metrics for TensorBoard: written where its package is, missed nowhere, never at the cost of a training."""

import sys
from types import ModuleType
from typing import Any

import pytest

from assignbench.engine import board
from assignbench.engine.board import Board
from assignbench.engine.run import run_cell
from assignbench.records import CellRecord
from tests.engine.cells import place, tiny


class Writer:
    """TensorBoard's writer as far as it is used; knows what every one of them was told."""

    every: list[tuple[str, int, int, dict[str, list[int]]]] = []

    def __init__(self, folder: str, purge_step: int) -> None:
        self.told: dict[str, list[int]] = {}
        Writer.every.append((folder, purge_step, len(Writer.every), self.told))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        assert type(value) is float
        self.told.setdefault(name, []).append(step)

    def close(self) -> None:
        self.told["closed"] = []


@pytest.fixture
def installed(monkeypatch) -> list[tuple[str, int, int, dict[str, list[int]]]]:
    """A package of that name, and what its writers were told."""
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(board, "find_spec", lambda name: object())
    monkeypatch.setattr(Writer, "every", [])
    return Writer.every


def test_a_training_and_its_test_are_written(tmp_path, installed) -> None:
    folder = place(tiny(), tmp_path)
    assert run_cell(folder, "cpu") == "done"
    (where, first, _, training), (_, last, _, test) = installed
    assert where == str(folder / "tensorboard") and (first, last) == (0, 8)
    lines = CellRecord(folder).metrics()
    assert training["loss/loss"] == lines.step.tolist() and "training/lr" in training and "closed" in training
    assert {"loss/loss_cls", "loss/loss_box"} <= set(training) and "loss/epoch" not in training
    assert test["test/AP"] == [8] and "closed" in test


def test_without_the_package_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    one = Board(tmp_path)
    one.line({"step": 1, "loss": 2.0})
    one.close()
    assert one.problem == "" and not list(tmp_path.iterdir())


def test_a_broken_package_costs_no_training(tmp_path, installed, monkeypatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise TypeError("Descriptors cannot be created directly")

    monkeypatch.setattr(sys.modules["torch.utils.tensorboard"], "SummaryWriter", broken)
    one = Board(tmp_path)
    one.scalar("a", 1.0, 0)
    one.close()
    assert "TypeError: Descriptors" in one.problem
