"""The ranking score of a prediction: what NMS sorts by, made of its class score and its quality."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from assignbench.config.method import Ranking

Floats = npt.NDArray[np.float64]


def ranking_score(ranking: Ranking, cls: Floats, quality: Floats) -> Floats:
    """A method's ranking scores from class scores and qualities of one shape.

    A quality of NaN is that of a method without a head, which counts as 1, as where boxes are predicted.
    """
    known = np.where(np.isnan(quality), 1.0, quality)
    return _SCORES[ranking](np.asarray(cls, np.float64), known)


_SCORES: dict[Ranking, Callable[[Floats, Floats], Floats]] = {
    "cls": lambda cls, quality: cls,
    "cls*quality": lambda cls, quality: cls * quality,
    "sqrt(cls*quality)": lambda cls, quality: np.sqrt(cls * quality),
    "quality": lambda cls, quality: quality,
}
