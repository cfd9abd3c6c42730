"""What a study need not say: its schedule, its question, what it costs and what is expected."""

from pathlib import Path

import pytest
import yaml

from assignbench import methods
from assignbench.cli import main
from assignbench.config.recipes import RECIPES
from assignbench.errors import InputError
from assignbench.study.about import question_of
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from tests.conftest import ROOT

LEAST = {"study": "least", "detectors": ["retinanet-slim"], "methods": ["iou", "atss_plain"], "data": "shapes"}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "least.yaml"
    content = {k: v for k, v in {**LEAST, **changes}.items() if v is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_four_keys_make_a_study(tmp_path, capsys, in_process) -> None:
    path = written(tmp_path)
    spec = read_study(path).spec
    assert spec.schedule.model_dump() == {**spec.schedule.model_dump(), **RECIPES["light"].schedule}
    assert question_of(spec) == "How do iou and atss_plain differ on shapes?"
    assert main(["plan", str(path), "--out", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr().out
    assert "recipe: light" in told and "backbone: random" in told and "cost:" not in told
    changes = ["schedule.steps=2", "data.train_images=16", "data.test_images=4", "analyses=[averages]"]
    short = [word for change in changes for word in ("--set", change)]
    assert main(["run", str(path), "--out", str(tmp_path / "runs"), "--quiet", *short]) == 0
    assert "How do iou and atss_plain differ on shapes?" in (tmp_path / "runs/least/report/report.md").read_text()


@pytest.mark.parametrize(
    ("detector", "recipe"),
    [
        ("fcos-slim", "light"),
        ({"name": "retinanet-squeezenet", "weights": "w.npz"}, "light_pretrained"),
        ("retinanet-squeezenet", "light"),
        ("retinanet-resnet50", "full_12e"),
        ({"name": "fssd-vgg16", "weights": "torchvision"}, "full_12e"),
    ],
)
def test_the_schedule_is_that_of_the_detector(tmp_path, detector, recipe) -> None:
    spec = read_study(written(tmp_path, detectors=[detector])).spec
    assert spec.recipe == recipe
    changed = read_study(tmp_path / "least.yaml", sets=["schedule.lr=0.5"]).spec  # an option changes one entry alone
    assert changed.schedule == spec.schedule.model_copy(update={"lr": 0.5})


def test_a_preset_brings_the_schedule_of_its_detectors(tmp_path) -> None:
    path = written(tmp_path, detectors=["retinanet-resnet50"], presets={"small": {"detectors": ["retinanet-slim"]}})
    assert read_study(path).spec.recipe == "full_12e"
    assert read_study(path, preset="small").spec.recipe == "light"


@pytest.mark.parametrize(
    ("detectors", "told"),
    [
        (["retinanet-slim", "retinanet-resnet50"], "detectors.1: .* different ones .* write a `schedule`"),
        (["mine:stacked"], "detectors.0: detector 'mine:stacked' is your own"),
        (["retinanet-slimm"], "unknown detector 'retinanet-slimm'"),
    ],
)
def test_no_schedule_is_guessed(tmp_path, detectors, told) -> None:
    with pytest.raises(InputError, match=told):
        read_study(written(tmp_path, detectors=detectors))


def test_a_schedule_without_a_length_is_still_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="epochs"):
        read_study(written(tmp_path, schedule={"lr": 0.1}))


def test_the_studies_of_the_package_write_their_own() -> None:
    """So no default of a later version changes what their cells are."""
    for path in (ROOT / "studies").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        assert {"schedule", "recipe"} & set(content), path.name
        assert {"answers", "cost", "expect"} <= set(content), path.name


def test_a_default_schedule_and_a_written_one_make_the_same_cells(tmp_path) -> None:
    ids = [c.id for c in cells_of(read_study(written(tmp_path)), methods)]
    own = read_study(written(tmp_path, schedule=dict(RECIPES["light"].schedule)))
    assert [c.id for c in cells_of(own, methods)] == ids
