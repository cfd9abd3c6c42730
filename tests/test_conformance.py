"""Every registered assigner keeps the contract; broken ones are caught."""

from dataclasses import dataclass, replace

import pytest
import torch

from assignbench.assigners import ASSIGNERS, Assigner, PerImageAssigner
from assignbench.assigners.max_iou import MaxIoU
from assignbench.conformance import CHECKS, ConformanceError, exempt, make_case, random_boxes, run_checks
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.methods import PRESETS, build_method
from assignbench.priors import Priors
from assignbench.select import prior_iou


@pytest.mark.parametrize("name", list(ASSIGNERS))
@pytest.mark.parametrize("check", list(CHECKS))
def test_registered_assigners_conform(name, check) -> None:
    def build() -> Assigner:
        return ASSIGNERS.build(name)

    if check in exempt(build()):
        pytest.skip(f"{name} declares itself exempt from {check}")
    try:
        CHECKS[check](build, "cpu")
    except ConformanceError as problem:
        pytest.fail(f"{name}, {check}: {problem}")


class Shifted(MaxIoU):
    """Off by one: the last object is never named, padding is."""

    def assign(self, priors, predictions, objects, context):
        index = super().assign(priors, predictions, objects, context).cls.index
        targets = Targets.hard(torch.where(index >= 0, index + 1, index))
        return Assignment(targets, targets)


class Leaking(MaxIoU):
    """Sees the objects of the whole batch through a shared threshold."""

    def assign(self, priors, predictions, objects, context):
        iou = prior_iou(priors, objects)
        targets = Targets.hard(torch.where(iou.amax(1) > iou.mean() * 3, iou.argmax(1), -1))
        return Assignment(targets, targets)


class Unstable(MaxIoU):
    """Takes the last of equal priors."""

    def assign(self, priors, predictions, objects, context):
        iou = prior_iou(priors, objects)
        best = iou.shape[-1] - 1 - iou.flip(-1).argmax(-1)
        index = torch.full(iou[:, 0].shape, -1)
        index.scatter_(1, best, torch.arange(iou.shape[1]).expand_as(best) * objects.valid - (~objects.valid).long())
        targets = Targets.hard(index)
        return Assignment(targets, targets)


class Waiting(MaxIoU):
    """Asks the host for a number."""

    def assign(self, priors, predictions, objects, context):
        if prior_iou(priors, objects).max().item() < 0.5:
            return super().assign(priors, predictions, objects, context)
        return super().assign(priors, predictions, objects, context)


class Remembering(MaxIoU):
    """Keeps state between calls."""

    calls = 0

    def assign(self, priors, predictions, objects, context):
        type(self).calls += 1
        result = super().assign(priors, predictions, objects, context)
        weight = result.cls.weight * (1 + type(self).calls)
        return Assignment(replace(result.cls, weight=weight), result.box)


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (Shifted, "ordinary_batches"),
        (Leaking, "batch_is_a_list_of_images"),
        (Unstable, "ties_go_to_the_lowest_index"),
        (Waiting, "no_host_synchronisation"),
        (Remembering, "deterministic_and_pure"),
    ],
)
def test_broken_assigners_are_caught(broken, caught_by) -> None:
    assert caught_by in run_checks(broken)


@dataclass(frozen=True)
class OnlyFirst(PerImageAssigner):
    """A third party's assigner for one image: the best prior of the first object."""

    def assign_image(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        index = torch.full((1, len(priors)), -1)
        if objects.boxes.shape[1]:
            iou = prior_iou(priors, objects)[0, 0]
            if iou.max() > 0:
                index[0, int(iou.argmax())] = 0
        targets = Targets.hard(index)
        return Assignment(targets, targets)


def test_a_per_image_assigner_needs_only_one_image() -> None:
    failed = run_checks(OnlyFirst)
    assert set(failed) == {"order_of_objects"}  # its rule really depends on the order


def test_a_third_partys_assigner_by_path() -> None:
    built = build_method("iou", assigner={"name": "tests.test_conformance:OnlyFirst"})
    assert type(built.assigner).__name__ == "OnlyFirst"


@pytest.mark.parametrize("name", list(PRESETS))
def test_losses_are_finite_attached_and_have_constant_keys(name) -> None:
    method = build_method(name)
    keys = set()
    for boxes in ([random_boxes(4, 1), torch.zeros(0, 4)], [torch.zeros(0, 4), torch.zeros(0, 4)]):
        case = make_case(boxes)
        logits = case.predictions.cls_logits.requires_grad_()
        quality = case.predictions.quality_logits if method.method.quality else None
        predictions = replace(case.predictions, cls_logits=logits, quality_logits=quality)
        assignment = method.assigner(case.priors, predictions, case.objects, case.context)
        losses = method.criterion(case.priors, predictions, case.objects, assignment, case.context)
        keys.add(tuple(sorted(losses)))
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        assert torch.isfinite(total)
        assert torch.isfinite(logits.grad).all()
    assert len(keys) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("name", list(ASSIGNERS))
def test_registered_assigners_conform_on_a_gpu(name) -> None:
    assert run_checks(lambda: ASSIGNERS.build(name), "cuda") == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("name", [n for n in ASSIGNERS if n != "hungarian"])
def test_a_gpu_assigns_as_the_cpu_does(name) -> None:
    boxes = [random_boxes(5, 1), random_boxes(7, 2)]
    assigner = ASSIGNERS.build(name)
    here, there = make_case(boxes), make_case(boxes, device="cuda")
    one = assigner(here.priors, here.predictions, here.objects, here.context)
    other = assigner(there.priors, there.predictions, there.objects, there.context)
    assert torch.equal(one.cls.index, other.cls.index.cpu())
    assert torch.equal(one.box.index, other.box.index.cpu())
