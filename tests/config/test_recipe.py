"""Schedules: units of milestones and of the warm-up, what is never reached, and words that would do nothing."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from assignbench.config.recipe import Milestones, Schedule, laid_over, learning_rate


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ([0.5, 0.75], Milestones(shares=[0.5, 0.75])),
        ([6, 8], Milestones(steps=[6, 8])),
        ({"epochs": [1, 1.5]}, Milestones(epochs=[1, 1.5])),
        ({"steps": [6]}, Milestones(steps=[6])),
        ({"shares": [0.9]}, Milestones(shares=[0.9])),
    ],
)
def test_milestones_in_three_units(written, held) -> None:
    schedule = Schedule.model_validate({"epochs": 2, "decay": "step", "milestones": written})
    assert schedule.milestones == held
    assert Schedule.model_validate_json(schedule.model_dump_json()) == schedule


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"milestones": [0.5, 60_000]}, "mixes shares of the run with steps"),
        ({"milestones": {"steps": [3], "epochs": [1]}}, "counted in steps and in epochs"),
        ({"milestones": {"epochs": [2, 1]}}, "must rise"),
        ({"milestones": []}, "needs milestones"),
        ({"milestones": [60_000, 80_000]}, "60000 steps is never reached in a run of 100"),
        ({"milestones": [100]}, "100 steps is never reached"),
        ({"steps": None, "epochs": 12, "milestones": {"epochs": [8, 12]}}, "12 epochs is never reached in a run of 12"),
        ({"warmup_steps": 100}, "the warm-up of 100 steps is never reached"),
        ({"warmup": 0.1, "warmup_steps": 5}, "set one of warmup"),
        ({"warmup_shape": "constant"}, "needs warmup_from"),
        ({"warmup_from": 1.0}, "above lr"),
        ({"decay": "cosine", "lr_end": 1.0}, "above lr"),
        ({"decay": "cosine", "lr_end": 1e-6, "lr_end_share": 0.1}, "set one of lr_end"),
    ],
)
def test_what_is_refused(changes, told) -> None:
    with pytest.raises(ValidationError, match=told):
        Schedule.model_validate({"steps": 100, "decay": "step", "milestones": [0.5], **changes})


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"momentum": 0.5}, "momentum"),
        ({"milestones": [0.5]}, "milestones"),
        ({"decay": "step", "lr_end": 1e-6}, "lr_end"),
        ({"decay": "step", "lr_end_share": 0.3}, "lr_end_share"),
        ({"warmup": 0.0, "warmup_from": 1e-6}, "warmup_from"),
        ({"warmup": 0.0, "warmup_from": 1e-6, "warmup_shape": "constant"}, "warmup_shape"),
        ({"weight_decay": 0.0, "decay_norm_bias": True}, "decay_norm_bias"),
    ],
)
def test_words_that_would_do_nothing(changes, idle) -> None:
    assert idle in Schedule.model_validate({"steps": 100, **changes}).idle()
    working = {
        "optimizer": "sgd",
        "warmup": 0.1,
        "weight_decay": 1e-4,
        "decay": "cosine" if idle.startswith("lr_end") else "step",
    }
    assert Schedule.model_validate({"steps": 100, **changes, **working}).idle() == {}


@pytest.mark.parametrize(
    ("changes", "per_epoch", "late"),
    [
        ({"epochs": 2, "milestones": [150]}, 100, ""),
        ({"epochs": 2, "milestones": [150]}, 75, "milestones: 150 steps is never reached"),
        ({"steps": 200, "milestones": {"epochs": [1.5]}}, 100, ""),
        ({"steps": 200, "milestones": {"epochs": [1.5, 2]}}, 100, "milestones: 2 epochs is never reached"),
        ({"epochs": 2, "milestones": [0.5], "warmup_steps": 150}, 100, ""),
        ({"epochs": 2, "milestones": [0.5], "warmup_steps": 150}, 75, "warmup_steps: 150 is never reached"),
        ({"epochs": 0.1, "milestones": [0.99]}, 30, ""),
    ],
)
def test_what_only_the_data_can_tell(changes, per_epoch, late) -> None:
    found = Schedule.model_validate({"decay": "step", **changes}).unreached(per_epoch)
    assert found.startswith(late) and bool(found) == bool(late)


def test_a_reached_milestone_changes_the_rate_of_a_step() -> None:
    """What `unreached` lets pass is reached, and what it refuses is not."""
    for last in (1.0, 1.5, 1.9, 1.96, 1.999, 2.0, 2.5):
        schedule = Schedule.model_validate({"steps": 20, "decay": "step", "milestones": {"epochs": [last]}})
        rates = {learning_rate(schedule, step, 20, 10) for step in range(19 + 1)}
        falls = min(rates) < schedule.lr * 0.1001
        assert falls == (schedule.unreached(10) == ""), last


def test_one_of_two_words_puts_the_other_aside() -> None:
    assert laid_over({"epochs": 12, "lr": 0.1}, {"steps": 5}) == {"lr": 0.1, "steps": 5}
    assert laid_over({"warmup_steps": 500}, {"warmup": 0.1}) == {"warmup": 0.1}
    assert laid_over({"warmup": 0.1}, {"warmup_steps": 500, "lr": 0.2}) == {"warmup_steps": 500, "lr": 0.2}
    assert laid_over({"milestones": {"epochs": [8]}}, {"milestones": {"steps": [9]}}) == {"milestones": {"steps": [9]}}
    base = Schedule(epochs=3, warmup_steps=4).model_dump()
    assert Schedule.model_validate(laid_over(base, {"steps": 50})).steps == 50
    assert Schedule.model_validate(laid_over(base, {"warmup": 0.2})).warmup_steps is None
    other = Schedule.model_validate(laid_over(Schedule(epochs=3).model_dump(), {"warmup_steps": 7}))
    assert (other.warmup, other.warmup_steps) == (0.0, 7)


def test_one_mean_of_the_weights_and_no_longer_than_the_run() -> None:
    assert Schedule(steps=20, average=20).average == 20
    for changes, told in (
        ({"steps": 20, "average": 21}, "average: 21 updates are more than the run's 20"),
        ({"steps": 20, "average": 4, "ema": 0.9}, "set one of ema and average"),
        ({"steps": 20, "average": 1}, "greater than or equal to 2"),
    ):
        with pytest.raises(ValidationError, match=told):
            Schedule.model_validate(changes)
    assert Schedule(epochs=2, average=50).unreached(25) == ""
    assert Schedule(epochs=2, average=51).unreached(25).startswith("average: 51 updates are more than the run's 50")
    assert laid_over({"steps": 9, "ema": 0.9}, {"average": 4}) == {"steps": 9, "average": 4}
    assert laid_over({"steps": 9, "average": 4}, {"ema": 0.9}) == {"steps": 9, "ema": 0.9}


@pytest.mark.parametrize(
    ("share", "total", "first"), [(0.55, 100, 55), (0.29, 100, 29), (0.57, 100, 57), (0.07, 1e5, 7e3)]
)
def test_a_share_of_whole_updates_begins_there(share, total, first) -> None:
    """0.55 of 100 is 55.000000000000007 to a computer."""
    schedule = Schedule.model_validate({"steps": int(total), "decay": "step", "milestones": [share], "warmup": 0.0})
    rates = [learning_rate(schedule, int(step), int(total)) for step in (first - 1, first)]
    assert rates == [schedule.lr, pytest.approx(schedule.lr / 10)]
    ten = Schedule.model_validate({"epochs": 3, "decay": "step", "milestones": {"epochs": [1.1]}})
    assert ten.milestones.at(30, 10) == [11]


@pytest.mark.parametrize("total", [2, 3, 5, 9, 100, 517])
@pytest.mark.parametrize("shares", [[0.999], [2 / 3, 8 / 9], [0.001, 0.5]])
def test_every_share_is_reached(total, shares) -> None:
    schedule = Schedule.model_validate({"steps": total, "decay": "step", "milestones": shares, "warmup": 0.0})
    last = learning_rate(schedule, total - 1, total)
    assert last == pytest.approx(schedule.lr * 0.1 ** len(shares)) and schedule.unreached(1) == ""
    assert learning_rate(schedule, 0, total) == schedule.lr


@pytest.mark.parametrize(
    ("base", "change", "left"),
    [
        ({"decay": "step", "milestones": [0.5]}, {"decay": "cosine"}, {"decay": "cosine"}),
        ({"decay": "cosine", "lr_end": 1e-6}, {"decay": "step"}, {"decay": "step"}),
        ({"decay": "cosine", "lr_end_share": 0.3}, {"lr_end": 1e-6}, {"decay": "cosine", "lr_end": 1e-6}),
        ({"optimizer": "sgd", "momentum": 0.8}, {"optimizer": "adamw"}, {"optimizer": "adamw"}),
        ({"warmup_steps": 9, "warmup_from": 1e-6}, {"warmup": 0.0}, {"warmup": 0.0}),
        ({"decay_norm_bias": True}, {"weight_decay": 0.0}, {"weight_decay": 0.0}),
        # what was idle before, or is written in the change itself, is told of
        ({"milestones": [0.5]}, {"lr": 0.1}, {"milestones": [0.5], "lr": 0.1}),
        ({}, {"decay": "cosine", "milestones": [0.5]}, {"decay": "cosine", "milestones": [0.5]}),
        ({"decay": "step", "milestones": [0.5]}, {"lr": "x"}, {"decay": "step", "milestones": [0.5], "lr": "x"}),
    ],
)
@pytest.mark.parametrize("length", [{}, {"epochs": 12}, {"steps": 100}])
def test_what_a_change_makes_idle_is_put_aside(base, change, left, length) -> None:
    assert laid_over({**base, **length}, change) == {**left, **length}
