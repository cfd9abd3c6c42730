"""The printed numbers: packaged as they are, each row and claim in a study or said not to be run, and in reports."""

from __future__ import annotations

import csv
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from assignbench.analysis import StudyRecord
from assignbench.analysis.printed import printed
from assignbench.cli import main
from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.recipe import Schedule
from assignbench.errors import InputError
from assignbench.report.tables import result_table
from assignbench.study.printed import LIES, READS, RUNS, cells_of_table, printed_content, printed_rows, table_named
from assignbench.study.published import folder, printed_claims, printed_tables
from assignbench.study.reading import Study, read_study
from tests.conftest import ROOT, SHARED
from tests.study.test_words import study as written

STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
WITH_TABLES = [path for path in STUDIES if "\ntables:" in path.read_text()]


def lines_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV as texts, read without the package."""
    return list(csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#")))


@cache
def own_rows() -> dict[tuple[str, int], dict[str, str]]:
    """Every row that its paper's authors trained."""
    rows = ((path.stem, row) for path in sorted(folder().glob("*.csv")) for row in lines_of(path))
    return {(name, int(row["row"])): row for name, row in rows if row.get("origin") == "own"}


@cache
def opened(path: Path, preset: str | None = None) -> Study:
    return read_study(path, preset=preset)


def test_every_own_row_is_one_row_of_one_study_or_said_not_to_be_run() -> None:
    named = Counter((t, n) for p in STUDIES for t, rows in printed_rows(opened(p).spec).items() for n in rows)
    without = Counter(
        (t, n) for p in STUDIES for e in opened(p).spec.not_run for t, numbers in e.rows.items() for n in numbers
    )
    assert set(named) | set(without) == set(own_rows()) and set((named + without).values()) == {1}
    assert sum(without.values()) == 1 and len(own_rows()) == 170


def test_every_claim_of_the_papers_stands_in_a_study_or_is_said_not_to_be_run() -> None:
    tested = {c.row for p in STUDIES for c in opened(p).spec.claims if c.row}
    without = [n for p in STUDIES for e in opened(p).spec.not_run for n in e.claims]
    assert tested | set(without) == set(printed_claims()) == set(range(1, 64))
    assert not tested & set(without) and len(without) == len(set(without))


PAPERS = {"MG": "Mutual Guidance"}


@pytest.mark.parametrize("path", WITH_TABLES, ids=lambda p: p.stem)
def test_a_claim_names_the_paper_of_its_row(path) -> None:
    """A row of claims.csv is that of the very paper, and the claims of a study stand in the order of the rows."""
    for claim in opened(path).spec.claims:
        if claim.row:
            told = printed_claims()[claim.row]
            assert claim.paper.startswith(PAPERS.get(told.paper, told.paper) + ",") and claim.published


@pytest.mark.skipif(not (SHARED / "published").is_dir(), reason="no ../shared/published")
@pytest.mark.parametrize("path", sorted(folder().glob("*.csv")), ids=lambda p: p.stem)
def test_the_packaged_numbers_are_those_that_were_extracted(path) -> None:
    extracted = lines_of(SHARED / "published" / path.name)
    for number, (ours, theirs) in enumerate(zip(lines_of(path), extracted, strict=True), start=1):
        theirs.pop("writable_at_581177c", None)
        assert ours == {**({"row": str(number)} if path.stem == "claims" else {}), **theirs}


def test_what_is_read_is_what_the_files_hold() -> None:
    """Every number of every table, and no number that no file has."""
    assert len(printed_tables()) == 27
    for name, table in printed_tables().items():
        rows = lines_of(folder() / f"{name}.csv")
        assert [r.number for r in table.rows] == [int(r["row"]) for r in rows] == list(range(1, len(rows) + 1))
        for row, text in zip(table.rows, rows, strict=True):
            for column in table.columns:
                shown = text[column.name]
                assert row.values[column.name] == (float(shown) if shown.replace(".", "").isdigit() else None)
                assert row.told.get(column.name, "") == ("" if row.values[column.name] is not None else shown)


def report_of(study: Study, path: Path) -> dict[str, Any]:
    """The tables as printed of a study that nothing was trained of."""
    about = {"printed": printed_content(study), "unpublished": study.spec.published.removeprefix("none: ")}
    about |= {
        "cells": [],
        "grid": {f"x-{d.name}": {"data": d.name, "detector": "", "method": ""} for d in study.spec.data},
    }
    about["cells"] = list(about["grid"])
    return {r.key: r for r in printed(StudyRecord(path, about, ()))}


@pytest.mark.parametrize("preset", [None, "rehearse"])
@pytest.mark.parametrize("path", WITH_TABLES, ids=lambda p: p.stem)
def test_every_published_number_of_a_report_is_that_of_the_paper(path, preset, tmp_path) -> None:
    study = opened(path, preset)
    found = report_of(study, tmp_path)
    names = set(printed_rows(study.spec))
    assert {f"printed.{name}" for name in names} <= set(found)
    for name in names:
        table = result_table(found[f"printed.{name}"])
        rows = [r for r in lines_of(folder() / f"{name}.csv")]
        for line in table.rows:
            cells = dict(zip(table.header, line, strict=True))
            (row,) = (r for r in rows if r["row"] == cells["row"])
            for column in printed_tables()[name].columns:
                shown = cells.get(f"{column.name} published".replace("_", " "), "n/a")
                wanted = row[column.name] if row[column.name].replace(".", "").isdigit() else ""
                assert (float(shown) if shown != "n/a" else None) == (float(wanted) if wanted else None)
        assert [r["row"] for r in rows] == list(dict.fromkeys(cells[table.header.index("row")] for cells in table.rows))


def test_what_is_of_another_kind_is_never_subtracted_from() -> None:
    """By generation: every own row of every study on the paper's own data, in the paper's own recipe."""
    of_kind: dict[tuple[str, int], str] = {}  # two studies have rows of one table
    for path in WITH_TABLES:
        for name, table in printed_content(opened(path)).items():
            for row in table["rows"]:
                (why,) = row["incomparable"].values()
                hidden = "test-dev" in row["split"]
                assert bool(why) == (hidden or row["origin"] == "cited" or "/" not in row["split"]), (name, row)
                of_kind[name, row["row"]] = why
        for row in (r for t in printed_content(opened(path, "short")).values() for r in t["rows"] if r["cells"]):
            assert all(row["incomparable"].values())
    counts = Counter(of_kind.values())
    assert counts == {"": 141, "cited": 45, "test-dev": 27, "split not printed": 2}


# Some values of each kind, of which an entry takes those that it allows.
VALUES = (True, False, 2, 3, 0.25, 0.5, 1.5, 77, [1, 2], [0.5], [320, 640], {"flip": 0.25}, {"mean": [1.0, 2.0, 3.0]})
WORDS = ("sgd", "adamw", "step", "cosine", "constant", "linear", "level", "image", "voting", "bf16", "train", "drop")
# Entries that do nothing without another one, or for this data set, which is refused.
ALONE_REFUSED = {"schedule.steps", "schedule.warmup_from", "schedule.lr_end", "schedule.milestones"}
ALONE_REFUSED |= {"evaluation.fuse", "evaluation.split", "data.use_difficult"}


def entries() -> list[tuple[str, bool]]:
    """Every entry of a schedule, an evaluation and a data set, and whether it decides what a row says."""
    found = [(f"schedule.{name}", name not in RUNS) for name in Schedule.model_fields]
    found += [(f"evaluation.{name}", name not in READS) for name in Evaluation.model_fields]
    scenes = {"factors", "scenes_seed", "train_images", "test_images", "val_images"}  # of embedded ones alone
    return found + [(f"data.{n}", n not in LIES) for n in DataSpec.model_fields if n not in LIES | scenes]


@pytest.mark.parametrize(("entry", "counts"), entries(), ids=lambda v: v if isinstance(v, str) else "")
def test_another_recipe_is_never_subtracted_from(entry, counts) -> None:
    """By generation: each entry changed from outside to each value that it allows."""
    path = ROOT / "studies" / "coco_table2.yaml"
    tried = 0
    for value in (*VALUES, *WORDS):
        try:
            study = read_study(path, sets=[f"{entry}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"])
            content = printed_content(study)
        except InputError:
            continue
        if study.spec == opened(path).spec:
            continue
        tried += 1
        rows = [row for table in content.values() for row in table["rows"] if row["cells"] and row["origin"] == "own"]
        assert rows and all(bool(why) == counts for row in rows for why in row["incomparable"].values()), value
    assert tried or entry in ALONE_REFUSED, entry


@pytest.mark.parametrize("path", WITH_TABLES, ids=lambda p: p.stem)
def test_a_variant_has_the_rows_of_its_study(path) -> None:
    """Each preset lays its cells out as the same tables, and each study with tables can be rehearsed and shortened."""
    study = opened(path)
    assert {"rehearse", "short"} <= set(study.spec.presets)
    for preset in ("rehearse", "short"):
        variant = opened(path, preset)
        assert {t: list(rows) for t, rows in printed_rows(variant.spec).items()} == {
            t: list(rows) for t, rows in printed_rows(study.spec).items()
        }
    assert [d.name for d in opened(path, "rehearse").spec.data] == ["shapes"]
    assert [d.name for d in opened(path, "short").spec.data] == [d.name for d in study.spec.data]


def test_a_table_is_named_by_its_end_and_needs_its_cells_alone() -> None:
    study = opened(ROOT / "studies" / "ltm_1x.yaml")
    assert table_named(study, "3") == table_named(study, "table3") == table_named(study, "ltm_table3") == "ltm_table3"
    methods = {m for _, m in cells_of_table(study, "ltm_table3")}
    pools = ("", "_pool80", "_pool120", "_pool160")
    assert methods == {f"{loss}{pool}" for loss in ("ltm", "ltm_plus") for pool in pools}
    for text in ("9", "", "table", "mlc_table1"):
        with pytest.raises(InputError, match="is not one of the study's printed tables"):
            table_named(study, text)


def test_plan_shows_the_cells_of_one_table(tmp_path, capsys) -> None:
    arguments = ["plan", str(ROOT / "studies" / "mlc_ablation.yaml"), "--out", str(tmp_path), "--seeds", "1"]
    assert main([*arguments, "--table", "1"]) == 0
    told = capsys.readouterr().out
    assert "4 cells" in told and "printed rows of mlc_table1" in told and "mlc_table2" not in told
    assert "3 fcos-resnet50-box/mutual_labeling_fcos or fcos-resnet50-box/mutual_labeling_fcos_levels" in told
    assert main([*arguments, "--table", "7"]) == 2


SLIM = "retinanet-slim"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"tables": {"mlc_table1": {f"{SLIM}/iuo": [1]}}},
            r"line \d+: tables\.mlc_table1\.retinanet-slim/iuo: no cell",
        ),
        ({"tables": {"mlc_table1": {"iou": [1]}}}, "a cell is written detector/method"),
        ({"tables": {"mlc_table1": {f"{SLIM}/iou": [1, 1]}}}, "row 1 is retinanet-slim/iou already"),
        ({"tables": {"mlc_table1": {f"{SLIM}/iou": [0]}}}, "tables.mlc_table1.retinanet-slim/iou"),
        ({"tables": {"mlc_table1": {f"{SLIM}/iou": 1}}}, "tables.mlc_table1.retinanet-slim/iou"),
        ({"tables": {"mlc_table1": {f"{SLIM}/iou": [4]}}}, "MLC, Table 1 has no row 4; its rows are 1 to 3"),
        ({"tables": {"musu_table6": {f"{SLIM}/iou": [1]}}}, "row 1 of MuSu, Table 6 is cited there from elsewhere"),
        ({"tables": {"mlc_tabel1": {f"{SLIM}/iou": [1]}}}, "no printed table 'mlc_tabel1'; did you mean 'mlc_table1'"),
        ({"tables": {"t u": {}}}, "tables"),
        ({"readings": {"mlc_table1": {f"{SLIM}/iou": [1]}}}, "row 1 is not one of the study's tables"),
        (
            {"tables": {"mlc_table1": {f"{SLIM}/iou": [1]}}, "readings": {"mlc_table1": {f"{SLIM}/iou": [1]}}},
            "row 1 is that very cell",
        ),
        (
            {"tables": {"mlc_table1": {f"{SLIM}/iou": [1]}}, "across": {"mlc_table1": [[1, 2]]}},
            r"across\.mlc_table1\.0: row 2 is not one of the study's tables",
        ),
        (
            {"tables": {"mlc_table1": {f"{SLIM}/iou": [1]}}, "across": {"mlc_table1": [[1, 1]]}},
            "compares a row with itself",
        ),
        ({"not_run": [{"rows": {"mlc_table1": [9]}, "why": "x"}]}, "MLC, Table 1 has no row 9"),
        ({"not_run": [{"claims": [64], "why": "x"}]}, "no printed claim 64"),
        ({"not_run": [{"claims": [1]}]}, "why"),
        (
            {"tables": {"mlc_table1": {f"{SLIM}/iou": [1]}}, "not_run": [{"rows": {"mlc_table1": [1]}, "why": "x"}]},
            "row 1 is retinanet-slim/iou under tables",
        ),
        ({"claims": [{"claim": "divergence predicts AP", "row": 99}]}, r"claims\.0\.row: no printed claim 99"),
        ({"published": "mlc_table1"}, "printed rows are named by the study's key `tables`"),
        ({"published": "none"}, "none: REASON"),
        (
            {"published": "none: no paper", "tables": {"mlc_table1": {f"{SLIM}/iou": [1]}}},
            "the study's tables name printed rows",
        ),
        (
            {"detectors": [{"name": SLIM, "stands_for": ["a"]}, {"name": "fcos-slim", "stands_for": ["a"]}]},
            "'a' is retinanet-slim already; a name stands for one detector",
        ),
    ],
)
def test_what_is_printed_is_named_rightly_and_once(tmp_path, change, told) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(written(**change), sort_keys=False))
    with pytest.raises(InputError, match=told):
        read_study(path)
    assert [p.name for p in tmp_path.iterdir()] == ["study.yaml"]


def test_rows_that_a_part_of_the_study_lacks_are_left_out(tmp_path) -> None:
    """Methods of an option; in the file itself a cell that is not there is refused."""
    path = tmp_path / "study.yaml"
    tables = {"mlc_table1": {f"{SLIM}/iou": [1], f"{SLIM}/atss_plain": [2]}}
    path.write_text(yaml.safe_dump(written(methods=["iou", "atss_plain"], tables=tables), sort_keys=False))
    assert printed_rows(read_study(path, sets=["methods=[iou]"]).spec) == {"mlc_table1": {1: [(SLIM, "iou")]}}


def test_numbers_that_no_paper_prints_are_said_to_be_none(tmp_path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(written(published="none: in material that is not public"), sort_keys=False))
    (told,) = report_of(read_study(path), tmp_path).values()
    assert told.frame.iloc[0, 0] == "none: in material that is not public"
