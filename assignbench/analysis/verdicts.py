"""What a headline may say: verdicts corrected over the whole family of tests that one question asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from assignbench.analysis.estimates import ALPHA, Floats

HIGHER, LOWER, OPEN, NOT_TESTABLE = "higher", "lower", "not resolvable", "not testable"
NOT_COMPARED = "not compared"  # times that other programs made longer


def holm(p: Sequence[float]) -> Floats:
    """Holm's step-down correction of p values; NaN stays NaN and does not count."""
    values = np.asarray(p, float)
    corrected = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0) if len(order) else []
    return corrected


def decided(mean: float, p_holm: float) -> str:
    """ "higher", "lower" or "not resolvable": the verdict after Holm's correction, the only one for a headline.

    A p that is NaN (fewer than three seeds) resolves nothing.
    """
    if not p_holm < ALPHA or mean == 0:
        return OPEN
    return HIGHER if mean > 0 else LOWER


def with_verdicts(table: pd.DataFrame, value: str, family: Sequence[str] = ()) -> pd.DataFrame:
    """The table with `p_holm` and `verdict`, from its columns `p` and `value`: Holm's correction within each family.

    `family` names the columns that tell families apart (none: the whole table is one). Rows with a reason in a column
    `untestable` are "not testable" and belong to no family.
    """
    judged = table.assign(p_holm=np.nan)
    testable = table.untestable.eq("") if "untestable" in table else pd.Series(True, table.index)
    asked = judged[testable]
    families = [f for _, f in asked.groupby(list(family), sort=False, dropna=False)] if family else [asked]
    for one in families:
        judged.loc[one.index, "p_holm"] = holm(one.p.tolist())
    told = [decided(m, p) if t else NOT_TESTABLE for m, p, t in zip(table[value], judged.p_holm, testable, strict=True)]
    return judged.assign(verdict=told)
