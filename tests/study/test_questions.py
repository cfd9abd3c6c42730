"""What a study asks: its primary measure and its claims are checked before anything is trained, and written down."""

import pytest
import yaml

from assignbench import methods
from assignbench.cli import main
from assignbench.commands.questions import _likely, check_answerable, check_questions
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.classes import class_names
from assignbench.errors import InputError
from assignbench.study.about import about
from assignbench.study.baselines import baselines_of
from assignbench.study.reading import read_study, variants
from tests.conftest import ROOT
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


PAIR = ["iou", {"name": "mutual_guidance", "baseline": "iou"}]
NEVER = [
    ("gain of iou grows with contrast", "iou is what others are compared with, and has no gain over itself"),
    ("relative gain of iou grows with contrast", "name one of mutual_guidance"),
    ("gain of iou grows with aspect_ratio over categories", "or give iou a baseline"),
    ("AP75 gain of iou > AP50 gain", "or write 'gain of iou over METHOD'"),
    ("divergence predicts AP", "methods are its units, and 2 meet on one data set and detector where 6 are needed"),
    ("iou > iou on AP", "compares 'iou' with itself"),
    ("AP gain > AP gain", "compares the gain in AP with itself"),
    ("iou = iou on AP within 1", "compares 'iou' with itself"),
    ("AP of iou < 120", "so it always lies below 120"),
    ("iou = mutual_guidance on AP within 400", "any two values are within 400"),
]


def planned(folder, **changes: object) -> None:
    """What `plan` asks of the claims of a study, but for classes."""
    found = read(folder, **changes)
    check_questions(found)
    check_answerable(found, baselines_of(found, methods))


@pytest.mark.parametrize(("claim", "said"), NEVER)
def test_a_claim_that_can_never_be_tested_is_refused(tmp_path, claim, said) -> None:
    with pytest.raises(InputError, match=r"claims\.0") as problem:
        planned(tmp_path, methods=PAIR, claims=[{"claim": claim}])
    assert said in str(problem.value)


def test_methods_that_never_meet(tmp_path) -> None:
    apart = [{"name": "iou", "detectors": ["retinanet-slim"]}, {"name": "atss", "detectors": ["fcos-slim"]}]
    both = {"detectors": ["retinanet-slim", "fcos-slim"], "methods": apart}
    for claim, said in (
        ("atss > iou on AP", "atss and iou never meet on one data set and detector"),
        ("atss = iou on AP within 1", "never meet"),
        ("AP75 gain of atss over iou > AP50 gain", "never meet"),
        ("AP of iou on fcos-slim > 1", "iou is not trained on fcos-slim"),
        ("iou on fcos-slim > atss on fcos-slim on AP", "have no data set in common"),
        ("gain grows with contrast", "no method of the study is compared with another one"),
    ):
        with pytest.raises(InputError, match="can never be tested") as problem:
            planned(tmp_path, **both, claims=[{"claim": claim}])
        assert said in str(problem.value)
    planned(
        tmp_path,
        **both,
        claims=[{"claim": c} for c in ("atss on fcos-slim > iou on retinanet-slim on AP", "iou fails")],
    )


def test_a_claim_on_a_data_set_counts_what_is_there_alone(tmp_path) -> None:
    sets = [{"name": "shapes"}, {"name": "more", "kind": "shapes", "methods": ["iou"]}]
    claim = {"claim": "mutual_guidance > iou on AP"}
    planned(tmp_path, methods=PAIR, data=sets, claims=[claim, {"claim": "iou fails", "data": ["more"]}])
    with pytest.raises(InputError, match="on more can never be tested: iou and mutual_guidance never meet"):
        planned(tmp_path, methods=PAIR, data=sets, claims=[{**claim, "data": ["more"]}])


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_claim_of_every_study_can_be_tested(path) -> None:
    for found in (read_study(path), *variants(path)):
        check_questions(found)
        check_answerable(found, baselines_of(found, methods))


def asked(folder, claim: dict[str, object], *options: str) -> int:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study(methods=PAIR, claims=[claim]), sort_keys=False))
    return main(["plan", str(path), "--out", str(folder / "runs"), *options])


@pytest.mark.parametrize("measure", ["AP[discs]", "AP50[Box]", "AP75[nothing of it]"])
def test_a_class_that_the_data_lack_is_refused_by_plan(tmp_path, capsys, measure) -> None:
    claim = {"claim": f"mutual_guidance > iou on {measure}"}
    assert asked(tmp_path, claim) == 2
    told = capsys.readouterr().err
    name = measure.partition("[")[2].removesuffix("]")
    assert "claims.0" in told and "line " in told and f"data set 'shapes' has no class '{name}'" in told
    assert (
        "(known: disc, box, triangle, ring, plus, star, lollipop, hammer)" in told and "name one of its classes" in told
    )
    assert ("did you mean 'disc'" in told) == ("discs" in measure) and ("'box'" in told) == ("Box" in measure)
    assert asked(tmp_path, {"claim": "mutual_guidance > iou on AP[disc]", "data": ["shapes"]}) == 0


def test_the_known_classes_are_a_short_list() -> None:
    names = [f"class{n}" for n in range(80)]
    assert _likely("klass7", names).endswith("class6, class7 and 72 more)") and "did you mean 'class7'" in _likely(
        "klass7", names
    )


@pytest.mark.parametrize("kind", ["voc", "coco", "csv", "shapes"])
def test_class_names_are_those_that_a_training_has(kind, tmp_path, voc_folder, coco_folder) -> None:
    """Of each kind, whether the study names classes or the files do; None where the files are gone or damaged."""
    sets = {
        "voc": (voc_folder, {"train": [("VOC2007", "train")], "test": [("VOC2007", "test")]}),
        "coco": (coco_folder, {key: [("instances.json", "images")] for key in ("train", "test")}),
        "csv": (coco_folder, {key: [("boxes.csv", "images")] for key in ("train", "test")}),
        "shapes": (tmp_path, {"train_images": 2, "test_images": 2}),
    }
    (coco_folder / "boxes.csv").write_text("0.png,1,1,9,9,pack,50,40\n1.png,1,1,9,9,a box,50,40\n2.png,,,,,,50,40\n")
    root, told = sets[kind]
    spec = DataSpec.model_validate({"name": "own", "kind": kind, **told})
    found = load(spec, "train", root).classes
    assert set(class_names(spec, root) or ()) == set(found) and found
    if kind != "shapes":
        one = spec.model_copy(update={"classes": [found[0]]})
        assert class_names(one, root) == (found[0],)
        assert class_names(spec, tmp_path / "gone") is None
        for path in root.rglob("*.*"):
            path.write_bytes(b"{")
        assert not class_names(spec, root)
