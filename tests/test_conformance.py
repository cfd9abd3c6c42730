"""Every registered assigner keeps the contract; broken ones are caught."""

from dataclasses import dataclass, replace

import pytest
import torch

from assignbench.assigners import ASSIGNERS, Assigner, PerImageAssigner
from assignbench.assigners.criteria import CRITERIA
from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.method import Part
from assignbench.conformance import (
    CHECKS,
    ConformanceError,
    exempt,
    fits,
    fitting,
    losses_add_up,
    main,
    run_checks,
)
from assignbench.conformance_cases import make_case, padded_case, random_boxes
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets, Term, total
from assignbench.errors import InputError
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


class Bypassing(MaxIoU):
    """Goes round the base class, so that it sees the priors in the padding."""

    def __call__(self, priors, predictions, objects, context=None):
        return self.assign(priors, predictions, objects.with_room(), context or Context())


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (Bypassing, "padding_changes_nothing"),
        (Shifted, "ordinary_batches"),
        (Leaking, "batch_is_a_list_of_images"),
        (Unstable, "ties_go_to_the_lowest_index"),
        (Waiting, "no_host_synchronisation"),
        (Remembering, "deterministic_and_pure"),
    ],
)
def test_broken_assigners_are_caught(broken, caught_by) -> None:
    assert caught_by in run_checks(broken)


class Short(MaxIoU):
    """Targets of three priors, whatever there are."""

    def assign(self, priors, predictions, objects, context):
        targets = Targets.hard(torch.zeros(3, dtype=torch.long))
        return Assignment(targets, targets)


class Silent(MaxIoU):
    """Forgets to return."""

    def assign(self, priors, predictions, objects, context):
        return None


@pytest.mark.parametrize(
    ("broken", "fault"),
    [(Short, "returned targets [3] (cls.index), expected [3, 336]"), (Silent, "returned None, expected an Assignment")],
)
def test_what_is_no_assignment_is_said_to_be_none(broken, fault) -> None:
    assert run_checks(broken)["batch_is_a_list_of_images"].startswith(fault.split(",")[0])
    case = make_case([random_boxes(5, 1), random_boxes(2, 2), random_boxes(7, 3)])
    with pytest.raises(InputError) as refused:
        broken(orphan="best_prior")(case.priors, case.predictions, case.objects, case.context)
    rule = f"tests.test_conformance:{broken.__name__}"
    assert str(refused.value) == f"{rule} {fault}; `python -m assignbench.conformance {rule}` checks the whole contract"


def test_a_misspelt_assigner_has_nothing_to_check(capsys) -> None:
    assert main(["max_iuo"]) == 2
    assert "conformance: unknown assigner 'max_iuo'; did you mean 'max_iou'?" in capsys.readouterr().err


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


def _criteria() -> list[Part]:
    """Every registered criterion with its defaults, and as every preset has it."""
    parts = [Part(name=name) for name in CRITERIA] + [p.method.criterion for p in PRESETS.values()]
    return list({part.model_dump_json(): part for part in parts}.values())


def _label(part: Part) -> str:
    return "-".join([part.name, *(str(v) for v in part.parameters.values())])


@pytest.mark.parametrize("name", list(ASSIGNERS))
@pytest.mark.parametrize("part", _criteria(), ids=_label)
def test_padded_batches_cost_what_their_images_cost(name, part) -> None:
    criterion = CRITERIA.build(part.name, part.parameters)
    if not fits(ASSIGNERS.build(name), criterion):
        pytest.skip(f"{name} and {part.name} have no detector in common")
    losses_add_up(lambda: ASSIGNERS.build(name), criterion)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_has_parts_that_fit(name) -> None:
    method = PRESETS[name].method
    built = build_method(name)
    assert method.quality in {quality for _, quality in fitting(built.assigner, built.criterion)}


@pytest.mark.parametrize("name", list(PRESETS))
def test_baselines_differ_in_the_assigner_alone(name) -> None:
    if PRESETS[name].baseline:
        own, base = PRESETS[name].method, PRESETS[PRESETS[name].baseline].method
        assert own.assigner != base.assigner
        for field in ("criterion", "quality", "ranking", "floor_on", "nms", "voting", "head_init", "coder"):
            assert getattr(own, field) == getattr(base, field), field


@pytest.mark.parametrize("name", list(PRESETS))
def test_losses_are_finite_attached_and_have_constant_keys(name) -> None:
    built = build_method(name)
    quality = built.method.quality
    kind = fitting(built.assigner, built.criterion)[0][0]
    keys = set()
    for boxes in ([random_boxes(4, 1), torch.zeros(0, 4)], [torch.zeros(0, 4), torch.zeros(0, 4)]):
        case = make_case(boxes, kind=kind, quality=quality)
        p = case.predictions
        leaves = {name: getattr(p, name) for name in ("cls_logits", "deltas", "boxes", "quality_logits")}
        leaves = {name: value.requires_grad_() for name, value in leaves.items() if value is not None}
        assignment = built.assigner(case.priors, p, case.objects, case.context)
        terms = built.criterion(case.priors, p, case.objects, assignment, case.context)
        keys.add(tuple(sorted(terms)))
        assert all(isinstance(term, Term) and term.images == 2 for term in terms.values())
        assert not any(term.count.requires_grad for term in terms.values())
        loss = total(terms)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(p.cls_logits.grad).all()
        assert all(torch.isfinite(leaf.grad).all() for leaf in leaves.values() if leaf.grad is not None)
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


class WholeBatch(CRITERIA.factory("dense")):
    """Normalises inside its sum, so that halves do not add up."""

    def terms(self, priors, predictions, objects, assignment, context):
        found = super().terms(priors, predictions, objects, assignment, context)
        return {name: replace(t, sum=t.value(), count=torch.ones(())) for name, t in found.items()}


class SeesPadding(CRITERIA.factory("dense")):
    """Counts priors instead of positives."""

    def terms(self, priors, predictions, objects, assignment, context):
        found = super().terms(priors, predictions, objects, assignment, context)
        count = torch.full((), float(predictions.cls_logits[..., 0].numel()))
        return {name: replace(t, count=count) for name, t in found.items()}


@pytest.mark.parametrize("broken", [WholeBatch, SeesPadding])
def test_broken_criteria_are_caught(broken) -> None:
    with pytest.raises(ConformanceError, match="loss_"):
        losses_add_up(MaxIoU, broken())


def test_padding_has_no_gradient() -> None:
    case = padded_case()
    logits = case.predictions.cls_logits.requires_grad_()
    boxes = case.predictions.boxes.requires_grad_()
    built = build_method("iou")
    assignment = built.assigner(case.priors, case.predictions, case.objects, case.context)
    total(built.criterion(case.priors, case.predictions, case.objects, assignment, case.context)).backward()
    outside = ~case.priors.valid
    assert not bool(logits.grad[outside].any())
    assert not bool(boxes.grad[outside].any())
    assert bool(logits.grad[~outside].any())
    assert bool(boxes.grad[~outside].any())
