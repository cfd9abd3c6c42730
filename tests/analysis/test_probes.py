"""Churn, evolution, score mixtures, peaks and learned anchors on probe tables written by hand."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.assignment import size_of
from assignbench.analysis.base import CellData, read_study_record
from assignbench.analysis.probes import (
    boundary,
    cell_churn,
    learned_anchors,
    own_candidates,
    prior_losses,
    recorded_mixtures,
    separation,
)
from assignbench.config.evaluation import Evaluation
from assignbench.records import CellRecord, finish, write_config, write_json, write_table
from assignbench.records.schema import ASSIGNMENTS, PROBE_OBJECTS, PROBES
from tests.analysis.planted import boxes_table, filled, objects_table, study_of, write_cell


def prior(object_id: int, number: int, *, positive: bool, score: float, iou: float, at: float = 0.0) -> dict:
    box = {"prior_x1": at, "prior_y1": 0.0, "prior_x2": at + 10, "prior_y2": 10.0}
    found = {"x1": at, "y1": 0.0, "x2": at + 10, "y2": 10.0}
    row = {"object_id": object_id, "image_id": 0, "prior": number, "cls_score": score, "iou": iou}
    return {**row, "positive_cls": positive, "positive_box": positive, **box, **found}


@pytest.fixture
def study(tmp_path):
    """Two visits of two objects: object 1 exchanges one of two positives, object 2 keeps its only one."""
    objects = objects_table([(0, 0, 0.0, 0, 10, 10)])
    detections = boxes_table(
        [(0, 0, 0.0, 0, 16, 4, 0.9), (0, 0, 0.0, 0, 8, 8, 0.8), (0, 0, 0.0, 0, 8, 8, 0.1)], "score"
    )
    folder = write_cell(tmp_path, "iou", 0, objects, detections.assign(prior=[0, 3, 1]))
    first = [
        prior(1, 10, positive=True, score=0.1, iou=0.5),
        prior(1, 11, positive=True, score=0.1, iou=0.4),
        prior(2, 20, positive=True, score=0.2, iou=0.6),
    ]
    second = [
        prior(1, 10, positive=True, score=0.8, iou=0.5),
        prior(1, 12, positive=True, score=0.6, iou=0.9, at=6.0),
        prior(1, 13, positive=False, score=0.1, iou=0.3),
        prior(2, 20, positive=True, score=0.7, iou=0.7),
    ]
    for step, rows in ((0, first), (100, second)):
        table = pd.DataFrame(rows).assign(progress=step / 100)
        write_table(folder / "probes" / f"visit-{step:08d}.parquet", filled(table, PROBES))
    batches = {"object_id": [1, 2], "network_area": [100.0, 400.0], "step": [0, 0]}
    write_table(folder / "assignments.parquet", filled(pd.DataFrame(batches), ASSIGNMENTS))
    environment = {
        "classes": ["thing"],
        "class_agnostic": False,
        "image_size": [100, 100],
        "priors": {"level_sizes": [4, 2], "strides": [4.0, 8.0], "anchors_per_location": 2},
    }
    write_json(folder / "environment.json", environment)
    finish(folder)
    return study_of(tmp_path, ("iou",))


def test_churn(study) -> None:
    rows = cell_churn(study.done[0])
    assert {(r["task"], r["churn"]) for r in rows} == {("cls", 0.25), ("box", 0.25)}  # (1/2 + 0) / 2


def test_evolution(study) -> None:
    results = {r.key: r.frame for r in ANALYSES["evolution"].run(study)}
    last = results["evolution"].set_index("priors")
    assert last.loc["positive"].cls_score == pytest.approx(0.7) and last.loc["other"].iou == pytest.approx(0.3)


def test_peaks_of_score_and_iou(study) -> None:
    """Object 1: best-scored at 0, best-lying at 6 px, area 100: 0.6 sides apart, 0.4 IoU lost. Object 2: none."""
    row = ANALYSES["maps"].run(study)[0].frame.iloc[0]
    assert row.distance == pytest.approx(0.3) and row.iou_lost == pytest.approx(0.2)


def test_learned_anchors(study) -> None:
    """The image of 200 px is seen at 100 px. Prior 0: 16 x 4 there 8 x 2, stride 4: size 1, ratio 4."""
    rows = {r["anchor"]: r for r in learned_anchors(study.data()[0])}
    assert rows["0"]["size"] == pytest.approx(1.0) and rows["0"]["ratio"] == pytest.approx(4.0)
    assert rows["1"]["size"] == pytest.approx(1.0) and rows["1"]["share"] == 0.5  # 0.1 is below the least score


def read_at(study, scales: list[int]) -> CellData:
    """The cell as one whose test images were seen at these sizes."""
    folder = study.done[0].folder
    config = CellRecord(folder).config
    evaluation = Evaluation(test_scales=scales, test_flip=True)
    write_config(folder, config.model_copy(update={"evaluation": evaluation}))
    return CellData(CellRecord(folder))


def test_learned_anchors_at_other_test_sizes(study) -> None:
    """At 50 px both boxes are half as large there, in a grid of 13 x 13 cells; of several sizes nothing is known."""
    rows = {r["anchor"]: r for r in learned_anchors(read_at(study, [50]))}
    assert rows["0"]["size"] == pytest.approx(0.5) and rows["1"]["size"] == pytest.approx(0.5)
    assert learned_anchors(read_at(study, [50, 100])) == []


def test_the_area_of_a_probe_object_comes_from_its_own_record_first(study) -> None:
    """With four times the area recorded for object 1, its peaks are half as many sides apart."""
    folder = study.done[0].folder / "probes"
    table = pd.DataFrame({"object_id": [1, 2], "network_area": [400.0, 400.0]})
    write_table(folder / "objects-00000100.parquet", filled(table, PROBE_OBJECTS))
    finish(folder.parent)
    assert ANALYSES["maps"].run(study)[0].frame.iloc[0].distance == pytest.approx(0.15)


def scored(products: list[float], positive: list[bool]) -> pd.DataFrame:
    return pd.DataFrame({"cls_score": products, "iou": 1.0, "positive_cls": positive})


def test_separation_is_the_chance_of_the_right_order() -> None:
    """Two positives against three others: five of six pairs in order, one tied."""
    group = scored([0.9, 0.5, 0.5, 0.2, 0.1], [True, True, False, False, False])
    assert separation(group) == pytest.approx((3 + 2 + 0.5) / 6)
    assert separation(scored([0.9, 0.1], [True, False])) == 1.0
    assert separation(scored([0.1, 0.9], [True, False])) == 0.0
    assert np.isnan(separation(scored([0.9, 0.1], [True, True])))


def test_losses_of_priors_are_finite() -> None:
    losses = prior_losses(scored([1.0, 0.5, 0.0], [True] * 3))
    assert losses[:2] == pytest.approx([0.0, np.log(2)]) and np.isfinite(losses).all()


def mixtures(**more: list[float]) -> pd.DataFrame:
    table = {"object_id": [1, 2, 3]}
    for what, first, second in (("weight", 0.25, 0.75), ("mean", 1.0, 4.0), ("variance", 1.0, 3.0)):
        table |= {f"mixture_{what}_0": [first] * 3, f"mixture_{what}_1": [second] * 3}
    return pd.DataFrame({**table, **more})


def test_mixtures_are_read_as_the_rule_recorded_them() -> None:
    """Object 2's components come in the other order, object 3 has none; nothing is fitted here."""
    recorded = mixtures(mixture_mean_0=[1.0, 4.0, np.nan], mixture_mean_1=[4.0, 1.0, 4.0])
    table = recorded_mixtures(recorded).set_index("object_id")
    assert table.index.tolist() == [1, 2]
    assert (table.mean_0 < table.mean_1).all()
    assert table.weight_0.tolist() == [0.25, 0.75] and table.variance_0.tolist() == [1.0, 3.0]
    assert recorded_mixtures(pd.DataFrame()).empty
    assert recorded_mixtures(recorded.drop(columns="mixture_mean_1")).empty


def test_the_gap_counts_pooled_deviations(study) -> None:
    """Means 1 and 4, variances 1 and 3: pooled deviation √2, gap 3/√2; other methods have no gap."""
    visit = study.done[0].probe_visits()[-1]
    many = [prior(1, i, positive=i < 4, score=0.9 if i < 4 else 0.1, iou=0.8) for i in range(10)]
    write_table(visit, filled(pd.DataFrame(many).assign(progress=1.0), PROBES))
    finish(study.done[0].folder)
    results = {r.key: r.frame for r in ANALYSES["scores"].run(study)}
    assert "gap" not in results["scores"] or results["scores"].gap.isna().all()
    write_table(visit.parent / "objects-00000100.parquet", filled(mixtures().assign(network_area=100.0), PROBE_OBJECTS))
    finish(study.cells[0].folder)
    results = {r.key: r.frame for r in ANALYSES["scores"].run(read_study_record(study.folder))}
    row = results["scores"].iloc[0]
    assert row.separation == 1.0 and row.objects == 1
    assert row.gap == pytest.approx(3 / np.sqrt(2)) and row.better_share == pytest.approx(0.25)
    assert len(results["scores.mixtures"]) == 3


def test_candidates_are_those_that_the_rule_judged() -> None:
    group = pd.DataFrame({"candidate": [True, False, True], "rule_loss": [0.5, np.nan, 2.0]})
    costs, positive = own_candidates(group.assign(positive_cls=[True, False, False]))
    assert costs.tolist() == [0.5, 2.0] and positive.tolist() == [True, False]
    assert len(own_candidates(pd.DataFrame({"positive_cls": [True]}))[0]) == 0  # nothing was recorded


def test_the_boundary_lies_half_way_between_the_dearest_positive_and_the_cheapest_other() -> None:
    costs = np.array([1.0, 2.0, 3.0, 5.0])
    assert boundary(costs, np.array([True, True, False, False])) == 2.5
    assert np.isnan(boundary(costs, np.array([True, False, True, False])))  # costs do not part them
    assert np.isnan(boundary(costs, np.ones(4, bool))) and np.isnan(boundary(costs, np.zeros(4, bool)))


def test_formulas_are_shown_once_as_recorded(study) -> None:
    """A curve becomes a column, a surface rows of its own; nothing is computed here."""
    x = np.linspace(0, 1, 5)
    curve = pd.DataFrame({"formula": "root", "curve": "p = 1", "x": x, "y": np.nan, "value": np.sqrt(x)})
    pairs = pd.DataFrame([(a, b) for a in x for b in x], columns=["x", "y"])
    surface = pairs.assign(formula="product", curve="", value=pairs.x * pairs.y)
    other = surface.assign(curve="other", formula="product")
    fixed = curve.assign(curve="p = 2", y=2.0, value=x)  # one value of y along the curve: still a line
    write_table(study.done[0].folder / "formulas.parquet", pd.concat([curve, fixed, surface, other], ignore_index=True))
    finish(study.done[0].folder)
    results = {r.key: r for r in ANALYSES["formulas"].run(study)}
    assert list(results) == ["formulas.points", "formulas.root", "formulas.product", "formulas.product: other"]
    assert results["formulas.points"].role == "figure" and len(results["formulas.points"].frame) == 10 + 50
    assert results["formulas.root"].frame["p = 1"].tolist() == pytest.approx(np.sqrt(x).round(4).tolist())
    assert results["formulas.root"].frame["p = 2"].tolist() == pytest.approx(x.tolist())
    product = results["formulas.product"].frame
    assert len(product) == 9 and (product.value == (product.x * product.y).round(4)).all()


def test_sizes_are_half_open() -> None:
    assert size_of(pd.Series([255.9, 256.0, 5000.0])).tolist() == ["0-16 px", "16-32 px", "64 px and more"]
