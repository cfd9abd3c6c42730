"""A page that contradicts itself, or does not say what a number is, is found out: planted contradictions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, Result, read_study_record
from assignbench.errors import Contradiction
from assignbench.report import build_report, page, publish_report
from assignbench.report.facts import Fact, facts_of
from assignbench.report.lint import disagreements, hidden_turns, lint, without_population, without_unit, wrong_verdicts
from assignbench.report.render.markdown import markdown_table
from assignbench.report.tables import Table
from tests.report.written import METHODS, write_study

pytestmark = pytest.mark.usefixtures("figures_of_pages")

PAIR = {"data": "cplid", "detector": "net", "method": "ltm", "baseline": "iou", "pair": "assigner"}
POINTS = {name: "AP" for name in ("difference", "half", "mean", "delta", "detectable", "gain", "AP")}


def differences(difference: float, *, half: float = 0.01, n: int = 3, verdict: str = "not resolvable") -> Result:
    row = {**PAIR, "metric": "AP", "difference": difference, "half": half, "n": n, "verdict": verdict}
    return Result("differences", "Paired differences", pd.DataFrame([row]), POINTS)


def averages(delta: float, *, half: float = 0.01, n: int = 3) -> Result:
    row = {**PAIR, "metric": "AP", "mean": 0.4, "half": 0.01, "n": n, "delta": delta, "delta_half": half, "delta_n": n}
    return Result("averages", "AP over methods", pd.DataFrame([row]), POINTS)


def claims(claim: str, value: float, verdict: str, *, half: float = 0.1, detail: str = "") -> Result:
    row = {"claim": claim, **PAIR, "value": value, "half": half, "unit": "points", "n": 3, "population": "all"}
    return Result(
        "claims.tests", "Every test", pd.DataFrame([{**row, "verdict": verdict, "detail": detail, "reason": ""}])
    )


def per_image(gains: dict[str, float], half: float = 0.005) -> Result:
    rows = [{**PAIR, "group": g, "relative_gain": v, "relative_gain_half": half, "n": 3} for g, v in gains.items()]
    return Result("crowdedness.per_image", "By objects per image", pd.DataFrame(rows), {"relative_gain": "share"})


def told(*results: Result) -> list[str]:
    return disagreements(facts_of(results))


def test_two_tables_that_agree_to_rounding_pass() -> None:
    assert told(differences(0.0123), averages(0.0123)) == []
    assert told(differences(0.0123), averages(0.0127)) == []  # both are printed as 1.2 or 1.3


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> list[Result]:
    """All results of a study of two detectors whose second method is clearly better, with a claim."""
    folder = tmp_path_factory.mktemp("linted")
    claims = [{"claim": "mutual_guidance > iou on AP", "paper": "Mutual Guidance, Table 1"}]
    write_study(folder, detectors=("net", "other"), images=60, claims=claims)
    return [
        r
        for name in ("averages", "differences", "claims", "classes", "summary", "metrics", "size", "aspect_ratio")
        for r in ANALYSES[name].run(read_study_record(folder))
    ]


MUTATIONS = {
    "claims: the word": ("claims", lambda f: f.assign(verdict="contradicted")),
    "p beside a verdict": ("differences.tests", lambda f: f.assign(p_holm=0.9)),
    "p of classes": ("classes.p", lambda f: f.assign(p_holm=0.9)),
    "AP of classes": ("classes", lambda f: f.assign(AP=f.AP + 0.2)),
    "gains of classes": ("classes", lambda f: f.assign(difference=-f.difference)),
    "halves": ("metrics", lambda f: f.assign(difference_half=0.0)),
    "halves of methods": ("metrics", lambda f: f.assign(value_half=1.1 * f.value_half)),
    "halves by area": ("size", lambda f: f.assign(gain_half=1.1 * f.gain_half)),
    "bold": ("averages", lambda f: f.assign(leads=True)),
    "gains over places": ("summary", lambda f: f.assign(gain=-f.gain)),
    "means over places": ("summary.methods", lambda f: f.assign(mean=f["mean"] + 0.01)),
    "verdicts": ("differences", lambda f: f.assign(verdict="not resolvable")),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_what_a_table_says_otherwise_is_found(answers, what) -> None:
    """A finished study is whole; one of its tables is changed, and the page fails."""
    key, change = MUTATIONS[what]
    assert key in {r.key for r in answers}
    changed = [replace(r, frame=change(r.frame)) if r.key == key else r for r in answers]
    assert lint(answers, []) == [] and lint(changed, [])


def test_two_tables_that_disagree_are_told_with_both_numbers() -> None:
    (sign,) = told(differences(0.012), averages(-0.002))
    assert "gain in AP (cplid, net, ltm, iou)" in sign and "+1.20" in sign and "-0.20" in sign and "in sign" in sign
    (size,) = told(differences(0.012), averages(0.014))
    assert "by more than rounding" in size
    (interval,) = told(differences(0.012, half=0.01), averages(0.012, half=0.02))
    assert "± 2.00" in interval and "± 1.00" in interval
    assert told(differences(0.012, n=2), averages(0.014, n=3)) == []  # means of other seeds, as n says


def test_intervals_of_one_number_agree_unless_they_speak_for_others() -> None:
    """They did not: one table counted the images that hold small objects, the other one all images."""
    name = ("value of", "APs", "cplid", "net", "ltm")
    one = Fact(name, 40.0, "A", 3, 13.1, "other seeds and images")
    other = replace(one, where="B", half=12.7)
    (line,) = disagreements([one, other])
    assert "± 13.10" in line and "± 12.70" in line
    assert disagreements([one, replace(other, half=13.12)]) == []
    assert disagreements([one, replace(other, population="other seeds, these images")]) == []
    assert disagreements([one, replace(other, half=float("nan"))]) == []


def test_a_claim_is_held_against_the_table_of_differences() -> None:
    assert told(differences(0.012), claims("ltm > iou on AP", 1.2, "not resolvable", half=1.0)) == []
    (other,) = told(differences(0.012), claims("ltm > iou on AP", -1.2, "not resolvable", half=1.0))
    assert "in sign" in other


def lines(slope: float) -> Result:
    row = {**PAIR, "intercept": 0.0, "slope": slope, "slope_half": 0.01, "categories": 8, "n": 3, "population": "all"}
    return Result("aspect_ratio.lines", "Lines", pd.DataFrame([row]), {"slope": "AP", "intercept": "AP"})


def test_a_slope_over_categories_is_held_against_the_line() -> None:
    claim = "gain of ltm grows with aspect_ratio over categories"
    assert told(lines(0.023), claims(claim, 2.3, "supported", half=1.0)) == []
    (other,) = told(lines(0.023), claims(claim, 2.6, "supported", half=1.0))
    assert other.startswith("slope over categories of aspect_ratio (cplid, net, ltm, iou)")
    assert told(lines(0.023), claims(f"relative {claim}", 26.0, "supported")) == []


def test_what_no_table_states_is_no_fact() -> None:
    """A room below a bound, a distance from a level, and a pair of two detectors are numbers of their own."""
    for claim in (
        "ltm = iou on AP within 1", "AP of ltm > 3", "ltm fails", "ltm on net > iou on wide on AP",
        "relative gain of ltm grows with aspect_ratio", "ltm > iou on fps",
    ):  # fmt: skip
        apart = claims(claim, 1.0, "not resolvable", half=2.0)
        other = replace(apart, frame=apart.frame.assign(baseline="iou on wide")) if " on net" in claim else apart
        assert told(differences(0.05), averages(0.05), lines(0.05), other) == [], claim


def test_a_relative_gain_by_object_is_not_that_of_the_groups_table() -> None:
    """It may grow where the gain in points falls."""
    fall = {"compact": 0.05, "slender": 0.01}
    rows = [{**PAIR, "group": g, "gain": v, "gain_half": 0.001, "n": 3} for g, v in fall.items()]
    groups = Result("aspect_ratio", "By aspect ratio", pd.DataFrame(rows), {"gain": "AP"})
    for kind, turns in (("", 1), ("relative ", 0)):
        claim = claims(f"{kind}gain of ltm grows with aspect_ratio", 5.0, "supported")
        assert len(hidden_turns([claim, groups], facts_of([claim, groups]))) == turns


def test_a_difference_of_two_gains_follows_from_the_gains() -> None:
    gains = [differences(0.02), replace(differences(0.0), frame=differences(0.005).frame.assign(metric="AP50"))]
    both = replace(gains[0], frame=pd.concat([g.frame for g in gains]))
    same = lint([both, claims("AP gain > AP50 gain", 1.5, "not resolvable", half=1.0)], [])
    other = lint([both, claims("AP gain > AP50 gain", 0.5, "not resolvable", half=1.0)], [])
    assert not any("less" in line for line in same) and any("AP less AP50" in line for line in other)


@pytest.mark.parametrize(
    ("difference", "half", "verdict", "what"),
    [
        (0.02, 0.01, "higher", ""),
        (-0.02, 0.01, "lower", ""),
        (0.02, 0.03, "not resolvable", ""),
        (-0.02, 0.01, "higher", "the verdict is 'higher', its number -0.02"),
        (0.02, 0.03, "higher", "holds 0"),
    ],
)
def test_a_verdict_has_the_sign_of_its_number(difference: float, half: float, verdict: str, what: str) -> None:
    found = list(wrong_verdicts(differences(difference, half=half, verdict=verdict)))
    assert bool(found) == bool(what) and all(what in line for line in found)


def test_the_published_contradiction_of_trend_and_figure_is_found() -> None:
    """cplid, LTM: a supported "gain grows" beside a table in which it falls from +3.2 to -0.1."""
    claim = claims("gain grows with objects_in_image", 0.40, "supported", half=0.34)
    falling = per_image({"1-3": 0.032, "4-7": 0.01, "8-15": -0.001})
    (line,) = hidden_turns([claim, falling], facts_of([claim, falling]))
    assert "'By objects per image' goes from +3.2 (1-3) to -0.1 (8-15)" in line
    growing = per_image({"1-3": -0.001, "4-7": 0.01, "8-15": 0.032})
    assert hidden_turns([claim, growing], facts_of([claim, growing])) == []
    open_ = claims("gain grows with objects_in_image", 0.40, "not resolvable", half=0.5)
    assert hidden_turns([open_, falling], facts_of([open_, falling])) == []


def test_a_turn_within_the_intervals_may_be_told_beside_the_slope() -> None:
    rough = per_image({"1-3": 0.01, "4-7": 0.03, "8-15": 0.008}, half=0.02)
    said = claims("gain grows with objects_in_image", 0.40, "supported", detail="…; against the slope at 8-15")
    hidden = claims("gain grows with objects_in_image", 0.40, "supported", detail="…")
    assert hidden_turns([said, rough], facts_of([said, rough])) == []
    assert len(hidden_turns([hidden, rough], facts_of([hidden, rough]))) == 1


def test_a_number_without_unit_is_found() -> None:
    frame = pd.DataFrame({"method": ["a"], "IoU": [0.5], "IoU_half": [0.1], "objects": [3], "p": [0.2], "n": [3]})
    bare = Result("errors", "T", frame)
    assert list(without_unit(bare)) == [f"'T': the numbers of '{c}' have no unit" for c in ("IoU", "IoU_half")]
    assert not list(without_unit(replace(bare, units={"IoU": "IoU"})))
    assert not list(without_unit(replace(bare, frame=frame.assign(unit="px"))))
    assert not list(without_unit(replace(bare, role="figure")))
    assert not list(without_unit(replace(bare, key="their_module:analysis")))  # others choose for themselves


def test_an_interval_says_for_whom_it_speaks_and_on_what_it_rests() -> None:
    bare = Table("T", ["method", "AP"], [["iou", "40.0 ± 1.0"]])
    assert [line.split(": ")[1] for line in without_population(bare)] == [
        "prints intervals without n",
        "prints intervals without saying for which population",
    ]
    noted = replace(bare, notes=["n: 3 seeds.", "±: half of the 95 % interval for other seeds, these images."])
    assert not list(without_population(noted))
    both = replace(noted, notes=["n: 3 seeds.", "±: dense: for other seeds and images or other seeds, these images."])
    assert [line.split(": ")[1] for line in without_population(both)] == [
        "leaves open for which population its intervals speak"
    ]
    assert not list(without_population(Table("T", ["half", "n", "population"], [["1.0", "3", "other seeds"]])))
    assert len(list(without_population(Table("T", ["half"], [["1.0"]])))) == 2
    assert not list(without_population(Table("T", ["AP"], [["40.0"]])))


NANS = {
    "a sentence": ([], [], ["iou_rescoring +nan points to iou"]),
    "an answer": ([Result("k", "c", pd.DataFrame(), answer="From nan to 1.0.")], [], []),
    "a caption": ([], [Table("of nan points", ["a"], [["1"]])], []),
    "a heading": ([], [Table("T", ["nan"], [["1"]])], []),
    "a cell": ([], [Table("T", ["AP"], [["40.0 ± nan"]], ["n: 3 seeds.", "±: for whom."])], []),
    "a note": ([], [Table("T", ["a"], [["1"]], ["-nan to 3."])], []),
}


@pytest.mark.parametrize("where", NANS)
def test_a_number_that_is_none_is_never_printed(where) -> None:
    """A published headline said "iou_rescoring +nan points to iou (+nan to +nan)"."""
    results, tables, sentences = NANS[where]
    (told,) = lint(results, tables, sentences=sentences)
    assert "prints 'nan', which is no number" in told


def test_what_is_called_nan_is_a_name() -> None:
    bread = Table("By class", ["class", "AP"], [["garlic nan", "40.0"]])
    assert len(lint([], [bread])) == 1
    assert lint([], [bread], names=["garlic nan"], sentences=["No NaN, banana or nan_f of garlic nan."]) == []
    failed = Table("Cells", ["cell", "state", "reason"], [["c", "failed", "the loss is nan"]])
    assert lint([], [failed]) == []  # what a training said


def test_the_whole_page_is_searched(tmp_path, monkeypatch) -> None:
    from assignbench.analysis import answers

    monkeypatch.setitem(answers.ANSWERS, "averages", lambda frame: "The highest AP is nan.")
    with pytest.raises(Contradiction, match=r"The highest AP is nan\..*prints 'nan'"):
        build_report(write_study(tmp_path, seeds=1, images=6, analyses=["averages"]))


def test_only_the_headline_is_bold() -> None:
    rows = [["higher", "higher"], ["lower", "not resolvable"]]  # the first column are methods of those names
    plain = Table("T", ["method", "verdict (corrected)"], rows)
    assert "**" not in markdown_table(plain).replace("**T**", "")
    lines = markdown_table(replace(plain, headline=True)).splitlines()
    assert lines[4:6] == ["| higher | **higher** |", "| lower | not resolvable |"]


def test_facts_of_the_same_table_are_not_held_against_each_other() -> None:
    facts = [Fact(("value of", "AP", "d", "x", "m"), v, "one table") for v in (1.0, 2.0)]
    assert disagreements(facts) == []


def spoilt(wrong: Callable[[list[Result]], list[Result]]) -> Callable[..., list[str]]:
    """The page's check of results that somebody changed."""

    def check(results: list[Result], tables: list[Table], **more: Any) -> list[str]:
        return lint(wrong(results), tables, **more)

    return check


def turned(results: list[Result]) -> list[Result]:
    """The table of differences with its signs turned."""
    return [
        replace(r, frame=r.frame.assign(difference=-r.frame.difference)) if r.key == "differences" else r
        for r in results
    ]


def test_a_sound_page_passes_and_a_contradiction_is_written_told_and_never_published(tmp_path, monkeypatch) -> None:
    folder = write_study(tmp_path / "runs", seeds=3, images=12, analyses=["averages", "differences"])
    assert publish_report(folder, tmp_path / "out").is_file()
    before = (tmp_path / "out" / "report.md").read_bytes()
    monkeypatch.setattr(page, "lint", spoilt(turned))
    with pytest.raises(Contradiction, match=r"gain in AP \(scenes, slim, mutual_guidance, iou\).*in sign") as problem:
        build_report(folder)
    assert problem.value.page == folder / "report" / "index.html"
    text = (folder / "report" / "report.md").read_text()
    assert (
        re.search(r"^CONTRADICTION: gain in AP", text, re.MULTILINE)
        and "CONTRADICTION" in problem.value.page.read_text()
    )
    with pytest.raises(Contradiction, match="is not published"):
        publish_report(folder, tmp_path / "out")
    assert (tmp_path / "out" / "report.md").read_bytes() == before


def test_the_command_fails_and_keeps_the_page(tmp_path: Path) -> None:
    from assignbench.commands.reporting import reported
    from assignbench.commands.terminal import terminal

    console = terminal()
    with console.capture() as captured:
        found = reported(console, lambda tell, say: tmp_path, quiet=True)
    assert found == (tmp_path, 0) and captured.get() == ""

    def broken(tell: object, say: object) -> Path:
        raise Contradiction(["one", "two"], tmp_path)

    with console.capture() as captured:
        assert reported(console, broken, quiet=True) == (tmp_path, 1)
    assert "fails its own check" in captured.get() and "\n  two" in captured.get()

    def refused(tell: object, say: object) -> Path:
        raise Contradiction(["one"])

    with pytest.raises(Contradiction):
        reported(console, refused, quiet=True)


def test_what_several_tables_state_is_held_against_each_other(tmp_path) -> None:
    """Every kind of number that stands in two tables is found in both, and the package's tables agree."""
    two = {name: METHODS[name] for name in ("iou", "mutual_guidance")}
    claimed = [{"claim": c} for c in ("mutual_guidance > iou on AP_medium", "gain grows with objects_in_image")]
    study = read_study_record(write_study(tmp_path, seeds=2, images=70, methods=two, claims=claimed))
    names = ("averages", "claims", "differences", "size", "crowdedness", "aspect_ratio", "factors")
    results = [r for name in names for r in ANALYSES[name].run(study)]
    facts = facts_of(results)
    places: dict[tuple[str, ...], set[str]] = {}
    for fact in facts:
        places.setdefault(fact.name[:2], set()).add(fact.where)
    for kind in (
        *(("value of", "AP"), ("value of", "APs"), ("value of", "AR100"), ("gain in", "AP"), ("gain in", "APm")),
        *(("gain in", "AP_medium"), ("slope over", "objects_in_image")),
        *(("gain by group of", "objects_in_image"), ("gain by group of", "aspect_ratio")),
    ):
        assert len(places[kind]) > 1, kind
    assert lint(results, []) == []
