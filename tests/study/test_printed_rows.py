"""Every row that the papers' authors trained is one cell of a study, which says the same as the printed table."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from assignbench import methods
from assignbench.analysis.measures import MEASURES
from assignbench.cli import main
from assignbench.config.cell import CellConfig
from assignbench.study.grid import cells_of
from assignbench.study.printed import printed_rows
from assignbench.study.reading import Study, read_study
from tests.conftest import ROOT

PRINTED = ROOT / "studies" / "published"
STUDIES = sorted(path for path in (ROOT / "studies").glob("*.yaml") if "\ntables:" in path.read_text())
# Worked out from two other rows, so that nothing was trained for it.
DERIVED = {("ltm_table2", 3)}
SETS = {"VOC": "voc0712", "COCO": "coco2017", "SKU110K": "sku110k"}
# How long each table's networks are trained.
EPOCHS = {"mutual_guidance_table1": 250, "mutual_guidance_table2": 140, "mlc_table5": 24}
EPOCHS |= dict.fromkeys(("mlc_table1", "mlc_table2", "mlc_table3", "mlc_table4"), 19)
STEPS = dict.fromkeys((f"musu_table{n}" for n in (1, 2, 3, 4, 5, 7)), 90_000) | {"musu_text": 90_000}
STEPS |= {"musu_table6": 180_000, "ltm_table7": 180_000, "ltm_text": 90_000, "paa_table3": 180_000}
STEPS |= dict.fromkeys((f"ltm_table{n}" for n in range(1, 7)), 90_000)
STEPS |= dict.fromkeys(("paa_table1", "paa_table4"), 135_000)
# The shorter sides that the long trainings draw from, by paper.
SHORT = {180_000: {"mus": range(640, 801), "ltm": range(640, 801, 32), "paa": range(640, 801)}}
# Columns that are no measure: what the row is.
ABOUT = {
    *("row", "method", "assignbench", "detector", "backbone", "dataset", "split", "parameters", "origin"),
    *("part", "head", "voting", "legible", "ML", "IUR", "anchors", "anchor_free", "where"),
}
# Measured by an analysis, by its name, or in summary.json.
ELSEWHERE = {
    "correlation": "divergence",
    "training_time_h": "cost",
    "fps": "cost",
    "parameters_M": "cost",
    "gflops": "cost",
    "iou_error": "quality",
    **{f"NR{at}": "nms" for at in (50, 60, 70, 80, 90)},
}


@dataclass(frozen=True)
class Row:
    """A printed row: its table, its number, and its columns."""

    table: str
    number: int
    columns: dict[str, str]

    def __str__(self) -> str:
        return f"{self.table} {self.number}"


@cache
def own_rows() -> tuple[Row, ...]:
    """The rows that were trained by the authors of the paper that prints them."""
    found = []
    for path in sorted(PRINTED.glob("*.csv")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        for columns in csv.DictReader(lines):
            if columns.get("origin") == "own" and (path.stem, int(columns["row"])) not in DERIVED:
                found.append(Row(path.stem, int(columns["row"]), columns))
    return tuple(found)


@dataclass(frozen=True)
class Printed:
    """A cell of a study that is a printed row."""

    study: Study
    name: str
    config: CellConfig


@cache
def planned(path: Path) -> tuple[Study, dict[str, CellConfig]]:
    """A study, and its cells of one seed by "detector/method"."""
    study = read_study(path, seeds=1)
    return study, {f"{c.config.detector.label}/{c.config.method.name}": c.config for c in cells_of(study, methods)}


def reached() -> Iterator[tuple[tuple[str, int], Printed]]:
    """Every printed row that a study has, with its cell."""
    for path in STUDIES:
        study, cells = planned(path)
        for table, rows in printed_rows(study.spec).items():
            for row, (cell,) in rows.items():
                yield (table, row), Printed(study, "/".join(cell), cells["/".join(cell)])


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_plan_accepts_the_study(path, tmp_path, capsys) -> None:
    assert main(["plan", str(path), "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert "printed rows of" in capsys.readouterr().out


def test_every_own_row_is_one_cell_of_one_study() -> None:
    wanted = Counter((row.table, row.number) for row in own_rows())
    assert len(wanted) == 169 and set(wanted.values()) == {1}
    assert Counter(place for place, _ in reached()) == wanted


def test_the_rows_are_as_many_trainings_as_are_needed() -> None:
    """Rows that differ only in how a network is read share one training."""
    configs = {cell.config.id: cell.config for _, cell in reached()}
    assert len({config.training_id for config in configs.values()}) == 128


@pytest.mark.parametrize("row", own_rows(), ids=str)
def test_the_cell_is_what_the_row_says(row) -> None:
    (cell,) = (cell for place, cell in reached() if place == (row.table, row.number))
    config, columns = cell.config, row.columns
    assert config.data.name == SETS[columns["dataset"]]
    check_detector(row, config)
    check_anchors(row, config)
    check_length(row, config)
    for text in filter(None, columns["parameters"].split(";")):
        check_parameter(text, config)
    if columns.get("anchors"):
        assert config.detector.spec.priors.per_location == int(columns["anchors"])
    if columns.get("head"):
        kind = None if columns["head"] == "none" else columns["head"]
        assert config.method.quality == kind
    if columns.get("voting"):
        assert (config.method.voting is not None) == (columns["voting"] == "yes")
    if columns.get("ML"):
        assert (config.method.assigner.name == "mlc" and config.method.assigner.parameters["mutual"]) == (
            columns["ML"] == "yes"
        )
        assert (config.method.quality == "iou") == (columns["IUR"] == "yes")
    for measure in set(columns) - ABOUT:
        check_measure(measure, cell)


FAMILIES = {"FSSD": "fssd", "RFBNet": "rfbnet", "FCOS": "fcos", "RPN": "rpn", "RetinaNet-1": "retinanet"}


def check_detector(row: Row, config: CellConfig) -> None:
    """Family and backbone, with deformable convolutions where the name says so."""
    spec, name, family = config.detector.spec, row.columns["backbone"], row.columns["detector"]
    of_paper = "mg-retinanet" if row.table.startswith("mutual_guidance") else "retinanet"
    assert spec.family == FAMILIES.get(family, of_paper)
    if family == "RetinaNet-1":
        assert spec.priors.count == 1 and spec.head is not None and spec.head.level_scale and spec.head.norm == "gn"
    plain = re.sub(r"-FPN$|-DCN$", "", name).lower().replace("resnet-", "resnet").replace("vgg-", "vgg")
    plain = plain.replace("resnext-", "resnext")
    assert spec.backbone.name == {"resnext101": "resnext101-64x4d"}.get(plain, plain)
    assert bool(spec.backbone.dcn) == name.endswith("-DCN")
    frozen = 0 if row.table.startswith("mutual_guidance") else 1
    assert spec.backbone.frozen_stages == frozen and (spec.backbone.frozen_norm == "none") == (not frozen)


def check_anchors(row: Row, config: CellConfig) -> None:
    """They lie where the paper's code or its toolbox has them, and are counted as the method counts pixels."""
    priors = config.detector.spec.priors
    assert priors.inclusive == (config.method.coder.legacy_plus_one != "none")
    if priors.kind == "point" or priors.count == 1:
        assert priors.offset == 0.5 and priors.rounding == "none"
        return
    of_paper = {"mut": (0.5, "none", True), "mlc": (0.0, "none", False), "ltm": (0.5, "freeanchor", False)}
    assert (priors.offset, priors.rounding, priors.clamp) == of_paper[row.table[:3]]


def check_length(row: Row, config: CellConfig) -> None:
    """Epochs or steps, batch size and size of the images."""
    schedule = config.schedule
    assert schedule.batch_size * schedule.accumulate == (32 if row.table.startswith("mutual_guidance") else 16)
    if row.table in EPOCHS:
        assert schedule.epochs == EPOCHS[row.table]
    elif row.table in STEPS:
        assert schedule.steps == STEPS[row.table]
    else:  # PAA's Table 2 has networks of both of its studies
        assert schedule.steps in (135_000, 180_000)
    size = config.data.size
    if row.table.startswith("mutual_guidance"):
        assert size == 320
    else:
        drawn = SHORT.get(schedule.steps or 0, {}).get(row.table[:3], [800])
        assert (list(size.choices), size.long) == (list(drawn), 1333)


def check_parameter(text: str, config: CellConfig) -> None:
    """One of the row's parameters, such as alpha=1/3, has its value in the cell."""
    key, _, value = text.partition("=")
    if value:
        numerator, _, denominator = value.partition("/")
        number: Any = value if not re.match(r"[\d.]", value) else float(numerator) / float(denominator or 1)
        assert READ[key](config) == pytest.approx(number), text
        return
    told: dict[str, Callable[[], bool]] = {
        "ms": lambda: len(config.evaluation.test_scales) > 1,
        "multi-scale test": lambda: len(config.evaluation.test_scales) > 1,
        "hard": lambda: rule(config)["hard"] is True,
        "adaptive": lambda: rule(config)["tau"] == 0,
        "K not printed": lambda: rule(config)["bag"] == 40,
    }
    assert told[text]()


def rule(config: CellConfig) -> dict[str, Any]:
    """The assigner's parameters."""
    return dict(config.method.assigner.parameters)


def pool(config: CellConfig) -> Any:
    """How many anchors a bag is drawn from: all of the bag where none are drawn."""
    return rule(config)["random_from"] or rule(config)["bag"]


def kept(config: CellConfig) -> Any:
    return rule(config)["bag"]


READ: dict[str, Callable[[CellConfig], Any]] = {
    "sigma": lambda c: rule(c)["sigma"],
    "alpha": lambda c: rule(c)["alpha"],
    "b": lambda c: rule(c)["threshold"],
    "tau_cls": lambda c: rule(c)["tau"],
    "tau_reg": lambda c: rule(c)["tau"] / rule(c)["tau_ratio"],
    "tau_ratio": lambda c: rule(c)["tau_ratio"],
    "criterion": lambda c: rule(c)["criterion"],
    "S": kept,
    "K": pool,
    "beta": lambda c: rule(c)["beta"],
    "separation": lambda c: rule(c)["separation"],
    "count": lambda c: rule(c)["count"],
    "score_above": lambda c: rule(c)["score_above"],
    "topk": lambda c: rule(c)["topk"],
    "scale": lambda c: c.detector.spec.priors.scales[0],
    "#A": lambda c: c.detector.spec.priors.per_location,
}


def check_measure(measure: str, cell: Printed) -> None:
    """A printed column is a measure of the claims, of an analysis, or a recall at a number of detections."""
    if re.fullmatch(r"AR\d+", measure):
        count = int(measure[2:])
        assert count in cell.study.spec.max_dets and cell.config.evaluation.max_detections >= count
        return
    assert measure in MEASURES or measure in ELSEWHERE, measure
    asked = cell.study.spec.analyses
    assert not asked or ELSEWHERE.get(measure, "averages") in asked
