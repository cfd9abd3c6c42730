"""Exact selections for assigners: ties always go to the lowest index, and nothing waits for the host."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assignbench.boxes import paired_iou, pairwise_iou, plus_one
from assignbench.contract import BACKGROUND, IGNORE, Context, Objects, Predictions
from assignbench.priors import Priors

_LOW = 0xFFFFFFFF
BLOCK = 8_000_000  # values that are keyed at once
# Entries of a matrix of objects x priors that is worked on at once. On a CPU so few that memory is used again instead
# of fetched afresh, which costs more than the arithmetic; an accelerator wants few launches.
PAIRS = {"cpu": 2_000_000}
PAIRS_ELSEWHERE = 64_000_000


def ordered_bits(values: Tensor) -> Tensor:
    """int64 [...] whose high halves sort as the float32 values [...] do; the low halves are free for an index."""
    bits = (values.float() + 0.0).contiguous().view(torch.int32)  # + 0.0 joins the two zeros
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long() << 32


def ordered_keys(values: Tensor) -> Tensor:
    """int64 keys [..., N] of float32 values [..., N], all different: larger value first, then lower index.

    The bits of a float32 are made to sort as integers in the high half, the reversed index fills the low half.
    """
    position = _LOW - torch.arange(values.shape[-1], device=values.device)
    return ordered_bits(values) | position


def top_indices(values: Tensor, k: int) -> Tensor:
    """Indices [..., min(k, N)] of the k largest of values [..., N] in falling order, lowest index first on ties.

    Rows are independent, so that many long ones are worked through in blocks: their keys need twice the memory.
    """
    rows = max(1, BLOCK // max(1, values.shape[-1]))
    if values.ndim > 1 and values.numel() > BLOCK and values[..., 0].numel() > rows:
        blocks = torch.split(values.flatten(0, -2), rows)
        return torch.cat([top_indices(b, k) for b in blocks]).view(*values.shape[:-1], -1)
    if (
        values.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and values.ndim > 1
        and 8 * k < values.shape[-1]
    ):
        return _top_of_floats(values, k)
    keys = ordered_keys(values).topk(min(k, values.shape[-1]), dim=-1).values
    return _LOW - (keys & _LOW)


def _top_of_floats(values: Tensor, k: int) -> Tensor:
    """The same for eager CPU code: selects by value; where rows tie at the k-th value, keys decide among the tied."""
    rows = values.float().flatten(0, -2)
    best, place = rows.topk(k, dim=-1)
    least = best[:, -1:]
    tied = (rows == least).sum(-1) > (best == least).sum(-1)
    order = _LOW - place
    keys = ordered_bits(best) | order
    chosen = _LOW - (keys.sort(dim=-1, descending=True).values & _LOW)
    if bool(tied.any()):
        chosen[tied] = _top_of_tied(rows[tied], least[tied], k)
    return chosen.view(*values.shape[:-1], k)


def _top_of_tied(rows: Tensor, least: Tensor, k: int) -> Tensor:
    """Top k [R, k] of rows [R, N] whose k-th largest value `least` [R, 1] occurs more often than there is room."""
    among = rows >= least
    count = among.sum(dim=-1)
    width = int(count.max())
    if 4 * width > rows.shape[-1]:
        return _LOW - (ordered_keys(rows).topk(k, dim=-1).values & _LOW)
    row, column = torch.nonzero(among, as_tuple=True)
    place = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    keys = torch.full((len(rows), width), torch.iinfo(torch.int64).min)
    keys[row, place] = ordered_bits(rows[row, column]) | (_LOW - column)
    return _LOW - (keys.topk(k, dim=-1).values & _LOW)


def top_mask(values: Tensor, counts: Tensor) -> Tensor:
    """True [..., N] at the `counts` [...] largest of values [..., N], lowest index first on ties.

    In eager CPU code the largest count bounds a partial selection; elsewhere the whole row is ranked.
    """
    bounded = values.device.type == "cpu" and not torch.compiler.is_compiling()
    k = int(counts.max()) if bounded and counts.numel() else values.shape[-1]
    if k == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    chosen = top_indices(values, k)
    wanted = torch.arange(chosen.shape[-1], device=values.device) < counts.unsqueeze(-1)
    return torch.zeros_like(values, dtype=torch.bool).scatter_(-1, chosen, wanted)


def first_true(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Over dimension 1 of mask [B, G, A]: the lowest true row [B, A] and whether there is one [B, A]."""
    some, row = mask.byte().max(dim=1)
    return row, some.bool()


def resolve_conflicts(prior_index: Tensor, chosen: Tensor, score: Tensor, num_priors: int) -> Tensor:
    """One object [B, A] per prior: of all objects that chose it, the one with the highest score, lowest index first.

    prior_index, chosen (bool) and score are [B, G, K]. Priors that nobody chose become BACKGROUND.
    """
    batch, width, depth = prior_index.shape
    rows = torch.arange(width, device=score.device)[None, :, None].expand(batch, width, depth)
    nobody = torch.iinfo(torch.int64).min
    keys = (ordered_bits(score) | (_LOW - rows)).masked_fill(~chosen, nobody)
    best = torch.full((batch, num_priors), nobody, dtype=torch.int64, device=score.device)
    best.scatter_reduce_(1, prior_index.reshape(batch, -1), keys.reshape(batch, -1), "amax")
    return torch.where(best == nobody, BACKGROUND, _LOW - (best & _LOW))


def segment_order(owner: Tensor, values: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sorts [B, A] by (owner, rising value, index); owners below 0 come first.

    Returns, each [B, A] in sorted order: the original index, the rank within the owner's segment, the segment's size
    and its first position. `count` is the number of owners.
    """
    by_value = values.sort(dim=1, stable=True).indices
    by_owner = owner.gather(1, by_value).sort(dim=1, stable=True).indices
    order = by_value.gather(1, by_owner)
    key = owner.gather(1, order).clamp(min=-1) + 1
    sizes = torch.zeros(owner.shape[0], count + 1, dtype=torch.long, device=owner.device)
    sizes.scatter_add_(1, owner.clamp(min=-1) + 1, torch.ones_like(owner))
    first = (sizes.cumsum(dim=1) - sizes).gather(1, key)
    place = torch.arange(owner.shape[1], device=owner.device) - first
    return order, place, sizes.gather(1, key), first


def segment_ranks(owner: Tensor, values: Tensor, count: int) -> Tensor:
    """Rank [B, A] of every value among those of its owner, falling, lowest index first on ties (from 0)."""
    order, place, _, _ = segment_order(owner, -values, count)
    return torch.empty_like(place).scatter_(1, order, place)


def hashed_uniform(
    context: Context, objects: Objects, priors: Priors, salt: int, chosen: Tensor | None = None, *, first: int = 0
) -> Tensor:
    """Uniform numbers [B, G, A] in [0, 1) that depend on (seed, epoch, image id, object, prior) alone.

    A prior is known by its point, its stride and its place at the point, so that padding changes no draw. With `chosen`
    [B, G, K] only the numbers of those priors. `first` is the place of the first object, if these are a slice of an
    image's objects. A counter hash instead of a generator: no state, no host, the same on
    every device and for every batch.
    """
    batch, count = objects.labels.shape
    device = objects.boxes.device
    ids = torch.stack([torch.full((), i, dtype=torch.long, device=device) for i in context.named(batch).image_ids])
    start = ((context.seed * 1_000_003 + context.epoch) * 1_000_003 + salt) & 0x7FFFFFFF
    rows = torch.arange(first, first + count, device=device)[None, :, None]
    own = _prior_keys(priors)
    columns = own if chosen is None else own[chosen]
    mixed = (ids[:, None, None] * 2_654_435_761 + rows * 40_503 + columns * 2_246_822_519 + start) & _LOW
    return _scrambled(mixed).double().div(2.0**32).float().clamp(max=1 - 2**-24)


def _scrambled(mixed: Tensor) -> Tensor:
    for factor in (0x45D9F3B, 0x119DE1F3, 0x45D9F3B):
        mixed = ((mixed ^ (mixed >> 16)) * factor) & _LOW
    return mixed ^ (mixed >> 16)


def _prior_keys(priors: Priors) -> Tensor:
    """A number [A] below 2^31 per prior, from its point and stride in 16ths of a pixel and its place at the point."""
    x, y = (priors.points * 16).round().long().unbind(-1)
    place = torch.arange(len(priors), device=x.device) % priors.anchors_per_location
    stride = (priors.strides * 16).round().long()
    key = (x * 73_856_093 + y * 19_349_663 + stride * 83_492_791 + place * 2_654_435_761) & _LOW
    return _scrambled(key) >> 1


def sample_balanced(
    index: Tensor, positive: Tensor, count: int, context: Context, objects: Objects, priors: Priors
) -> Tensor:
    """Which priors [B, A] take part when `count` per image are drawn, half of them positive if there are so many.

    `index` [B, A] tells what may be drawn (not IGNORE), `positive` [B, A] which of it is positive. Draws depend on
    (seed, epoch, image id, prior) alone; R-CNN's sampling.
    """
    first = Objects(objects.boxes[:, :1], objects.labels[:, :1], objects.valid[:, :1])
    luck = hashed_uniform(context, first, priors, salt=41).squeeze(1)
    negative = (index != IGNORE) & ~positive

    def rank(mask: Tensor) -> Tensor:
        return (-luck.masked_fill(~mask, -1.0)).argsort(dim=1, stable=True).argsort(dim=1)

    drawn = positive & (rank(positive) < count // 2)
    return drawn | (negative & (rank(negative) < count - drawn.sum(dim=1, keepdim=True)))


def counted(boxes: Tensor, priors: Priors) -> Tensor:
    """Boxes [..., 4] as the method counts pixels: inclusively ("+1") where `priors.coding` says so."""
    return boxes if priors.coding.legacy_plus_one == "none" else plus_one(boxes)


def prior_iou(priors: Priors, objects: Objects) -> Tensor:
    """IoU [B, G, A] of objects with priors; zero for invalid objects. Pixels as `priors.coding` counts them."""
    iou = pairwise_iou(counted(objects.boxes, priors), counted(priors.boxes, priors))
    return iou.mul_(objects.valid.unsqueeze(-1))


def predicted_iou(priors: Priors, predictions: Predictions, objects: Objects) -> Tensor:
    """IoU [B, G, A] of objects with predicted boxes; zero for invalid objects. Pixels as `priors.coding` counts."""
    iou = pairwise_iou(counted(objects.boxes, priors), counted(predictions.boxes, priors))
    return iou.mul_(objects.valid.unsqueeze(-1))


def matched_iou(priors: Priors, boxes: Tensor, targets: Tensor) -> Tensor:
    """IoU [...] of boxes [..., 4] with targets [..., 4], pair by pair. Pixels as `priors.coding` counts them."""
    return paired_iou(counted(boxes, priors), counted(targets, priors))


def positives_per_object(index: Tensor, width: int) -> Tensor:
    """How many priors of index [B, A] name each of `width` objects [B, width]."""
    counts = torch.zeros(index.shape[0], width, dtype=torch.long, device=index.device)
    return counts.scatter_add_(1, index.clamp(min=0), (index >= 0).long())


def labels_of(index: Tensor, labels: Tensor) -> Tensor:
    """Class [B, A] of the object that index [B, A] names (of object 0 where it names none)."""
    return labels.gather(1, index.clamp(min=0))


def boxes_of(index: Tensor, boxes: Tensor) -> Tensor:
    """Box [B, A, 4] of the object that index [B, A] names (of object 0 where it names none)."""
    return boxes.gather(1, index.clamp(min=0).unsqueeze(-1).expand(-1, -1, 4))


def object_blocks(objects: Objects, num_priors: int) -> list[tuple[int, Objects]]:
    """The objects in slices of so many entries [B, g, A] as suit the device, each with its first object's place.

    With few objects one slice, the whole. The slices depend on shapes alone, so nothing waits for the host.
    """
    batch, width = objects.labels.shape
    pairs = PAIRS.get(objects.boxes.device.type, PAIRS_ELSEWHERE)
    step = max(1, pairs // max(1, batch * num_priors))
    if step >= width:
        return [(0, objects)]
    return [
        (start, Objects(*(t[:, start : start + step] for t in (objects.boxes, objects.labels, objects.valid))))
        for start in range(0, width, step)
    ]


def joined_over_objects(
    objects: Objects, num_priors: int, measure: Callable[[Objects], tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """What `measure` says of slices of the objects, tensors [B, g, ...], joined to [B, G, ...]."""
    parts = [measure(part) for _, part in object_blocks(objects, num_priors)]
    return parts[0] if len(parts) == 1 else tuple(torch.cat(same, dim=1) for same in zip(*parts, strict=True))


def best_over_objects(
    objects: Objects, num_priors: int, measure: Callable[[int, Objects], Tensor]
) -> tuple[Tensor, Tensor]:
    """Per prior the highest score [B, A] of any object and its index [B, A], lowest on ties; BACKGROUND at -inf.

    `measure(start, objects)` gives scores [B, g, A] of a slice of the objects, whose first one has place `start`.
    """
    best, owner = torch.empty(0), torch.empty(0)
    for start, part in object_blocks(objects, num_priors):
        value, row = measure(start, part).max(dim=1)
        better = torch.ones_like(row, dtype=torch.bool) if start == 0 else value > best
        best = value if start == 0 else torch.where(better, value, best)
        owner = row if start == 0 else torch.where(better, row + start, owner)
    return best, torch.where(torch.isinf(best) & (best < 0), BACKGROUND, owner)


def adopt_orphans(index: Tensor, priors: Priors, objects: Objects) -> Tensor:
    """Index [B, A] in which every valid object without a prior got its best free one by IoU, if that is above zero.

    Invariant: whoever had a prior keeps one. The prior that an owner overlaps most is never taken from it. Where
    orphans want the same prior, the one with the higher IoU gets it (the lower index on ties), the others their next
    best one.
    """
    width = objects.labels.shape[1]
    iou = prior_iou(priors, objects)
    own = index.unsqueeze(1) == torch.arange(width, device=index.device)[:, None]  # [B, G, A]
    owners = own.any(dim=2)
    kept = iou.masked_fill(~own, -1.0).max(dim=2).indices.masked_fill(~owners, 0)
    taken = torch.zeros_like(index).scatter_reduce_(1, kept, owners.long(), "amax").bool()
    wanting = ~owners & objects.valid
    # Of its G best priors, an orphan can lose at most G - 1 to other orphans.
    choice = top_indices(iou.masked_fill(taken.unsqueeze(1), -1.0), width)
    value = iou.gather(2, choice).masked_fill(taken.unsqueeze(1).expand_as(iou).gather(2, choice), -1.0)
    eager = index.device.type == "cpu" and not torch.compiler.is_compiling()
    for _ in range(width):  # every round settles at least one orphan of each image
        if eager and not bool(wanting.any()):
            break
        free = value.masked_fill(taken.unsqueeze(1).expand(-1, width, -1).gather(2, choice), -1.0)
        best, place = free.max(dim=2, keepdim=True)
        wanting = wanting & (best.squeeze(2) > 0)
        prior = choice.gather(2, place)
        winner = resolve_conflicts(prior, wanting.unsqueeze(2), best, index.shape[1])
        index = torch.where(winner >= 0, winner, index)
        taken = taken | (winner >= 0)
        wanting = wanting & (winner.gather(1, prior.squeeze(2)) != torch.arange(width, device=index.device))
    return index
