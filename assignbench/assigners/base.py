"""The contract of every assigner: (Priors, Predictions, Objects, Context) -> Assignment, on the whole batch at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional as F

from assignbench.config.method import Needs
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets, fault_of
from assignbench.errors import BrokenRule
from assignbench.padding import of_images
from assignbench.priors import Priors
from assignbench.registry import Registry
from assignbench.select import adopt_orphans

# What a parameter may be, said by its annotation; the registry checks values against it.
Share = Annotated[float, Ge(0), Le(1)]
# The upper bounds are far beyond any use; they keep sums finite and memory bounded.
Positive = Annotated[float, Gt(0), Le(1e6)]
NonNegative = Annotated[float, Ge(0), Le(1e6)]
Count = Annotated[int, Ge(1), Le(10_000)]
CountOrNone = Annotated[int, Ge(0), Le(10_000)]  # 0 switches the option off
Orphan = Literal["keep", "best_prior"]


@dataclass(frozen=True)
class Assigner(ABC):
    """Base of the assigners: pure, without gradient, in float32 whatever the autocast state.

    A subclass is a frozen dataclass (its fields are its hyper-parameters) and implements `assign`, where G >= 1,
    invalid objects are marked in `objects.valid`, and every prior lies inside its image: what the padding of a batch of
    mixed sizes needs is done here, once. Images of a batch are independent of each other, so a batch whose [B, G, A]
    matrices would exceed `MAX_PAIRS` entries is worked through in slices, with the same results.

    `orphan` says what an object without a positive prior gets: "keep" nothing, as the papers have it; "best_prior" the
    prior of highest IoU that is not another object's only one.
    """

    MAX_PAIRS = 64_000_000

    orphan: Orphan = field(default="keep", kw_only=True)

    @property
    def idle(self) -> dict[str, str]:
        """The parameters that do nothing beside the others' values, each with the reason; a study may not set them."""
        return {}

    @property
    def needs(self) -> Needs:
        """What the rule needs of detector and method; everything goes unless a rule says otherwise."""
        return Needs()

    @property
    def gives(self) -> frozenset[str]:
        """What the assignment carries beyond hard labels: "bags", "soft" (targets that are not 0 or 1)."""
        return frozenset()

    def formulas(self) -> list[dict[str, float | str]] | None:
        """Points of the curves that a paper plots of its formulas: rows of formula, curve, x, y and value."""
        return None

    def __call__(
        self, priors: Priors, predictions: Predictions, objects: Objects, context: Context | None = None
    ) -> Assignment:
        with torch.no_grad(), torch.autocast(priors.boxes.device.type, enabled=False):
            objects = objects.with_room()
            context = (context or Context()).named(len(objects.boxes))
            if priors.valid is None:
                return self._sliced(priors, predictions, objects, context)
            return self._by_size(priors, predictions, objects, context)

    @abstractmethod
    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule itself. Predictions are detached float32."""

    def adopted_quality(self, priors: Priors, predictions: Predictions, objects: Objects, index: Tensor) -> Tensor:
        """Soft target [B, A] of a prior that an orphan gets, its object given by index [B, A]: 1 unless a rule says."""
        return torch.ones(index.shape, device=index.device)

    def _sliced(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule on priors without padding, as many images at a time as `MAX_PAIRS` allows."""
        batch, width = objects.labels.shape
        step = max(1, self.MAX_PAIRS // max(1, width * len(priors)))
        if step >= batch:
            return self._completed(priors, predictions.detached(), objects, context)
        parts = []
        for start in range(0, batch, step):
            stop = min(start + step, batch)
            part = predictions.images(start, stop).detached()
            parts.append(self._completed(priors, part, objects.images(start, stop), context.images(start, stop)))
        return joined(parts)

    def _completed(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule, and what `orphan` adds to it."""
        found = self._answered(self.assign(priors, predictions, objects, context), predictions)
        if self.orphan == "keep":
            return found
        quality = lambda index: self.adopted_quality(priors, predictions, objects, index)  # noqa: E731
        cls = _with_orphans(found.cls, priors, objects, quality)
        box = cls if found.box is found.cls else _with_orphans(found.box, priors, objects, quality)
        return replace(found, cls=cls, box=box)

    def _answered(self, found: object, predictions: Predictions) -> Assignment:
        """What somebody's rule returned; said here to be none, before others stumble over it. Raises BrokenRule."""
        images, priors = predictions.cls_logits.shape[:2]
        fault = fault_of(found, (images, priors))
        if fault or not isinstance(found, Assignment):
            raise BrokenRule(f"{type(self).__module__}:{type(self).__qualname__}", fault)
        return found

    def _by_size(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule on the images that have the same priors, and on these alone; priors in the padding learn nothing."""
        parts: list[Assignment] = []
        order: list[int] = []
        for alike in priors.groups():
            images, keep = alike.images, alike.keep
            inner = predictions.map(lambda t, images=images, keep=keep: of_images(t, images)[:, keep])  # type: ignore[misc]
            own = priors.take(keep, alike.level_sizes)
            part = self._sliced(own, inner, objects.take(images), context.take(images))
            parts.append(_spread(part, keep, len(priors)))
            order.extend(images)
        back = sorted(range(len(order)), key=order.__getitem__)
        return _mapped(joined(parts), lambda t: of_images(t, back))


class PerImageAssigner(Assigner):
    """For people who bring an assigner for one image: implement `assign_image`; the batch is looped over here."""

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        parts = []
        for i in range(len(objects.boxes)):
            keep = objects.valid[i]
            image = Objects(objects.boxes[i][keep], objects.labels[i][keep])
            found = self.assign_image(priors, predictions.images(i, i + 1), image, context.images(i, i + 1))
            answer = self._answered(found, predictions.images(i, i + 1))
            parts.append(_with_columns(answer, objects.labels.shape[1]))
        return joined(parts)

    @abstractmethod
    def assign_image(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule for a batch of one, all of whose objects are valid (there may be none)."""


def _with_columns(found: Assignment, width: int) -> Assignment:
    """The same with what is said per object filled up to `width` objects."""

    def wide(values: Tensor, fill: float) -> Tensor:
        missing = width - values.shape[1]
        return torch.cat([values, values.new_full((len(values), missing, *values.shape[2:]), fill)], dim=1)

    told = {n: t if t.ndim == 1 else wide(t, _unsaid(t)) for n, t in found.diagnostics.items()}
    bags = found.bags
    if bags is not None:
        bags = replace(bags, prior=wide(bags.prior, 0), mask=wide(bags.mask, 0), weight=wide(bags.weight, 0))
    return replace(found, bags=bags, diagnostics=told)


def _with_orphans(targets: Targets, priors: Priors, objects: Objects, quality: Callable[[Tensor], Tensor]) -> Targets:
    index = adopt_orphans(targets.index, priors, objects)
    new = index != targets.index
    return Targets(
        index,
        targets.weight.masked_fill(new, 1.0),
        torch.where(new, quality(index), targets.quality),
    )


def _mapped(found: Assignment, change: Callable[[Tensor], Tensor]) -> Assignment:
    """An assignment with every tensor changed along its first dimension."""

    def targets(t: Targets) -> Targets:
        return Targets(change(t.index), change(t.weight), change(t.quality))

    bags = found.bags
    if bags is not None:
        bags = replace(bags, prior=change(bags.prior), mask=change(bags.mask), weight=change(bags.weight))
    told, of_priors = ({n: change(t) for n, t in d.items()} for d in (found.diagnostics, found.prior_diagnostics))
    cls, box = targets(found.cls), targets(found.box)
    return replace(found, cls=cls, box=box, bags=bags, diagnostics=told, prior_diagnostics=of_priors)


def _spread(found: Assignment, keep: Tensor, count: int) -> Assignment:
    """What was found for the priors at `keep`, as an assignment of all `count` priors."""

    def wide(values: Tensor, fill: float) -> Tensor:
        full = values.new_full((values.shape[0], count, *values.shape[2:]), fill)
        return full.index_copy_(1, keep, values)

    def targets(t: Targets, nothing: int) -> Targets:
        return Targets(wide(t.index, nothing), wide(t.weight, 0), wide(t.quality, 0))

    bags = found.bags
    if bags is not None:
        bags = replace(bags, prior=keep[bags.prior])
    of_priors = {name: wide(value, _unsaid(value)) for name, value in found.prior_diagnostics.items()}
    cls, box = targets(found.cls, IGNORE), targets(found.box, BACKGROUND)
    return replace(found, cls=cls, box=box, bags=bags, prior_diagnostics=of_priors)


def _unsaid(values: Tensor) -> float:
    """What stands in diagnostics where a rule said nothing: NaN, False, or BACKGROUND (no object, no rank)."""
    if values.is_floating_point():
        return float("nan")
    return 0 if values.dtype == torch.bool else BACKGROUND


def joined(parts: list[Assignment]) -> Assignment:
    """The assignments of parts of a batch as one; bags and diagnostics that are narrower in one part are filled up."""

    def targets(chosen: list[Targets]) -> Targets:
        return Targets(*(torch.cat([getattr(t, name) for t in chosen]) for name in ("index", "weight", "quality")))

    def told(chosen: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {n: torch.cat(_level([d[n] for d in chosen], _unsaid(value))) for n, value in chosen[0].items()}

    first = parts[0]
    bags = first.bags
    if bags is not None:
        kept = [p.bags for p in parts if p.bags is not None]
        bags = replace(
            bags,
            prior=torch.cat(_level([b.prior for b in kept], 0)),
            mask=torch.cat(_level([b.mask for b in kept], 0)),
            weight=torch.cat(_level([b.weight for b in kept], 0)),
        )
    cls, box = targets([p.cls for p in parts]), targets([p.box for p in parts])
    of_objects, of_priors = told([p.diagnostics for p in parts]), told([p.prior_diagnostics for p in parts])
    return Assignment(cls, box, bags, of_objects, of_priors, first.stage)


def _level(tensors: list[Tensor], fill: float) -> list[Tensor]:
    """The same tensors, the last dimension filled up to the widest one."""
    if tensors[0].ndim < 3:
        return tensors
    width = max(t.shape[-1] for t in tensors)
    return [F.pad(t, (0, width - t.shape[-1]), value=fill) if t.shape[-1] < width else t for t in tensors]


ASSIGNERS: Registry[Assigner] = Registry("assigner", Assigner)  # type: ignore[type-abstract]
