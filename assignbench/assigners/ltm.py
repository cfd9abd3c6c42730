"""LTM: "Learning to Match Anchors for Visual Object Detection" (Zhang et al., TPAMI 2021), sections 3.1-3.4.

Its first part is FreeAnchor (NeurIPS 2019), whose negative loss is kept as a variant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA
from assignbench.boxes import centres, inside, paired_giou, pairwise_iou, plus_one
from assignbench.coders import DeltaCoder
from assignbench.config.method import HeadInit, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.losses import background_focal_sum, smooth_l1
from assignbench.priors import Priors
from assignbench.select import hashed_uniform, prior_iou, resolve_conflicts, top_indices

TINY = 1e-30
BoxTerm = Literal["smooth_l1", "giou"]


def log_one_minus(log_phi: Tensor) -> Tensor:
    """ln(1 - phi) from ln phi; phi is kept below 1 by 1e-12, FreeAnchor's guard."""
    return (-torch.expm1(log_phi.clamp(max=-1e-12))).log()


def log_mean_max(log_phi: Tensor, mask: Tensor) -> Tensor:
    """ln M+ [...] of bags of ln phi [..., K]: the mean of phi weighted by 1 / (1 - phi).  Eq. (10)"""
    rest = log_one_minus(log_phi).masked_fill(~mask, 0.0)
    dropped = torch.where(mask, 0.0, -1e9)
    return torch.logsumexp(log_phi - rest + dropped, -1) - torch.logsumexp(-rest + dropped, -1)


def log_mean_max_minus(log_phi: Tensor, mask: Tensor, *, equation_11: bool = False) -> Tensor:
    """ln M- [...]: the mean of 1 - phi weighted by phi / (1 - phi)^2.  Eq. (25); 0 where all phi are 0.

    The printed Eq. (11) has the denominator sum 1 / (1 - phi)^2, which rewards false positives; a misprint.
    """
    rest = log_one_minus(log_phi).masked_fill(~mask, 0.0)
    dropped = torch.where(mask, 0.0, -1e9)
    weight = -2 * rest if equation_11 else log_phi - 2 * rest
    return torch.logsumexp(log_phi - rest + dropped, -1) - torch.logsumexp(weight + dropped, -1)


def class_log_scores(predictions: Predictions, prior: Tensor, labels: Tensor) -> Tensor:
    """ln of the object's class score [B, G, K] at priors [B, G, K]."""
    logits = predictions.cls_logits.float()
    classes = logits.shape[-1]
    flat = prior * classes + labels.unsqueeze(-1)
    batch = prior.shape[0]
    return F.logsigmoid(logits.reshape(batch, -1).gather(1, flat.reshape(batch, -1))).view(prior.shape)


def bag_boxes(values: Tensor, prior: Tensor) -> Tensor:
    """Rows [B, G, K, 4] of values [B, A, 4] at priors [B, G, K]."""
    flat = prior.reshape(prior.shape[0], -1, 1).expand(-1, -1, 4)
    return values.gather(1, flat).view(*prior.shape, 4)


def log_phi_plus(
    priors: Priors,
    predictions: Predictions,
    objects: Objects,
    prior: Tensor,
    score: Tensor,
    beta: float,
    term: BoxTerm,
) -> Tensor:
    """ln of class score (given as ln [B, G, K]) times exp(-beta x box loss) [B, G, K].  Eq. (4)"""
    boxes = objects.boxes.unsqueeze(2)
    if term == "giou":
        found = bag_boxes(predictions.boxes.float(), prior)
        return score - beta * (1 - paired_giou(found, boxes.expand_as(found)))
    target = DeltaCoder().encode_pairs(priors.boxes[prior], boxes)
    return score - beta * smooth_l1(bag_boxes(predictions.deltas.float(), prior) - target).sum(-1)


def inclusive(priors: Priors, predictions: Predictions, objects: Objects) -> tuple[Priors, Predictions, Objects]:
    """The same with all boxes counted inclusively ("+1"), as FreeAnchor's released code measures and encodes them."""
    return (
        replace(priors, boxes=plus_one(priors.boxes)),
        replace(predictions, boxes=plus_one(predictions.boxes)),
        replace(objects, boxes=plus_one(objects.boxes)),
    )


@ASSIGNERS.register("ltm")
@dataclass(frozen=True)
class LTM(Assigner):
    """A bag of `bag` priors per object, formed once: those of highest IoU, or for points of least normalised distance.

    Bags may overlap and ignore thresholds. `random_from` > 0 draws the bag at random from so many best ones (Table 3).
    With `kind` = "distance" (LTM-AF, section 3.3) only points strictly inside an object count and a bag may be smaller,
    even empty. The criterion learns the matching; what is filled into `cls` and `box` is what the bags imply now:
    a prior is positive for the object in whose bag it has most mean-max weight (Eq. 10) if that is its equal share or
    more and it overlaps the object, weighted by it; all others are background.

    An object that touches no prior gets the lowest-indexed ones as its bag (as FreeAnchor), and no implied positive.
    `legacy_plus_one` measures and encodes boxes inclusively, which FreeAnchor's released code does; give it to the
    criterion too. Differs from nothing in the paper's text; ties go to the lowest index.

    >>> from assignbench.examples import three_anchors
    >>> LTM(bag=2)(*three_anchors()).bags[0]  # the priors of the object's bag
    tensor([[[0, 1]]])
    """

    bag: int = 40
    random_from: int = 0
    kind: Literal["iou", "distance"] = "iou"
    beta: float = 0.5
    box: BoxTerm = "smooth_l1"
    legacy_plus_one: bool = False

    def __post_init__(self) -> None:
        if self.bag < 1 or (self.random_from and self.random_from < self.bag):
            raise ValueError(f"needs 1 <= bag <= random_from, got {self.bag} and {self.random_from}")

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        if self.legacy_plus_one:
            priors, predictions, objects = inclusive(priors, predictions, objects)
        iou = prior_iou(priors, objects)
        prior, mask = self._bags(priors, objects, iou, context)
        mask = mask & objects.valid.unsqueeze(-1)
        score = class_log_scores(predictions, prior, objects.labels)
        log_phi = log_phi_plus(priors, predictions, objects, prior, score, self.beta, self.box)
        rest = log_one_minus(log_phi)
        weight = torch.softmax(torch.where(mask, -rest, -1e9), dim=-1) * mask
        share = 1 / mask.sum(dim=-1, keepdim=True).clamp(min=1)
        chosen = mask & (weight >= share * (1 - 1e-3))
        touching = iou.gather(2, prior) > 0 if self.kind == "iou" else mask
        index = resolve_conflicts(prior, chosen & touching, weight, len(priors))
        strength = torch.zeros(index.shape, device=index.device)
        strength.scatter_reduce_(1, prior.flatten(1), (weight / share).flatten(1), "amax")
        positive = index >= 0
        targets = Targets(index, torch.where(positive, strength, 1.0), positive.float())
        bags = (prior, mask, weight)
        return Assignment(targets, Targets(index, strength * positive, positive.float()), bags)

    def _bags(self, priors: Priors, objects: Objects, iou: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Prior indices [B, G, K] and which of them count."""
        depth = min(self.random_from or self.bag, len(priors))
        if self.kind == "distance":
            key = normalised_distance(priors, objects.boxes)
            key = key.masked_fill(~(inside(priors.points, objects.boxes) > 0), float("inf"))
            prior = top_indices(-key, depth)
            mask = torch.isfinite(key.gather(2, prior))
        else:
            prior = top_indices(iou, depth)
            mask = torch.ones_like(prior, dtype=torch.bool)
        if self.random_from:
            luck = hashed_uniform(context, objects, depth, salt=17).masked_fill(~mask, -1.0)
            drawn = top_indices(luck, min(self.bag, depth)).sort(dim=-1).values
            prior, mask = prior.gather(2, drawn), mask.gather(2, drawn)
        return prior, mask


def normalised_distance(priors: Priors, boxes: Tensor) -> Tensor:
    """max(|dx| / w, |dy| / h) in strides [B, G, A], from the object's centre.  LTM-AF, section 3.3"""
    middle, sides = centres(boxes), (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-6)
    dx = (priors.points[:, 0] - middle[..., :1]).abs() / (sides[..., :1] * priors.strides)
    dy = (priors.points[:, 1] - middle[..., 1:]).abs() / (sides[..., 1:] * priors.strides)
    return dx.maximum(dy)


@CRITERIA.register("ltm")
class LTMCriterion(nn.Module):
    """-ln M+ and -ln M- over the bags and a focal term over the rest, each times `alpha`.  Eqs. (12)-(14)

    `negative`: "eq25" (the derivation), "eq11" (as printed), "freeanchor" (NeurIPS: focal over all priors on the score
    times the chance to match nothing, with IoUs saturated between `saturation` and the object's best), "none" (M+ with
    the focal term alone). `matching` = False drops the learning to match: all bag members teach alike.
    `other_classes` keeps the focal loss on the other classes of bag members, which the paper leaves unsaid.
    Both matching terms are divided by the number of objects of the global batch, the focal term by `bag` times that.
    Keys: loss_positive, loss_negative, loss_focal (zero where a variant has none).
    """

    def __init__(
        self,
        *,
        beta: float = 0.5,
        box: BoxTerm = "smooth_l1",
        negative: Literal["eq25", "eq11", "freeanchor", "none"] = "eq25",
        matching: bool = True,
        other_classes: bool = True,
        bag: int = 40,
        alpha: float = 0.5,
        gamma: float = 2.0,
        saturation: float = 0.6,
        legacy_plus_one: bool = False,
    ) -> None:
        super().__init__()
        self.beta, self.box_term, self.negative, self.matching = beta, box, negative, matching
        self.other_classes, self.bag, self.alpha, self.gamma = other_classes, bag, alpha, gamma
        self.saturation, self.legacy_plus_one = saturation, legacy_plus_one

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Tensor]:
        if assignment.bags is None:
            raise ValueError("the criterion 'ltm' needs bags; use the assigner 'ltm'")
        objects = objects.with_room()
        if self.legacy_plus_one:
            priors, predictions, objects = inclusive(priors, predictions, objects)
        prior, mask, _ = assignment.bags
        filled = mask.any(dim=-1)
        total = context.reduce(objects.valid.sum())
        count, spread = total.clamp(min=1), (total * self.bag).clamp(min=1)
        overlap = pairwise_iou(objects.boxes, predictions.boxes.detach().float()).mul_(objects.valid.unsqueeze(-1))
        if predictions.cls_logits.device.type == "cpu" and not torch.compiler.is_compiling():
            score, focal = self._sparse(predictions, objects, prior, mask, overlap)
        else:
            score, focal = self._dense(predictions, objects, prior, mask, overlap)
        log_phi = log_phi_plus(priors, predictions, objects, prior, score, self.beta, self.box_term)
        if self.matching:
            likelihood = log_mean_max(log_phi, mask)
        else:
            likelihood = (log_phi * mask).sum(-1) / mask.sum(-1).clamp(min=1)
        positive = -self.alpha * torch.where(filled, likelihood, 0.0).sum() / count
        losses = {"loss_positive": positive, "loss_negative": positive * 0, "loss_focal": focal / spread}
        if self.negative in ("eq25", "eq11"):
            apart = (1 - overlap.amax(dim=1)).clamp(min=TINY).log()  # 1 - the largest IoU with any object
            minus = score + apart.gather(1, prior.flatten(1)).view(prior.shape)  # Eq. (5)
            value = log_mean_max_minus(minus, mask, equation_11=self.negative == "eq11")
            losses["loss_negative"] = -self.alpha * torch.where(filled, value, 0.0).sum() / count
        return losses

    def _match(self, overlap: Tensor) -> Tensor:
        """FreeAnchor's chance to match [B, G, A]: IoU saturated between `saturation` and the object's best."""
        best = overlap.amax(dim=-1, keepdim=True)
        span = (best - self.saturation).clamp(min=1e-12)
        match = ((overlap - self.saturation) / span).clamp_(0, 1)
        return torch.where(best > self.saturation, match, 0.0)

    def _sparse(
        self, predictions: Predictions, objects: Objects, prior: Tensor, mask: Tensor, overlap: Tensor
    ) -> tuple[Tensor, Tensor]:
        """ln scores of the bags [B, G, K] and the focal term, for eager CPU code: only exceptions are worked on."""
        logits = predictions.cls_logits.float()
        batch, count, classes = logits.shape
        images = torch.arange(batch)[:, None, None]
        row = images * count + prior
        picked = row * classes + objects.labels.unsqueeze(-1)
        if self.negative == "freeanchor":
            best = overlap.amax(dim=-1)
            b, g, a = torch.nonzero(overlap > self.saturation, as_tuple=True)
            span = (best[b, g] - self.saturation).clamp(min=1e-12)
            match = ((overlap[b, g, a] - self.saturation) / span).clamp_(max=1)
            where, place = torch.unique((b * count + a) * classes + objects.labels[b, g], return_inverse=True)
            keep = 1 - torch.zeros(len(where)).scatter_reduce(0, place, match, "amax")
        else:
            where = torch.unique(picked[mask])
            if not self.other_classes:
                where = (torch.unique(row[mask]).unsqueeze(1) * classes + torch.arange(classes)).flatten()
            keep = torch.zeros(len(where))
        total, own = background_focal_sum(logits, self.gamma, where, keep, picked.flatten())
        return F.logsigmoid(own).view(prior.shape), self._focal_weight * total

    def _dense(
        self, predictions: Predictions, objects: Objects, prior: Tensor, mask: Tensor, overlap: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same without data-dependent shapes."""
        logits = predictions.cls_logits.float()
        score = class_log_scores(predictions, prior, objects.labels)
        if self.negative == "freeanchor":
            match = self._match(overlap)
            rows = objects.labels.unsqueeze(-1).expand_as(match)
            chance = torch.zeros_like(logits.transpose(1, 2)).scatter_reduce(1, rows, match, "amax").transpose(1, 2)
            q = (logits.sigmoid() * (1 - chance)).clamp(max=1 - 1e-7)
            return score, self._focal_weight * (q.pow(self.gamma) * -torch.log1p(-q)).sum()
        batch, count, classes = logits.shape
        taught = torch.zeros(batch, count * classes + 1, dtype=torch.bool, device=logits.device)
        flat = (prior * classes + objects.labels.unsqueeze(-1)).flatten(1)
        # Padding of a bag is sent to the spare last entry.
        taught = taught.scatter(1, flat.masked_fill(~mask.flatten(1), count * classes), True)[:, :-1].view_as(logits)
        if not self.other_classes:
            taught = taught.any(dim=-1, keepdim=True).expand_as(logits)
        focal = logits.sigmoid().pow(self.gamma) * F.softplus(logits)
        return score, self._focal_weight * focal.masked_fill(taught, 0.0).sum()

    @property
    def _focal_weight(self) -> float:
        return 1 - self.alpha if self.negative == "freeanchor" else self.alpha


PRESETS: tuple[Preset, ...] = (
    preset(
        "ltm",
        Part(name="ltm", parameters={"beta": 0.5, "bag": 40}),
        "bags of 40 anchors, mean-max matching M+ and M- (LTM)",
        criterion=Part(name="ltm", parameters={"beta": 0.5, "bag": 40}),
        head_init=HeadInit(prior_prob=0.02),
    ),
    preset(
        "ltm_plus",
        Part(name="ltm", parameters={"beta": 0.5, "bag": 40}),
        "LTM with M+ alone and FreeAnchor's negative loss",
        criterion=Part(name="ltm", parameters={"beta": 0.5, "bag": 40, "negative": "freeanchor"}),
        head_init=HeadInit(prior_prob=0.02),
    ),
    preset(
        "freeanchor",
        Part(name="ltm", parameters={"beta": 0.75, "bag": 50}),
        "FreeAnchor as released (50 anchors, weight 0.75)",
        criterion=Part(name="ltm", parameters={"beta": 0.75, "bag": 50, "negative": "freeanchor"}),
        head_init=HeadInit(prior_prob=0.02),
    ),
    preset(
        "mal_bag",
        Part(name="ltm", parameters={"beta": 0.75, "bag": 40}),
        "MAL's bag score: FreeAnchor's loss with 40 anchors",
        criterion=Part(name="ltm", parameters={"beta": 0.75, "bag": 40, "negative": "freeanchor"}),
        head_init=HeadInit(prior_prob=0.02),
    ),
    preset(
        "bag_average",
        Part(name="ltm", parameters={"beta": 0.5, "bag": 40}),
        "LTM's ablation: 40 anchors that teach alike, no matching",
        criterion=Part(name="ltm", parameters={"beta": 0.5, "bag": 40, "negative": "none", "matching": False}),
        head_init=HeadInit(prior_prob=0.02),
    ),
    preset(
        "ltm_af",
        Part(name="ltm", parameters={"beta": 5.5, "bag": 40, "kind": "distance", "box": "giou"}),
        "LTM for points: bags by normalised distance",
        criterion=Part(name="ltm", parameters={"beta": 5.5, "bag": 40, "box": "giou"}),
        head_init=HeadInit(prior_prob=0.02),
    ),
)
