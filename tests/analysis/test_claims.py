"""The words of claims of several tests, and analyses by module:function."""

import pandas as pd
import pytest

from assignbench.analysis import ORDER, chosen
from assignbench.analysis.base import ANALYSES
from assignbench.analysis.claim_tests import Tested
from assignbench.analysis.claims import everywhere, overall, why_open
from assignbench.errors import InputError

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


def rows_at(*places: tuple[str, str, str, str]) -> pd.DataFrame:
    """Tests of a claim: data, detector, verdict and reason of each."""
    table = pd.DataFrame(places, columns=["data", "detector", "verdict", "reason"])
    return table.assign(method="a")


def test_a_reason_stands_behind_its_places_and_beside_the_verdict_of_others() -> None:
    few = "5 methods with recorded candidates"
    tests = rows_at(("x", "net", OPEN, ""), ("x", "wide", NONE, "2 methods"), ("y", "net", NONE, few),
                     ("z", "net", NONE, few))  # fmt: skip
    assert why_open(tests) == f"not testable at wide on x: 2 methods; not testable at net on y and net on z: {few}"
    assert why_open(tests[1:]) == f"wide on x: 2 methods; net on y and net on z: {few}"
    assert why_open(tests[1:2]) == "2 methods" and why_open(tests[:1]) == ""
    one_set = rows_at(("x", "net", OPEN, "n = 1: a verdict needs 3 seeds"), ("x", "wide", NONE, "failed"))
    assert why_open(one_set) == "net: n = 1: a verdict needs 3 seeds; not testable at wide: failed"
    several = pd.concat([one_set, one_set.assign(method="b", verdict=YES, reason="")], ignore_index=True)
    assert why_open(several) == "a at net: n = 1: a verdict needs 3 seeds; not testable for a at wide: failed"
    assert why_open(rows_at(("", "", NONE, "gone has no cell"))) == "gone has no cell"


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
