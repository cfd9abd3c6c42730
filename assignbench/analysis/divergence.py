"""Divergence of classification and localization (MLC), per object."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from assignbench.analysis.base import StudyRecord, analysis, keys_of


@analysis(
    "divergence",
    title="Divergence between classification and localization",
    question="Do well-classified predictions also lie well?",
    definition=(
        "Spearman rank correlation between the score of the true class and the IoU with the object over the object's "
        "predictions of IoU ≥ 0.1, mean over objects (higher is less divergent); pooled: over all such predictions "
        "together. IoUs are rounded to 1e-6, ties get their mean rank; objects with fewer than two candidates or a "
        "constant side are counted and left out."
    ),
    paper="MLC, section 1",
)
def divergence(study: StudyRecord) -> pd.DataFrame:
    """data, detector, method, seed, spearman, pooled, objects, left_out."""
    rows = []
    for cell in study.done:
        objects, candidates = cell.table("objects"), cell.table("candidates")
        usable = objects[~objects.crowd]
        known = usable.spearman.notna()
        pooled = (
            stats.spearmanr(candidates.cls_score, candidates.iou.round(6)).statistic if len(candidates) > 1 else None
        )
        rows.append(
            {
                **keys_of(cell),
                "spearman": usable.spearman[known].mean(),
                "pooled": pooled,
                "objects": int(known.sum()),
                "left_out": int((~known).sum()),
            }
        )
    return pd.DataFrame(rows)
