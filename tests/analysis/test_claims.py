"""The language of claims, what is said about mistakes, and analyses by module:function."""

import pytest

from assignbench.analysis import ORDER, chosen
from assignbench.analysis.base import ANALYSES
from assignbench.analysis.claims import Claim, Tested, everywhere, overall, parse
from assignbench.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ltm > iou on AP", {"kind": "greater", "method": "ltm", "other": "iou", "measure": "AP"}),
        (
            "ltm > iou on NR for every detector",
            {"kind": "greater", "method": "ltm", "other": "iou", "measure": "NR", "every": True},
        ),
        ("gain grows with crowdedness", {"kind": "trend", "factor": "crowdedness"}),
        ("gain of ltm  grows with aspect_ratio", {"kind": "trend", "method": "ltm", "factor": "aspect_ratio"}),
        ("AP75 gain > AP50 gain", {"kind": "gains", "measure": "AP75", "second": "AP50"}),
        ("AP75 gain of paa > AP50 gain", {"kind": "gains", "method": "paa", "measure": "AP75", "second": "AP50"}),
        ("divergence predicts AP", {"kind": "divergence", "measure": "AP"}),
        ("a = b on AP within 1", {"kind": "equal", "method": "a", "other": "b", "measure": "AP", "within": 1.0}),
        (
            "mg+x = mg.2 on NR within 0.5 for every detector",
            {"kind": "equal", "method": "mg+x", "other": "mg.2", "measure": "NR", "within": 0.5, "every": True},
        ),
        ("mg+x > mg.2 on AR50", {"kind": "greater", "method": "mg+x", "other": "mg.2", "measure": "AR50"}),
    ],
)
def test_forms(text, expected) -> None:
    assert parse(text) == Claim(" ".join(text.split()), **expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ltm beats iou", "none of the known forms"),
        ("ltm > iou on APP", "unknown measure 'APP'; did you mean 'AP'"),
        ("gain of ltn grows with crowdedness", "unknown method 'ltn'; did you mean 'ltm'"),
        ("gain grows with crowding", "unknown factor 'crowding'; did you mean 'crowdedness'"),
        ("ltm = iou on AP", "none of the known forms"),
        ("ltm = iou on AP within 0", "within 0 leaves no room"),
        ("ltm = iou on AP within -1", "none of the known forms"),
        ("ltm = ltm on AP within 1", "compares 'ltm' with itself"),
        ("ltm = iou on AR0 within 1", "unknown measure 'AR0'"),
        ("AP gain > spearman gain", "no common unit"),
    ],
)
def test_mistakes(text, message) -> None:
    with pytest.raises(InputError, match=message.replace("?", "[?]")):
        parse(text, ["iou", "ltm"])


YES, NO, OPEN, NONE = "supported", "contradicted", "not resolvable", "not testable"


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ([YES, YES], YES),
        ([YES, OPEN], "supported in part"),
        ([YES, NONE], "supported in part"),
        ([YES, NO, NONE], "mixed"),
        ([NO, OPEN, NONE], NO),
        ([OPEN, NONE], OPEN),
        ([NONE], NONE),
        ([], NONE),
    ],
)
def test_the_word_of_a_claim_of_several_tests(told, word) -> None:
    assert overall(told) == word == overall(told[::-1])


def one(value: float, p: float, why: str = "") -> Tested:
    return Tested("d", "net", "a", "b", "assigner", value, 0.1, 3, "", p, untestable=why)


@pytest.mark.parametrize(
    ("tests", "p", "way"),
    [
        ([one(1, 0.01), one(1, 0.04)], 0.04, "higher"),  # it holds if it holds everywhere: the weakest decides
        ([one(1, 0.01), one(1, 0.6)], 0.6, "higher"),
        ([one(1, 0.001), one(-1, 0.01), one(-1, 0.3)], 0.03, "lower"),  # one place contradicts it, of three
        ([one(1, 0.001), one(-1, 0.6)], 1.0, "lower"),
        ([one(1, 0.001), one(-1, float("nan"))], float("nan"), "lower"),  # too few seeds speak neither way
        ([one(-1, 0.001), one(-1, float("nan"))], 0.002, "lower"),
        ([one(1, 0.001), one(1, float("nan"))], float("nan"), "higher"),
        ([one(1, 0.001), one(0, float("nan"), "failed")], float("nan"), NONE),
        ([one(-1, 0.001), one(0, float("nan"), "failed")], 0.001, "lower"),
        ([one(-1, 0.5), one(0, float("nan"), "failed")], float("nan"), NONE),
    ],
)
def test_a_claim_about_every_detector_is_one_test(tests, p, way) -> None:
    found = everywhere(tests)
    assert found == (pytest.approx(p, nan_ok=True), way)


def test_every_analysis_explains_itself_and_has_a_place() -> None:
    assert set(ORDER) == set(ANALYSES)
    for one in ANALYSES.values():
        assert one.question.endswith("?") and len(one.definition) > 40, one.name


def test_analyses_by_name_and_by_module(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_questions.py").write_text(
        "import pandas as pd\n"
        "from assignbench.analysis.base import analysis\n"
        "@analysis('per_class', title='Objects per class', question='How many?', definition='In the test split.')\n"
        "def objects_per_class(study):\n"
        "    return pd.DataFrame({'count': [len(c.objects) for c in study.data()]})\n"
    )
    monkeypatch.chdir(tmp_path)
    first, second = chosen(["nms", "my_questions:objects_per_class"], ORDER)
    assert first is ANALYSES["nms"]
    assert (second.name, second.title) == ("per_class", "Objects per class")
    assert [r.key for r in second.run(type("Study", (), {"data": lambda self: []})())] == ["per_class"]
    monkeypatch.delitem(ANALYSES, "per_class")
    assert [a.name for a in chosen([], ORDER)] == list(ORDER)
    with pytest.raises(InputError, match="unknown analysis 'nsm'; did you mean 'nms'"):
        chosen(["nsm"], ORDER)
    with pytest.raises(InputError, match="has no 'nothing'"):
        chosen(["my_questions:nothing"], ORDER)
    with pytest.raises(InputError, match="No module named"):
        chosen(["no_such_module:f"], ORDER)
