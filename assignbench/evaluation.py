"""AP and AR from records: COCO by pycocotools, VOC's two interpolations by our own matching."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

COCO_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
VOC_THRESHOLDS = np.arange(0.5, 1.0, 0.05).round(2)
Floats = npt.NDArray[np.float64]


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


def voc_ap(recall: Floats, precision: Floats, *, eleven_point: bool) -> float:
    """AP of one precision-recall curve: VOC07's mean over eleven recalls, or the area under the hull (VOC10+)."""
    if eleven_point:
        # Compared without tolerance, as py-faster-rcnn does: the levels .3, .6, .7 lie a rounding above.
        levels = np.arange(11) * 0.1
        return float(np.mean([precision[recall >= t].max(initial=0.0) for t in levels]))
    r = np.concatenate([[0.0], recall, [1.0]])
    p = np.concatenate([[0.0], precision, [0.0]])
    p = np.maximum.accumulate(p[::-1])[::-1]
    steps = np.flatnonzero(r[1:] != r[:-1])
    return float(((r[steps + 1] - r[steps]) * p[steps + 1]).sum())


def voc_class_ap(
    objects: pd.DataFrame, detections: pd.DataFrame, threshold: float, *, eleven_point: bool, plus_one: bool = False
) -> float | None:
    """AP of one class at one IoU by VOC's rule, or None without a countable object.

    Detections in falling score each go to their best-overlapping object of the image; the first one at IoU >=
    `threshold` is right, later ones wrong; difficult objects and what matches them are left out. `plus_one` counts
    pixels inclusively as the devkit does.
    """
    countable = int((~objects.difficult.astype(bool)).sum())
    if not countable:
        return None
    iou, best = voc_matches(objects, detections, plus_one=plus_one)
    return _voc_ap_at(iou, best, objects.difficult.to_numpy(bool), threshold, eleven_point=eleven_point)


def voc_matches(
    objects: pd.DataFrame, detections: pd.DataFrame, *, plus_one: bool = False
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of one class: each detection's largest IoU and that object's row (-1 without one), by falling score."""
    ordered = detections.sort_values("score", ascending=False, kind="stable")
    extra = 1.0 if plus_one else 0.0
    names = ["x1", "y1", "x2", "y2"]
    boxes, found = objects[names].to_numpy(float), ordered[names].to_numpy(float)
    images = ordered.image_id.to_numpy()
    iou, best = np.zeros(len(found)), np.full(len(found), -1)
    of_image = objects.reset_index(drop=True).groupby("image_id").indices
    for image, rows in of_image.items():
        here = np.flatnonzero(images == image)
        if not len(here):
            continue
        a, b = found[here][:, None], boxes[rows][None]
        sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + extra
        shared = sides.clip(0).prod(axis=-1)
        own = (a[..., 2:] - a[..., :2] + extra).prod(-1) + (b[..., 2:] - b[..., :2] + extra).prod(-1)
        overlap = shared / (own - shared)
        iou[here], best[here] = overlap.max(axis=1), rows[overlap.argmax(axis=1)]
    return iou, best


def _voc_ap_at(
    iou: Floats, best: npt.NDArray[np.int64], difficult: npt.NDArray[np.bool_], threshold: float, *, eleven_point: bool
) -> float:
    """AP from the matches: the first detection of an object at the threshold is right, later ones are wrong."""
    reaches = (best >= 0) & (iou >= threshold)
    left_out = reaches & difficult[best]
    right = np.zeros(len(iou))
    places = np.flatnonzero(reaches)
    _, first = np.unique(best[places], return_index=True)
    right[places[first]] = 1.0
    hits = np.cumsum(right[~left_out])
    precision = hits / np.arange(1, len(hits) + 1)
    return voc_ap(hits / int((~difficult).sum()), precision, eleven_point=eleven_point)


def voc_evaluate(objects: pd.DataFrame, detections: pd.DataFrame, classes: list[str]) -> dict[str, float]:
    """Mean over classes by both interpolations: AP07 (mean of ten thresholds), AP07_50, AP07_75 and AP50_area."""
    wanted = [*((float(t), True) for t in VOC_THRESHOLDS), (0.5, False)]
    values: dict[tuple[float, bool], list[float]] = {w: [] for w in wanted}
    for label in range(len(classes)):
        own = objects[objects.label == label]
        difficult = own.difficult.to_numpy(bool)
        if difficult.all():  # no object that counts
            continue
        iou, best = voc_matches(own, detections[detections.label == label])
        for threshold, eleven in wanted:
            values[threshold, eleven].append(_voc_ap_at(iou, best, difficult, threshold, eleven_point=eleven))
    means = {w: float(np.mean(v)) if v else 0.0 for w, v in values.items()}
    return {
        "AP07": float(np.mean([means[float(t), True] for t in VOC_THRESHOLDS])),
        "AP07_50": means[0.5, True],
        "AP07_75": means[0.75, True],
        "AP50_area": means[0.5, False],
    }


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
