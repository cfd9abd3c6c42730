"""Measures of scores and boxes by hand: rank correlations of both scores, NMS recall at a threshold, IoU error."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.base import CellData
from assignbench.analysis.measures import jackknife, measured, replicated, stretched
from assignbench.config.method import Nms
from assignbench.records import CellRecord
from tests.analysis.planted import boxes_table, method_of, objects_table, study_of, write_cell

IOU = [0.2, 0.4, 0.6, 0.8]
UNLIKE = [0.2, 0.4, 0.1, 0.3]  # ranks 2413 against 1234: a correlation of 0


def cell_of(folder) -> CellData:
    return CellData(CellRecord(folder))


def scored_cell(folder, *, nms: Nms | None = None, ranking=(0.1, 0.2, 0.3, 0.4), quality=(0.4, 0.3, 0.2, 0.1)):
    """Three objects whose candidates' ranking scores rise with the IoU; the quality falls, class scores do neither."""
    objects = objects_table([(i, 0, 50.0, 50, 60, 60) for i in range(3)])
    part = pd.DataFrame({"iou": IOU, "cls_score": UNLIKE, "ranking_score": ranking, "quality_score": quality})
    candidates = pd.concat([part.assign(object_id=i, image_id=i - 1) for i in objects.object_id])
    candidates = candidates.assign(in_jk=True, prior=0, level=0)
    found = boxes_table([(0, 0, 50.0, 50, 60, 60, 0.9)], "score")
    method = method_of("iou", quality="iou", nms=nms)
    return write_cell(folder, method, 0, objects, found, candidates=candidates)


def test_the_ranking_score_agrees_with_the_iou_where_the_class_score_does_not(tmp_path) -> None:
    cell = cell_of(scored_cell(tmp_path))
    assert measured(cell, "spearman") == pytest.approx(1.0)
    assert measured(cell, "spearman_cls") == pytest.approx(0.0, abs=1e-12)
    table = ANALYSES["divergence"].run(study_of(tmp_path, ("iou",)))
    row = table[0].frame.set_index("candidates").loc["J_k"]
    assert (row.spearman_rank, row.spearman_cls) == pytest.approx((1.0, 0.0), abs=1e-12)
    assert (row.pooled_rank, row.pooled_cls) == pytest.approx((1.0, 0.0), abs=1e-12)
    groups = table[1].frame
    assert groups.spearman_rank.tolist() == pytest.approx([1.0] * len(groups))
    assert groups.spearman_cls.tolist() == pytest.approx([0.0] * len(groups), abs=1e-12)


def test_iou_guided_nms_sorts_by_the_quality(tmp_path) -> None:
    cell = cell_of(scored_cell(tmp_path, nms=Nms(kind="iou_guided")))
    assert measured(cell, "spearman") == pytest.approx(-1.0)
    assert measured(cell, "spearman_cls") == pytest.approx(0.0, abs=1e-12)


def nms_cell(folder, boxes, kept):
    """One object to an image; `boxes` of IoU 1 - shift / ... before NMS, `kept` after it."""
    objects = objects_table([(i, 0, 0.0, 0, 10, 10) for i in range(len(boxes))])
    before = boxes_table([(i, 0, 0.0, 0, side, 10, 0.9) for i, sides in enumerate(boxes) for side in sides], "score")
    after = boxes_table([(i, 0, 0.0, 0, side, 10, 0.9) for i, side in enumerate(kept) if side], "score")
    return write_cell(folder, "iou", 0, objects, after, pre_nms=before)


def test_nms_recall_at_a_threshold(tmp_path) -> None:
    """A box of width w has IoU w / 10. Before NMS 1, .8 and .6; kept are .6, .8 and nothing."""
    cell = cell_of(nms_cell(tmp_path, [(10, 6), (8,), (6,)], (6, 8, 0)))
    wanted = {"NR50": 2 / 3, "NR60": 2 / 3, "NR65": 1 / 2, "NR80": 1 / 2, "NR85": 0.0, "NR90": 0.0}
    assert {name: measured(cell, name) for name in wanted} == pytest.approx(wanted)
    every = [measured(cell, f"NR{at}") for at in range(50, 95, 5)]
    assert measured(cell, "NR") == pytest.approx(np.mean(every))
    rows, reach = jackknife(3).rows, jackknife(3).reach  # the first image reaches .6, the second .8
    of_three, of_two = (rows[:, 0] + rows[:, 1]) / rows.sum(axis=1), rows[:, 1] / (rows[:, 0] + rows[:, 1])
    assert reach == pytest.approx(2**0.5)  # one of three is left out
    assert replicated(cell, "NR60") == pytest.approx(stretched(of_three, reach))
    assert replicated(cell, "NR65") == pytest.approx(stretched(of_two, reach))


def test_without_boxes_before_nms_there_is_no_nms_recall(tmp_path) -> None:
    objects = objects_table([(0, 0, 0.0, 0, 10, 10)])
    cell = cell_of(write_cell(tmp_path, "iou", 0, objects, boxes_table([(0, 0, 0.0, 0, 10, 10, 0.9)], "score")))
    names = ("NR", "NR50", "spearman", "spearman_cls", "iou_error", "train_hours", "fps", "orphans", "churn")
    assert all(np.isnan(measured(cell, name)) and np.isnan(replicated(cell, name)).all() for name in names)


def test_iou_error_and_its_replicates(tmp_path) -> None:
    """Exact boxes predicted at .9 and .8, one of IoU .6 at .8, one of IoU .4 that does not count: (.1 + .2 + .2)/3."""
    objects = objects_table([(i, 0, 0.0, 0, 10, 10) for i in (0, 1, 2, 5)])
    rows = [(0, 0, 0.0, 0, 10, 10, 0.9), (0, 0, 0.0, 0, 10, 10, 0.8), (2, 0, 0.0, 0, 6, 10, 0.8)]
    boxes = boxes_table([*rows, (5, 0, 0.0, 0, 4, 10, 0.9)], "quality_score").assign(cls_score=0.5, score=0.4)
    cell = cell_of(write_cell(tmp_path, "paa", 0, objects, boxes, quality="iou"))
    assert measured(cell, "iou_error") == pytest.approx(0.5 / 3)
    weights, reach = jackknife(4).rows, jackknife(4).reach
    wanted = (0.3 * weights[:, 0] + 0.2 * weights[:, 2]) / (2 * weights[:, 0] + weights[:, 2])
    assert replicated(cell, "iou_error") == pytest.approx(stretched(wanted, reach))
    table = ANALYSES["quality"].run(study_of(tmp_path, ("paa",)))[0].frame
    assert table.error_kept.tolist() == pytest.approx([0.5 / 3])
