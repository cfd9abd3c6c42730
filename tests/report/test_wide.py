"""Long tables laid out to be read: nothing is lost, what is resolved stands out, what is constant is said once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings, strategies as st

from assignbench.analysis import StudyRecord
from assignbench.analysis.result import Result
from assignbench.report.lint import without_population
from assignbench.report.panels import without
from assignbench.report.sections import tables_of
from assignbench.report.wide import MOST_COLUMNS, levels_of, wide_tables

PLACE = [("d", "net")]


def groups(names: list[str], methods: tuple[str, ...] = ("iou", "mg", "paa"), places=PLACE) -> Result:
    rows = []
    for data, detector in places:
        for k, method in enumerate(methods):
            for g, name in enumerate(names):
                row = {"data": data, "detector": detector, "method": method, "baseline": "iou" if k else ""}
                row |= {"pair": "assigner" if k else "", "group": name, "objects": 10 + g, "AP": 0.4 + 0.01 * g}
                row |= {"AP_half": 0.01, "n": 3, "population": "other seeds and images"}
                row |= {"gain": (-1) ** k * 0.02 if k else np.nan, "gain_half": 0.01}
                rows.append({**row, "verdict": ("", "lower", "not resolvable")[min(k, 2)]})
    return Result("size", "By area", pd.DataFrame(rows), {"AP": "AP", "gain": "AP"})


def test_methods_are_rows_and_groups_are_columns() -> None:
    gain, own = wide_tables(groups(["small", "large"]), PLACE)
    assert gain.header == ["method", "small (10 objects)", "large (11 objects)"]
    assert gain.rows == [["mg", "-2.0 ± 1.0", "-2.0 ± 1.0"], ["paa", "+2.0 ± 1.0", "+2.0 ± 1.0"]]
    assert {k: gain.mark(*k) for k in ((0, 1), (0, 2), (1, 1))} == {(0, 1): "down", (0, 2): "down", (1, 1): None}
    assert gain.owners == ["mg", "paa"] and own.owners == ["iou", "mg", "paa"]
    assert gain.caption == "By area: gain over the baseline, points"
    assert "Compared with iou." in gain.constants and "n: 3 seeds." in gain.constants
    assert "Compared with iou." not in own.constants and own.rows[0][1] == "40.0 ± 1.0"
    assert not [line for table in (gain, own) for line in without_population(table)]


def test_many_groups_are_rows_and_keep_their_marks() -> None:
    names = [f"class {k}" for k in range(MOST_COLUMNS + 1)]
    gain, _ = wide_tables(groups(names), PLACE)
    assert gain.header == ["group", "mg", "paa"] and len(gain.rows) == len(names) and not gain.owners
    assert gain.mark(5, 1) == "down" and gain.mark(5, 2) is None


def test_several_places_stand_above_their_rows() -> None:
    places = [("d", "net"), ("d", "wide")]
    gain, _ = wide_tables(groups(["small"], places=places), places)
    assert gain.header == ["method", "small (10 objects)"] and "Data: d." in gain.constants
    assert list(gain.parts) == [("net", [0, 1]), ("wide", [2, 3])] and gain.band == "detector"
    both, _ = wide_tables(groups(["small"], places=[("d", "net"), ("e", "wide")]), [("d", "net"), ("e", "wide")])
    assert list(both.bands) == ["net, d"] * 2 + ["wide, e"] * 2 and both.band == "detector, data"


@given(st.integers(1, 9), st.integers(3, 9), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_every_number_has_its_cell(levels, methods, count) -> None:
    """Few groups are columns, many are rows; no more than methods or `MOST_COLUMNS` stand beside each other."""
    places = [("d", f"net{k}") for k in range(count)]
    names, rules = [f"g{k}" for k in range(levels)], tuple(f"m{k}" for k in range(methods))
    for table in wide_tables(groups(names, rules, places), places):
        across = len(table.header) - 1
        assert across <= max(MOST_COLUMNS, methods) and across * len(table.rows) in (
            count * levels * methods,
            count * levels * (methods - 1),
        )
        assert len({len(row) for row in table.rows}) == 1 and len(list(table.parts)) == count
        assert table.header[0] == "method" or set(table.header[1:]) <= set(rules)
        assert not any(cell == "–" for row in table.rows for cell in row)


def test_without_intervals_nobody_is_spoken_for() -> None:
    result = groups(["small", "large"])
    single = result.frame.assign(AP_half=np.nan, gain_half=np.nan, n=1)
    for table in wide_tables(Result("size", "By area", single, result.units), PLACE):
        assert not any("±" in told for told in table.said)


FEW = "other seeds, these images"


def told_of(result: Result, few: pd.Series, places=PLACE) -> str:
    """The sentence on ± of a table of gains whose rows `few` speak for these images alone."""
    frame = result.frame.assign(population=result.frame.population.mask(few, FEW))
    gain, _ = wide_tables(Result("size", "By area", frame, result.units), places)
    assert not list(without_population(gain))
    (told,) = (c for c in gain.constants if c.startswith("±"))
    return told.removeprefix("±: half of the 95 % interval for ")


def test_intervals_for_different_populations_say_which_are_others() -> None:
    """Only what is not as the most is named: the group, the place, or the method."""
    result = groups(["small", "large"])
    assert told_of(result, result.frame.group == "other") == "other seeds and images."
    assert told_of(result, result.frame.method == "iou") == "other seeds and images."  # of which there is no gain
    one = (result.frame.group == "large") & (result.frame.method == "mg")
    assert told_of(result, one) == f"other seeds and images; large of mg: {FEW}."
    places = [("d", "net"), ("e", "net"), ("e", "wide")]
    f = (result := groups(["small", "large"], places=places)).frame
    assert told_of(result, f.group == "large", places) == f"other seeds and images; large: {FEW}."
    assert told_of(result, (f.group == "large") & (f.data == "d"), places).endswith(f"; large on d: {FEW}.")
    assert told_of(result, f.data == "d", places) == f"other seeds and images; d: {FEW}."
    some = (f.group == "large") & (f.detector == "wide") & (f.method == "mg")
    assert told_of(result, some, places).endswith(f"; large of mg on e with wide: {FEW}.")


def test_groups_stand_in_one_order_for_all_places() -> None:
    """Of which none need hold them all: by their middles, or so that no place has its own turned round."""
    apart = {("a", "net"): ["1-3", "8-15"], ("b", "net"): ["4-7", "8-15", "16-31"], ("c", "net"): ["1-3", "4-7"]}
    parts = [groups(names, places=[place]) for place, names in apart.items()]
    frame = pd.concat([p.frame for p in parts], ignore_index=True)
    gain, _ = wide_tables(Result("size", "By area", frame, parts[0].units), list(apart))
    assert [h.split(" ")[0] for h in gain.header if h[0].isdigit()] == ["1-3", "4-7", "8-15", "16-31"]
    middle = frame.group.map({"1-3": 9.0, "4-7": 5.0, "8-15": 1.0, "16-31": 0.5})
    gain, _ = wide_tables(Result("size", "By area", frame.assign(middle=middle), parts[0].units), list(apart))
    assert [h.split(" ")[0] for h in gain.header if h[0].isdigit()] == ["16-31", "8-15", "4-7", "1-3"]
    names = pd.DataFrame({"data": ["a", "a", "b", "b"], "bin": ["sparse", "dense", "medium", "dense"]})
    assert levels_of(names, "bin") == ["sparse", "medium", "dense"]
    turned = pd.DataFrame({"data": ["a", "a", "b", "b"], "bin": ["x", "y", "y", "x"]})
    assert levels_of(turned, "bin") == ["x", "y"]


def test_groups_are_counted_at_every_place_and_a_few_objects_have_no_number() -> None:
    """What is the same everywhere stands in the heads, else in a row of its own; no ± where a group holds too few."""
    places = [("d", "net"), ("e", "net")]
    result = groups(["small", "large"], places=places)
    few = (result.frame.data == "e") & (result.frame.group == "large")
    frame = result.frame.assign(objects=result.frame.objects.mask(few, 2), too_few=np.where(few, "2 objects", ""))
    frame.loc[few, ["AP", "AP_half", "gain", "gain_half"]] = np.nan
    frame.loc[few, "population"] = ""
    gain, own = wide_tables(Result("size", "By area", frame, result.units), places)
    assert gain.header == ["method", "small", "large"] and own.header == gain.header
    assert gain.rows == [
        ["objects", "10", "11"], ["mg", "-2.0 ± 1.0", "-2.0 ± 1.0"], ["paa", "+2.0 ± 1.0", "+2.0 ± 1.0"],
        ["objects", "10", "2"], ["mg", "-2.0 ± 1.0", "– (2 objects)"], ["paa", "+2.0 ± 1.0", "– (2 objects)"],
    ]  # fmt: skip
    assert list(gain.parts) == [("d", [0, 1, 2]), ("e", [3, 4, 5])] and gain.owners == ["", "mg", "paa"] * 2
    assert gain.mark(0, 1) is None and gain.mark(1, 1) == "down" and gain.mark(4, 1) == "down"
    assert not [line for table in (gain, own) for line in without_population(table)]


def test_figures_leave_out_groups_of_few_objects_and_say_so() -> None:
    frame = groups(["small", "large"], places=[("d", "net"), ("e", "net")]).frame.assign(too_few="")
    few = (frame.data == "e") & (frame.group == "large")
    frame.loc[few, "too_few"], frame.loc[few, "gain"] = "2 objects", np.nan
    assert without(frame, ["small", "large"], "gain") == " Not drawn: large (2 objects on e)."
    told = without(frame[frame.data == "e"], ["small", "large", "huge"], "gain")
    assert told == " Not drawn: large (2 objects). Nothing is known of huge: too few objects or none."
    assert without(frame[~few], ["small", "large"], "gain") == ""


def test_a_result_without_a_layout_is_left_as_it_is() -> None:
    assert wide_tables(Result("mine", "c", groups(["a"]).frame), PLACE) == []
    assert wide_tables(Result("size", "c", pd.DataFrame({"other": [1]})), PLACE) == []


def test_verdicts_of_few_seeds_and_categories_say_what_they_are() -> None:
    result = groups(["disc", "bar"])
    frame = result.frame.assign(verdict="not resolvable", aspect_ratio=result.frame.group.map({"disc": 1.04, "bar": 3}))
    for seeds, told in ((3, "Nothing here is resolved after Holm's"), (1, "With fewer than three seeds no verdict")):
        gain, _ = wide_tables(Result("size", "By area", frame.assign(n=seeds), {"AP": "AP", "gain": "AP"}), PLACE)
        assert any(note.startswith(told) for note in gain.notes)
        assert gain.header[1:] == ["disc (aspect ratio 1.0, 10 objects)", "bar (aspect ratio 3.0, 11 objects)"]


def test_counts_stand_with_their_place_and_too_few_are_a_dash() -> None:
    """Of how many objects each column is, place by place; what has no number of them is "–"."""
    keys = [(d, m, size) for d in ("d", "e") for m in ("iou", "mg") for size in ("0-16 px", "16-32 px")]
    frame = pd.DataFrame(keys, columns=["data", "method", "size"]).assign(detector="net", orphans_cls=0.25, n=3)
    frame["objects"] = np.where(frame["size"] == "0-16 px", np.where(frame.data == "e", 4, 90), 200)
    frame.loc[(frame.method == "mg") & (frame.data == "d"), "objects"] += 1
    frame.loc[frame.objects < 30, "orphans_cls"] = np.nan
    (table,) = wide_tables(Result("orphans", "c", frame, {"orphans_cls": "share"}), [("d", "net"), ("e", "net")])
    assert [row for row in table.rows if row[0] == "objects"] == [
        ["objects", "90-91", "200-201"],
        ["objects", "4", "200"],
    ]
    assert table.rows[4] == ["iou", "– (4)", "25.0"] and "n: 3 seeds." in table.constants
    single = frame[(frame.data == "d") & (frame.method == "iou")]
    (alone,) = wide_tables(Result("orphans", "c", single, {"orphans_cls": "share"}), PLACE)
    assert alone.header == ["method", "0-16 px (90 objects)", "16-32 px (200 objects)"] and not alone.bands
    (uneven,) = wide_tables(Result("orphans", "c", frame[frame.data == "d"], {"orphans_cls": "share"}), PLACE)
    assert uneven.rows[0] == ["objects", "90-91", "200-201"] and uneven.header[1:] == ["0-16 px", "16-32 px"]


def test_bins_stand_in_their_order_and_tell_of_how_few_they_have_no_number() -> None:
    rows = [
        ("d", "0.2-0.3", 0.2, 80),
        ("d", "0.9-1.0", np.nan, 3),
        ("e", "0.0-0.1", 0.1, 70),
        ("e", "0.9-1.0", 0.9, 90),
    ]
    frame = pd.DataFrame(rows, columns=["data", "bin", "true", "fewest"]).assign(method="paa", detector="net", n=3)
    (table,) = wide_tables(Result("quality.reliability", "c", frame, {"true": "IoU"}), [("d", "net"), ("e", "net")])
    assert table.header == ["method", "0.0-0.1", "0.2-0.3", "0.9-1.0"]
    assert table.rows == [["paa", "–", "0.20", "– (3)"], ["paa", "0.10", "–", "0.90"]]


def test_of_two_scores_the_page_shows_the_one_that_nms_sorts_by() -> None:
    frame = groups(["a", "b"]).frame.assign(by="class", spearman_rank=0.2, spearman_cls=0.3)
    result = Result("divergence.groups", "c", frame, {"spearman_rank": "Spearman", "spearman_cls": "Spearman"})
    shown, raw = tables_of(StudyRecord(Path("nowhere"), {}, ()), [result])
    assert [t.caption for t in shown] == ["c, by class: Spearman of the ranking score"]
    assert {"spearman rank", "spearman cls"} <= set(raw[0].header)
