"""LTM: "Learning to Match Anchors for Visual Object Detection" (Zhang et al., TPAMI 2021), sections 3.1 to 3.3.

Its first part is FreeAnchor (NeurIPS 2019), whose negative loss is kept as a variant. The mean-max functions, Eqs. 10,
11 and 25, are in mean_max.py.
Equations: 4, 5, 12, 13, 14
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner, Count, CountOrNone, NonNegative, Positive, Share
from assignbench.assigners.criteria import CRITERIA, Criterion
from assignbench.assigners.mean_max import (
    BAG_SCORES,
    log_mean_max,
    log_mean_max_minus,
    log_one_minus,
    mean_max_rows,
    released_nll,
)
from assignbench.boxes import centres, inside, paired_giou, pairwise_iou
from assignbench.coders import DeltaCoder, coder_for
from assignbench.config.method import CoderConfig, HeadInit, Needs, Part, Preset, preset
from assignbench.contract import Assignment, Bags, Context, Objects, Predictions, Targets, Term
from assignbench.losses import background_focal_sum, smooth_l1
from assignbench.priors import Priors
from assignbench.select import (
    counted,
    hashed_uniform,
    matched_iou,
    predicted_iou,
    prior_iou,
    resolve_conflicts,
    top_indices as top,
)

TINY = 1e-30
BoxTerm = Literal["smooth_l1", "giou"]


def class_log_scores(predictions: Predictions, prior: Tensor, labels: Tensor) -> Tensor:
    """ln of the object's class score [B, G, K] at priors [B, G, K]."""
    logits = predictions.cls_logits
    flat = prior * logits.shape[-1] + labels.unsqueeze(-1)
    batch = prior.shape[0]
    return F.logsigmoid(logits.reshape(batch, -1).gather(1, flat.reshape(batch, -1))).view(prior.shape)


def bag_boxes(values: Tensor, prior: Tensor) -> Tensor:
    """Rows [B, G, K, 4] of values [B, A, 4] at priors [B, G, K]."""
    flat = prior.reshape(prior.shape[0], -1, 1).expand(-1, -1, 4)
    return values.gather(1, flat).view(*prior.shape, 4)


def box_term(priors: Priors, predictions: Predictions, objects: Objects, prior: Tensor, kind: str) -> Tensor:
    """The box loss [B, G, K] of bag members: smooth L1 summed over four encoded coordinates, or 1 - GIoU."""
    boxes = objects.boxes.unsqueeze(2)
    if kind == "giou":
        found = bag_boxes(predictions.boxes, prior)
        return 1 - paired_giou(found, boxes.expand_as(found))
    coder = coder_for(priors)
    if kind != "smooth_l1" or not isinstance(coder, DeltaCoder) or predictions.deltas is None:
        raise ValueError(f"box term '{kind}' is 'giou', or 'smooth_l1' on anchors with encoded predictions")
    target = coder.encode_pairs(priors.boxes[prior], boxes)
    return smooth_l1(bag_boxes(predictions.deltas, prior) - target).sum(-1)


def log_phi_plus(priors: Priors, predictions: Predictions, objects: Objects, bags: Bags, score: Tensor) -> Tensor:
    """ln phi+ [B, G, K] of the bags' members, from the ln of their class scores [B, G, K]."""
    return score - bags.beta * box_term(priors, predictions, objects, bags.prior, bags.box)  # Eq. (4)


def log_phi_minus(
    priors: Priors,
    predictions: Predictions,
    objects: Objects,
    bags: Bags,
    score: Tensor,
    *,
    through_iou: bool = False,
) -> Tensor:
    """ln phi- [B, G, K] of the bags' members, from the ln of their class scores [B, G, K].

    It is -inf where a predicted box is exactly an object's. The IoU teaches the box only with `through_iou`.
    """
    found = bag_boxes(predictions.boxes, bags.prior).flatten(1, 2)
    overlap = pairwise_iou(counted(found.detach(), priors), counted(objects.boxes, priors))
    overlap = overlap.mul_(objects.valid.unsqueeze(1))  # [B, G x K, G]: of the members alone, not of all priors
    closest, which = overlap.max(dim=2)
    if through_iou:
        nearest = objects.boxes.gather(1, which.unsqueeze(-1).expand(-1, -1, 4))
        some = objects.valid.any(dim=1, keepdim=True)
        closest = torch.where(some, matched_iou(priors, found, nearest), 0.0)
    apart = (1 - closest).view(score.shape)
    return score + apart.clamp(min=TINY).log().masked_fill(apart <= 0, -float("inf"))  # Eq. (5)


@ASSIGNERS.register("ltm")
@dataclass(frozen=True)
class LTM(Assigner):
    """A bag of `bag` priors per object, formed once: those of highest IoU, or for points of least normalised distance.

    Bags may overlap and ignore thresholds. `random_from` > 0 draws the bag at random from so many best ones (Table 3).
    With `kind` = "distance" (LTM-AF, section 3.3) only points strictly inside an object count and a bag may be smaller,
    even empty. `beta` weighs the box loss `box` in a member's likelihood; these and the nominal bag size reach the
    criterion with the bags, so that they are said once.

    The criterion learns the matching. What is filled into `cls` and `box` says what the bags imply now. `labels` =
    "matched": a prior is positive for the object in whose bag it has most mean-max weight (Eq. 10) if that is its equal
    share or more and it overlaps the object, weighted by it; all others are background. "bag": all members are positive
    alike, and one of several bags belongs to the object of highest IoU (the paper's "K anchors", for a criterion that
    learns labels). An object that touches no prior gets the lowest-indexed ones as its bag (as FreeAnchor), and no
    implied positive.

    `orphan` = "best_prior" makes the point of highest IoU the bag of an object that holds none, and so acts on the
    loss. Bags by IoU are never empty: there it is refused, unless `labels` = "bag" lets a criterion learn labels.

    Diagnostics per object: `bag_size`, `m_plus` and `m_minus` (Eqs. 10 and 25), `phi_plus` and `phi_minus` of each
    member, NaN where there is no member.

    Differs from the paper in `cls` and `box`, which are our reading: the paper labels no prior. It leaves open ties
    (the lowest index), small and empty bags, and how bags are drawn (docs/decisions.md, L7 to L11). Differs from
    FreeAnchor's code in `bag` and `beta` (50 and .75 there) and in pixels, which are continuous here unless
    `coder: {legacy_plus_one: freeanchor}` counts them inclusively.

    >>> from assignbench.examples import three_anchors
    >>> LTM(bag=2)(*three_anchors()).bags.prior  # the priors of the object's bag
    tensor([[[0, 1]]])
    """

    bag: Count = 40
    random_from: CountOrNone = 0
    kind: Literal["iou", "distance"] = "iou"
    beta: NonNegative = 0.5
    box: BoxTerm = "smooth_l1"
    labels: Literal["matched", "bag"] = "matched"

    def __post_init__(self) -> None:
        if self.bag < 1 or (self.random_from and self.random_from < self.bag):
            raise ValueError(f"needs 1 <= bag <= random_from, got {self.bag} and {self.random_from}")
        if self.kind == "distance" and self.box == "smooth_l1":
            raise ValueError("bags by distance are points, and box 'smooth_l1' acts on encoded anchors; set box: giou")
        if self.orphan != "keep" and self.kind == "iou" and self.labels == "matched":
            raise ValueError(
                f"orphan '{self.orphan}' would change nothing: bags by IoU are never empty; leave it out, or set "
                "kind: distance (or labels: bag, for a criterion that learns labels)"
            )

    @property
    def needs(self) -> Needs:
        """Anchors for bags by IoU and for a box loss on encoded boxes, points for bags by distance."""
        if self.kind == "distance":
            return Needs(priors=("point",), why="LTM-AF's bags are points by their normalised distance")
        return Needs(priors=("anchor",), why="LTM's bags are the anchors of highest IoU; set kind: distance for points")

    @property
    def gives(self) -> frozenset[str]:
        """Bags."""
        return frozenset({"bags"})

    def formulas(self) -> list[dict[str, float | str]]:
        """Fig. 2: M+ and M- of a bag of two."""
        return mean_max_rows()

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        iou = prior_iou(priors, objects)
        prior, mask = self._bags(priors, objects, iou, context)
        mask = mask & objects.valid.unsqueeze(-1)
        bags = Bags(prior, mask, mask.float(), self.bag, self.beta, self.box)
        score = class_log_scores(predictions, prior, objects.labels)
        plus = log_phi_plus(priors, predictions, objects, bags, score)
        told = _told(plus, log_phi_minus(priors, predictions, objects, bags, score), mask)
        weight = torch.softmax(torch.where(mask, -log_one_minus(plus), -1e9), dim=-1) * mask
        share = 1 / mask.sum(dim=-1, keepdim=True).clamp(min=1)
        touching = iou.gather(2, prior) > 0 if self.kind == "iou" else mask
        rank = weight if self.labels == "matched" else iou.gather(2, prior)
        chosen = mask & touching & ((weight >= share * (1 - 1e-3)) | (self.labels == "bag"))
        index = resolve_conflicts(prior, chosen, rank, len(priors))
        positive = index >= 0
        strength = positive.float()
        if self.labels == "matched":
            strength.zero_().scatter_reduce_(1, prior.flatten(1), (weight / share).flatten(1), "amax")
        targets = Targets(index, torch.where(positive, strength, 1.0), positive.float())
        box = Targets(index, strength * positive, positive.float())
        return Assignment(targets, box, Bags(prior, mask, weight, self.bag, self.beta, self.box), told)

    def _bags(self, priors: Priors, objects: Objects, iou: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Prior indices [B, G, K] and which of them count."""
        depth = min(self.random_from or self.bag, len(priors))
        if self.kind == "distance":
            key = normalised_distance(priors, objects.boxes)
            key = key.masked_fill(~(inside(priors.points, objects.boxes) > 0), float("inf"))
            prior = top(-key, depth)
            mask = torch.isfinite(key.gather(2, prior))
        else:
            prior = top(iou, depth)
            mask = torch.ones_like(prior, dtype=torch.bool)
        if self.random_from:
            luck = hashed_uniform(context, objects, priors, salt=17, chosen=prior).masked_fill(~mask, -1.0)
            drawn = top(luck, min(self.bag, depth)).sort(dim=-1).values
            prior, mask = prior.gather(2, drawn), mask.gather(2, drawn)
        if self.kind == "distance" and self.orphan == "best_prior":
            prior, mask = _adopted(prior, mask, iou)
        return prior, mask


def _adopted(prior: Tensor, mask: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """Bags [B, G, K] in which an empty one holds the prior of highest IoU, if that is above zero.

    Bags may overlap, so nobody loses a prior.
    """
    best, nearest = iou.max(dim=-1)
    adopts = ~mask.any(dim=-1) & (best > 0)
    first = torch.arange(mask.shape[-1], device=mask.device) == 0
    here = adopts.unsqueeze(-1) & first
    return torch.where(here, nearest.unsqueeze(-1), prior), mask | here


def _told(plus: Tensor, minus: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The likelihoods and the mean-max of every bag; NaN where there is no member."""
    nothing = float("nan")
    empty = ~mask.any(dim=-1)
    return {
        "bag_size": mask.sum(dim=-1),
        "m_plus": log_mean_max(plus, mask).exp().masked_fill(empty, nothing),
        "m_minus": log_mean_max_minus(minus, mask).exp().masked_fill(empty, nothing),
        "phi_plus": plus.exp().masked_fill(~mask, nothing),
        "phi_minus": minus.exp().masked_fill(~mask, nothing),
    }


def normalised_distance(priors: Priors, boxes: Tensor) -> Tensor:
    """max(|dx| / w, |dy| / h) in strides [B, G, A], float64, from the object's centre.  LTM-AF, section 3.3.

    Double precision, since whole rows and columns of points tie exactly: rounding must not decide between them.
    """
    boxes, points, strides = boxes.double(), priors.points.double(), priors.strides.double()
    middle, sides = centres(boxes), (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-6)
    dx = (points[:, 0] - middle[..., :1]).abs() / (sides[..., :1] * strides)
    dy = (points[:, 1] - middle[..., 1:]).abs() / (sides[..., 1:] * strides)
    return dx.maximum(dy)


@CRITERIA.register("ltm")
class LTMCriterion(Criterion):
    """-ln M+ and -ln M- over the bags and a focal term over the rest, each times `balance` (Eqs. 12 to 14).

    `negative`: "eq25" (the derivation), "eq11" (as printed), "freeanchor" (NeurIPS: focal over all priors on the score
    times the chance to match nothing, with IoUs saturated between `saturation` and the object's best; its positive loss
    has the released code's floor, ln M+ >= -100), "none" (M+ with the focal term alone). `matching`: "mean_max", "max"
    (multiple instance learning: the best member stands for the bag) or "average" (no learning to match: all members
    teach alike). `other_classes` keeps the focal loss on the other classes of bag members, which the paper leaves
    unsaid. `through_iou` lets M- teach the boxes by the IoU of Eq. 5.

    The matching terms are divided by the number of objects of the global batch, the focal term by that times the
    nominal bag size. Bag size, beta and the box loss come with the assigner's bags.
    Keys: loss_positive, loss_negative, loss_focal (zero where a variant has none).

    Differs from the paper in `balance` (0.5 each as in FreeAnchor, where Eqs. 13 and 14 have 1), in M- by Eq. 25, in
    `other_classes`, and in the focal term's divisor, which the paper calls N and never defines.
    """

    def __init__(
        self,
        *,
        negative: Literal["eq25", "eq11", "freeanchor", "none"] = "eq25",
        matching: Literal["mean_max", "max", "average"] = "mean_max",
        other_classes: bool = True,
        through_iou: bool = False,
        balance: Share = 0.5,
        focal_gamma: Positive = 2.0,
        saturation: Share = 0.6,
    ) -> None:
        super().__init__()
        self.negative, self.matching, self.other_classes = negative, matching, other_classes
        self.through_iou, self.balance, self.focal_gamma = through_iou, balance, focal_gamma
        self.saturation = saturation

    @property
    def needs(self) -> Needs:
        """Bags, and no quality head, which nothing here would teach."""
        return Needs(quality=(None,), bags=True, why="LTM's loss reads bags and has no quality head; assigner: ltm")

    @property
    def idle(self) -> dict[str, str]:
        why = f"negative is '{self.negative}', which does not read it"
        idle = ["other_classes"] if self.negative == "freeanchor" else ["saturation"]
        return dict.fromkeys([*idle, *(["through_iou"] if self.negative in ("freeanchor", "none") else [])], why)

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        bags = assignment.bags
        if bags is None:
            raise ValueError("the criterion 'ltm' needs bags; use the assigner 'ltm'")
        images, filled = len(objects.boxes), bags.mask.any(dim=-1)
        if predictions.cls_logits.device.type == "cpu" and not torch.compiler.is_compiling():
            score, focal = self._sparse(priors, predictions, objects, bags)
        else:
            score, focal = self._dense(priors, predictions, objects, bags)
        plus = log_phi_plus(priors, predictions, objects, bags, score)
        if self.negative == "freeanchor":
            missed = released_nll(BAG_SCORES[self.matching](plus, bags.mask))
        else:
            missed = -BAG_SCORES[self.matching](plus, bags.mask)
        # Sums over objects here, divided by their number over the global batch when terms are valued.
        positive = self.balance * torch.where(filled, missed, 0.0).sum()  # Eqs. (12), (13)
        negative = positive * 0
        if self.negative in ("eq25", "eq11"):
            minus = log_phi_minus(priors, predictions, objects, bags, score, through_iou=self.through_iou)
            value = log_mean_max_minus(minus, bags.mask, equation_11=self.negative == "eq11")
            negative = -self.balance * torch.where(filled, value, 0.0).sum()
        count = objects.valid.sum()
        return {  # Eq. (14)
            "loss_positive": Term(positive, count, images),
            "loss_negative": Term(negative, count, images),
            "loss_focal": Term(focal, count * bags.size, images),
        }

    def _sparse(self, priors: Priors, predictions: Predictions, objects: Objects, bags: Bags) -> tuple[Tensor, Tensor]:
        """ln scores of the bags [B, G, K] and the focal term, for eager CPU code: only exceptions are worked on."""
        logits, prior = predictions.cls_logits, bags.prior
        batch, count, classes = logits.shape
        row = torch.arange(batch)[:, None, None] * count + prior
        picked = row * classes + objects.labels.unsqueeze(-1)
        if self.negative == "freeanchor":
            overlap = predicted_iou(priors, predictions.detached(), objects)
            b, g, a = torch.nonzero(overlap > self.saturation, as_tuple=True)
            match = self._saturated(overlap[b, g, a], overlap.amax(dim=-1)[b, g])
            where, place = torch.unique((b * count + a) * classes + objects.labels[b, g], return_inverse=True)
            keep = 1 - torch.zeros(len(where)).scatter_reduce(0, place, match, "amax")
        else:
            where = torch.unique(picked[bags.mask])
            if not self.other_classes:
                where = (torch.unique(row[bags.mask]).unsqueeze(1) * classes + torch.arange(classes)).flatten()
            keep = torch.zeros(len(where))
        total, own = background_focal_sum(logits, self.focal_gamma, where, keep, picked.flatten())
        return F.logsigmoid(own).view(prior.shape), self._focal_weight * total

    def _dense(self, priors: Priors, predictions: Predictions, objects: Objects, bags: Bags) -> tuple[Tensor, Tensor]:
        """The same without data-dependent shapes."""
        logits, prior = predictions.cls_logits, bags.prior
        score = class_log_scores(predictions, prior, objects.labels)
        if self.negative == "freeanchor":
            overlap = predicted_iou(priors, predictions.detached(), objects)
            match = self._saturated(overlap, overlap.amax(dim=-1, keepdim=True))
            rows = objects.labels.unsqueeze(-1).expand_as(match)
            chance = torch.zeros_like(logits.transpose(1, 2)).scatter_reduce(1, rows, match, "amax").transpose(1, 2)
            q = (logits.sigmoid() * (1 - chance)).clamp(max=1 - 1e-7)
            return score, self._focal_weight * (q.pow(self.focal_gamma) * -torch.log1p(-q)).sum()
        batch, count, classes = logits.shape
        taught = torch.zeros(batch, count * classes + 1, dtype=torch.bool, device=logits.device)
        flat = (prior * classes + objects.labels.unsqueeze(-1)).flatten(1)
        # Padding of a bag is sent to the spare last entry.
        taught = taught.scatter(1, flat.masked_fill(~bags.mask.flatten(1), count * classes), True)[:, :-1]
        taught = taught.view_as(logits)
        if not self.other_classes:
            taught = taught.any(dim=-1, keepdim=True).expand_as(logits)
        focal = logits.sigmoid().pow(self.focal_gamma) * F.softplus(logits)
        return score, self._focal_weight * focal.masked_fill(taught, 0.0).sum()

    def _saturated(self, overlap: Tensor, best: Tensor) -> Tensor:
        """FreeAnchor's chance to match: the IoU on a scale from `saturation` to the object's best, 0 where none is."""
        span = (best - self.saturation).clamp(min=1e-12)
        return torch.where(best > self.saturation, ((overlap - self.saturation) / span).clamp(0, 1), 0.0)

    @property
    def _focal_weight(self) -> float:
        return 1 - self.balance if self.negative == "freeanchor" else self.balance


PRIOR = HeadInit(prior_prob=0.02)
LEGACY = CoderConfig(legacy_plus_one="freeanchor")


def _variant(
    name: str, about: str, rule: dict[str, object], losses: dict[str, object] | None = None, **parts: object
) -> Preset:
    """A preset of LTM's assigner and criterion."""
    assigner = Part.model_validate({"name": "ltm", "parameters": rule})
    criterion = Part.model_validate({"name": "ltm", "parameters": losses or {}})
    source = parts.pop("source", "printed")
    return preset(name, assigner, about, source=source, criterion=criterion, head_init=PRIOR, **parts)  # type: ignore[arg-type]


RETINANET = Part(
    name="dense", parameters={"box": "smooth_l1", "box_weight": 1.0, "box_beta": 0.11, "box_coordinates": "sum"}
)
ALONE = "No baseline: its loss is the matching, so no other rule has the same loss"
FREEANCHOR: dict[str, object] = {"negative": "freeanchor"}

PRESETS: tuple[Preset, ...] = (
    _variant("ltm", f"bags of 40 anchors, mean-max matching M+ and M- (LTM). {ALONE}", {}),
    _variant("ltm_plus", f"LTM with M+ alone and FreeAnchor's negative loss. {ALONE}", {}, FREEANCHOR),
    _variant(
        "freeanchor",
        f"FreeAnchor as released (50 anchors, weight 0.75, inclusive pixels). {ALONE}",
        {"beta": 0.75, "bag": 50},
        FREEANCHOR,
        source="released",
        coder=LEGACY,
    ),
    _variant(
        "mal_bag",
        f"MAL's bag score: FreeAnchor's loss with 40 anchors. {ALONE}",
        {"beta": 0.75, "bag": 40},
        FREEANCHOR,
        source="released",
        coder=LEGACY,
    ),
    _variant(
        "bag_average",
        f"LTM's losses with 40 anchors that teach alike, no matching. {ALONE}",
        {},
        {"negative": "none", "matching": "average"},
        source="ours",
    ),
    _variant(
        "ltm_max", f"multiple instance learning: the best anchor stands for its bag. {ALONE}", {}, {"matching": "max"}
    ),
    _variant(
        "ltm_af",
        f"LTM for points: bags by normalised distance. {ALONE}",
        {"beta": 5.5, "kind": "distance", "box": "giou"},
    ),
    preset(
        "k_anchors",
        Part(name="ltm", parameters={"labels": "bag"}),
        "RetinaNet's losses on the 40 anchors of highest IoU, no matching (LTM, Table 1)",
        baseline="iou_ltm",
        source="printed",
        criterion=RETINANET,
        head_init=PRIOR,
    ),
    preset(
        "iou_ltm",
        Part(name="max_iou", parameters={"low_quality": "torchvision"}),
        "RetinaNet's static matching and losses with LTM's head init: its baseline (another loss, so a recipe)",
        source="printed",
        criterion=RETINANET,
        head_init=PRIOR,
    ),
)
