"""Losses over training."""

from __future__ import annotations

import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis, keys_of
from assignbench.analysis.result import Result


@analysis(
    "curves",
    title="Training losses",
    question="Did every method train, and did it converge?",
    definition="Each loss term at the logged steps. Terms of different methods count different priors; compare shapes.",
)
def curves(study: StudyRecord) -> Result:
    """data, detector, method, seed, step, term, value for every logged step of every started cell; drawn only."""
    parts = []
    for cell in study.cells:
        metrics = cell.metrics()
        if metrics.empty:
            continue
        terms = [c for c in metrics.columns if c == "loss" or c.startswith("loss_")]
        long = metrics.melt(id_vars="step", value_vars=terms, var_name="term")
        parts.append(long.assign(**keys_of(cell)))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return Result("curves", "Loss terms over training", frame, role="figure")
