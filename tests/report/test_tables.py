"""What a table says about values, intervals and single seeds."""

import math

import pandas as pd
from hypothesis import given, strategies as st

from assignbench.analysis.result import Result
from assignbench.report.render.markdown import escaped, markdown_table, paragraph
from assignbench.report.tables import (
    Table,
    average_tables,
    difference,
    percent,
    result_table,
    seeds_note,
    tidy_table,
    without_empty_columns,
)


def test_percent_and_difference() -> None:
    assert percent(0.4321, 0.01) == "43.2 ± 1.0"
    assert percent(0.4321, marked=True) == "43.2†"
    assert percent(None) == percent(math.nan) == "n/a"
    assert difference(0.02, 0.005, 3) == "+2.0 ± 0.5"
    assert percent(0.4321, 0.01, marked=True) == "43.2† ± 1.0"  # over images
    assert difference(-0.02, 0.5, 2) == "-2.0 ± 50.0 (n=2: not resolvable)"
    assert difference(-0.02, None, 1) == "-2.0 (n=1: not resolvable)"
    assert difference(math.nan, None, 0) == "–"


def averages(n: int) -> pd.DataFrame:
    rows = []
    for method, mean, delta in (("iou", 0.4, math.nan), ("mg", 0.42, 0.02)):
        row = {"data": "voc0712", "detector": "net", "method": method, "metric": "AP", "mean": mean, "half": 0.01}
        row |= {"baseline": "iou" if method == "mg" else "", "pair": "assigner" if method == "mg" else ""}
        gain = {"delta": delta, "delta_half": 0.015, "delta_n": n, "detectable": delta + 0.002, "reason": ""}
        gain["detectable_corrected"] = delta + 0.004
        rows.append({**row, "n": n, **gain})
    return pd.DataFrame(rows)


def test_the_table_ends_with_what_it_could_resolve() -> None:
    (table,) = average_tables(averages(3), ["iou", "mg"])
    assert table.rows[1] == ["mg", "42.0 ± 1.0", "+2.0 ± 1.5", "iou"]
    assert (
        "resolves in 80 % of its runs: 2.2 points; after correction, where it is the only one: 2.4." in table.notes[0]
    )
    assert table.constants == ["n: 3 seeds."] and table.notes[-1].startswith("± of a method: for other seeds, on these")
    assert not any(n.startswith("recipe") for n in table.notes)
    (recipe,) = average_tables(averages(3).replace({"pair": {"assigner": "recipe"}}), ["iou", "mg"])
    assert recipe.rows[1][-1] == "iou (recipe)" and recipe.notes[0].startswith("recipe: the pair differs in more")
    (two,) = average_tables(averages(2), ["iou", "mg"])
    assert two.notes[-1].startswith("± of a method") and any("cannot resolve" in n for n in two.notes)
    (single,) = average_tables(averages(1), ["iou", "mg"])
    assert "42.0 ± 1.0" in single.rows[1]
    assert any(n.startswith("± is for other test images, these models") for n in single.notes)
    assert any("cannot resolve any difference" in n for n in single.notes)
    (mixed,) = average_tables(averages(3).assign(n=[3, 1]), ["iou", "mg"])
    assert mixed.rows[0][1] == "40.0 ± 1.0" and mixed.rows[1][1] == "42.0† ± 1.0"
    assert any(n.startswith("† one seed: ± is for other test images") for n in mixed.notes)


def test_a_difference_that_cannot_be_tested_says_why() -> None:
    failed = averages(3)
    failed.loc[1, ["delta", "reason"]] = [math.nan, "no finished cell of iou (3 failed)"]
    (table,) = average_tables(failed, ["iou", "mg"])
    assert table.rows[1][2:] == ["–", "iou"]
    assert table.notes.count("Δ of mg to iou is not testable: no finished cell of iou (3 failed).") == 1


def test_markdown_shows_text_as_it_is() -> None:
    assert "a\\|b" in markdown_table(Table("t", ["h"], [["a|b"]]))
    assert escaped("<b>&</b>\nnext") == "&lt;b&gt;&amp;&lt;/b&gt; next"
    assert escaped("mutual_guidance _x_ `c`") == "mutual_guidance \\_x\\_ \\`c\\`"
    assert paragraph("# no heading") == "\\# no heading" and paragraph("- none") == "\\- none"
    assert paragraph("1. no list") == "1\\. no list" and paragraph("1.5 points") == "1.5 points"
    assert paragraph("a - b") == "a - b"


def test_units_decide_what_is_printed_in_per_cent() -> None:
    """The names of the columns say nothing: a share is one because its Result says so."""
    frame = pd.DataFrame({"method": ["a"], "AP": [0.25], "AP_half": [0.01], "gain": [0.5], "size": [2.0], "n": [3]})
    table = tidy_table("t", frame, {"AP": "AP", "size": "px"})
    assert table.rows == [["a", "25.0 ± 1.0", "0.5", "2", "3"]]
    assert table.header == ["method", "AP", "gain", "size (px)", "n"]
    assert table.notes == ["In points: AP."]
    assert tidy_table("t", frame, {"gain": "share"}).rows[0][1:3] == ["0.250 ± 0.010", "50.0"]


def test_few_seeds_are_noted_and_missing_values_shown() -> None:
    frame = pd.DataFrame({"method": ["a", "b"], "baseline": ["", "a"], "gain": [math.nan, 0.1], "n": [2, 2]})
    table = tidy_table("t", frame, {"gain": "AP"})
    assert table.rows[0] == ["a", "–", "n/a", "2"] and table.notes[-1] == "n < 3: no verdict can rest on it."


def test_numbers_stand_right_and_texts_left() -> None:
    table = Table("t", ["a", "b", "c"], [["iou", "1.0 ± 0.1", "–"], ["12 px wide", "–", "–"]])
    assert table.numeric == [False, True, False]
    assert "|---|---:|---|" in markdown_table(table)


def test_rows_per_seed_are_averaged_and_one_place_is_not_repeated() -> None:
    frame = pd.DataFrame(
        {
            **{"data": "d", "detector": "x", "seed": [0, 1], "value": [0.1, 0.3], "method": "iou"},
            **{"count": [3, 4], "fixed": [7, 7]},
        }
    )
    table = result_table(Result("k", "c", frame), [("d", "x")])
    assert table.header == ["method", "fixed", "value", "count", "n"] and table.rows[0][:2] == ["iou", "7"]
    assert table.rows[0][2].startswith("0.200 ± ") and table.rows[0][4] == "2"
    assert table.rows[0][3] == "3.50 ± 6.35"  # a mean of whole numbers that vary is a mean like another
    assert result_table(Result("k", "c", frame), [("d", "x"), ("e", "x")]).header[0] == "method"


def test_bare_addresses_become_no_links() -> None:
    assert escaped("see https://a.b/c, www.d.e or f@g.h") == "see https\\://a.b/c, www\\.d.e or f\\@g.h"
    assert escaped("12:30, 3 @ 4") == "12:30, 3 @ 4"


def test_control_characters_are_written_out() -> None:
    assert escaped("a\x1b[31mb\u202ec") == "a\\\\x1b\\[31mb\\\\u202ec"


def test_a_unit_is_not_said_twice() -> None:
    frame = pd.DataFrame({"iou": [0.5], "objects": [3.0], "score": [0.25], "ratio": [2.5]})
    units = {"iou": "IoU", "objects": "objects", "score": "1", "ratio": "w:h"}
    assert tidy_table("t", frame, units).header == ["iou", "objects", "score", "ratio (w:h)"]


def test_a_table_says_for_whom_its_intervals_speak() -> None:
    frame = pd.DataFrame({"method": ["a"], "AP": [0.25], "AP_half": [0.01], "n": [3]})
    table = result_table(Result("k", "c", frame, {"AP": "AP"}, population="other seeds, these images"))
    assert "±: half of the 95 % interval for other seeds, these images." in table.constants
    bare = result_table(Result("k", "c", frame.drop(columns="AP_half"), population="x"))
    assert not any("±" in told for told in bare.said)


def test_what_is_the_same_in_every_row_stands_with_the_caption() -> None:
    """A baseline, which has none itself, is the same for all that have one; the columns are gone, the words are not."""
    frame = pd.DataFrame(
        {
            **{"method": ["a", "b"], "baseline": ["", "a"], "pair": ["", "recipe"], "n": [3, 3]},
            **{"AP": [0.25, 0.5], "AP_half": [0.01, 0.02], "population": ["other seeds"] * 2},
        }
    )
    table = result_table(Result("k", "c", frame, {"AP": "AP"}))
    assert table.header == ["method", "AP"] and table.owners == ["a", "b"]
    assert table.constants == [
        "n: 3 seeds.",
        "±: half of the 95 % interval for other seeds.",
        "Compared with a.",
        "pair: recipe.",
    ]
    varied = result_table(Result("k", "c", frame.assign(n=[3, 2], baseline=["", ""])))
    assert (
        "n" in varied.header and "baseline" not in varied.header and not any("Compared" in c for c in varied.constants)
    )
    leading = averages(3).assign(leads=[False, True])
    (told,) = average_tables(leading, ["iou", "mg"], {})
    assert told.mark(1, 1) == "best" and told.mark(0, 1) is None and told.notes[0].startswith("Bold: resolvably above")
    assert "**42.0 ± 1.0**" in markdown_table(told)


def test_the_seeds_of_a_table_are_told() -> None:
    assert seeds_note({"a": 3, "b": 3.0}) == "n: 3 seeds."
    assert seeds_note({"a": 3, "b": 2, "c": math.nan}) == "n: 3 seeds of a, 2 seeds of b."


numbers = st.floats(-1e5, 1e5, allow_nan=False).map(lambda v: round(v, 6))


@given(st.lists(numbers, min_size=1, max_size=8))
def test_a_column_has_one_number_of_decimals_and_three_digits(values) -> None:
    table = tidy_table("t", pd.DataFrame({"method": [str(k) for k in range(len(values))], "ms": values}))
    cells = [row[1] for row in table.rows]
    assert len({len(cell.partition(".")[2]) for cell in cells}) == 1
    largest = max(map(abs, values))
    for cell, value in zip(cells, values, strict=True):
        assert abs(float(cell) - value) <= max(0.0005001, 0.0051 * largest)


def test_an_interval_never_vanishes_by_rounding() -> None:
    frame = pd.DataFrame({"method": ["a"], "px": [512.25], "px_half": [0.31]})
    assert tidy_table("t", frame).rows == [["a", "512.25 ± 0.31"]]


def test_one_seed_has_no_interval_to_speak_of() -> None:
    frame = pd.DataFrame({"method": ["a", "b"], "gain": [0.1, 0.2], "gain_half": [math.nan] * 2, "n": [1, 1]})
    told = frame.assign(population="other seeds", gain_population="other seeds")
    table = result_table(Result("k", "c", told, {"gain": "AP"}))
    assert table.header == ["method", "gain"] and not any("±" in line for line in table.said)


places = st.lists(st.sampled_from(["net", "wide", "slim"]), min_size=1, max_size=12)


@given(places, places)
def test_the_method_stands_first_and_places_above_their_rows(detectors, sets) -> None:
    """Whatever the places: no row is lost or moved, and none is under another place's name."""
    count = min(len(detectors), len(sets))
    frame = pd.DataFrame({"data": sets[:count], "detector": detectors[:count]})
    frame = frame.assign(method=[f"m{k}" for k in range(count)], value=0.5)
    table = result_table(Result("k", "c", frame), [("a", "b"), ("c", "d")])
    assert table.header[0] == "method" and [row[0] for row in table.rows] == list(frame.method)
    assert [line for _, lines in table.parts for line in lines] == list(range(count))
    for row, line in frame.iterrows():
        near = " ".join([*table.constants, *table.rows[row], *(table.bands[row : row + 1])])
        assert line.detector in near and line.data in near


def test_rows_of_one_claim_lie_together() -> None:
    frame = pd.DataFrame({"claim": ["a > b", "c > b"] * 2, "detector": ["x", "x", "y", "y"], "value": [1.0, 2, 3, 4]})
    table = result_table(Result("claims.tests", "c", frame))
    assert table.band == "claim" and list(table.parts) == [("a > b", [0, 1]), ("c > b", [2, 3])]
    assert table.rows == [["x", "1"], ["y", "3"], ["x", "2"], ["y", "4"]]


def test_columns_that_say_nothing_are_left_out() -> None:
    table = Table("t", ["a", "reason", "b"], [["x", "", "1"], ["y", "", "2"]], marks={(1, 2): "best"})
    kept = without_empty_columns(table)
    assert kept.header == ["a", "b"] and kept.rows == [["x", "1"], ["y", "2"]] and kept.mark(1, 1) == "best"
    assert without_empty_columns(Table("t", ["a"], [])).header == ["a"]
