"""Named recipes: known by name, laid under what a study writes, told by `plan` and `list`, absent from identities."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from assignbench.cli import main
from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.config.recipe import Schedule
from assignbench.config.recipes import RECIPES
from assignbench.errors import InputError
from assignbench.study.checks import schedule_of
from assignbench.study.reading import read_study
from assignbench.study.recipe import data_under, recipe_lines


@pytest.fixture
def study(tmp_path):
    """Reads a study of COCO with the given entries."""

    def read(sets: tuple[str, ...] = (), preset: str | None = None, **changes: Any):
        content = {
            "study": "recipes",
            "answers": "nothing",
            "cost": "nothing",
            "expect": "nothing",
            "detectors": ["retinanet-slim"],
            "methods": ["iou"],
            "data": "coco2017",
            **changes,
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return read_study(path, sets=sets, preset=preset)

    return read


@pytest.fixture
def plain(monkeypatch):
    """Recipes whose data entries every data set has, so that laying is tested whatever these are."""
    for name, recipe in list(RECIPES.items()):
        data = {key: value for key, value in recipe.data.items() if key == "augment"}
        monkeypatch.setitem(RECIPES, name, type(recipe)(**{**vars(recipe), "data": data}))


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_word_of_a_recipe_does_something(name) -> None:
    recipe = RECIPES[name]
    assert Schedule.model_validate(dict(recipe.schedule)).idle() == {}
    assert recipe.printed and recipe.released and recipe.about


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_makes_a_study(name, study) -> None:
    found = study(recipe=name).spec
    held = found.data[0].data_set()
    for key, value in RECIPES[name].data.items():
        written = DataSpec.model_validate({"name": "x", "kind": "coco", "augment": {"ssd": False}, key: value})
        assert getattr(held, key) == getattr(written, key), key


def test_a_recipe_lies_under_what_the_study_writes(plain, study) -> None:
    whole = study(recipe="paa_135k").spec
    assert (whole.schedule.steps, whole.schedule.milestones.steps) == (135_000, [90_000, 120_000])
    assert (whole.schedule.lr, whole.schedule.bias_lr, whole.schedule.clip_grad) == (0.01, 2.0, None)
    assert whole.schedule.warmup_from == pytest.approx(0.01 / 3) and whole.schedule.warmup_shape == "constant"
    assert (whole.evaluation.floor, whole.evaluation.pre_nms_per) == (0.05, "level")
    assert not whole.data[0].augment.ssd and whole.data[0].augment.flip == 0.5
    mine = study(
        recipe="paa_135k",
        schedule={"epochs": 12, "milestones": {"epochs": [8, 11]}, "warmup": 0.1, "lr": 0.02},
        evaluation={"floor": 0.1},
        data={"name": "coco2017", "augment": {"zoom": 0.25}},
    ).spec
    assert (mine.schedule.steps, mine.schedule.epochs, mine.schedule.milestones.epochs) == (None, 12, [8, 11])
    assert (mine.schedule.warmup, mine.schedule.warmup_steps, mine.schedule.lr) == (0.1, None, 0.02)
    assert (mine.evaluation.floor, mine.evaluation.pre_nms_per) == (0.1, "level")
    assert (mine.data[0].augment.zoom, mine.data[0].augment.flip) == (0.25, 0.5)


def test_what_the_study_makes_idle_is_left_out(plain, study) -> None:
    """Nobody wrote the milestones that a cosine has no use for; who writes them is told so."""
    found = study(recipe="paa_135k", schedule={"decay": "cosine"}).spec.schedule
    assert found.decay == "cosine" and found.milestones == Schedule(steps=1).milestones
    with pytest.raises(InputError, match="milestones does nothing without decay: step"):
        study(recipe="paa_135k", schedule={"decay": "cosine", "milestones": [0.5]})


def test_options_and_presets_lie_over_a_recipe(plain, study) -> None:
    found = study(("schedule.epochs=3", "schedule.milestones=[0.5]"), recipe="paa_135k").spec.schedule
    assert (found.steps, found.epochs, found.milestones.shares) == (None, 3, [0.5])
    presets = {"short": {"recipe": "musu_90k", "schedule": {"lr": 0.005}}}
    found = study(preset="short", recipe="paa_135k", presets=presets).spec.schedule
    assert (found.steps, found.lr, found.clip_grad) == (90_000, 0.005, 35.0)
    assert study(("recipe=ltm_90k",), recipe="paa_135k").spec.schedule.warmup_shape == "linear"


def test_a_data_set_may_change_its_schedule_over_a_recipe(plain, study) -> None:
    found = study(recipe="mutual_guidance_voc", data={"name": "coco2017", "schedule": {"epochs": 140}})
    assert schedule_of(found, found.spec.data[0]).epochs == 140


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipe": "paa_135"}, r"line \d+: recipe: unknown recipe 'paa_135'; did you mean 'paa_135k'"),
        ({"recipe": 5}, r"line \d+: recipe is 5"),
        ({"recipe": "paa_135k", "schedule": {"steps": 500}}, "90000 steps is never reached in a run of 500"),
        ({"recipe": "paa_135k", "schedule": {"lr": 1e-4}}, "warmup_from is .* above lr: 0.0001"),
        ({"recipe": "paa_135k", "schedule": 5}, "schedule"),
        ({"recipe": "paa_135k", "evaluation": [5]}, "evaluation"),
    ],
)
def test_what_is_refused(plain, study, changes, told) -> None:
    with pytest.raises(InputError, match=told):
        study(**changes)


def test_one_word_for_the_size_of_images() -> None:
    recipe = RECIPES["paa_135k"]
    for word in ("size", "image_size"):
        assert data_under({word: 320, "kind": "coco"}, {}, recipe)["size"] == {"short": 800, "long": 1333}
        assert "image_size" not in data_under({word: 320}, {}, recipe)
        below = data_under({"size": 320}, {word: 640}, recipe)
        assert below.get("size") == 320 and below["augment"] == {"flip": 0.5}
    assert data_under(CATALOG["coco2017"], {}, None) == CATALOG["coco2017"]


def test_the_commands_tell_what_a_recipe_sets(plain, study, tmp_path, monkeypatch, capsys) -> None:
    lines = recipe_lines(study(recipe="paa_135k", schedule={"lr": 0.02}).spec)
    assert lines[0].startswith("recipe: paa_135k (PAA's ablations; printed: ")
    assert "milestones: [90000, 120000]" in lines[1] and lines[1].endswith("(the study has its own lr)")
    assert recipe_lines(study(schedule={"steps": 3}).spec) == []
    assert main(["list", "recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RECIPES)
    monkeypatch.chdir(tmp_path)
    study(recipe="paa_135k", data={"name": "shapes"})
    assert main(["plan", "study.yaml"]) == 0
    assert "recipe: paa_135k" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("kind", ["shapes", "voc", "coco", "csv"])
def test_a_recipe_suits_every_kind_of_data(name, kind, study) -> None:
    """What a kind does not read is left out: nobody wrote it, so nobody could leave it out."""
    splits = {} if kind == "shapes" else {"root": "x", "train": [["a", "b"]], "test": [["c", "d"]]}
    (data,) = study(recipe=name, data={"name": "mine", "kind": kind, **splits}).spec.data
    assert data.data_set().crowd == ("train" if kind == "coco" and "crowd" in RECIPES[name].data else "drop")


def test_plan_tells_the_data_entries_that_are_the_study_s_own(study) -> None:
    own = {"name": "coco2017", "size": 320, "augment": {"zoom": 0.25}}
    assert recipe_lines(study(recipe="paa_135k", data=own).spec)[-1].endswith("(the study has its own augment, size)")
    assert "own" not in recipe_lines(study(recipe="mutual_guidance_coco").spec)[-1]
    assert "own" not in recipe_lines(study(recipe="mutual_guidance_coco", data="shapes").spec)[-1]


def test_a_cell_is_known_by_its_values(plain, study) -> None:
    """The same values by name or by hand are the same cell."""
    from assignbench import methods
    from assignbench.study.grid import cells_of

    named = study(recipe="mutual_guidance_coco", data={"name": "shapes", "train_images": 4000})
    [one] = cells_of(named, methods)
    schedule, evaluation = (getattr(named.spec, p).model_dump(mode="json") for p in ("schedule", "evaluation"))
    augment = {"flip": 0.5, "flip_vertical": 0.0, "ssd": True}
    data = {"name": "shapes", "train_images": 4000, "augment": augment}
    [two] = cells_of(study(schedule=schedule, evaluation=evaluation, data=data), methods)
    assert one.id == two.id and "mutual_guidance_coco" not in one.config.model_dump_json()


def test_recipes_load_no_torch() -> None:
    import subprocess

    code = "import sys, assignbench.study.recipe, assignbench.config.recipes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
