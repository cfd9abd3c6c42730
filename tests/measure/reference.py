"""pycocotools' numbers at any limit of detections, which it works out rightly and sums up wrongly."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

LIMITS = (1, 10, 100)


def evaluated(
    truth: dict[str, Any], results: list[dict[str, Any]], limits: Sequence[int] = LIMITS, ids=None
) -> COCOeval:
    """pycocotools' evaluation, where objects with `ignore` and no `iscrowd` (VOC's difficult) are ignored, too."""

    class Eval(COCOeval):
        def _prepare(self) -> None:
            wanted = {a["id"]: a.get("ignore", 0) for a in self.cocoGt.dataset["annotations"]}
            super()._prepare()
            for group in self._gts.values():
                for item in group:
                    item["ignore"] = int(bool(item["iscrowd"] or wanted[item["id"]]))

    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        found = gt.loadRes(results) if results else COCO()  # of an empty list loadRes wants the first
        if not results:
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        run = Eval(gt, found, "bbox")
        run.params.maxDets = list(limits)
        if ids is not None:
            run.params.imgIds = list(ids)
        run.evaluate()
        run.accumulate()
    return run


def coco_evaluate(
    truth: dict[str, Any], results: list[dict[str, Any]], limits: Sequence[int] = LIMITS
) -> dict[str, Any]:
    """COCO's numbers by name, None where no object counts, and AP per category name under `per_class`.

    Made of pycocotools' arrays of precision [T, R, C, A, M] and recall [T, C, A, M]: its own summary prints -1 where
    the limits are not 1, 10 and 100.
    """
    run = evaluated(truth, results, limits)
    precision, recall = run.eval["precision"], run.eval["recall"]
    whole = precision[..., 0, -1]
    found = {"AP": whole, "AP50": whole[:1], "AP75": whole[5:6]}
    for place, name in enumerate("sml", start=1):
        found |= {f"AP{name}": precision[..., place, -1], f"AR{name}": recall[..., place, -1]}
    found |= {f"AR{limit}": recall[..., 0, place] for place, limit in enumerate(limits)}
    names = [run.cocoGt.cats[c]["name"] for c in run.params.catIds]
    by_class = {name: _mean(whole[:, :, place]) for place, name in enumerate(names)}
    return {**{name: _mean(values) for name, values in found.items()}, "per_class": by_class}


def _mean(values: np.ndarray) -> float | None:
    return float(values[values >= 0].mean()) if (values >= 0).any() else None
