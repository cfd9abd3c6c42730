"""COCO's numbers from our own matching, and records in COCO's own formats.

The numbers equal pycocotools' to 1e-9 at every limit of detections, which the tests check; pycocotools itself prints -1
where the limits are not 1, 10 and 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from assignbench.measure.matching import Floats, Overlaps, match
from assignbench.measure.precision import average_precision, average_recall, mean_over_classes

COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
COCO_LIMITS = (1, 10, 100)  # detections per image and class
WIDER_LIMITS = (300, 1000)  # of crowded data and of proposals


def coco_ground_truth(images: pd.DataFrame, objects: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """An instances dictionary from record tables. Difficult objects carry `ignore`, crowd regions `iscrowd`."""
    rows = []
    for number, o in enumerate(objects.itertuples(index=False), start=1):
        box = [float(o.x1), float(o.y1), float(o.x2) - float(o.x1), float(o.y2) - float(o.y1)]
        rows.append(
            {
                "id": number,
                "image_id": int(o.image_id),
                "category_id": int(o.label) + 1,
                "bbox": box,
                "area": float(o.area),
                "iscrowd": int(o.crowd),
                "ignore": int(o.difficult or o.crowd),
            }
        )
    return {
        "info": {},
        "images": [
            {"id": int(i.image_id), "width": int(i.width), "height": int(i.height)} for i in images.itertuples()
        ],
        "annotations": rows,
        "categories": [{"id": i + 1, "name": c} for i, c in enumerate(classes)],
    }


def coco_results(detections: pd.DataFrame) -> list[dict[str, Any]]:
    """A COCO result list from the detections table."""
    boxes = detections[["x1", "y1", "x2", "y2"]].to_numpy(float, copy=True)
    boxes[:, 2:] -= boxes[:, :2]
    return [
        {"image_id": int(i), "category_id": int(c) + 1, "bbox": b.tolist(), "score": float(s)}
        for i, c, b, s in zip(detections.image_id, detections.label, boxes, detections.score, strict=True)
    ]


AREAS: dict[str, tuple[float, float]] = {"s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}


def recall_limits(most: int) -> tuple[int, ...]:
    """At how many detections per image and class AR is measured where an image has at most `most` detections."""
    return tuple(sorted({*COCO_LIMITS, *(n for n in WIDER_LIMITS if n <= most), most}))


def coco_numbers(overlaps: Overlaps, *, limits: tuple[int, ...] = COCO_LIMITS) -> dict[str, float]:
    """AP, AP50, AP75, AP and AR by COCO's areas and AR by detections per image and class; NaN is n/a.

    All but the AR of a smaller limit count the best max(limits) detections of each image and class.
    """
    return _numbers(overlaps, limits)[0]


def coco_summary(overlaps: Overlaps, classes: Sequence[str], most: int) -> dict[str, Any]:
    """COCO's numbers of records with at most `most` detections per image, and AP by class under `per_class`.

    None stands where no object counts. No detection is left out: COCO's hundred per class is the limit only where an
    image has no more than that.
    """
    found, ap = _numbers(overlaps, recall_limits(most))
    by_class = dict(zip(classes, ap.mean(axis=0).tolist(), strict=True))
    return {**_known(found), "per_class": _known(by_class)}


def _known(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def _numbers(overlaps: Overlaps, limits: tuple[int, ...]) -> tuple[dict[str, float], Floats]:
    """The numbers by name, and AP [T, C]."""
    most = max(limits)
    whole = match(overlaps, area=(0.0, 1e10), max_detections=most)
    ap = average_precision(whole)[0]
    found = {"AP": float(mean_over_classes(ap))}
    for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
        found[name] = float(mean_over_classes(ap[[round((threshold - 0.5) / 0.05)]]))
    for name, area in AREAS.items():
        part = match(overlaps, area=area, max_detections=most)
        found[f"AP{name}"] = float(mean_over_classes(average_precision(part)[0]))
        found[f"AR{name}"] = float(mean_over_classes(average_recall(part)[0]))
    for limit in limits:
        found[f"AR{limit}"] = float(mean_over_classes(average_recall(whole.first(limit))[0]))
    return found, ap
