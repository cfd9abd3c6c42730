"""Named recipes: known by name, laid under what a study writes, told by `plan` and `list`, absent from identities."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from assignbench.cli import main
from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec, data_over
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
    assert schedule_of(found, found.spec.data[0], found.spec.detectors[0]).epochs == 140


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
        assert data_over(data_under({"size": 320}, {word: 640}, recipe), {word: 640}) == {
            word: 640,
            "augment": {"flip": 0.5},
        }
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
    assert recipe_lines(study(recipe="paa_135k", data=own).spec)[-1].endswith("(coco2017 has its own augment, size)")
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


@pytest.mark.parametrize(
    ("own", "size"),
    [
        ({"long": 1000}, {"short": (640, 672, 704, 736, 768, 800), "long": 1000}),
        ({"short": 600}, {"short": 600, "long": 1333}),
        ({"short": [64, 96], "long": 128}, {"short": (64, 96), "long": 128}),
    ],
)
def test_a_size_lies_over_that_of_the_recipe_key_by_key(own, size, study) -> None:
    found = study(recipe="ltm_180k", data={"name": "coco2017", "size": own}).spec.data[0].data_set().size
    assert found.model_dump() == size


@pytest.mark.parametrize("data", ["voc0712", "sku110k", {"name": "shapes", "train_images": 640}])
def test_what_a_kind_of_data_does_not_read_of_a_recipe_is_left_out(data, study) -> None:
    """Crowd regions are COCO's; who writes the word for another kind is told so."""
    held = study(recipe="mutual_guidance_coco", data=data).spec.data[0].data_set()
    assert (held.crowd, held.min_side, held.size) == ("drop", 6, 320)
    named = {"name": data} if isinstance(data, str) else data
    with pytest.raises(InputError, match="crowd has no meaning"):
        study(recipe="mutual_guidance_coco", data={**named, "crowd": "train"})


EPOCHS = {"epochs": 8, "decay": "step", "milestones": {"epochs": [4]}}
COSINE = {"decay": "cosine", "lr_end": 1e-6}


@pytest.mark.parametrize(
    ("preset", "told"),
    [
        ({"steps": 100, "milestones": [50]}, {"steps": 100, "epochs": None, "decay": "step"}),
        ({"milestones": [0.5]}, {"epochs": 8, "decay": "step"}),
        ({"steps": 5, **COSINE}, {"steps": 5, "decay": "cosine", "lr_end": 1e-6}),
        ({"warmup_steps": 5}, {"warmup_steps": 5, "warmup": 0.0}),
    ],
)
def test_a_preset_lies_over_the_schedule_as_options_do(preset, told, study) -> None:
    """A variant in another unit puts aside what says the same, and what it makes idle."""
    changes = {"schedule": {**EPOCHS, "warmup": 0.1}, "presets": {"short": {"schedule": preset}}}
    found = study(preset="short", **changes).spec.schedule
    assert {name: getattr(found, name) for name in told} == told
    sets = tuple(f"schedule.{name}={yaml.safe_dump(value, default_flow_style=True)}" for name, value in preset.items())
    assert study(sets, schedule={**EPOCHS, "warmup": 0.1}).spec.schedule == found


@pytest.mark.parametrize("key", ["data", "detectors"])
def test_cells_of_one_entry_may_have_another_decay(key, study) -> None:
    from assignbench import methods
    from assignbench.study.grid import cells_of

    entry = {"data": {"name": "shapes", "train_images": 64}, "detectors": {"name": "retinanet-slim"}}
    entry[key]["schedule"] = COSINE
    found = study(schedule=EPOCHS, data=[entry["data"]], detectors=[entry["detectors"]])
    [cell] = cells_of(found, methods)
    assert (cell.config.schedule.decay, cell.config.schedule.lr_end) == ("cosine", 1e-6)
    entry[key]["schedule"] = {**COSINE, "milestones": [0.5]}
    with pytest.raises(InputError, match="milestones does nothing without decay: step"):
        study(schedule=EPOCHS, data=[entry["data"]], detectors=[entry["detectors"]])


def test_an_option_in_another_unit_takes_the_place_of_the_milestones(study) -> None:
    for written in ([0.5], {"epochs": [4]}, [3]):
        schedule = {"epochs": 8, "decay": "step", "milestones": written}
        for unit, value in (("epochs", "[5]"), ("steps", "[7]"), ("shares", "[0.25]")):
            held = study((f"schedule.milestones.{unit}={value}",), schedule=schedule).spec.schedule.milestones
            assert getattr(held, unit) == yaml.safe_load(value)
            assert sum(bool(getattr(held, name)) for name in ("shares", "steps", "epochs")) == 1


def test_a_schedule_that_no_cell_has_is_not_refused(study) -> None:
    """Milestones of 60 steps are too late for scenes, on which this detector is not trained."""
    sets = [{"name": "shapes", "train_images": 64, "detectors": ["rpn-slim"]}, {"name": "coco2017"}]
    schedule = {"epochs": 2, "batch_size": 8, "decay": "step", "milestones": {"epochs": [1]}}
    detectors = [
        {"name": "retinanet-slim", "schedule": {"milestones": [60]}},
        {"name": "rpn-slim"},
    ]
    methods = [{"name": "iou", "detectors": ["retinanet-slim"]}, {"name": "rpn", "detectors": ["rpn-slim"]}]
    assert study(schedule=schedule, detectors=detectors, methods=methods, data=sets).spec.seeds == [0]
    sets[0]["detectors"] = []
    with pytest.raises(InputError, match="on data set 'shapes': 60 steps is never reached"):
        study(schedule=schedule, detectors=detectors, methods=methods, data=sets)


def test_what_a_cell_never_reaches_is_told_where_it_is_written(study) -> None:
    """With the data set or with the detector; a method's epochs too, where the images of a run of steps are known."""
    shapes = {"name": "shapes", "train_images": 64}
    base = {"epochs": 2, "batch_size": 8, "decay": "step", "milestones": {"epochs": [1]}}
    late = {"milestones": [16]}
    for part, changes in (
        ("detectors.0", {"data": shapes, "detectors": [{"name": "retinanet-slim", "schedule": late}]}),
        ("data", {"data": {**shapes, "schedule": late}}),
    ):
        with pytest.raises(InputError, match=rf"line \d+: {part}.schedule.milestones: on data set 'shapes': 16 steps"):
            study(schedule=base, **changes)
    from assignbench import methods
    from assignbench.study.grid import cells_of

    mlc = [{"name": "mlc", "assigner": {"start": {"epochs": 2}}}]
    for steps, refused in ((17, False), (16, True)):
        found = study(schedule={"steps": steps, "batch_size": 8}, data=shapes, methods=mlc)
        if refused:
            with pytest.raises(InputError, match=r"methods\.0: on data set 'shapes': assigner\.start: 2 epochs"):
                cells_of(found, methods)
        else:
            assert len(cells_of(found, methods)) == 1


def test_schedules_of_entries_are_changed_as_the_studys_own(study) -> None:
    """By an option and by a preset: what says the same in another unit is put aside there, too."""
    data = {"name": "coco2017", "schedule": {"epochs": 12, "milestones": {"epochs": [8]}}}
    detectors = [{"name": "retinanet-slim", "schedule": {"warmup_steps": 9}}]
    base = {"epochs": 2, "decay": "step", "milestones": [0.5]}
    for key in ("data", "data.0"):
        sets = (f"{key}.schedule.steps=50", f"{key}.schedule.milestones.steps=[5]")
        held = study(sets, schedule=base, data=[data], detectors=detectors).spec.data[0].schedule
        assert held == {"steps": 50, "milestones": {"steps": [5]}}
    found = study(("detectors.0.schedule.warmup=0.5",), schedule=base, data=data, detectors=detectors).spec
    assert found.detectors[0].schedule == {"warmup": 0.5} and found.data[0].schedule == data["schedule"]
    presets = {"short": {"data": {"schedule": {"steps": 50, "milestones": [0.5]}}}}
    held = study(preset="short", schedule=base, data=data, presets=presets).spec.data[0].schedule
    assert held == {"steps": 50, "milestones": [0.5]}
    with pytest.raises(InputError, match=r"--set schedule\.epochs\.a=1: 'a' is not inside a mapping, but in 2"):
        study(("schedule.epochs.a=1",), schedule=base)


def test_what_a_data_set_has_otherwise_than_the_recipe_is_told(study) -> None:
    data = ["coco2017", {"name": "voc0712", "size": 512}, {"name": "shapes", "augment": {"flip": 0.0}}]
    told = recipe_lines(study(recipe="mutual_guidance_coco", data=data).spec)[-1]
    assert told.endswith("(voc0712 has its own size; shapes has its own augment)")
