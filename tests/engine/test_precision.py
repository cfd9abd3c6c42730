"""Averaged weights, half precision, clipping, groups of parameters, compiled networks."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from assignbench.config.cell import LocalPaths
from assignbench.config.recipe import Schedule
from assignbench.engine.averaging import Average, Exponential, Tail, average_of
from assignbench.engine.cell import Cell, build_cell
from assignbench.engine.failure import reason_of
from assignbench.engine.hooks import Guard, Log
from assignbench.engine.loop import loop
from assignbench.engine.optim import clipped, parameter_groups
from tests.engine.cells import tiny


def cell(folder: Path = Path(), **changes: object) -> Cell:
    return build_cell(folder, tiny(**changes), LocalPaths(), "cpu")


def test_an_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.register_buffer("seen", torch.tensor(0))
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = Average(model, Exponential(0.5))
    expected = 0.0
    for n, value in enumerate((1.0, 2.0, 4.0, 8.0)):
        with torch.no_grad():
            model.weight.fill_(value)
        model.seen.fill_(n)
        average.update()
        keep = min(0.5, (1 + n) / (10 + n))
        expected = keep * expected + (1 - keep) * value
    assert float(average.mean["weight"]) == pytest.approx(expected) and int(average.mean["seen"]) == 3
    average.into(model)
    assert float(model.weight.detach()) == pytest.approx(expected)
    with pytest.raises(RuntimeError, match="another network"):
        Average(nn.Linear(1, 1), Exponential(0.5)).restore(average.state())


@pytest.mark.parametrize("resumed", [False, True])
def test_the_mean_of_the_last_updates_by_hand(resumed) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, Tail(3, 6))
    for value in (1.0, 2.0, 4.0, 8.0, 16.0, 36.0):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
        if value <= 4.0:
            assert float(average.mean["weight"]) == value  # what it is now, until the last three begin
        if resumed:
            after = Average(nn.Linear(1, 1, bias=False), Tail(3, 6))
            after.restore(average.state())
            after.model = model
            average = after
    assert float(average.mean["weight"]) == pytest.approx((8 + 16 + 36) / 3)


def test_a_schedule_says_which_mean_is_kept() -> None:
    model = nn.Linear(1, 1)
    assert average_of(model, Schedule(steps=9), 9) is None
    assert average_of(model, Schedule(steps=9, ema=0.9), 9).rule == Exponential(0.9)
    assert average_of(model, Schedule(steps=9, average=4), 9).rule == Tail(4, 9)


def test_averaged_weights_are_those_in_the_end_and_change_no_step() -> None:
    plain, averaged = cell(amp="none"), cell(amp="none", ema=0.7)
    seen: list[dict[str, torch.Tensor]] = []
    update = averaged.learner.average.update

    def noted() -> None:
        update()
        seen.append({k: v.clone() for k, v in averaged.learner.model.state_dict().items()})

    averaged.learner.average.update = noted
    for mine in (plain, averaged):
        loop(mine.loader.batches(0, 3), [mine.learner], [])
    last = plain.learner.model.state_dict()
    assert len(seen) == 3 and all(torch.equal(seen[-1][k], v) for k, v in last.items())
    final = averaged.learner.model.state_dict()
    name = "detector.head.cls.weight"
    assert torch.equal(final[name], averaged.learner.average.mean[name]) and not torch.equal(final[name], last[name])


def test_half_precision_leaves_out_what_overflows(tmp_path) -> None:
    mine = cell(tmp_path, amp="fp16", log_every=1)
    learner = mine.learner
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 2.0**60})
    before = {k: v.clone() for k, v in learner.model.named_parameters()}
    hooks = [Guard(learner, tmp_path), Log(learner, tmp_path)]
    loop(mine.loader.batches(0, 1), [learner], hooks)
    assert learner.stopped is None and learner.scaler.get_scale() == 2.0**59
    assert all(torch.equal(v, before[k]) for k, v in learner.model.named_parameters())
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 2.0**4})
    loop(mine.loader.batches(1, 4), [learner], hooks, first=1)
    assert learner.stopped is None
    assert any(not torch.equal(v, before[k]) for k, v in learner.model.named_parameters())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["grad_norm"] is None for line in lines] == [True, False, False, False]


def test_half_precision_that_overflows_at_any_scale_diverges(tmp_path) -> None:
    mine = cell(tmp_path, amp="fp16")
    mine.learner.scaler.load_state_dict({**mine.learner.scaler.state_dict(), "scale": 1.0})
    with torch.no_grad():
        mine.learner.detector.head.cls.weight.fill_(1e30)
    loop(mine.loader.batches(0, 2), [mine.learner], [Guard(mine.learner, tmp_path)])
    assert mine.learner.stopped is not None


def test_a_gradient_that_is_not_clipped_is_still_measured() -> None:
    weight = nn.Parameter(torch.zeros(4))
    for largest, left in ((None, 5.0), (2.0, 2.0), (10.0, 5.0)):
        weight.grad = torch.tensor([3.0, 4.0, 0.0, 0.0])
        optimiser = torch.optim.SGD([{"params": [weight], "factor": 1.0}], lr=0.1)
        assert float(clipped(optimiser, largest)) == 5.0
        assert float(weight.grad.norm()) == pytest.approx(left, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"conv.weight": (1, 1e-4), "conv.bias": (1, 0), "norm.weight": (1, 0), "backbone.conv.bias": (1, 0)}),
        ({"bias_lr": 2}, {"conv.weight": (1, 1e-4), "conv.bias": (2, 0), "norm.weight": (1, 0), "norm.bias": (2, 0)}),
        (
            {"bias_lr": 2, "backbone_lr": 0.5},
            {"backbone.conv.bias": (1, 0), "backbone.conv.weight": (0.5, 1e-4), "conv.bias": (2, 0)},
        ),
        ({"decay_norm_bias": True}, {"conv.bias": (1, 1e-4), "norm.weight": (1, 1e-4), "conv.weight": (1, 1e-4)}),
    ],
)
def test_rates_and_decay_of_parameters(changes, expected) -> None:
    def block() -> nn.ModuleDict:
        return nn.ModuleDict({"conv": nn.Conv2d(1, 1, 1), "norm": nn.BatchNorm2d(1)})

    model = nn.ModuleDict({"backbone": block(), **block()})
    schedule = Schedule.model_validate({"steps": 1, **changes})
    groups = parameter_groups(model.named_parameters(), schedule)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)]: (g["factor"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(found) == 8 and {name: found[name] for name in expected} == expected


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_losses(monkeypatch) -> None:
    """The graphs of forward and backward pass; the code that torch makes of them takes a minute, and is torch's own."""
    compiling = Mock(side_effect=partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch, "compile", compiling)
    plain, compiled = cell(amp="none"), cell(amp="none", compile=True)
    assert compiling.call_count == 1
    assert compiled.learner.model.state_dict().keys() == plain.learner.model.state_dict().keys()
    batches = list(plain.loader.batches(0, 1))
    _, update = compiled.learner.learn(batches, 0)
    _, wanted = plain.learner.learn(batches, 0)
    torch.testing.assert_close(update.loss, wanted.loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(update.norm, wanted.norm, rtol=1e-3, atol=1e-5)


def test_a_compiler_that_is_not_there_is_named() -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    assert "set schedule.compile: false" in reason_of(InvalidCxxCompiler())
