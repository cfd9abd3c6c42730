"""Rates by hand, and the long version's command."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.simulation import __main__ as command, designs
from tests.simulation.designs import DESIGNS, table_of
from tests.simulation.tally import Rate, rates, ratio


def test_a_rate_is_a_mean_with_the_deviation_of_it() -> None:
    (found,) = rates([{"false: x": 1.0}, {"false: x": 0.0}, {"false: x": 0.0}, {"false: x": 0.0}])
    assert (found.mean, found.studies) == (0.25, 4)
    assert found.error == pytest.approx((0.25 * 0.75 / 4) ** 0.5)


def test_a_rate_of_nothing_has_an_error_too() -> None:
    (found,) = rates([{"false: x": 0.0}] * 9)
    assert found.error == pytest.approx((9 / 100 / 9) ** 0.5)


def test_words_say_whether_a_rate_is_what_is_wanted() -> None:
    assert Rate("covers: x", 0.95, 0.01, 400).word == "yes"
    assert Rate("covers: x", 0.92, 0.01, 400).word == "error"
    assert Rate("covers: x", 0.90, 0.01, 400).word == "NO"
    assert Rate("covers: x", 0.999, 0.001, 400).word == "NO"
    assert Rate("false: x", 0.0, 0.0, 400).word == "yes"
    assert Rate("told: x", 0.3, 0.1, 400).word == ""


def test_a_ratio_has_both_errors() -> None:
    found = ratio(Rate("told: a", 0.8, 0.04, 100), Rate("told: b", 0.4, 0.04, 100), "ratio: c")
    assert found.mean == 2.0 and found.word == "yes"
    assert found.error == pytest.approx(2 * (0.05**2 + 0.1**2) ** 0.5)
    answers = [{"told: power with moderation": 0.9, "told: power by plain t": p} for p in (0.4, 0.5)]
    assert table_of(answers)[-1].mean == pytest.approx(2.0)


def test_the_command_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    small = {"a": [{"covers: x": 1.0, "false: y": 0.0}] * 20}
    for module in (command, designs):
        monkeypatch.setattr(module, "DESIGNS", {"a": _Fixed(small["a"])})
    assert command.answered.__module__ == designs.__name__  # a spawned process cannot read what is run as __main__
    monkeypatch.setattr(command.multiprocessing, "get_context", lambda _: SimpleNamespace(Pool=_Here))
    monkeypatch.setattr("sys.argv", ["simulation", "--studies", "25", "--out", str(tmp_path)])
    assert command.main() == 0
    table = pd.read_csv(tmp_path / "simulation.csv")
    assert table.question.tolist() == ["covers: x", "false: y"]
    assert table.studies.tolist() == [25, 25] and np.allclose(table.rate, [1.0, 0.0])
    assert "a: 25 studies" in capsys.readouterr().out


def test_every_design_has_a_world_of_its_own() -> None:
    assert len({(d.world, d.ask) for d in DESIGNS.values()}) == len(DESIGNS)


class _Fixed:
    def __init__(self, answers: list[dict[str, float]]) -> None:
        self.kept = answers

    def answers(self, first: int, last: int) -> list[dict[str, float]]:
        return self.kept[:1] * (last - first)


class _Here:
    """A pool without processes."""

    def __init__(self, *_: int) -> None: ...

    Pool = property(lambda _: SimpleNamespace(Pool=_Here))

    def __enter__(self) -> "_Here":
        return self

    def __exit__(self, *_: object) -> None: ...

    def imap(self, function, tasks):
        return map(function, tasks)
