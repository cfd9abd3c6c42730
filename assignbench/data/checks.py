"""Checks of annotations: everything wrong is found before training, with file and object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from assignbench.errors import InputError

# A box may stick out by this much (rounding of annotation tools); it is clipped. More is a problem.
TOLERANCE = 1.0


def box_problem(box: tuple[float, float, float, float], width: int, height: int) -> str | None:
    """What is wrong with an xyxy box in an image of that size, or None."""
    x1, y1, x2, y2 = box
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not np.isfinite(box).all():
        return f"{shown} is not finite"
    if x2 < x1 or y2 < y1:
        return f"{shown} is inverted"
    if x2 - x1 <= 0 or y2 - y1 <= 0:
        return f"{shown} has no area"
    if x1 < -TOLERANCE or y1 < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
        return f"{shown} lies outside the image of {width}x{height}"
    if not _has_area(np.asarray([box]), np.asarray([width]), np.asarray([height]))[0]:
        return f"{shown} has no area within the image of {width}x{height}, in float32"
    return None


def unsound_boxes(
    boxes: npt.NDArray[np.float64], widths: npt.NDArray[np.int64], heights: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether `box_problem` finds something in each of the boxes [N, 4] of images of these sizes [N]."""
    x1, y1, x2, y2 = boxes.T
    finite = np.isfinite(x1) & np.isfinite(y1) & np.isfinite(x2) & np.isfinite(y2)
    inside = (x1 >= -TOLERANCE) & (y1 >= -TOLERANCE) & (x2 <= widths + TOLERANCE) & (y2 <= heights + TOLERANCE)
    return np.asarray(~(finite & _has_area(boxes, widths, heights) & inside))


def _has_area(
    boxes: npt.NDArray[np.float64], widths: npt.NDArray[np.int64], heights: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether boxes have sides as they are kept: clipped to their images, in float32, which swallows small sides."""
    x1, y1, x2, y2 = boxes.T
    wide = np.minimum(x2, widths).astype(np.float32) > np.maximum(x1, 0.0).astype(np.float32)
    high = np.minimum(y2, heights).astype(np.float32) > np.maximum(y1, 0.0).astype(np.float32)
    return np.asarray(wide & high)


def missing_root(root: Path, what: str, obtain: str = "", kind: str = "folder") -> InputError:
    """The error for a data folder, or another kind of thing, that is not there."""
    lead = f"{obtain}\nElse put" if obtain else "Put"
    return InputError(
        f"{what}: no {kind} {root}\n{lead} the data there, name another folder with --set data.root=DIR, or point the "
        "environment variable ASSIGNBENCH_DATA at the folder that holds it."
    )
