"""AP and AR of a finished cell: COCO by pycocotools, VOC by our own matching; and rank correlations."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pandas as pd

from assignbench.measure.matching import average_precision, match_voc, mean_over_classes, overlaps_of

COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
VOC_THRESHOLDS: tuple[float, ...] = tuple(np.arange(0.5, 1.0, 0.05).round(2).tolist())


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


def voc_evaluate(objects: pd.DataFrame, detections: pd.DataFrame, classes: list[str]) -> dict[str, float]:
    """Mean over classes by both interpolations: AP07 (mean of ten thresholds), AP07_50, AP07_75 and AP50_area.

    Difficult objects and what matches them are left out; 0 where no class has an object that counts.
    """
    images = pd.DataFrame({"image_id": np.union1d(objects.image_id, detections.image_id)})
    overlaps = overlaps_of(images, objects, detections, len(classes), least=0.0)
    matches = match_voc(overlaps, thresholds=VOC_THRESHOLDS)
    by07 = average_precision(matches, interpolation="voc07")[0]
    area = average_precision(matches, interpolation="area")[0]
    values = {
        "AP07": by07,
        "AP07_50": by07[[VOC_THRESHOLDS.index(0.5)]],
        "AP07_75": by07[[VOC_THRESHOLDS.index(0.75)]],
        "AP50_area": area[[VOC_THRESHOLDS.index(0.5)]],
    }
    means = {name: float(mean_over_classes(value)) for name, value in values.items()}
    return {name: 0.0 if np.isnan(value) else value for name, value in means.items()}


def rank_correlation(candidates: pd.DataFrame) -> pd.DataFrame:
    """object_id and Spearman's correlation of class score with IoU; NaN below two candidates or on a constant side.

    IoUs are rounded to 1e-6 first, or mirrored boxes would break ties at random.
    """
    table = pd.DataFrame({"object_id": candidates.object_id, "a": candidates.cls_score, "b": candidates.iou.round(6)})
    ranks = table.groupby("object_id")[["a", "b"]].rank()
    ranks["object_id"] = table.object_id
    centred = ranks[["a", "b"]] - ranks.groupby("object_id")[["a", "b"]].transform("mean")
    sums = (
        pd.DataFrame(
            {
                "object_id": table.object_id,
                "ab": centred.a * centred.b,
                "aa": centred.a**2,
                "bb": centred.b**2,
            }
        )
        .groupby("object_id", as_index=False)
        .sum()
    )
    spread = (sums.aa * sums.bb).to_numpy(float)
    value = np.divide(sums.ab.to_numpy(float), np.sqrt(spread), out=np.full(len(sums), np.nan), where=spread > 0)
    return pd.DataFrame({"object_id": sums.object_id, "spearman": value})
