"""Gains as shares of what the baseline reaches."""

from __future__ import annotations

import numpy as np

from assignbench.measure.matching import Floats


def shares(gaps: Floats, bases: Floats, least: float = 0.0) -> Floats:
    """Differences [1 + R, ...] as shares of `bases`, broadcast to them; NaN where the first one is not above 0,
    or lies below `least`.

    The first row is what was observed. The replicates' shares lie as far from it as first order in both puts them:
    replicates reach far where images are few, and a share of next to nothing would say nothing.
    """
    base = np.broadcast_to(bases[:1], gaps[:1].shape)
    enough = (base > 0) & (base >= least)
    observed = np.divide(gaps[:1], base, out=np.full(base.shape, np.nan), where=enough)
    away = gaps[1:] - gaps[:1] - observed * (bases[1:] - bases[:1])
    return np.concatenate([observed, observed + away / np.where(enough, base, np.nan)])
