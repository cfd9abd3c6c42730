"""Curves over training: what moves is drawn, what stays where it is becomes a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from assignbench.report.style import present

CURVE = ["data", "detector", "method", "curve"]
STILL = 1e-6  # of the curve's own size: a mean that varies by less stays where it is


def moving(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows of the curves that move: `value`, mean over seeds, varies along `progress` at a data set, detector and
    method for a value of the column `curve`.
    """
    return table[_moves(table, value).reindex(_keys(table)).to_numpy(bool)]


def still(table: pd.DataFrame, methods: Sequence[str], value: str, unit: str, scale: float = 1.0) -> str:
    """A sentence on the curves that never move, by what they stay at, each method once; "" where all move."""
    moves = _moves(table, value)
    means = table.groupby(CURVE, sort=False)[value].mean()
    curves, places = list(dict.fromkeys(table.curve)), table[["data", "detector"]].drop_duplicates()
    # Which curves of which methods stay at what, and where.
    found: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] = {}
    for place in places.itertuples(index=False, name=None):
        for method in present(methods, table[(table.data == place[0]) & (table.detector == place[1])]):
            for curve in curves:
                key = (*place, method, curve)
                if key in moves.index and not moves[key]:
                    level = f"{scale * float(means[key]):.3g} {unit}"
                    found.setdefault(level, {}).setdefault((method, curve), []).append(place)
    told = [f"at {level} {_grouped(lines, len(places))}" for level, lines in found.items()]
    return f" Not drawn, since they stay where they are: {'; '.join(told)}." if told else ""


def _grouped(lines: dict[tuple[str, str], list[tuple[str, str]]], everywhere: int) -> str:
    """Methods with their curves, and with places where it is not all of them: "a, b (box); c (cls, box)"."""
    of_method: dict[tuple[str, str], list[str]] = {}
    for (method, curve), places in lines.items():
        names = ", ".join(f"{detector} on {data}" for data, detector in places)
        of_method.setdefault((method, "" if len(places) == everywhere else f"; {names}"), []).append(curve)
    of_curves: dict[str, list[str]] = {}
    for (method, where), curves in of_method.items():
        of_curves.setdefault(f"({', '.join(curves)}{where})", []).append(method)
    return ", ".join(f"{', '.join(names)} {curves}" for curves, names in of_curves.items())


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[CURVE])


def _moves(table: pd.DataFrame, value: str) -> pd.Series:
    """Per data set, detector, method and curve whether it moves."""
    means = table.groupby([*CURVE, "progress"], sort=False)[value].mean()
    spread = means.groupby(CURVE, sort=False).agg(np.ptp)
    return spread > STILL * means.abs().groupby(CURVE, sort=False).max()
