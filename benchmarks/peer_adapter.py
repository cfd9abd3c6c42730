"""Our side of the peers' timings: the same tensors through our assigners and criteria, one image at a time.

python ../shared/benchmarks/peer_timings.py --threads 1 --reps 7 --ours benchmarks.peer_adapter
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assignbench.assigners.atss import ATSS
from assignbench.assigners.ltm import LTM, LTMCriterion
from assignbench.assigners.max_iou import MaxIoU
from assignbench.assigners.paa import PAA
from assignbench.assigners.simota import SimOTA
from assignbench.assigners.tal import TAL
from assignbench.contract import Context, Objects, Predictions
from assignbench.priors import Priors

Setting = dict[str, Any]
Run = Callable[[], Any]


def _priors(d: Setting) -> Priors:
    return Priors(
        d["anchors"], points=d["priors"][:, :2], strides=d["priors"][:, 2], level_sizes=tuple(d["level_counts"])
    )


def _objects(d: Setting) -> Objects:
    return Objects(d["gt_boxes"], d["gt_labels"])


def _predictions(d: Setting) -> Predictions:
    return Predictions(d["logits"], d["deltas"], d["pred_boxes"])


def _assign(make: Callable[[], Any]) -> Callable[[Setting], Run]:
    def prepare(d: Setting) -> Run:
        assigner, priors, predictions, objects = make(), _priors(d), _predictions(d), _objects(d)
        return lambda: assigner(priors, predictions, objects)

    return prepare


def paa_assign(d: Setting) -> Run:
    """First pass, candidates, mixtures and separation, with mmdet's rules; losses supplied."""
    assigner = PAA(separation="c_mmdet", forced="forcing", lone="negative", zero_overlap="force")
    priors, objects, loss = _priors(d), _objects(d), d["anchor_loss"][None]
    width = objects.labels.shape[1]

    def run() -> Any:
        with torch.no_grad():
            return assigner.separate(priors, assigner.first_pass(priors, objects), loss, width)

    return run


def freeanchor(d: Setting) -> Run:
    """Bags, positive and negative losses, forward and backward."""
    assigner = LTM(bag=50, beta=0.75)
    criterion = LTMCriterion(beta=0.75, bag=50, negative="freeanchor")
    priors, objects, boxes = _priors(d), _objects(d), d["pred_boxes"]

    def run() -> None:
        logits, deltas = d["logits"].clone().requires_grad_(), d["deltas"].clone().requires_grad_()
        predictions = Predictions(logits, deltas, boxes)
        assignment = assigner(priors, predictions, objects)
        losses = criterion(priors, predictions, objects, assignment, Context())
        torch.stack(list(losses.values())).sum().backward()

    return run


_MAX_IOU = _assign(lambda: MaxIoU(low_quality="mmdet", zero_overlap="force"))
_PAA_FULL = _assign(
    lambda: PAA(separation="c_mmdet", forced="forcing", lone="negative", zero_overlap="force", giou_weight=1.3)
)
OURS: dict[str, Callable[[Setting], Run]] = {
    "maxiou_a1": _MAX_IOU,
    "maxiou_a9": _MAX_IOU,
    "atss": _assign(ATSS),
    "paa_assign": paa_assign,
    "paa_scores_and_assign": _PAA_FULL,
    "simota": _assign(lambda: SimOTA(zero_overlap="force")),
    "tal": _assign(TAL),
    "freeanchor_a1": freeanchor,
    "freeanchor_a9": freeanchor,
}
