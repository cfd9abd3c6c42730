"""Rank correlation of scores with IoU: the divergence of classification and localization (MLC)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.measure.ordering import Ints, changes, descending, places_within, stable_order

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
    codes = pd.factorize(table.group)[0]
    ranks = pd.DataFrame({name: mean_ranks(codes, table[name].to_numpy()) for name in ("a", "b")})
    centred = ranks - ranks.groupby(table.group).transform("mean")
    products = pd.DataFrame({"ab": centred.a * centred.b, "aa": centred.a**2, "bb": centred.b**2})
    sums = products.groupby(table.group).sum()
    spread = (sums.aa * sums.bb).to_numpy(float)
    value = np.divide(sums.ab.to_numpy(float), np.sqrt(spread), out=np.full(len(sums), np.nan), where=spread > 0)
    return pd.Series(value, index=sums.index, name="spearman")


def mean_ranks(group: Ints, values: Floats) -> Floats:
    """The rank [N] of every value within its group, from 1 on; equal ones share their mean, NaN has none."""
    order = stable_order(group, descending(-values))
    group, values = group[order], values[order]
    begin = np.flatnonzero(changes(group) | changes(values))
    count = np.diff(np.r_[begin, len(order)])
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(places_within(group)[begin] + (count + 1) / 2, count)
    ranks[order[np.isnan(values)]] = np.nan
    return ranks


def rank_correlation(candidates: pd.DataFrame, score: str = "ranking_score") -> pd.DataFrame:
    """object_id and Spearman's correlation of a score column with the IoU over the object's candidates."""
    found = spearman_by(candidates.object_id, candidates[score], candidates.iou.round(IOU_DIGITS))
    return found.rename_axis("object_id").reset_index()
