"""The papers' tables beside ours: hand-worked numbers, what is never subtracted, and rows of two detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assignbench.analysis import Result, StudyRecord, read_study_record
from assignbench.analysis.intervals import t_interval
from assignbench.analysis.measures import measured
from assignbench.analysis.printed import printed
from assignbench.records import read_json, write_json
from assignbench.report.lint import lint
from assignbench.report.tables import result_table
from tests.report.written import write_study

DETECTORS = ("slim", "wide")
COLUMNS = [
    {"name": "AP", "measure": "AP", "scale": 100.0, "digits": 1, "of_machine": False},
    {"name": "correlation", "measure": "spearman", "scale": 1.0, "digits": 2, "of_machine": False},
    {"name": "fps", "measure": "fps", "scale": 1.0, "digits": 1, "of_machine": True},
]


def row(number: int, *cells: tuple[str, str], why: str = "", **more: Any) -> dict[str, Any]:
    """A printed row as study.json carries it; its numbers are 10 points and a tenth per row."""
    return {
        **{"row": number, "method": f"row {number}", "detector": "D", "backbone": "B", "split": "t / v"},
        **{"parameters": "", "origin": "own", "legible": "yes", "features": {"part": "left"}, "told": {}},
        **{"values": {"AP": 10.0 * number, "correlation": 0.1 * number, "fps": 5.0}, "not_run": ""},
        **{"cells": [list(c) for c in cells], "incomparable": {"scenes": why}},
        **more,
    }


ROWS = [
    row(1, ("slim", "iou")),
    row(2, ("slim", "mutual_guidance"), ("slim", "paa")),  # the other reading
    row(3, ("wide", "mutual_guidance")),
    row(4, why="cited", origin="cited", detector="E"),
    row(5, ("wide", "iou"), why="test-dev", split="t / test-dev"),
    row(6, legible="no", values={"AP": None, "correlation": None, "fps": None}, not_run="nobody has the data"),
    row(7, ("slim", "absent"), values={"AP": None, "correlation": None, "fps": None}, told={"AP": "failed"}),
]
TABLE = {
    **{"title": "Some, Table 1", "head": ["Some: a source", "a setting"], "features": ["part"], "columns": COLUMNS},
    **{"rows": ROWS, "across": [[3, 2]]},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> StudyRecord:
    folder = tmp_path_factory.mktemp("printed")
    return read_study_record(write_study(folder, detectors=DETECTORS, printed={"some_table1": TABLE}))


@pytest.fixture(scope="module")
def found(study) -> dict[str, Result]:
    return {r.key: r for r in printed(study)}


def own(study: StudyRecord, detector: str, method: str, measure: str = "AP") -> list[float]:
    """A measure of the cells of a row, seed by seed."""
    mine = [c for c in study.data() if (c.keys["detector"], c.keys["method"]) == (detector, method)]
    return [measured(c, measure) for c in mine]


def test_rows_and_columns_stand_as_printed_with_ours_beside(study, found) -> None:
    frame = found["printed.some_table1"].frame
    assert frame.row.tolist() == ["1", "2", "2", "3", "4", "5", "6", "7"]
    assert frame.entry.tolist()[:5] == [f"row {n} (D)" for n in (1, 2, 2, 3)] + ["row 4 (E)"]
    assert set(frame.part) == {"left"}
    told = found["printed.some_table1"].answer
    assert told.startswith(
        "3 of the 6 rows that the paper's authors trained are measured here; beside 1 of them stands 1 of our methods "
        "in another setting; in AP, ours less"
    )
    first = frame.iloc[0]
    told = t_interval(own(study, "slim", "iou"))
    assert (first["AP"], first["AP_half"]) == (pytest.approx(told.mean), pytest.approx(told.half))
    assert first["AP published"] == 0.1 and first["AP difference"] == pytest.approx(told.mean - 0.1)
    assert first["AP difference_half"] == first["AP_half"] and first.n == 3
    assert first["correlation published"] == pytest.approx(0.1) and first["correlation"] == pytest.approx(
        np.mean(own(study, "slim", "iou", "spearman")), nan_ok=True
    )


def test_another_reading_of_a_row_stands_below_it(study, found) -> None:
    one, two = (r for _, r in found["printed.some_table1"].frame.query("row == '2'").iterrows())
    assert (one.method, one.note) == ("mutual_guidance", "") and (two.method, two.note) == ("paa", "other reading")
    assert two["AP"] == pytest.approx(np.mean(own(study, "slim", "paa"))) and two["AP published"] == 0.2


@pytest.mark.parametrize(
    ("number", "note"),
    [
        ("4", "cited"),
        ("5", "test-dev"),
        ("6", "not run: nobody has the data; partly illegible"),
        ("7", "not in this study; printed: failed"),
    ],
)
def test_what_is_no_number_of_this_kind_is_shown_marked_and_never_subtracted(found, number, note) -> None:
    (line,) = (r for _, r in found["printed.some_table1"].frame.query(f"row == '{number}'").iterrows())
    assert line.note == note and np.isnan(line["AP difference"]) and np.isnan(line["AP difference_half"])
    assert np.isnan(line["AP published"]) == (number in ("6", "7"))
    assert np.isnan(line["AP"]) == (number != "5")


def test_the_speed_of_another_machine_is_never_subtracted_from(found) -> None:
    assert found["printed.some_table1"].frame["fps difference"].isna().all()
    assert (found["printed.some_table1"].frame["fps published"].dropna() == 5.0).all()


def test_rows_of_two_detectors_are_compared_by_seed(study, found) -> None:
    (line,) = found["printed.across"].frame.query("metric == 'AP'").to_dict("records")
    by_seed = np.subtract(own(study, "wide", "mutual_guidance"), own(study, "slim", "mutual_guidance"))
    assert line["difference"] == pytest.approx(by_seed.mean()) and line["n"] == 3
    assert (line["row"], line["with"], line["published"]) == ("3", "2", pytest.approx(0.1))
    assert line["baseline"] == "mutual_guidance on slim" and line["verdict"] in ("higher", "lower", "not resolvable")


def test_the_tables_print_and_agree_with_all_others(study, found) -> None:
    """What lint holds against each other: numbers, units, for whom the intervals speak."""
    from assignbench.analysis import ANALYSES

    results = [*found.values(), *ANALYSES["averages"].run(study), *ANALYSES["differences"].run(study)]
    shown = [result_table(r, study.places) for r in results if r.role == "table"]
    assert lint(results, shown) == []
    table = result_table(found["printed.some_table1"], study.places)
    assert {"AP", "AP published", "AP difference", "note"} <= set(table.header)
    assert any("no spread is published" in note for note in table.notes) and "a setting" in table.notes
    wrong = found["printed.numbers"].frame.assign(value=lambda t: t.value + 0.01)
    changed = Result("printed.numbers", "x", wrong, role="figure")
    assert any("two tables disagree" in told for told in lint([*results, changed], shown))


def test_a_page_about_one_table_has_its_cells_alone(study, tmp_path) -> None:
    path = study.folder / "study.json"
    grid = {i: dict(zip(("data", "detector", "method"), where, strict=True)) for i, where in study.grid.items()}
    content = {**read_json(path), "grid": grid}
    for table, cells in (("", 18), ("some_table1", 15)):
        folder = tmp_path / (table or "all")
        folder.mkdir()
        for cell in study.cells:
            (folder / cell.id).symlink_to(Path(study.folder / cell.id).resolve())
        write_json(folder / "study.json", {**content, "table": table})
        assert len(read_study_record(folder).cells) == cells
