"""The papers' pictures of their own formulas, computed by the code that trains: no records needed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.assigners.ltm import log_mean_max, log_mean_max_minus
from assignbench.assigners.mutual_guidance import amplified_iou

SCORES = (0.0, 0.25, 0.5, 0.75, 1.0)
TABLED = (0.1, 0.5, 0.9)


def amplified_curves(points: int = 101) -> pd.DataFrame:
    """Amplified IoU over IoU for five scores (sigma 2): score, iou, amplified."""
    iou = torch.linspace(0, 1, points, dtype=torch.float64)
    parts = []
    for score in SCORES:
        amplified = amplified_iou(iou, torch.full_like(iou, score))
        parts.append(pd.DataFrame({"score": score, "iou": iou.numpy(), "amplified": amplified.numpy()}))
    return pd.concat(parts, ignore_index=True)


def mean_max_surface(points: int = 41) -> pd.DataFrame:
    """M+ and M- of a bag of two likelihoods: phi1, phi2, plus, minus."""
    axis = torch.linspace(0.005, 0.995, points, dtype=torch.float64)
    pair = torch.cartesian_prod(axis, axis)
    mask = torch.ones_like(pair, dtype=torch.bool)
    return pd.DataFrame(
        {
            "phi1": pair[:, 0].numpy(),
            "phi2": pair[:, 1].numpy(),
            "plus": log_mean_max(pair.log(), mask).exp().numpy(),
            "minus": log_mean_max_minus(pair.log(), mask).exp().numpy(),
        }
    )


@analysis(
    "formulas",
    title="The rules themselves",
    question="What do Mutual Guidance's amplification and LTM's mean-max functions do to a number?",
    definition=(
        "Left: amplified IoU = IoU^((σ − p)/σ) with σ = 2 for class scores p (Mutual Guidance, Eq. 1). Right: M₊ (Eq. "
        "10) and M₋ (Eq. 25) of a bag of two anchors: near the mean while likelihoods are low, near the best (M₊) or "
        "one minus the worst false alarm (M₋) once one of them is high."
    ),
    paper="Mutual Guidance, Fig. 3; LTM, Fig. 2",
)
def formulas(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """A few values of each; the figure draws all of them."""
    curves = amplified_curves(11)
    curves = curves[curves.iou.round(6).isin([0.2, 0.4, 0.5, 0.6, 0.8])]
    wide = curves.pivot(index="iou", columns="score", values="amplified").round(4)
    wide.columns = [f"p = {c:g}" for c in wide.columns]
    pair = torch.tensor([[a, b] for a in TABLED for b in TABLED if a <= b], dtype=torch.float64)
    mask = torch.ones_like(pair, dtype=torch.bool)
    surface = pd.DataFrame(
        {
            "φ₁": pair[:, 0].numpy(),
            "φ₂": pair[:, 1].numpy(),
            "mean": pair.mean(1).numpy(),
            "M₊": log_mean_max(pair.log(), mask).exp().numpy(),
            "1 − mean": 1 - pair.mean(1).numpy(),
            "M₋": log_mean_max_minus(pair.log(), mask).exp().numpy(),
        }
    )
    return {
        "Amplified IoU": wide.reset_index().rename(columns={"iou": "IoU"}),
        "Mean-max of two anchors": surface.apply(lambda c: np.round(c, 4)),
    }
