"""What else `plan` refuses: entries that do nothing, names that break claims and folders, presets before their use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assignbench.cli import main
from tests.study.test_words import study

Plan = Callable[..., tuple[int, str]]


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys) -> Plan:
    """Plans a study, as a mapping or as text; the exit code and what was said. Nothing may be written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path.parent / f"{tmp_path.name}-modules"))

    def plan(content: dict[str, Any] | str, *options: str) -> tuple[int, str]:
        path = tmp_path / "study.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        code = main(["plan", str(path), *options])
        told = capsys.readouterr()
        assert [p.name for p in tmp_path.iterdir()] == ["study.yaml"]
        return code, told.err if code else told.out

    return plan


def one(preset: str = "iou", detector: str = "retinanet-slim", **parts: Any) -> dict[str, Any]:
    """A study of one method with changed parts."""
    return study(detectors=[detector], methods=[{"name": "probe", "preset": preset, **parts}])


@pytest.mark.parametrize(
    ("content", "place", "remedy"),
    [
        (one(nms={"sigma": 0.3}), "nms.sigma", "nms.kind: soft"),
        (one(nms={"kind": "soft", "iou": 0.3}), "nms.iou", "nms.kind: standard"),
        (one(floor_on="ranking"), "floor_on", "ranking: cls*quality"),
        (one(criterion={"cls": "bce", "focal_alpha": 0.3}), "criterion.focal_alpha", "cls: focal"),
        (one(criterion={"cls": "quality_focal", "focal_alpha": 0.3}), "criterion.focal_alpha", "cls: focal"),
        (one(criterion={"box": "giou", "box_beta": 0.3}), "criterion.box_beta", "box: smooth_l1"),
        (one(criterion={"box": "l1", "box_beta": 0.3}), "criterion.box_beta", "box: smooth_l1"),
        (one(criterion={"box": "giou", "box_coordinates": "sum"}), "criterion.box_coordinates", "box: l1"),
        (one(criterion={"quality_weight": 0.3}), "criterion.quality_weight", "quality: iou"),
        (one(head_init={"quality_prob": 0.3}), "head_init.quality_prob", "quality: iou"),
        (one(coder={"distance": "relu"}), "coder.distance", "for points"),
        (one("fcos", "fcos-slim", coder={"stds": [0.1, 0.2]}), "coder.stds", "for anchors"),
        (one("fcos", "fcos-slim", assigner={"level_ranges": False, "extent": 3.0}), "assigner.extent", "level_ranges"),
        (one("mlc", assigner={"extent": 3.0}), "assigner.extent", "candidates: fcos"),
        (one("mlc", assigner={"sample": 9}), "assigner.sample", "candidates: rpn"),
        (one("mutual_guidance", assigner={"localize": "static", "sigma": 3.0}), "assigner.sigma", "amplified"),
        (one(assigner={"low_quality": "none", "min_iou": 0.2}), "assigner.min_iou", "low_quality: ssd"),
    ],
)
def test_an_entry_that_does_nothing_is_refused(planned, content, place, remedy) -> None:
    code, told = planned(content)
    assert code == 2 and f"methods.0.{place} does nothing in method 'probe'" in told and remedy in told


VOTES = {"evaluation": {"fuse": "voting", "test_flip": True}}


def test_views_that_vote_do_nothing_where_the_method_votes(planned) -> None:
    """`voting: {}` is voting with its defaults, not nothing."""
    code, told = planned(one(voting={}, **VOTES))
    assert code == 2 and "methods.0.evaluation.fuse does nothing: method 'probe' votes by its own voting" in told
    code, told = planned({**one("paa_voting", "retinanet1-slim"), **VOTES})
    assert code == 2 and "evaluation.fuse does nothing: every method of the study votes" in told
    assert planned({**one(), **VOTES})[0] == planned(one(**VOTES))[0] == 0
    assert planned({**one("paa_voting", "retinanet1-slim", voting=None), **VOTES})[0] == 0
    assert planned({**study(methods=["iou", {"name": "probe", "preset": "iou", "voting": {}}]), **VOTES})[0] == 0


@pytest.mark.parametrize(
    "content",
    [
        one(nms={"kind": "soft", "sigma": 0.3}),
        one(criterion={"box": "smooth_l1", "box_beta": 0.3, "box_coordinates": "sum"}),
        one("paa", floor_on="ranking", criterion={"quality_weight": 0.3}, head_init={"quality_prob": 0.4}),
        one("fcos", "fcos-slim", coder={"distance": "relu"}, assigner={"extent": 3.0}),
        # It acts on one of the two detectors.
        {**one(coder={"distance": "relu"}), "detectors": ["retinanet-slim", "fcos-slim"]},
    ],
)
def test_an_entry_that_acts_is_not(planned, content) -> None:
    assert planned(content)[0] == 0


@pytest.mark.parametrize("place", ["box", "cls"])
def test_the_place_of_a_quality_layer_that_no_method_has(planned, place) -> None:
    detectors = ["retinanet-slim", {"name": "fcos-slim", "label": "mine", "spec": {"head": {"quality_on": place}}}]
    kept = {"name": "paa", "detectors": ["retinanet-slim"]}
    code, told = planned(study(detectors=detectors, methods=["iou", kept]))
    assert code == 2 and "detectors.1.spec.head.quality_on does nothing: no method on detector 'mine'" in told
    assert planned(study(detectors=detectors, methods=["iou", "paa"]))[0] == 0


INCLUSIVE = {"name": "retinanet-slim", "spec": {"priors": {"inclusive": True}}}


def test_inclusive_anchors_need_a_method_that_counts_so(planned) -> None:
    """Elsewhere they would be one px too small, by neither way of counting."""
    code, told = planned({**one(), "detectors": [INCLUSIVE]})
    assert code == 2 and "spec.priors.inclusive" in told and "legacy_plus_one" in told
    assert planned({**one(coder={"legacy_plus_one": "freeanchor"}), "detectors": [INCLUSIVE]})[0] == 0


AR300 = [{"claim": "iou > atss on AR300"}]


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"max_dets": [1, 10, 300]}, "max_dets: AR300 cannot be measured: of method 'iou' 100"),
        ({"claims": AR300, "methods": ["iou", "atss"]}, "claims.0: AR300 cannot be measured: of method 'iou' 100"),
        (
            {"claims": AR300, "methods": [{"name": "iou", "evaluation": {"max_detections": 300}}, "atss"]},
            "of method 'atss' 100",
        ),
        (
            {"claims": [{"claim": "AR200 gain of atss > AR300 gain"}], "methods": ["iou", "atss"]},
            "claims.0: AR200 cannot be measured",
        ),
        ({"max_dets": [1, 100], "evaluation": {"max_detections": 20}}, ""),  # COCO's own name
        ({"max_dets": [300], "evaluation": {"max_detections": 300}, "claims": AR300, "methods": ["iou", "atss"]}, ""),
    ],
)
def test_recall_is_asked_for_at_no_more_detections_than_are_kept(planned, changes, needed) -> None:
    code, told = planned(study(**changes))
    assert code == (2 if needed else 0) and needed in told, told
    assert not needed or "set evaluation: {max_detections:" in told


def test_a_default_must_act_on_one_method(planned) -> None:
    soft = {"name": "soft", "preset": "iou", "nms": {"kind": "soft"}}
    default = {"nms": {"sigma": 0.3}}
    code, told = planned(study(method_defaults=default))
    assert code == 2 and "method_defaults.nms.sigma does nothing in any method" in told
    assert planned(study(methods=["iou", soft], method_defaults=default))[0] == 0


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        (
            {"data": {"name": "shapes", "use_difficult": False}},
            "use_difficult has no meaning for data of kind 'shapes'",
        ),
        ({"data": {"name": "voc_mini", "factors": {"crowding": 0.5}}}, "factors has no meaning for data of kind 'voc'"),
        ({"data": {"name": "mine", "kind": "voc", "root": "/x"}}, "'train' is missing"),
        ({"data": {"name": "shapes", "augment": {"ssd": True, "zoom": 0.2}}}, "leave zoom and colour out"),
        ({"data": {"name": "voc_mini", "classes": ["a", "a"]}}, "'a' twice"),
        ({"schedule": {"steps": 4, "momentum": 0.5}}, "momentum does nothing without optimizer: sgd"),
        ({"schedule": {"steps": 4, "milestones": [0.5]}}, "milestones does nothing without decay: step"),
        ({"schedule": {"steps": 4, "decay": "step", "milestones": [0.9, 0.5]}}, "must rise"),
        ({"schedule": {"steps": 4, "decay": "step", "milestones": [8.0]}}, "nearest is just below 1"),
        ({"method_defaults": {"baseline": "iou"}}, "'baseline' is an entry of one method"),
        ({"method_defaults": {"preset": "atss"}}, "'preset' is an entry of one method"),
        ({"claims": [{"claim": "iou > iou on AP"}]}, "compares 'iou' with itself"),
        ({"analyses": ["nms", "nms"]}, "two analyses are called 'nms'"),
        ({"analyses": [":"]}, "write module:function"),
        ({"analyses": ["math:pi"]}, "math is a module of Python itself"),
        ({"analyses": ["numpy:pi"]}, "is a float that is not marked as an analysis"),
        ({"methods": [{"name": "a/b", "preset": "iou"}]}, "methods.0.name is 'a/b'"),
        ({"methods": [{"name": "a*", "preset": "iou"}]}, "methods.0.name is 'a*'"),
        ({"methods": [{"name": "iou", "nms": "soft"}]}, "methods.0.nms is 'soft' (allowed: a number or a mapping)"),
        ({"methods": [{"name": "iou", "assigner": 5}]}, "methods.0.assigner is 5 (allowed: text or a mapping)"),
        ({"methods": [{"name": "iou", "assigner": "a:b:c"}]}, "'a:b:c'"),
        ({"areas": {"": [0, 5]}}, "areas"),
        ({"detectors": [{"name": "retinanet-resnet18", "weights": "torchvison"}]}, "did you mean 'torchvision'?"),
        ({"presets": {"p": None}}, "presets.p is None"),
        ({"presets": {"p": {"schedul": {}}}}, "did you mean 'schedule'"),
        ({"presets": {"p": {"methods": ["iuo"]}}}, "did you mean 'iou'"),
        ({"presets": {"p": {"claims": [{"claim": "x"}]}}}, "none of the known forms"),
        ({"presets": {"p": {"study": "other"}}}, "a preset cannot change 'study'"),
    ],
)
def test_what_slipped_through(planned, changes, needed) -> None:
    code, told = planned(study(**changes))
    assert code == 2 and needed in told, told


@pytest.mark.parametrize(
    ("tail", "needed"),
    [
        ("methods: [atss]\n", "line 13: the key 'methods' stands in line 8 already"),
        ("title: &a [*a]\n", "holds itself"),
        ("5: 3\n", "the key '5' is no text"),
    ],
)
def test_files_that_yaml_would_take(planned, tail, needed) -> None:
    code, told = planned(yaml.safe_dump(study()) + tail)
    assert code == 2 and needed in told, told


@pytest.mark.parametrize("option", ["schedule.steps=0", "schedule.step=5", "data.image_size=5", "methods=[iuo]"])
def test_an_error_names_the_option_that_caused_it(planned, option) -> None:
    code, told = planned(study(), "--set", option)
    assert code == 2 and told.startswith(f"assignbench: --set {option}: "), told


def test_an_error_names_the_line_of_the_preset(planned) -> None:
    text = yaml.safe_dump(study()) + "presets:\n  p:\n    schedule:\n      steps: 0\n"
    code, told = planned(text, "--preset", "p")
    assert code == 2 and f"line {text.splitlines().index('      steps: 0') + 1}: schedule.steps is 0" in told


def test_plan_says_where_a_baseline_is_not(planned) -> None:
    content = study(
        detectors=["retinanet-slim", "retinanet-squeezenet"],
        methods=["iou", {"name": "iou_paa", "detectors": ["retinanet-slim"]}, "paa"],
    )
    code, told = planned(content)
    assert code == 0
    assert "paa against iou_paa: the assigner alone differs (on retinanet-slim/shapes)" in told
    assert "\npaa against iou:" not in told  # nothing takes its place
    assert "paa: compared with nothing on retinanet-squeezenet/shapes; its baseline iou_paa is not there" in told


MODULE = """
from dataclasses import dataclass
from pathlib import Path
from assignbench.assigners.max_iou import MaxIoU
class Bare(MaxIoU):
    def __init__(self, share=0.5, mode="hard"):
        super().__init__()
@dataclass(frozen=True)
class Odd(MaxIoU):
    where: Path = Path(".")
class Raises(MaxIoU):
    def __init__(self, a: int = 3):
        raise KeyError("boom")
class NoNeeds(MaxIoU):
    needs = None
@dataclass(frozen=True, kw_only=True)
class Asks(MaxIoU):
    a: int
"""


@pytest.mark.parametrize(
    ("assigner", "needed"),
    [
        ({"name": "refused_module:Bare", "share": 0.2}, ""),
        ({"name": "refused_module:Bare", "share": "q"}, "'share' is 'q' (allowed: a number)"),
        ({"name": "refused_module:Bare", "mode": 5}, "'mode' is 5 (allowed: text)"),
        ({"name": "refused_module:Bare", "mod": "x"}, "did you mean 'mode'"),
        ({"name": "refused_module:Odd"}, "a default is not plain data"),
        ({"name": "refused_module:Raises"}, "raised KeyError"),
        ({"name": "refused_module:NoNeeds"}, "not a Needs"),
        ({"name": "refused_module:Asks"}, "the parameter 'a' is missing"),
        ({"name": "refused_module:Asks", "a": 1}, ""),
    ],
)
def test_a_third_partys_class(planned, tmp_path, assigner, needed) -> None:
    folder = Path(f"{tmp_path}-modules")
    folder.mkdir()
    (folder / "refused_module.py").write_text(MODULE)
    code, told = planned(one(assigner=assigner))
    assert (code, needed in told) == (2 if needed else 0, True), told


@pytest.mark.parametrize("command", ["status", "report"])
@pytest.mark.parametrize("content", ["{bad", "[1]"])
def test_a_broken_record_is_told(tmp_path, monkeypatch, capsys, command, content) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study()))
    (tmp_path / "runs" / "words").mkdir(parents=True)
    (tmp_path / "runs" / "words" / "study.json").write_text(content)
    assert main([command, "study.yaml"]) == 2
    assert "study.json: " in capsys.readouterr().err
