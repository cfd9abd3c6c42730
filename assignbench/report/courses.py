"""Curves over training: what moves is drawn, what stays where it is becomes a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from assignbench.report.style import present

KEYS = ["data", "detector", "method"]
STILL = 1e-6  # of the curve's own size: a mean that varies by less stays where it is


def moving(table: pd.DataFrame, curves: Sequence[str], value: str) -> pd.DataFrame:
    """The rows of the curves that move: `value`, mean over seeds, varies along `progress` in any of a method's `curves`
    (values of the column `curve`) at a data set and detector.
    """
    moves = _moves(table[table.curve.isin(list(curves))], value)
    return table[moves.reindex(_keys(table), fill_value=False).to_numpy(bool)]


def still(table: pd.DataFrame, methods: Sequence[str], value: str, unit: str, scale: float = 1.0) -> str:
    """A sentence on the curves that never move, with what they stay at; "" where all move."""
    moves = _moves(table, value)
    told = []
    for (data, detector, curve), part in table.groupby(["data", "detector", "curve"], sort=False):
        names: dict[str, list[str]] = {}
        for method in present(methods, part):
            if not moves[data, detector, method]:
                level = scale * float(part[part.method == method][value].mean())
                names.setdefault(f"{level:.3g}", []).append(method)
        where = f", {detector} on {data}" if len(table[["data", "detector"]].drop_duplicates()) > 1 else ""
        told += [f"{', '.join(m)} at {level} {unit} ({curve}{where})" for level, m in names.items()]
    return f" Not drawn, since they stay where they are: {'; '.join(told)}." if told else ""


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[KEYS])


def _moves(table: pd.DataFrame, value: str) -> pd.Series:
    """Per data set, detector and method whether any of its curves moves."""
    means = table.groupby([*KEYS, "curve", "progress"], sort=False)[value].mean()
    spread = means.groupby([*KEYS, "curve"], sort=False).agg(np.ptp)
    size = means.abs().groupby([*KEYS, "curve"], sort=False).max()
    return (spread > STILL * size).groupby(KEYS, sort=False).any()
