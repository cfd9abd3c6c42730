"""COCO's numbers, twice: by pycocotools for a cell's summary, and by our own matching for everything finer."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pandas as pd

from assignbench.measure.matching import Overlaps, average_precision, average_recall, match, mean_over_classes

COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


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


def coco_evaluate(truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """The twelve COCO numbers by name, -1 replaced by None, and AP per category name under `per_class`.

    Objects with `ignore` and no `iscrowd` (VOC's difficult) are neither missed nor matched at a cost; pycocotools
    alone would count them.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class Eval(COCOeval):  # type: ignore[misc]
        def _prepare(self) -> None:
            wanted = {a["id"]: a.get("ignore", 0) for a in self.cocoGt.dataset["annotations"]}
            super()._prepare()
            for group in self._gts.values():
                for item in group:
                    item["ignore"] = int(bool(item["iscrowd"] or wanted[item["id"]]))

    if not results:
        return _nothing_found(truth)
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        run = Eval(gt, gt.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    numbers = [None if v < 0 else float(v) for v in run.stats]
    precision = run.eval["precision"][:, :, :, 0, -1]
    per_class = {}
    for place, category in enumerate(run.params.catIds):
        values = precision[:, :, place]
        name = gt.cats[category]["name"]
        per_class[name] = None if (values < 0).all() else float(values[values >= 0].mean())
    return {**dict(zip(COCO_NAMES, numbers, strict=True)), "per_class": per_class}


def _nothing_found(truth: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an empty result, which pycocotools refuses: 0, or None where no object counts."""
    counted = [a for a in truth["annotations"] if not (a["iscrowd"] or a.get("ignore", 0))]
    present = {a["category_id"] for a in counted}
    limits = {"s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
    found: dict[str, Any] = {}
    for name in COCO_NAMES:
        low, high = limits.get(name[-1], (0, 1e10))
        found[name] = 0.0 if any(low <= a["area"] < high for a in counted) else None
    found["per_class"] = {c["name"]: 0.0 if c["id"] in present else None for c in truth["categories"]}
    return found


AREAS: dict[str, tuple[float, float]] = {"s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}


def coco_numbers(overlaps: Overlaps, *, limits: tuple[int, ...] = (1, 10, 100)) -> dict[str, float]:
    """AP, AP50, AP75, AP and AR by COCO's areas and AR by detections per image and class; NaN is n/a."""
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
    return found
