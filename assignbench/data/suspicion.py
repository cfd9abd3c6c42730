"""What looks wrong in a result file although every value is sound: sentences that say what it may be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from assignbench.data.fields import Bools, Floats, Ints

_MANY = 0.2  # share of the boxes that has to look wrong
_TOLD = 3  # single boxes that are named
_ROOM = 2.0  # px that a box may leave its image by


def suspicious_boxes(boxes: Floats, widths: Ints, heights: Ints) -> list[str]:
    """What boxes [N, 4] (x, y, width, height) of images of these sizes may be instead; nothing for sound ones."""
    if not len(boxes):
        return []
    if boxes.max() <= 1.0 and min(widths.min(), heights.min()) > 8:
        return ["all box values are at most 1: are they normalised to 0..1? Boxes are [x, y, width, height] in px"]
    limits = np.stack([widths, heights], axis=1) + _ROOM
    outside = (boxes[:, :2] + boxes[:, 2:] > limits).any(axis=1) | (boxes[:, :2] < -_ROOM).any(axis=1)
    if outside.mean() < _MANY:
        return []
    corners = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (boxes[:, 2:] <= limits).all(axis=1)
    said = f"{int(outside.sum())} of {len(boxes)} boxes leave their image"
    if corners.mean() > 1 - _MANY / 10:
        return [f"{said}: are they corners [x1, y1, x2, y2]? Boxes are [x, y, width, height] in px"]
    return [f"{said}: are they in px of another image size? Boxes are in px of the annotated size"]


def stray_boxes(
    boxes: Floats, widths: Ints, heights: Ints, names: Sequence[str], room: float | None = None
) -> list[str]:
    """The single boxes [N, 4] that leave their image by more than `room` px; None: lie outside, or far out, of it.

    Nothing where so many leave their image that `suspicious_boxes` speaks of all.
    """
    if not len(boxes) or suspicious_boxes(boxes, widths, heights):
        return []
    size = np.stack([widths, heights], axis=1).astype(np.float64)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    if room is not None:
        astray = (low < -room).any(axis=1) | (high > size + room).any(axis=1)
    else:  # a detector need not cut its boxes, but none predicts an object far from the picture
        astray = ((low < -size) | (high > 2 * size) | (low > size + _ROOM) | (high < -_ROOM)).any(axis=1)
    places = np.flatnonzero(astray).tolist()
    if not places:
        return []
    told = "; ".join(f"{names[i]} {boxes[i].tolist()} in {widths[i]}x{heights[i]}" for i in places[:_TOLD])
    more = f"; and {len(places) - _TOLD} more" if len(places) > _TOLD else ""
    return [
        f"{len(places)} of {len(boxes)} boxes leave their image{'' if room is not None else ' by far'}: {told}{more}"
    ]


def suspicious_areas(areas: Floats, boxes: Floats, names: Sequence[str]) -> list[str]:
    """Areas [N] that the boxes [N, 4] cannot hold, or that are 0: a mask is never larger than its box."""
    inside = boxes[:, 2] * boxes[:, 3]
    wrong = np.flatnonzero((areas > 1.01 * inside + 1) | ((areas == 0) & (inside > 0))).tolist()
    if not wrong:
        return []
    first = wrong[0]
    told = f"{names[first]}: area {areas[first]:g}, box {boxes[first].tolist()}"
    return [
        f"{len(wrong)} of {len(areas)} objects have an area that does not fit their box ({told}): "
        "AP of small, medium and large objects goes by the area"
    ]


def suspicious_mixture(there: Mapping[str, Bools]) -> list[str]:
    """Fields that some entries have and others have not, so that their scores may mean different things."""
    return [
        f"{int((~has).sum())} of {len(has)} entries have no '{key}', which the others have: "
        "are all scores of one detector, and comparable?"
        for key, has in there.items()
        if has.any() and not has.all()
    ]


def suspicious_candidates(detections: pd.DataFrame, before: pd.DataFrame) -> list[str]:
    """Whether an image has fewer boxes before NMS than after it, which takes boxes away and adds none."""
    after = detections.image_id.value_counts().sort_index()
    had = before.image_id.value_counts().reindex(after.index, fill_value=0)
    fewer = after.index[had < after]
    if not len(fewer):
        return []
    first = fewer[0]
    return [
        f"{len(fewer)} of {len(after)} images with detections have fewer boxes before NMS than after it "
        f"(image {first}: {had[first]} before, {after[first]} after): is it the file for these detections, and whole? "
        "What NMS loses cannot be told from it"
    ]


def suspicious_scores(cls: Floats, quality: Floats, score: Floats) -> list[str]:
    """What scores [N] may be instead."""
    notes = []
    for name, values in (("scores", score), ("cls_score", cls), ("iou_score", quality)):
        if not len(values) or (name == "cls_score" and np.array_equal(values, score)):
            continue
        if values.min() < 0:
            notes.append(f"{name} go down to {values.min():g}: are they logits? Scores lie in 0..1")
        elif values.max() > 1:
            notes.append(f"{name} go up to {values.max():g}: are they percentages or logits? Scores lie in 0..1")
    if len(score) > 1 and score.min() == score.max():
        notes.append(f"every score is {score[0]:g}: AP measures the order of the scores")
    return notes


def suspicious_categories(used: Collection[int], known: Collection[int]) -> list[str]:
    """Whether category ids count from 0 where the ground truth counts from 1."""
    if 0 in used and 0 not in known and all(c + 1 in known for c in used):
        return ["category ids count from 0 and those of the ground truth do not: add 1 to each, or write names"]
    return []


def suspicious_rows(detections: pd.DataFrame) -> list[str]:
    """Whether a table of detections is empty or holds the same ones twice."""
    if detections.empty:
        return ["holds no detection: every object counts as missed"]
    twice = int(detections.duplicated().sum())
    if not twice:
        return []
    return [f"{twice} of {len(detections)} detections are there twice, with the same box, category and score"]


def sizes_of(images: pd.DataFrame, ids: Ints) -> tuple[Ints, Ints]:
    """Width and height of the image of each id."""
    places = pd.Index(images.image_id).get_indexer(ids)
    return images.width.to_numpy()[places], images.height.to_numpy()[places]
