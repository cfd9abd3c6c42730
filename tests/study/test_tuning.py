"""A sweep: the same settings for each method, on val and with seeds of its own; what is refused, and what is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assignbench import methods
from assignbench.errors import InputError
from assignbench.study.grid import cells_of
from assignbench.study.places import Study
from assignbench.study.reading import read_study
from assignbench.study.tuning import outcome, read_tuned, trials_of, tuned
from tests.study.test_words import study

TWO = ["iou", {"name": "tight", "preset": "atss_plain", "criterion": {"box_weight": 1.5}}]
RATES = {"schedule.lr": [4.0e-3, 8.0e-3, 1.6e-2]}
Read = Callable[..., Study]


@pytest.fixture
def read(tmp_path) -> Read:
    """Reads a study of two methods and two seeds with this `tune`."""

    def reading(tune: dict[str, Any] | None, **changes: Any) -> Study:
        content = study(**{"methods": TWO, "seeds": 2, **changes}) | ({} if tune is None else {"tune": tune})
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return read_study(path)

    return reading


def chosen(found: Study, best: dict[str, float], diverged: tuple[float, ...] = ()) -> Any:
    """The outcome of a sweep of rates, where each method is best at a rate of its own."""
    trials = trials_of(found, methods)
    measured: dict[str, float | None] = {}
    for trial in trials:
        for cell in trial.cells:
            rate = cell.config.schedule.lr
            measured[cell.id] = None if rate in diverged else 0.5 - abs(rate - best[cell.config.method.name])
    return outcome(found, trials, measured)


def test_every_method_gets_the_same_settings_on_val_with_the_sweeps_seeds(read) -> None:
    sweep = {**RATES, "criterion.box_weight": [1.0, 2.0]}
    trials = trials_of(read({"sweep": sweep, "seeds": [7, 8]}), methods)
    assert [t.setting for t in trials] == [
        {"schedule.lr": lr, "criterion.box_weight": w} for lr in RATES["schedule.lr"] for w in (1.0, 2.0)
    ]
    for trial in trials:
        configs = [c.config for c in trial.cells]
        assert [(c.method.name, c.seed) for c in configs] == [("iou", 7), ("tight", 7), ("iou", 8), ("tight", 8)]
        assert {c.schedule.lr for c in configs} == {trial.setting["schedule.lr"]}
        assert {c.method.criterion.parameters["box_weight"] for c in configs} == {trial.setting["criterion.box_weight"]}
        assert {c.evaluation.split for c in configs} == {"val"}
    assert len({c.id for t in trials for c in t.cells}) == 24


def test_a_study_without_a_sweep_has_no_trials_and_one_with_it_the_same_cells(read) -> None:
    plain, swept = read(None), read({"sweep": RATES})
    assert trials_of(plain, methods) == []
    assert [c.id for c in cells_of(plain, methods)] == [c.id for c in cells_of(swept, methods)]


def test_each_method_takes_its_own_best_setting_and_the_study_its_own_split_and_seeds(read) -> None:
    found = read({"sweep": RATES})
    came = chosen(found, {"iou": 8.0e-3, "tight": 1.6e-2})
    assert came.chosen == {"iou": {"schedule.lr": 8.0e-3}, "tight": {"schedule.lr": 1.6e-2}}
    assert came.at_end == {"iou": [], "tight": ["schedule.lr"]}
    assert read_tuned(came.model_dump(mode="json"), Path("tuned.json")) == came
    cells = cells_of(tuned(found, came, trials_of(found, methods)), methods)
    assert [(c.config.method.name, c.config.seed, c.config.schedule.lr) for c in cells] == [
        *(("iou", 0, 8.0e-3), ("tight", 0, 1.6e-2), ("iou", 1, 8.0e-3), ("tight", 1, 1.6e-2)),
    ]
    assert {c.config.evaluation.split for c in cells} == {"test"}


def test_the_first_of_equal_settings_is_taken_and_none_that_diverged(read) -> None:
    found = read({"sweep": RATES})
    assert chosen(found, {"iou": 6.0e-3, "tight": 1.6e-2}).chosen["iou"] == {"schedule.lr": 4.0e-3}
    came = chosen(found, {"iou": 1.6e-2, "tight": 1.6e-2}, diverged=(1.6e-2,))
    assert came.chosen == {m: {"schedule.lr": 8.0e-3} for m in ("iou", "tight")}
    assert came.mean_of("iou", {"schedule.lr": 1.6e-2}) is None
    with pytest.raises(InputError, match="method 'iou' diverged under every setting"):
        chosen(found, {"iou": 0.1, "tight": 0.1}, diverged=tuple(RATES["schedule.lr"]))


def test_what_was_chosen_from_other_cells_is_not_taken(read) -> None:
    found = read({"sweep": RATES})
    trials = trials_of(found, methods)
    with pytest.raises(InputError, match="nothing has been chosen yet; `assignbench tune"):
        tuned(found, None, trials)
    came = chosen(found, {"iou": 8.0e-3, "tight": 8.0e-3})
    for changes in ({"schedule": {"steps": 5}}, {"methods": ["iou"]}, {"data": {"name": "shapes", "val_images": 9}}):
        other = read({"sweep": RATES}, **changes)
        with pytest.raises(InputError, match="the study has changed since its settings were chosen"):
            tuned(other, came, trials_of(other, methods))
    # What the sweep's cells do not read makes no other choice.
    same = read(
        {"sweep": RATES}, seeds=5, claims=[{"claim": "tight > iou on AP"}], data={"name": "shapes", "test_images": 9}
    )
    assert tuned(same, came, trials_of(same, methods)).spec.methods[0].schedule == {"lr": 8.0e-3}


def test_a_methods_own_entries_stay_beside_what_was_chosen(read) -> None:
    own = [{"name": "iou", "schedule": {"warmup": 0.1}, "criterion": {"box": "giou"}, "nms": 0.4}, "atss_plain"]
    sweep = {"schedule.lr": [1.0e-3, 2.0e-3], "criterion.box_weight": [3.0], "nms.kind": ["soft"], "nms.sigma": [0.4]}
    with pytest.raises(InputError, match=r"nms\.iou"):  # soft NMS has no threshold, as the grid says for any method
        trials_of(read({"sweep": sweep}, methods=own), methods)
    own[0].pop("nms")
    (first, _), *_ = (t.cells for t in trials_of(read({"sweep": sweep}, methods=own), methods))
    config = first.config
    assert (config.schedule.warmup, config.schedule.lr) == (0.1, 1.0e-3)
    assert {k: config.method.criterion.parameters[k] for k in ("box", "box_weight")} == {
        "box": "giou",
        "box_weight": 3.0,
    }
    assert (config.method.nms.kind, config.method.nms.sigma) == ("soft", 0.4)


@pytest.mark.parametrize(
    ("tune", "told"),
    [
        ({"sweep": {"lr": [0.1, 0.2]}}, "'lr' is no entry of a method"),
        ({"sweep": {"schedule": [1, 2]}}, "'schedule' is no entry of a method"),
        ({"sweep": {"evaluation.floor": [0.1, 0.2]}}, "'evaluation.floor' is no entry of a method"),
        ({"sweep": {"schedule.rate": [0.1, 0.2]}}, "with schedule.rate 0.1: "),
        ({"sweep": {"schedule.lr": [0.1, "many"]}}, "with schedule.lr many: "),
        ({"sweep": {"criterion.width": [1, 2]}}, "with criterion.width 1: "),
        ({"sweep": {"schedule.lr": [0.1]}}, "makes 1 settings; name 2 to 50"),
        ({"sweep": {"schedule.lr": [0.1, 0.1]}}, "a value is there twice"),
        ({"sweep": {"schedule.loader_workers": [0, 2]}}, "are the same for method 'iou'"),
        (
            {"sweep": {f"schedule.{n}": [0.1, 0.2, 0.3, 0.4] for n in ("lr", "warmup", "weight_decay")}},
            "makes 64 settings",
        ),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused(read, tune, told) -> None:
    with pytest.raises(InputError) as caught:
        trials_of(read(tune), methods)
    assert told in str(caught.value) and "tune.sweep" in str(caught.value) and "line " in str(caught.value)


@pytest.mark.parametrize(
    ("tune", "changes", "told"),
    [
        ({"sweep": RATES, "seeds": [1, 9]}, {}, "tune.seeds: seed 1 is one of the study's seeds"),
        ({"sweep": RATES, "seeds": [9, 9]}, {}, "a seed is there twice"),
        ({"sweep": {}}, {}, "tune.sweep is empty"),
        ({"sweep": RATES, "metric": "AP60"}, {}, "AP60"),
        (
            {"sweep": RATES},
            {"data": {"name": "mine", "kind": "voc", "train": [["a", "train"]], "test": [["a", "test"]]}},
            "data set 'mine' has none; name one under data.val",
        ),
        (
            None,
            {"data": "bccd", "evaluation": {"split": "val"}},
            "evaluation.split needs a validation split, and data set 'bccd' has none",
        ),
        (None, {"methods": [{"name": "iou", "evaluation": {"split": "val"}}]}, "measured on one split"),
    ],
)
def test_what_needs_a_validation_split_or_seeds_of_its_own_is_refused(read, tune, changes, told) -> None:
    with pytest.raises(InputError) as caught:
        read(tune, **changes)
    assert told in str(caught.value)


def test_a_methods_schedule_is_over_the_others_and_is_told(read) -> None:
    found = read(None, methods=["iou", {"name": "tight", "preset": "atss_plain", "schedule": {"lr": 0.1}}])
    assert [c.config.schedule.lr for c in cells_of(found, methods)][:2] == [6.0e-3, 0.1]
    with pytest.raises(InputError, match=r"methods\.0\.schedule of method 'iou'"):
        read(None, methods=[{"name": "iou", "schedule": {"rate": 0.1}}])
