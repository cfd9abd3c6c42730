"""Rank correlation of scores with IoU: the divergence of classification and localization (MLC)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
IOU_DIGITS = 6  # IoUs are rounded first, or mirrored boxes would break ties at random


def spearman(first: npt.NDArray[np.floating[Any]], second: npt.NDArray[np.floating[Any]]) -> float:
    """Spearman's correlation of two columns, ties by their mean rank; NaN below two values or on a constant side."""
    one = np.zeros(len(first), np.int64)
    found = spearman_by(pd.Series(one), pd.Series(first), pd.Series(second))
    return float(found.iloc[0]) if len(found) else float("nan")


def spearman_by(group: pd.Series, first: pd.Series, second: pd.Series) -> pd.Series:
    """Spearman's correlation within every group, indexed by group; NaN below two values or on a constant side."""
    table = pd.DataFrame({"group": group.to_numpy(), "a": first.to_numpy(float), "b": second.to_numpy(float)})
    ranks = table.groupby("group")[["a", "b"]].rank()
    centred = ranks - ranks.groupby(table.group).transform("mean")
    products = pd.DataFrame({"ab": centred.a * centred.b, "aa": centred.a**2, "bb": centred.b**2})
    sums = products.groupby(table.group).sum()
    spread = (sums.aa * sums.bb).to_numpy(float)
    value = np.divide(sums.ab.to_numpy(float), np.sqrt(spread), out=np.full(len(sums), np.nan), where=spread > 0)
    return pd.Series(value, index=sums.index, name="spearman")


def rank_correlation(candidates: pd.DataFrame, score: str = "ranking_score") -> pd.DataFrame:
    """object_id and Spearman's correlation of a score column with the IoU over the object's candidates."""
    found = spearman_by(candidates.object_id, candidates[score], candidates.iou.round(IOU_DIGITS))
    return found.rename_axis("object_id").reset_index()
