"""The language of claims, what is said about mistakes, and analyses by module:function."""

import pytest

from assignbench.analysis import ORDER, chosen
from assignbench.analysis.base import ANALYSES
from assignbench.analysis.claims import Claim, overall, parse
from assignbench.analysis.intervals import decided
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
    ],
)
def test_mistakes(text, message) -> None:
    with pytest.raises(InputError, match=message.replace("?", "[?]")):
        parse(text, ["iou", "ltm"])


def test_verdicts() -> None:
    assert decided(0.02, 0.04) == "higher" and decided(-0.02, 0.04) == "lower"
    assert decided(0.02, 0.06) == decided(0.02, float("nan")) == decided(0.0, 0.0) == "not resolvable"
    assert overall(["supported", "supported"]) == "supported"
    assert overall(["supported", "not resolvable"]) == "not resolvable"
    assert overall(["supported", "contradicted"]) == "contradicted"
    assert overall([]) == "not testable"


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
