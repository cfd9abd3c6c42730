"""The candidates of an object by which divergence is measured (MLC): J_k, or the predictions that lie near."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from assignbench.analysis.base import AROUND, CellData
from assignbench.measure.matching import overlaps_of

Rule = Literal["J_k", "IoU ≥ 0.5"]
JK: Rule = "J_k"
CLOSE: Rule = "IoU ≥ 0.5"
CLOSE_IOU = 0.5


def sorted_by(cell: CellData) -> str:
    """The column of scores by which the cell's NMS sorts boxes: IoU-guided NMS goes by the quality alone."""
    return "quality_score" if cell.config.method.nms.kind == "iou_guided" else "ranking_score"


def rule_candidates(cell: CellData, rule: Rule) -> pd.DataFrame | None:
    """object_id, cls_score, ranking_score, iou of a rule's candidates; None where the records do not hold them.

    `ranking_score` is what the cell's NMS sorts by. J_k is known only where candidates were recorded. An import without
    them still has boxes near the objects, which stand in for the predictions with IoU 0.5 and more.
    """
    table = cell.candidates()
    if table is None:
        near = None if rule == JK else box_candidates(cell)
        return None if near is None else near[near.iou >= CLOSE_IOU].reset_index(drop=True)
    if rule == JK and "in_jk" not in table:
        return None
    kept = table[table.in_jk] if rule == JK else table[table.iou >= CLOSE_IOU]
    return kept.assign(ranking_score=kept[sorted_by(cell)])


def box_candidates(cell: CellData) -> pd.DataFrame:
    """The pre-NMS boxes (or, without them, the detections) of the object's class from IoU 0.1 on, best score first."""
    return cell.once("boxes around objects", lambda: _around_objects(cell))


def _around_objects(cell: CellData) -> pd.DataFrame:
    before, overlaps = cell.pre_nms(), cell.around
    boxes, score = (cell.detections, "score") if before is None else (before, sorted_by(cell))
    if overlaps is None:
        overlaps = overlaps_of(cell.images, cell.objects, boxes, len(cell.classes), least=AROUND)
    row = overlaps.row[overlaps.pair_detection]
    return pd.DataFrame(
        {
            "object_id": cell.objects.object_id.to_numpy()[overlaps.pair_object],
            "cls_score": boxes.cls_score.to_numpy()[row],
            "ranking_score": boxes[score].to_numpy()[row],
            "iou": overlaps.pair_iou,
        }
    )
