"""What a table says about values, intervals and single seeds."""

import math

import pandas as pd

from assignbench.report.style import colour
from assignbench.report.tables import Table, average_tables, difference, percent, plain_table


def test_percent_and_difference() -> None:
    assert percent(0.4321, 0.01, 3) == "43.2 ± 1.0"
    assert percent(0.4321, None, 1) == "43.2†"
    assert percent(None) == percent(math.nan) == "n/a"
    assert difference(0.02, 0.005, 3) == "+2.0 ± 0.5"
    assert difference(-0.02, 0.5, 2) == "-2.0 (n=2: not resolvable)"
    assert difference(math.nan, None, 0) == "–"


def averages(n: int) -> pd.DataFrame:
    rows = []
    for method, mean, delta in (("iou", 0.4, math.nan), ("mg", 0.42, 0.02)):
        row = {"data": "voc0712", "detector": "net", "method": method, "metric": "AP", "mean": mean, "half": 0.01}
        rows.append({**row, "n": n, "delta": delta, "delta_half": 0.015, "delta_n": n})
    return pd.DataFrame(rows)


def test_the_table_ends_with_what_it_could_resolve() -> None:
    (table,) = average_tables(averages(3), ["iou", "mg"], {})
    assert table.rows[1] == ["mg", "42.0 ± 1.0", "+2.0 ± 1.5"]
    assert "could have resolved for every method: 1.5 points" in table.notes[-1]
    (single,) = average_tables(averages(1), ["iou", "mg"], {})
    assert "42.0†" in single.rows[1]
    assert any("cannot resolve any difference" in n for n in single.notes)


def test_published_numbers_stand_beside_ours() -> None:
    published = {"rows": {"net": {"mg": {"AP": 53.5}}}, "metric_names": {"AP": "AP07"}, "source": "S", "setting": "T"}
    (table,) = average_tables(averages(3), ["iou", "mg"], published)
    assert table.header[-1] == "published AP"
    assert [r[-1] for r in table.rows] == ["–", "53.5"]
    assert "Not subtracted" in table.notes[-1]


def test_markdown_escapes_pipes() -> None:
    assert "a\\|b" in Table("t", ["h"], [["a|b"]]).markdown()
    assert plain_table("t", pd.DataFrame({"x": [1.23456, math.nan]})).rows == [["1.23"], ["n/a"]]


def test_colours_are_fixed_and_differ() -> None:
    known = ["iou", "mutual_guidance", "atss", "paa", "musu", "ltm", "mlc"]
    assert len({colour(m) for m in known}) == len(known)
    assert colour("somebody_elses") == colour("somebody_elses")
