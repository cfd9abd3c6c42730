"""From a network's outputs to the boxes that enter NMS: ranking scores, floors, limits, pixels of the original image.

A detector of 200,000 priors and 80 classes says 16 million numbers per image, of which a few thousand lie above the
floor. So logits are compared with the floor first, and only what can be above it is turned into scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from assignbench.boxes import clip
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig, Ranking
from assignbench.contract import Predictions
from assignbench.engine.outcome import Diverged
from assignbench.engine.scored import Scored, falling
from assignbench.priors import Priors
from assignbench.sending import fetched, near, sent

RANKINGS: dict[Ranking, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda cls, quality: cls,
    "quality": lambda cls, quality: quality,
    "cls*quality": lambda cls, quality: cls * quality,
    "sqrt(cls*quality)": lambda cls, quality: (cls * quality).sqrt(),
}
# The class score that a ranking score of this value needs at least, whatever the quality.
_NEEDED: dict[Ranking, Callable[[float], float]] = {
    "cls": lambda score: score,
    "quality": lambda score: 0.0,
    "cls*quality": lambda score: score,
    "sqrt(cls*quality)": lambda score: score * score,
}
# Far beyond what rounding moves a sigmoid by: scores themselves are compared with the floor afterwards.
_MARGIN, _HIGHEST = 1e-3, 0.999
PAIRS = 2**28  # pairs of prior and class that are looked at at once: a batch with more of them waits more often
WAITS = 5


def ranking_scores(
    cls_logits: Tensor, quality_logits: Tensor | None, ranking: Ranking
) -> tuple[Tensor, Tensor, Tensor]:
    """Ranking, class and quality scores of logits [...]; the quality is 1 without a quality head."""
    cls = cls_logits.float().sigmoid()
    quality = torch.ones_like(cls) if quality_logits is None else quality_logits.float().sigmoid()
    return RANKINGS[ranking](cls, quality), cls, quality


def boxes_before_nms(
    predictions: Predictions,
    priors: Priors,
    method: MethodConfig,
    evaluation: Evaluation,
    sizes: Sequence[tuple[int, int]],
    scale: Tensor,
    *,
    image_ids: Sequence[int] = (),
) -> Scored:
    """What enters NMS, best first: clipped to the image inside the padding, then times `scale` [B, 2] (x, y).

    `sizes` are (height, width) of the images in network px. The score floor acts on the class score or the ranking
    score as the method says, and the best `pre_nms` pairs of prior and class stay, of the image or of every level.
    Boxes that clipping leaves without area are dropped. Test images of a batch have the same padding, so that no prior
    is masked; ValueError for one that is. Diverged for outputs that are no numbers, which names the image by its id.

    A GPU is waited for `WAITS` times, however many images there are (but see `PAIRS`).
    """
    if priors.valid is not None:
        raise ValueError("images of different padded sizes share a batch; score them apart")
    ids = tuple(image_ids) or tuple(range(len(sizes)))
    device, logits = predictions.boxes.device, predictions.cls_logits
    step = 1 if near(logits) else max(1, PAIRS // max(1, logits[0].numel()))  # one image is more likely in the cache
    frames = sent(torch.tensor(sizes).float(), device)
    original = sent(scale, device).repeat(1, 2)
    found, usable = [], []
    for start in range(0, len(sizes), step):
        some = predictions.images(start, start + step)
        chosen = _entering(some, priors, method, evaluation, ids[start : start + step])
        for i, (prior, label, ranking, cls, quality) in enumerate(chosen):
            corners = clip(some.boxes[i][prior].float(), *frames[start + i])
            usable.append((corners[:, 2:] > corners[:, :2]).all(dim=-1))
            boxes, valid = corners * original[start + i], torch.ones_like(label, dtype=torch.bool)
            found.append(Scored(boxes, label, ranking, cls, quality, prior, valid))
    return Scored.pad(found).kept(pad_sequence(usable, batch_first=True))


def _entering(
    predictions: Predictions, priors: Priors, method: MethodConfig, evaluation: Evaluation, image_ids: Sequence[int]
) -> list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Prior, label, ranking, class and quality score [K] of the pairs of each image that enter NMS, best first."""
    batch, count, classes = predictions.cls_logits.shape
    levels = {"image": (count,), "level": priors.level_sizes}[evaluation.pre_nms_per]
    ends = [(i * count + last) * classes for i in range(batch) for last in accumulate(levels)]
    pair, sizes, *scores = above_floor(predictions, method, evaluation.floor, ends, image_ids)
    found, start = [], 0
    for i in range(batch):
        own = sizes[i * len(levels) : (i + 1) * len(levels)]
        stop = start + sum(own)
        chosen = _best_of_parts(scores[0][start:stop], own, evaluation.pre_nms)
        mine, (ranking, cls, quality) = pair[start:stop][chosen], (s[start:stop][chosen] for s in scores)
        found.append((mine // classes - i * count, mine % classes, ranking, cls, quality))
        start = stop
    return found


def above_floor(
    predictions: Predictions, method: MethodConfig, floor: float, ends: Sequence[int], image_ids: Sequence[int]
) -> tuple[Tensor, list[int], Tensor, Tensor, Tensor]:
    """The pairs of prior and class of a batch whose score lies above the floor.

    Rising places [K] of the pairs among the batch's logits [B, A, C]; how many of them lie before each of the rising
    `ends` of places, and behind the end before it, of which every image has as many; their ranking, class and quality
    scores [K]. Raises Diverged for outputs that are no numbers.
    """
    logits = predictions.cls_logits
    needed = floor if method.floor_on == "cls" else _NEEDED[method.ranking](floor)
    bound = _logit(min(needed, _HIGHEST)) - _MARGIN
    limits = sent(torch.tensor(ends), logits.device)
    pair = torch.nonzero((logits > bound).flatten()).squeeze(1)
    sizes, lost = fetched([_counted(pair, limits), _lost(predictions)])
    _refuse(dict(zip(_outputs(predictions), lost.tolist(), strict=True)), image_ids)
    counts = sizes.view(len(image_ids), -1).sum(dim=1).tolist()
    told = predictions.quality_logits
    asked = [None] * len(counts) if told is None else torch.split(told.flatten()[pair // logits.shape[2]], counts)
    parts = zip(torch.split(logits.flatten()[pair], counts), asked, strict=True)
    # Image by image: what rounding makes of a score may depend on its place, and shall not on the other images.
    scores = [ranking_scores(*part, method.ranking) for part in parts]
    ranking, cls, quality = (torch.cat(values) for values in zip(*scores, strict=True))
    above = torch.nonzero({"cls": cls, "ranking": ranking}[method.floor_on] > floor).squeeze(1)
    pair = pair[above]
    (sizes,) = fetched([_counted(pair, limits)])
    return pair, sizes.tolist(), ranking[above], cls[above], quality[above]


def _counted(pair: Tensor, ends: Tensor) -> Tensor:
    """How many of the rising places [K] lie before each of the rising ends [N], and behind the end before it."""
    return torch.searchsorted(pair, ends).diff(prepend=ends.new_zeros(1))


def _outputs(predictions: Predictions) -> dict[str, Tensor]:
    outputs = {"class": predictions.cls_logits, "quality": predictions.quality_logits, "box": predictions.boxes}
    return {name: values for name, values in outputs.items() if values is not None}


def _lost(predictions: Predictions) -> Tensor:
    """Of which images the network says what is no number, by its outputs [outputs, B]."""
    # amax hands a NaN on
    return torch.stack([values.flatten(1).amax(dim=1).isnan() for values in _outputs(predictions).values()])


def _refuse(lost: Mapping[str, Sequence[bool]], image_ids: Sequence[int]) -> None:
    """Raises Diverged for test images some of whose outputs are no numbers: they would just have no boxes."""
    for name, images in lost.items():
        if any(images):
            raise Diverged(
                f"test image {image_ids[images.index(True)]}: the network's {name} outputs are not numbers; lower "
                "schedule.lr, or raise schedule.warmup, for the whole study"
            )


def _logit(score: float) -> float:
    return math.log(score / (1 - score)) if score > 0 else -math.inf


def _best_of_parts(ranking: Tensor, sizes: Sequence[int], count: int) -> Tensor:
    """Places of the `count` best of every part of these sizes, best of all first; lowest place first among equals."""
    start, kept = 0, []
    for size in sizes:
        kept.append(start + _best(ranking[start : start + size], count))
        start += size
    if len(kept) == 1:
        return kept[0]
    chosen = torch.cat(kept).sort().values
    return chosen[falling(ranking[chosen])]


def _best(scores: Tensor, count: int) -> Tensor:
    """Places of the `count` largest scores [K], best first. Near the host only what can be among them is sorted."""
    if len(scores) <= count or not near(scores):
        return falling(scores)[:count]
    able = torch.nonzero(scores >= scores.topk(count, sorted=False).values.min()).squeeze(1)
    return able[falling(scores[able])][:count]
