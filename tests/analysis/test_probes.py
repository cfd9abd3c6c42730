"""Churn, evolution, score mixtures, peaks and learned anchors on probe tables written by hand."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.assignment import size_of
from assignbench.analysis.formulas import amplified_curves, mean_max_surface
from assignbench.analysis.probes import anchor_losses, cell_churn, learned_anchors, object_mixture
from assignbench.records import write_json, write_table
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell


def prior(object_id: int, number: int, *, positive: bool, score: float, iou: float, at: float = 0.0) -> dict:
    box = {"prior_x1": at, "prior_y1": 0.0, "prior_x2": at + 10, "prior_y2": 10.0}
    found = {"x1": at, "y1": 0.0, "x2": at + 10, "y2": 10.0}
    row = {"object_id": object_id, "image_id": 0, "prior": number, "score": score, "iou": iou}
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
        write_table(folder / "probes" / f"visit-{step:08d}.parquet", table)
    batches = {"object_id": [1, 2], "area": [100.0, 400.0], "step": [0, 0]}
    write_table(folder / "assignments.parquet", pd.DataFrame(batches))
    environment = {
        "classes": ["thing"],
        "image_size": 100,
        "priors": {"level_sizes": [4, 2], "strides": [4.0, 8.0], "anchors_per_location": 2},
    }
    write_json(folder / "environment.json", environment)
    return study_of(tmp_path, ("iou",))


def test_churn(study) -> None:
    rows = cell_churn(study.done[0])
    assert {(r["task"], r["churn"]) for r in rows} == {("cls", 0.25), ("box", 0.25)}  # (1/2 + 0) / 2


def test_evolution(study) -> None:
    last = ANALYSES["evolution"].run(study)["At the end of training"].set_index("priors")
    assert last.loc["positive"].score == pytest.approx(0.7) and last.loc["other"].iou == pytest.approx(0.3)


def test_peaks_of_score_and_iou(study) -> None:
    """Object 1: best-scored at 0, best-lying at 6 px, area 100: 0.6 sides apart, 0.4 IoU lost. Object 2: none."""
    row = next(iter(ANALYSES["maps"].run(study).values())).iloc[0]
    assert row.distance == pytest.approx(0.3) and row.iou_lost == pytest.approx(0.2)


def test_learned_anchors(study) -> None:
    """The image of 200 px is seen at 100 px. Prior 0: 16 x 4 there 8 x 2, stride 4: size 1, ratio 4."""
    rows = {r["anchor"]: r for r in learned_anchors(study.data()[0])}
    assert rows["0"]["size"] == pytest.approx(1.0) and rows["0"]["ratio"] == pytest.approx(4.0)
    assert rows["1"]["size"] == pytest.approx(1.0) and rows["1"]["share"] == 0.5  # 0.1 is below the least score


def test_a_clear_gap_splits_the_scores() -> None:
    group = pd.DataFrame(
        {"score": [0.9] * 6 + [0.01] * 14, "iou": np.linspace(0.8, 0.9, 20), "positive_cls": [True] * 6 + [False] * 14}
    )
    assert (np.diff(anchor_losses(group)) >= 0).all()
    found = object_mixture(group)
    assert found["agreement"] == 1.0 and found["better_share"] == pytest.approx(0.3) and found["gap"] > 4


def test_formulas() -> None:
    curves = amplified_curves()
    end = curves[(curves.iou == 0.25)]
    assert end.set_index("score").amplified.loc[[0.0, 1.0]].tolist() == pytest.approx([0.25, 0.5])  # Eq. (1), sigma 2
    surface = mean_max_surface(3).set_index(["phi1", "phi2"])
    middle = surface.loc[(0.5, 0.5)]
    assert (middle.plus, middle.minus) == pytest.approx((0.5, 0.5))
    assert surface.plus.max() == pytest.approx(0.995) and surface.minus.min() == pytest.approx(0.005)


def test_sizes_are_half_open() -> None:
    assert size_of(pd.Series([255.9, 256.0, 5000.0])).tolist() == ["0-16 px", "16-32 px", "64 px and more"]
