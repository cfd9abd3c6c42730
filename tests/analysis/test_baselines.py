"""Who is compared with whom: the named baseline, else the first; 'assigner' only where nothing else differs."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, StudyRecord, read_study_record
from assignbench.analysis.differences import judged
from assignbench.analysis.pairs import pairs_of
from assignbench.config import CoderConfig, HeadInit, MethodConfig, Nms, Part, Voting
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import differing_parts
from assignbench.records import finish, write_json
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell
from tests.report.written import write_study

BASE = MethodConfig(name="iou", preset="iou", assigner=Part(name="max_iou"))
# Another value for every part of a method beyond its names and its assigner.
OTHER = {
    "criterion": Part(name="dense", parameters={"box": "giou"}),
    "quality": "iou",
    "ranking": "cls*quality",
    "floor_on": "ranking",
    "nms": Nms(iou=0.6),
    "voting": Voting(),
    "head_init": HeadInit(prior_prob=0.02),
    "coder": CoderConfig(stds=(0.2, 0.2)),
}


def test_every_part_is_known_to_the_test() -> None:
    assert set(OTHER) == set(MethodConfig.model_fields) - {"name", "preset", "assigner"}


@pytest.mark.parametrize("part", OTHER)
def test_any_other_part_makes_a_recipe(part) -> None:
    changed = BASE.model_copy(update={"name": "x", "preset": "y", "assigner": Part(name="paa"), part: OTHER[part]})
    assert differing_parts(changed, BASE) == (part,)
    assert differing_parts(BASE.model_copy(update={"name": "x", "assigner": Part(name="paa")}), BASE) == ()


PLACE = ("planted", "net")  # of planted cells


def study(folder, baselines: dict[str, str], *methods: str) -> StudyRecord:
    objects = objects_table([(0, 0, 0.0, 0, 40, 40)])
    for method in methods:
        write_cell(folder, method, 0, objects, boxes_table([(0, 0, 0.0, 0, 40, 40, 0.9)], "score"))
    return study_of(folder, methods, baselines=baselines)


def test_a_method_goes_with_its_own_baseline_or_the_first(tmp_path) -> None:
    found = study(tmp_path, {"a": "", "b": "a", "c": "b", "d": "gone", "e": "e"}, "a", "b", "c", "d", "e")
    assert [found.baseline_of(m, PLACE) for m in "abcde"] == ["", "a", "b", "gone", "a"]
    assert found.baseline_of("c", ("planted", "another net")) == ""
    table = ANALYSES["averages"].run(found)[0].frame
    named = table[table.metric == "AP"].set_index("method").baseline
    assert named.to_dict() == {"a": "", "b": "a", "c": "b", "d": "gone", "e": "a"}


def test_no_pair_is_asked_twice(tmp_path) -> None:
    """The first method names the second as its baseline: the second is then not compared with the first again."""
    found = study(tmp_path, {"a": "b", "b": ""}, "a", "b")
    assert [found.baseline_of(m, PLACE) for m in "ab"] == ["b", ""]


def test_nothing_takes_the_place_of_a_baseline_that_a_detector_does_not_have(tmp_path) -> None:
    """b is not among the methods of the second detector: there c is compared with nothing, and that is said."""
    study(tmp_path, {}, "a", "b", "c")
    for method in "ac":
        objects = objects_table([(0, 0, 0.0, 0, 40, 40)])
        write_cell(tmp_path, method, 0, objects, boxes_table([(0, 0, 0.0, 0, 40, 40, 0.9)], "score"), detector="wide")
    found = study_of(tmp_path, ("a", "b", "c"), baselines={"a": "", "b": "a", "c": "b"})
    assert found.baseline_of("c", PLACE) == "b" and found.baseline_of("c", ("planted", "wide")) == "b"
    (row,) = judged([p for p in pairs_of(found) if p.method == "c" and p.detector == "wide"], ["AP"]).to_dict("records")
    assert row["verdict"] == "not testable" and "b (not in the study here)" in row["reason"]


def test_the_difference_is_to_the_own_baseline_and_paired_by_seed(tmp_path) -> None:
    """c's baseline is b: AP of the seeds that both have."""
    objects = objects_table([(0, 0, 0.0, 0, 40, 40)])
    values = {"a": (0.1, 0.2, 0.3), "b": (0.5, 0.4, 0.6), "c": (0.6, 0.6, np.nan)}
    for method, scores in values.items():
        for seed, value in enumerate(scores):
            if np.isfinite(value):
                folder = write_cell(
                    tmp_path, method, seed, objects, boxes_table([(0, 0, 0.0, 0, 40, 40, 0.9)], "score")
                )
                write_json(folder / "summary.json", {"AP": value})
                finish(folder)
    found = study_of(tmp_path, ("a", "b", "c"), baselines={"a": "", "b": "a", "c": "b"})
    row = ANALYSES["averages"].run(found)[0].frame.set_index("method").loc["c"]
    assert row.delta == pytest.approx(0.15) and row.delta_n == 2 and row.baseline == "b" and row.pair == "assigner"


def test_the_configuration_names_the_parts_of_a_recipe(tmp_path) -> None:
    objects, found = objects_table([(0, 0, 0.0, 0, 40, 40)]), boxes_table([(0, 0, 0.0, 0, 40, 40, 0.9)], "score")
    recipe = BASE.model_copy(update={"name": "paa", "assigner": Part(name="paa"), "nms": Nms(iou=0.6)})
    for method in (BASE, recipe):
        write_cell(tmp_path, method, 0, objects, found)
    results = {r.key: r.frame for r in ANALYSES["configuration"].run(study_of(tmp_path, ("iou", "paa")))}
    pairs = results["configuration.pairs"].set_index("method")
    assert pairs.loc["paa", ["baseline", "pair", "differs"]].tolist() == ["iou", "recipe", "nms"]
    assert pairs.loc["iou", ["baseline", "pair", "differs"]].tolist() == ["", "", ""]
    entries = results["configuration.entries"]
    assert entries.key.tolist() == ["method.assigner.name", "method.nms.iou"]
    assert isinstance(entries, pd.DataFrame) and entries[["iou", "paa"]].iloc[1].tolist() == ["0.5", "0.6"]


def test_another_way_to_read_the_detector_makes_a_recipe(tmp_path) -> None:
    write_study(tmp_path, seeds=1, images=2)
    record = read_study_record(tmp_path)
    place = ("scenes", "slim")
    assert record.pair("mutual_guidance", "iou", place) == "assigner"
    other = Evaluation(max_detections=300)
    cells = [
        SimpleNamespace(config=c.config.model_copy(update={"evaluation": other}))
        if c.config.method.name == "mutual_guidance"
        else c
        for c in record.cells
    ]
    read = StudyRecord(tmp_path, {}, tuple(cells))  # type: ignore[arg-type]
    assert read.differing("mutual_guidance", "iou", place) == ("evaluation",)
    assert read.pair("mutual_guidance", "iou", place) == "recipe"


def without(folder, *gone: str, damaged: tuple[str, ...] = ()) -> StudyRecord:
    """Three methods of one seed, as `run` tells of them in study.json; the cells of some were never begun."""
    study(folder, {}, "a", "b", "c")
    names = {m: f"net-{m}-planted-seed0" for m in "abc"}
    for method in gone:
        shutil.rmtree(folder / names[method])
    for method in damaged:
        (folder / names[method] / "detections.parquet").write_bytes(b"PAR1")
    grid = {n: {"data": "planted", "detector": "net", "method": m} for m, n in names.items()}
    about = {"study": "s", "cells": list(names.values()), "grid": grid, "baselines": {"a": "", "b": "a", "c": "a"}}
    write_json(folder / "study.json", {**about, "claims": [{"claim": "b > a on AP"}, {"claim": "c > b on AP"}]})
    return read_study_record(folder)


@pytest.mark.parametrize(
    ("gone", "damaged", "why", "pair"),
    [
        (("a",), (), "no finished cell of a (1 not begun)", ""),
        ((), ("a",), "no finished cell of a (1 damaged)", "assigner"),  # its configuration is whole
    ],
)
def test_nothing_takes_the_place_of_a_baseline_that_is_not_there(tmp_path, gone, damaged, why, pair) -> None:
    """a is the baseline of both: without it they are not compared with one another."""
    record = without(tmp_path, *gone, damaged=damaged)
    assert record.methods == ["a", "b", "c"]
    table = ANALYSES["differences"].run(record)[0].frame
    assert set(table.baseline) == {"a"} and set(table.verdict) == {"not testable"} and set(table.reason) == {why}
    averages = ANALYSES["averages"].run(record)[0].frame
    assert set(averages.baseline) == {"a"} and set(averages.reason) == {why} and averages.delta.isna().all()
    claims = ANALYSES["claims"].run(record)[0].frame
    assert claims.verdict.tolist() == ["not testable", "not resolvable"]  # one seed of b and c
    assert claims.reason.tolist() == [why, "n = 1: a verdict needs 3 seeds"]
    pairs = ANALYSES["configuration"].run(record)[0].frame.set_index("method")
    assert pairs.loc["b", ["baseline", "pair"]].tolist() == ["a", pair]


def test_a_method_without_a_finished_cell_is_a_row_that_says_so(tmp_path) -> None:
    table = ANALYSES["differences"].run(without(tmp_path, "b"))[0].frame
    told = table[table.metric == "AP"].set_index("method")
    assert told.loc["b"].reason == "no finished cell of b (1 not begun)" and told.loc["c"].reason == ""
