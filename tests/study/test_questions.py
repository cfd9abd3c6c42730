"""What a study asks: its primary measure and its claims are checked before anything is trained, and written down."""

import pytest
import yaml

from assignbench.commands.opening import check_questions
from assignbench.errors import InputError
from assignbench.study.about import about
from assignbench.study.reading import read_study
from tests.study.test_words import study


def read(folder, **changes: object):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study(**changes), sort_keys=False))
    return read_study(path)


@pytest.mark.parametrize("name", ["AP", "AP75", "AR100", "AR17", "NR", "AP_dense"])
def test_a_primary_measure_stands_in_study_json(tmp_path, name) -> None:
    found = read(tmp_path, primary=name)
    check_questions(found)
    assert about(found, [], {}, {})["primary"] == name


def test_it_is_ap_where_none_is_named(tmp_path) -> None:
    assert about(read(tmp_path), [], {}, {})["primary"] == "AP"


@pytest.mark.parametrize(("name", "said"), [("APP", "did you mean 'AP'"), ("spearman", "known: "), ("", "known: ")])
def test_another_word_is_refused_with_the_place(tmp_path, name, said) -> None:
    """A rank correlation is not counted in points, as the table of differences is."""
    with pytest.raises(InputError, match="primary") as problem:
        check_questions(read(tmp_path, primary=name))
    assert f"no measure in points is called '{name}'" in str(problem.value) and said in str(problem.value)


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("iou = mutual_guidance on AP within 0", "leaves no room"),
        ("iou = mutual_guidance on AP", "none of the known forms"),
        ("iou = mutual_guidance on APX within 1", "unknown measure 'APX'"),
        ("iou = nobody on AP within 1", "unknown method 'nobody'"),
        ("iou on retinanet-slim > iou on retinanet-slm on AP", "unknown detector 'retinanet-slm'; did you mean"),
        ("iou fials", "none of the known forms"),
        ("AP of nobody < 1", "unknown method 'nobody'"),
    ],
)
def test_a_claim_is_checked_too(tmp_path, claim, said) -> None:
    with pytest.raises(InputError, match=r"claims\.0") as problem:
        check_questions(read(tmp_path, methods=["iou", "mutual_guidance"], claims=[{"claim": claim}]))
    assert said in str(problem.value)


def test_the_grid_stands_in_study_json(tmp_path) -> None:
    grid = {"a-b-c-seed0-12345678": {"data": "c", "detector": "a", "method": "b"}}
    found = about(read(tmp_path), list(grid), grid, {"b": ""})
    assert found["grid"] == grid and found["cells"] == list(grid)


def test_one_claim_said_in_two_ways_is_there_twice(tmp_path) -> None:
    """By groups of images a gain is relative anyway; what is greater one way round is smaller the other way."""
    for claims in (
        ["gain grows with crowdedness", "relative gain grows with crowdedness"],
        ["iou > mutual_guidance on LRP", "mutual_guidance < iou on oLRP"],
        ["iou = mutual_guidance on spearman within 1", "iou = mutual_guidance on spearman_rank within 1"],
    ):
        with pytest.raises(InputError, match=r"claims\.1: .* is that of claims\.0 too"):
            check_questions(read(tmp_path, methods=["iou", "mutual_guidance"], claims=[{"claim": c} for c in claims]))
    apart = ["iou = mutual_guidance on fps within 1", "iou = mutual_guidance on fps within 1 %", "iou fails"]
    check_questions(read(tmp_path, methods=["iou", "mutual_guidance"], claims=[{"claim": c} for c in apart]))
