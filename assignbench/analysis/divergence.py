"""Divergence of classification and localization (MLC): Spearman's rank correlation of score and IoU."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.measure.groups import CROWDING
from assignbench.analysis.intervals import over_seeds
from assignbench.measure.coco import rank_correlation
from assignbench.measure.matching import overlaps_of

RULES = ("J_k", "IoU ≥ 0.1", "IoU ≥ 0.5")
SIZE_NAMES = ("small", "medium", "large")


def rule_candidates(cell: CellData, rule: str) -> pd.DataFrame:
    """object_id, cls_score, score, iou of a rule's candidates; an import without candidates gives its boxes' own."""
    table = cell.candidates()
    if table is None:
        return box_candidates(cell, 0.5 if rule == RULES[2] else 0.1)
    if rule == RULES[0]:
        return table[table.in_jk] if "in_jk" in table else table[:0]
    return table[table.iou >= (0.5 if rule == RULES[2] else 0.1)]


def box_candidates(cell: CellData, least: float) -> pd.DataFrame:
    """The pre-NMS boxes (or, without them, the detections) of the object's class with enough IoU."""
    boxes = cell.pre_nms()
    boxes = cell.detections if boxes is None else boxes
    overlaps = overlaps_of(cell.images, cell.objects, boxes, len(cell.classes), least=least)
    row = overlaps.row[overlaps.pair_detection]
    column = boxes.cls_score if "cls_score" in boxes else boxes.score
    return pd.DataFrame(
        {
            "object_id": cell.objects.object_id.to_numpy()[overlaps.pair_object],
            "cls_score": column.to_numpy()[row],
            "score": boxes.score.to_numpy()[row],
            "iou": overlaps.pair_iou,
        }
    )


def summarise(objects: pd.DataFrame, candidates: pd.DataFrame) -> dict[str, float | int]:
    """Mean Spearman over objects, the pooled value, and how many objects went in and were left out."""
    found = rank_correlation(candidates).set_index("object_id").spearman if len(candidates) else pd.Series(dtype=float)
    values = objects.object_id.map(found) if len(found) else pd.Series(np.full(len(objects), np.nan))
    mine = candidates[candidates.object_id.isin(objects.object_id)]
    varied = len(mine) > 1 and mine.cls_score.nunique() > 1 and mine.iou.round(6).nunique() > 1
    pooled = float(stats.spearmanr(mine.cls_score, mine.iou.round(6)).statistic) if varied else float("nan")
    known = int(values.notna().sum())
    mean = float(values.mean()) if known else float("nan")
    return {"spearman": mean, "pooled": pooled, "objects": known, "left_out": len(objects) - known}


def summary_of(cell: CellData, rule: str) -> dict[str, float | int]:
    """The divergence of a cell by a candidate rule, crowd regions left out."""
    objects = cell.objects[~cell.objects.crowd]
    return cell.once(("divergence", rule), lambda: summarise(objects, rule_candidates(cell, rule)))


@analysis(
    "divergence",
    title="Divergence between classification and localization",
    question="Do well-classified predictions also lie well, and does AP follow from it?",
    definition=(
        "Spearman rank correlation between the score of the true class and the IoU with the object over the object's "
        "candidates, mean over objects (higher is less divergent); pooled: over all candidates together. Candidates "
        "J_k: the priors that MLC's rule gives to the object (anchors with IoU ≥ 0.4 or forced; points inside), the "
        "same for every method of a detector; or the predictions with IoU ≥ 0.1 or 0.5. IoUs are rounded to 1e-6, "
        "ties get their mean rank; objects with fewer than two candidates or a constant side are counted and left "
        "out. Over cells: Spearman of the divergence (J_k) with AP, within a data set and detector."
    ),
    paper="MLC, section 1 and Table 1",
)
def divergence(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """By rule; by class, size and crowdedness (J_k); and its correlation with AP over cells."""
    rules, groups, cells = [], [], []
    for cell in study.data():
        objects = cell.objects[~cell.objects.crowd]
        rules += [{**cell.keys, "candidates": rule, **summary_of(cell, rule)} for rule in RULES]
        spearman = summary_of(cell, RULES[0])["spearman"]
        cells.append({**cell.keys, "spearman": spearman, "AP": cell.cell.summary.get("AP")})
        groups += [{**cell.keys, **row} for row in _by_group(cell, objects, rule_candidates(cell, RULES[0]))]
    if not rules:
        return {}
    return {
        "By candidate rule": over_seeds(pd.DataFrame(rules)),
        "By class, size and crowdedness": over_seeds(pd.DataFrame(groups)) if groups else pd.DataFrame(),
        "Does it predict AP?": _with_ap(pd.DataFrame(cells)),
        "Divergence and AP of every cell": pd.DataFrame(cells),
    }


def _by_group(cell: CellData, objects: pd.DataFrame, candidates: pd.DataFrame) -> list[dict[str, object]]:
    sides = np.digitize(objects.area, (32**2, 96**2))
    labels = {
        "class": [cell.true_classes[int(v)] for v in objects.true_label],
        "size": [SIZE_NAMES[int(v)] for v in sides],
        "crowdedness": [CROWDING.names[int(v)] for v in CROWDING.place(objects.crowdedness)],
    }
    values = rank_correlation(candidates).set_index("object_id").spearman if len(candidates) else None
    if values is None:
        return []
    rows: list[dict[str, object]] = []
    for by, names in labels.items():
        mean = pd.Series(objects.object_id.map(values).to_numpy(), index=names).groupby(level=0)
        for name, value in mean.mean().items():
            if np.isfinite(value):
                rows.append({"by": by, "group": name, "spearman": float(value), "objects": int(mean.count()[name])})
    return rows


def _with_ap(cells: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (data, detector), group in cells.dropna().groupby(["data", "detector"], sort=False):
        if len(group) >= 3 and group.spearman.nunique() > 1 and group.AP.nunique() > 1:
            result = stats.spearmanr(group.spearman, group.AP.astype(float))
            row = {"data": data, "detector": detector, "cells": len(group)}
            rows.append({**row, "correlation": float(result.statistic), "p": float(result.pvalue)})
    return pd.DataFrame(rows)


def density_sample(cell: CellData, most: int = 20_000) -> pd.DataFrame:
    """score and iou of at most so many candidates (IoU ≥ 0.1), every k-th one: for the density plot."""
    table = rule_candidates(cell, RULES[1])[["cls_score", "iou"]]
    return table.iloc[:: max(1, len(table) // most)]
