"""PAA: "Probabilistic Anchor Assignment with IoU Prediction for Object Detection" (Kim and Lee, ECCV 2020), sec. 3.1.

Written from the paper, and with what docs/decisions.md (P1-P10) says of the authors' code, which is non-commercial and
was not used. The losses (Eqs. 5 to 8) are the dense criterion's, the voting of Eqs. 9 and 10 is measure/nms.py's.
Equations: 1, 2, 3, 4, 6
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner, Count, NonNegative, Share
from assignbench.assigners.max_iou import MaxIoU
from assignbench.boxes import paired_giou
from assignbench.config.method import Nms, Part, Preset, Voting, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.losses import sigmoid_focal
from assignbench.priors import Priors
from assignbench.select import boxes_of, labels_of, positives_per_object, prior_iou, segment_order, segment_ranks

Separation = Literal["a", "a_posterior", "b", "c", "c_mmdet", "d", "d_alt", "count", "score"]
SAME = 1e-6  # log densities closer than this are the same


@dataclass(frozen=True)
class Mixture:
    """A two-component mixture per row: weights, means, variances [..., 2], and what it says of samples [..., N]."""

    weights: Tensor
    means: Tensor
    variances: Tensor
    component: Tensor
    log_density: Tensor
    iterations: Tensor


def _log_joint(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """ln(weight x density) [..., N, 2] of samples [..., N]."""
    gap = x.unsqueeze(-1) - means.unsqueeze(-2)
    variance = variances.unsqueeze(-2)
    log_density = -0.5 * (math.log(2 * math.pi) + variance.log() + gap * gap / variance)
    return weights.log().unsqueeze(-2) + log_density  # Eq. (4)


def fit_mixture(x: Tensor, mask: Tensor, *, tolerance: float = 1e-3, iterations: int = 100) -> Mixture:
    """Expectation maximisation in float64 for all rows x [..., N] at once; `mask` [..., N] says which samples count.

    Starts at means (min, max), weights .5, variances 1; 1e-6 is added to variances; a row stops when its mean
    log-likelihood changes by less than `tolerance` (scikit-learn's GaussianMixture with these settings). In eager CPU
    code the loop ends when every row has stopped.
    """
    x = x.double()
    live = mask.double()
    n = live.sum(dim=-1).clamp(min=1)
    low = x.masked_fill(~mask, math.inf).amin(-1)
    high = x.masked_fill(~mask, -math.inf).amax(-1)
    empty = ~mask.any(-1)
    x = x.masked_fill(~mask, 0.0)
    means = torch.stack([low.masked_fill(empty, 0.0), high.masked_fill(empty, 0.0)], dim=-1)
    weights, variances = torch.full_like(means, 0.5), torch.ones_like(means)
    bound = torch.full_like(n, -math.inf)
    stopped = empty.clone()
    steps = torch.zeros_like(n)
    early = x.device.type == "cpu" and not torch.compiler.is_compiling()
    for _ in range(iterations):
        joint = _log_joint(x, weights, means, variances)
        density = torch.logsumexp(joint, dim=-1)
        share = (joint - density.unsqueeze(-1)).exp() * live.unsqueeze(-1)
        mass = share.sum(dim=-2) + 10 * torch.finfo(torch.float64).eps
        new_means = (share * x.unsqueeze(-1)).sum(-2) / mass
        gap = x.unsqueeze(-1) - new_means.unsqueeze(-2)
        new_variances = (share * gap * gap).sum(-2) / mass + 1e-6
        new_bound = (density * live).sum(-1) / n
        going = (~stopped).unsqueeze(-1)
        means = torch.where(going, new_means, means)
        variances = torch.where(going, new_variances, variances)
        weights = torch.where(going, mass / mass.sum(-1, keepdim=True), weights)
        steps = steps + (~stopped)
        done = (new_bound - bound).abs() < tolerance
        bound = torch.where(stopped, bound, new_bound)
        stopped = stopped | done
        if early and bool(stopped.all()):
            break
    joint = _log_joint(x, weights, means, variances)
    component = (joint[..., 1] > joint[..., 0]).long()
    return Mixture(weights, means, variances, component, torch.logsumexp(joint, dim=-1), steps)


@ASSIGNERS.register("paa")
@dataclass(frozen=True)
class PAA(Assigner):
    """Per object the `topk` best-scored priors of every level, split by a two-component mixture of their scores.

    Invariant: a prior has at most one object, the same for both tasks; an object may have none where no prior reaches
    `overlap`. The score is a loss: focal loss summed over the classes plus `giou_weight` times the GIoU loss (Eq. 3
    with the focal and GIoU losses that the paper trains).

    `separation` (Fig. 3): "c" positive up to the peak of the better component, rest negative (released); "b" negative
    from the other peak on, ignored between; "a" one boundary where the components cross; "a_posterior" the same per
    sample; "d", "d_alt" ignored between peak and crossing, or crossing and peak; "c_mmdet" only better-component
    samples. "count" takes the `count` best candidates, falling linearly to `count_end` over training if that is set (as
    MAL and NoisyAnchor do); "score" every first-pass prior with exp(-loss) above `score_above` (Eq. 6). `all_first`
    decides what these two look at: "score" all first-pass priors, "count" the candidates, unless it is set otherwise.
    `forced`: a prior at an object's best IoU stays with its own best object ("own", authors) or goes to the one that
    forces it ("forcing", mmdet). `lone`: a single candidate, or none of the better component, makes all candidates
    positive (authors) or none (mmdet).

    Diagnostics per object: `candidates`, `mixture_weight`, `mixture_mean`, `mixture_variance` of the better and the
    worse component, `mixture_iterations` (NaN where fewer than two candidates leave nothing to fit, and where
    `separation` fits nothing). Per prior: `loss` (of Eq. 3) and `candidate`, the object that it is judged for.

    Differs from the paper as the authors' later word does: (c), where the text ends with (b). Differs from their code
    in pixels, which are continuous here unless `coder: {legacy_plus_one: paa}` counts them inclusively, and where a
    component holds two samples, whose densities are equal: the lower loss is the peak.

    >>> from assignbench.examples import three_anchors
    >>> PAA()(*three_anchors()).cls.index
    tensor([[-1,  0, -1]])
    """

    topk: Count = 9
    overlap: Annotated[float, Gt(0), Le(1)] = 0.1
    separation: Separation = "c"
    giou_weight: NonNegative = 1.0
    focal_alpha: Share = 0.25
    focal_gamma: NonNegative = 2.0
    count: Count = 10
    count_end: Annotated[int, Ge(-1), Le(10_000)] = -1
    score_above: Share = 0.1
    all_first: bool | None = None
    forced: Literal["own", "forcing"] = "own"
    lone: Literal["positive", "negative"] = "positive"
    zero_overlap: Literal["skip", "force"] = "skip"

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= 1:
            raise ValueError(f"overlap must lie in (0, 1], got {self.overlap}")

    @property
    def idle(self) -> dict[str, str]:
        found = {}
        if self.separation != "count":
            found.update(dict.fromkeys(("count", "count_end"), "set separation: count"))
        if self.separation != "score":
            found["score_above"] = "set separation: score"
        if self.separation not in ("count", "score"):
            found["all_first"] = "a mixture separates the candidates; set separation: count"
        return {name: f"separation is '{self.separation}'; {remedy}" for name, remedy in found.items()}

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        owner = self.first_pass(priors, objects)
        loss = self.scores(predictions, objects, owner)
        return self.separate(priors, owner, loss, objects.labels.shape[1], context.progress)

    def first_pass(self, priors: Priors, objects: Objects) -> Tensor:
        """The object [B, A] that each prior may belong to, BACKGROUND below `overlap`."""
        objects = objects.with_room()
        rule: Literal["torchvision", "mmdet"] = "torchvision" if self.forced == "own" else "mmdet"
        matcher = MaxIoU(self.overlap, self.overlap, rule, zero_overlap=self.zero_overlap)
        return matcher.match(prior_iou(priors, objects), objects.valid)[0]

    def scores(self, predictions: Predictions, objects: Objects, owner: Tensor) -> Tensor:
        """The loss [B, A] of every prior for its object: -ln of the score."""
        objects = objects.with_room()
        logits, alpha, gamma = predictions.cls_logits, self.focal_alpha, self.focal_gamma
        label = labels_of(owner, objects.labels)
        background = ((1 - alpha) * logits.sigmoid().pow(gamma) * F.softplus(logits)).sum(-1)
        own = logits.gather(2, label.unsqueeze(-1)).squeeze(-1)
        yes = torch.ones_like(own)
        exchange = sigmoid_focal(own, yes, alpha, gamma) - sigmoid_focal(own, 0 * yes, alpha, gamma)
        # The GIoU loss stands for -ln of the localisation score, which is the IoU.  Eq. (2)
        localisation = 1 - paired_giou(predictions.boxes, boxes_of(owner, objects.boxes))
        return background + exchange + self.giou_weight * localisation  # Eqs. (1), (3)

    def separate(self, priors: Priors, owner: Tensor, loss: Tensor, width: int, progress: float = 1.0) -> Assignment:
        """The assignment from first-pass objects [B, A] and losses [B, A]; `width` is the number of objects."""
        width = max(1, width)
        if self._looks_at_all:
            return self._from_all(owner, loss, width, progress)
        prior, values, mask = self._candidates(priors, owner, loss, width)
        mixture = None
        if self.separation in ("count", "score"):
            verdict = torch.where(
                self._simple(values, torch.arange(values.shape[-1], device=loss.device), progress), 1, -1
            )
        else:
            mixture = fit_mixture(values, mask)
            verdict = self._verdict(mixture, mask)
        spare = owner.shape[1]
        where = torch.where(mask, prior, spare)
        rows = torch.arange(width, device=loss.device)[None, :, None]
        label = torch.where(verdict > 0, rows, torch.where(verdict == 0, IGNORE, BACKGROUND))
        index = torch.full((owner.shape[0], spare + 1), BACKGROUND, device=loss.device)
        index = index.scatter(1, where.flatten(1), label.flatten(1))[:, :spare]
        cls = Targets.hard(index)
        box = Targets.hard(index.masked_fill(index == IGNORE, BACKGROUND))
        candidate = torch.full((owner.shape[0], spare + 1), BACKGROUND, device=loss.device)
        candidate = candidate.scatter(1, where.flatten(1), rows.expand_as(where).flatten(1))[:, :spare]
        of_priors = {"loss": loss, "candidate": candidate}
        return Assignment(cls, box, diagnostics=_told(mixture, mask.sum(-1)), prior_diagnostics=of_priors)

    def _count_at(self, progress: float) -> int:
        if self.count_end < 0:
            return self.count
        return max(1, round(self.count + (self.count_end - self.count) * progress))

    @property
    def _looks_at_all(self) -> bool:
        """Whether all first-pass priors are judged, not the candidates alone."""
        everything = self.separation == "score" if self.all_first is None else self.all_first
        return everything and self.separation in ("count", "score")

    def _simple(self, loss: Tensor, rank: Tensor, progress: float) -> Tensor:
        """The paper's two simple rules: a fixed number of positives, and a fixed range of scores."""
        if self.separation == "count":
            return (rank < self._count_at(progress)).expand_as(loss)
        return torch.exp(-loss) > self.score_above  # Eq. (6)

    def _from_all(self, owner: Tensor, loss: Tensor, width: int, progress: float) -> Assignment:
        """The simple rules on all first-pass priors."""
        rank = segment_ranks(owner, -loss, width)
        index = torch.where((owner >= 0) & self._simple(loss, rank, progress), owner, BACKGROUND)
        targets = Targets.hard(index)
        told = _told(None, positives_per_object(owner, width))
        of_priors = {"loss": loss, "candidate": owner}
        return Assignment(targets, targets, diagnostics=told, prior_diagnostics=of_priors)

    def _candidates(self, priors: Priors, owner: Tensor, loss: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Priors, losses and mask [B, G, levels * topk], each object's candidates by rising loss."""
        levels = len(priors.level_sizes)
        group = torch.where(owner >= 0, owner * levels + priors.levels(), -1)
        order, place, _, _ = segment_order(group, loss, width * levels)
        key = group.gather(1, order)
        kept = (key >= 0) & (place < self.topk)
        cells = width * levels * self.topk
        slot = torch.where(kept, key * self.topk + place, cells)
        batch = owner.shape[0]
        prior = torch.zeros(batch, cells + 1, dtype=torch.long, device=loss.device).scatter(1, slot, order)
        values = torch.full((batch, cells + 1), math.inf, device=loss.device)
        values = values.scatter(1, slot, torch.where(kept, loss.gather(1, order), math.inf))
        prior, values = (t[:, :cells].view(batch, width, levels * self.topk) for t in (prior, values))
        values, rank = values.sort(dim=-1, stable=True)
        return prior.gather(2, rank), values, torch.isfinite(values)

    def _verdict(self, mixture: Mixture, mask: Tensor) -> Tensor:
        """1 positive, 0 ignored, -1 negative for every candidate by rank [B, G, N]."""
        n = mask.sum(-1, keepdim=True)
        rank = torch.arange(mask.shape[-1], device=mask.device).expand_as(mask)
        better = mask & (mixture.component == 0)
        worse = mask & (mixture.component == 1)
        peak = _first_peak(mixture.log_density, better, rank, n)
        after = worse & (rank > peak)
        cross = torch.where(after, rank, n).amin(-1, keepdim=True)
        other = _first_peak(mixture.log_density, after, rank, n)
        negative, zero, positive = (torch.full_like(rank, v) for v in (-1, 0, 1))
        upto = rank <= peak
        verdict = {
            "a": lambda: torch.where(rank < cross, positive, negative),
            "a_posterior": lambda: torch.where(better, positive, negative),
            "b": lambda: torch.where(upto, positive, torch.where(rank < other, zero, negative)),
            "c": lambda: torch.where(upto, positive, negative),
            "c_mmdet": lambda: torch.where(upto & better, positive, negative),
            "d": lambda: torch.where(upto, positive, torch.where(rank < cross, zero, negative)),
            "d_alt": lambda: torch.where(rank < cross, positive, torch.where(rank < other, zero, negative)),
        }[self.separation]()
        degenerate = (n <= 1) | ~better.any(-1, keepdim=True)
        return torch.where(degenerate, positive if self.lone == "positive" else negative, verdict)


def _told(mixture: Mixture | None, candidates: Tensor) -> dict[str, Tensor]:
    """What a mixture says of every object [B, G, 2], NaN where there was none or fewer than two candidates [B, G]."""
    nothing = torch.full((*candidates.shape, 2), float("nan"), dtype=torch.float64, device=candidates.device)
    names = ("mixture_weight", "mixture_mean", "mixture_variance")
    if mixture is None:
        return {"candidates": candidates, **{name: nothing for name in names}, "mixture_iterations": nothing[..., 0]}
    fitted = candidates > 1
    found = {
        name: torch.where(fitted.unsqueeze(-1), value, nothing)
        for name, value in zip(names, (mixture.weights, mixture.means, mixture.variances), strict=True)
    }
    steps = torch.where(fitted, mixture.iterations.double(), nothing[..., 0])
    return {"candidates": candidates, **found, "mixture_iterations": steps}


def _first_peak(density: Tensor, among: Tensor, rank: Tensor, none: Tensor) -> Tensor:
    """The first rank [..., 1] whose density is the largest `among` samples, to within SAME; `none` without samples."""
    density = density.masked_fill(~among, -math.inf)
    top = density.amax(-1, keepdim=True)
    return torch.where(among & (density >= top - SAME), rank, none).amin(-1, keepdim=True)


def _losses(weighting: str = "iou", count: str = "positives") -> Part:
    parameters = {"box": "giou", "box_weight": 1.3, "weighting": weighting, "quality_weight": 0.5, "count": count}
    return Part.model_validate({"name": "dense", "parameters": parameters})


def _paa(name: str, about: str, baseline: str = "iou_paa", **parts: object) -> Preset:
    """A preset with PAA's losses, IoU head and NMS, unless `parts` say otherwise."""
    rule = Part.model_validate({"name": "paa", "parameters": parts.pop("rule", {})})
    shared: dict[str, object] = {
        "criterion": _losses(),
        "quality": "iou",
        "ranking": "sqrt(cls*quality)",
        "nms": Nms(iou=0.6),
        "source": "released",
        "assigner": rule,
    }
    shared |= parts
    return preset(name, shared.pop("assigner"), about, baseline=baseline, **shared)  # type: ignore[arg-type]


MMDET = {"separation": "c_mmdet", "forced": "forcing", "lone": "negative", "giou_weight": 1.3}
STATIC = Part(name="max_iou", parameters={"low_quality": "torchvision"})
AS_MMDET: dict[str, object] = {"criterion": _losses(count="images"), "floor_on": "ranking", "source": "framework"}
CENTERED: dict[str, object] = {
    "criterion": _losses("centerness"),
    "quality": "centerness",
    "source": "printed",
}
VOTED = {"voting": Voting(sigma=0.025)}
CLOSE: dict[str, object] = {"voting": Voting(sigma=0.025, by="closeness"), "source": "printed"}

PRESETS: tuple[Preset, ...] = (
    _paa("paa", "mixture of scores per object, IoU head (PAA, the authors' released rule)"),
    _paa("paa_voting", "PAA with score voting", "iou_paa_voting", **VOTED),
    _paa(
        "paa_voting_closeness",
        "PAA with voting by closeness alone (without the score)",
        "iou_paa_voting_closeness",
        **CLOSE,
    ),
    _paa("paa_mmdet", "PAA with mmdet's rules", "iou_paa_mmdet", rule=MMDET, **AS_MMDET),
    _paa(
        "paa_printed",
        "PAA with the paper's last separation, (b)",
        rule={"separation": "b"},
        source="printed",
    ),
    _paa(
        "paa_fixed",
        "PAA with the ten best candidates of every object (FNP)",
        rule={"separation": "count", "count": 10},
        source="printed",
    ),
    _paa(
        "paa_range",
        "PAA with every prior scored above 0.3 (FSR)",
        rule={"separation": "score", "score_above": 0.3},
        source="printed",
    ),
    _paa("paa_centerness", "PAA with a centerness head instead of the IoU head", "iou_paa_centerness", **CENTERED),
    _paa("iou_paa", "static IoU matching with PAA's losses and IoU head: its baseline", "", assigner=STATIC),
    _paa("iou_paa_voting", "static IoU matching, PAA's losses and score voting", "", assigner=STATIC, **VOTED),
    _paa(
        "iou_paa_voting_closeness",
        "static IoU matching, PAA's losses and voting by closeness alone",
        "",
        assigner=STATIC,
        **CLOSE,
    ),
    _paa("iou_paa_mmdet", "static IoU matching, PAA's losses as mmdet divides them", "", assigner=STATIC, **AS_MMDET),
    _paa("iou_paa_centerness", "static IoU matching, PAA's losses, centerness head", "", assigner=STATIC, **CENTERED),
)
