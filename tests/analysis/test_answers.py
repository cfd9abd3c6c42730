"""The sentence that an analysis begins with says what its table holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis.answers import ANSWERS, answered, listed
from assignbench.analysis.result import Result

KEYS = {"data": "d", "detector": "net"}


def told(key: str, rows: list[dict[str, object]]) -> str:
    return answered(Result(key, "c", pd.DataFrame([{**KEYS, **r} for r in rows]))).answer


def test_the_leading_method_is_called_so_only_where_a_test_says_it() -> None:
    rows = [{"method": m, "metric": "AP", "mean": v, "leads": False} for m, v in (("a", 0.4), ("b", 0.5))]
    assert told("averages", rows) == (
        "The highest AP is that of b, 50.0 points, not resolvably above the second, a (40.0)."
    )
    rows[1]["leads"] = True
    assert ", resolvably above the second" in told("averages", rows)
    assert told("averages", rows[:1]) == "The AP of a is 40.0 points."


def test_gains_by_group_are_counted_by_their_verdicts() -> None:
    row = {"method": "b", "baseline": "a", "group": "small", "gain": 0.03}
    rows = [{**row, "verdict": "higher"}, {**row, "group": "large", "gain": 0.08, "verdict": "not resolvable"}]
    assert told("size", rows) == (
        "Of 2 gains by area of the object, 1 is resolved (1 higher); it is that of b on small, +3.0 points against a."
    )
    assert told("size", rows[1:]) == "The one gain by area of the object is not resolved."
    rows = [{**row, "verdict": "not testable"}]
    assert told("size", rows) == "None of the gains by area of the object can be tested here."


def test_the_largest_gain_by_group_is_that_of_the_resolved_ones_at_its_place() -> None:
    """Each table is counted by its name, and a larger gain that is not resolved is not the largest resolved one."""
    row = {"method": "ltm", "baseline": "iou", "pair": "recipe", "group": "dense", "verdict": "higher"}
    rows = [
        {**row, "detector": "slim", "gain": 0.03},
        {**row, "detector": "wide", "gain": -0.05, "verdict": "lower"},
        {**row, "detector": "wide", "gain": 0.2, "verdict": "not resolvable"},
    ]
    said = (
        "Of 3 {}, 2 are resolved (1 higher, 1 lower); the largest resolved one is that of ltm (recipe) on dense at "
        "wide, -5.0 points against iou."
    )
    assert told("crowdedness", rows) == said.format("gains by crowdedness of the object")
    assert told("aspect_ratio", rows) == said.format("gains by aspect ratio of the object")
    rows[0]["data"] = "e"
    assert "on dense at wide on d, -5.0" in told("crowdedness", rows)


def test_verdicts_are_counted_in_a_sentence() -> None:
    rows = [{"method": "b", "metric": "AP", "verdict": v} for v in ("higher", "not resolvable", "not resolvable")]
    assert told("differences", rows) == (
        "Of 3 differences in AP, 1 is higher and 2 are not resolvable, after correction."
    )
    assert told("differences", rows[:1]) == "The one difference in AP is higher, after correction."
    assert told("differences", rows[1:]) == "None of 2 differences in AP is resolvable, after correction."
    assert told("claims", [{"claim": "c", "verdict": "supported"}]) == "The one claim is supported."


def test_a_range_over_methods_is_no_difference() -> None:
    rows = [{"method": m, "candidates": "J_k", "spearman_rank": v} for m, v in (("a", 0.2), ("b", 0.6))]
    assert told("divergence", rows).endswith(" is between 0.20 (a) and 0.60 (b).")
    assert told("divergence", [{**r, "spearman_rank": 0.5} for r in rows]).endswith("0.50 for every method.")
    assert told("divergence", [{**r, "spearman_rank": np.nan} for r in rows]) == ""


def test_a_share_of_objects_counts_every_object_once() -> None:
    """Not every group of sizes: 10 of 100 small objects and none of 300 large ones are 2.5 per cent of them."""
    rows = [{"method": "a", "objects": 100, "orphans_cls": 0.1}, {"method": "a", "objects": 300, "orphans_cls": 0.0}]
    rows += [{"method": "b", "objects": 4, "orphans_cls": np.nan}, {"method": "b", "objects": 50, "orphans_cls": 0.4}]
    assert told("orphans", rows).endswith(" is between 2 % (a) and 40 % (b).")


def test_measures_that_go_the_other_way_are_named() -> None:
    def row(measure: str, difference: float, better: str = "more") -> dict[str, object]:
        return {"method": "b", "measure": measure, "better": better, "difference": difference}

    agree = [row("AP", 0.1), row("AR1", 0.2), row("oLRP", -0.1, "less")]
    assert told("metrics", agree).startswith("Every measure puts each method on the side")
    assert "point the other way than AP, resolved or not: D_ECE (b)" in told(
        "metrics", [*agree, row("D_ECE", 0.1, "less")]
    )


def test_measures_that_go_the_other_way_are_named_with_their_place_and_never_by_nothing() -> None:
    """What rounds to 0.0 points goes nowhere: not against AP, and no other measure against it."""

    def row(detector: str, measure: str, difference: float, method: str = "b") -> dict[str, object]:
        return {"detector": detector, "method": method, "measure": measure, "better": "more", "difference": difference}

    slim = [row("slim", "AP", 0.1), row("slim", "AP50", -0.0004), row("slim", "AP75", -0.02)]
    wide = [row("wide", "AP", -0.0004), row("wide", "AP50", 0.1), row("wide", "AP75", 0.1)]
    stem = "Against their baselines these point the other way than AP, resolved or not: "
    assert told("metrics", slim + wide) == f"{stem}at slim AP75 (b)."
    more = [row("wide", m, v, "c") for m, v in (("AP", -0.1), ("AP50", 0.1))]
    assert told("metrics", slim + wide + more) == f"{stem}at slim AP75 (b); at wide AP50 (c)."
    assert told("metrics", wide) == told("metrics", slim[:2]) == ""


def test_slopes_are_named_with_their_places_and_equal_ones_once() -> None:
    row = {"method": "ltm", "pair": "recipe", "factor": "aspect_ratio", "verdict": "higher", "reason": ""}
    rows = [{**row, "data": d} for d in ("shapes", "bccd", "cplid")]
    rows[1]["verdict"] = "not resolvable"
    rows.append({**row, "data": "shapes", "method": "paa", "pair": "assigner", "verdict": "lower"})
    assert told("factors", rows) == (
        "Of 4 slopes, 3 are resolved: the gain of ltm (recipe) grows with aspect ratio at net on shapes and net on "
        "cplid and the gain of paa falls with aspect ratio at net on shapes."
    )
    assert told("factors", rows[:1]) == ("Of 1 slope, 1 is resolved: the gain of ltm (recipe) grows with aspect ratio.")


def test_several_places_have_a_sentence_each_and_many_are_counted() -> None:
    rows = [{"data": f"d{k}", "method": "a", "NR": 0.5, "reading": "coverage"} for k in range(5)]
    assert told("nms", rows) == "The share of recall that NMS leaves is 50 % (a) everywhere."
    sentence = told("nms", [{**r, "NR": 0.1 * k} for k, r in enumerate(rows)])
    assert "leaves is 0 % (a) for net on d0; " in sentence and "net on d3" not in sentence
    assert sentence.endswith("; 2 more places below.") and sentence.count("recall") == 1
    one_set = told("nms", [{**r, "data": "d", "detector": f"n{k}", "NR": 0.1 * k} for k, r in enumerate(rows[:2])])
    assert one_set.endswith("is 0 % (a) for n0; 10 % (a) for n1.")


def test_few_seeds_carry_no_verdict_over_places() -> None:
    row = {"method": "b", "baseline": "a", "gain": 0.014, "low": 0.007, "high": 0.021}
    assert "of these models, with 1 seed, which is no verdict: b +1.4" in told("summary", [{**row, "seeds": 1}])
    assert "with its 95 % interval, which is no verdict" in told("summary", [{**row, "seeds": 3}])


def test_a_mean_over_places_that_is_not_there_is_no_number() -> None:
    row = {"method": "b", "baseline": "a", "gain": 0.014, "low": 0.007, "high": 0.021, "seeds": 3, "reason": ""}
    gone = {**row, "seeds": 1, "reason": "the two meet at one place"} | dict.fromkeys(("gain", "low", "high"), np.nan)
    said = told("summary", [{**gone, "method": "c"}, row, {**gone, "method": "d"}])
    assert said == (
        "Mean difference over the places of each pair, with its 95 % interval, which is no verdict: b +1.4 points to a "
        "(+0.7 to +2.1). No such mean of c and d (the two meet at one place)."
    )
    assert told("summary", [gone]) == ""


@pytest.mark.parametrize("key", ANSWERS)
def test_an_empty_table_has_no_answer_and_one_that_is_there_is_kept(key) -> None:
    assert answered(Result(key, "c", pd.DataFrame())).answer == ""
    kept = Result(key, "c", pd.DataFrame({"x": [1]}), answer="Said.")
    assert answered(kept) is kept


def test_names_in_a_sentence() -> None:
    assert listed([]) == "" and listed(["a"]) == "a" and listed(["a", "b"]) == "a and b"
    assert listed(list("abcd")) == "a, b, c and d" and listed(list("abcdef")) == "a, b, c and 3 more"
