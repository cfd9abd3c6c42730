"""The candidates of an object by which divergence is measured (MLC): J_k, or the predictions that lie near."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from assignbench.analysis.base import CellData
from assignbench.measure.matching import overlaps_of

Rule = Literal["J_k", "IoU ≥ 0.5"]
JK: Rule = "J_k"
CLOSE: Rule = "IoU ≥ 0.5"
CLOSE_IOU = 0.5


def rule_candidates(cell: CellData, rule: Rule) -> pd.DataFrame | None:
    """object_id, cls_score, ranking_score, iou of a rule's candidates; None where the records do not hold them.

    J_k is known only where candidates were recorded. An import without them still has boxes near the objects, which
    stand in for the predictions with IoU 0.5 and more.
    """
    table = cell.candidates()
    if rule == JK:
        return table[table.in_jk] if table is not None and "in_jk" in table else None
    return box_candidates(cell, CLOSE_IOU) if table is None else table[table.iou >= CLOSE_IOU]


def box_candidates(cell: CellData, least: float) -> pd.DataFrame:
    """The pre-NMS boxes (or, without them, the detections) of the object's class with enough IoU."""
    before = cell.pre_nms()
    boxes = cell.detections if before is None else before.assign(score=before.ranking_score)
    overlaps = overlaps_of(cell.images, cell.objects, boxes, len(cell.classes), least=least)
    row = overlaps.row[overlaps.pair_detection]
    return pd.DataFrame(
        {
            "object_id": cell.objects.object_id.to_numpy()[overlaps.pair_object],
            "cls_score": boxes.cls_score.to_numpy()[row],
            "ranking_score": boxes.score.to_numpy()[row],
            "iou": overlaps.pair_iou,
        }
    )
