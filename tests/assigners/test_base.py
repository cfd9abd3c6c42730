"""What the base class does for every rule: batches of mixed sizes, diagnostics, slices."""

from dataclasses import dataclass, replace

import pytest
import torch

from assignbench.assigners.base import PerImageAssigner, joined
from assignbench.assigners.ltm import LTM
from assignbench.assigners.max_iou import MaxIoU
from assignbench.conformance import CHECKS, orphans_are_adopted, padding_changes_nothing, run_checks
from assignbench.conformance_cases import make_case, random_boxes
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Targets
from assignbench.examples import three_anchors
from assignbench.methods import PRESETS, build_method
from assignbench.priors import anchor_grid, point_grid


def four_priors(kind: str, *, coding) -> tuple:
    """Two objects in each of two images, of which the first has two priors and the second four."""
    priors = anchor_grid((16, 16), (8,), (2.0,), (1.0,)) if kind == "anchor" else point_grid((16, 16), (8,))
    valid = torch.tensor([[True, True, False, False], [True] * 4])
    box = torch.tensor([[0.0, 0, 7, 8], [7, 0, 16, 9]])
    case = make_case([box, box], kind=kind, image_hw=(16, 16))
    n = len(priors)
    predictions = case.predictions.map(lambda t: t[:, :n])
    return replace(priors, valid=valid, coding=coding), replace(predictions, boxes=priors.boxes.expand(2, -1, -1))


@pytest.mark.parametrize("name", list(PRESETS))
def test_an_image_with_as_many_priors_as_objects_is_no_special_case(name) -> None:
    """Only the dictionary that a tensor stands in says whether its second dimension counts objects or priors."""
    built = build_method(name)
    kind = built.assigner.needs.priors[0]
    priors, predictions = four_priors(kind, coding=built.method.coder)
    boxes = torch.tensor([[0.0, 0, 7, 8], [7, 0, 16, 9]]).expand(2, -1, -1)
    objects = Objects(boxes, torch.tensor([[0, 1], [1, 0]]))
    context = Context(image_hw=((8, 16), (16, 16)))
    found = built.assigner(priors, predictions, objects, context)
    assert found.cls.index.shape == (2, 4)
    for value in found.prior_diagnostics.values():
        assert value.shape[:2] == (2, 4)
    for value in found.diagnostics.values():
        assert value.ndim == 1 or value.shape[:2] == (2, 2)
    alone = priors.take(torch.arange(2), (2,))
    first = built.assigner(
        replace(alone, valid=None),
        predictions.images(0, 1).map(lambda t: t[:, :2]),
        objects.images(0, 1),
        replace(context, image_hw=((8, 16),)),
    )
    for name, value in first.prior_diagnostics.items():
        torch.testing.assert_close(found.prior_diagnostics[name][:1, :2], value, equal_nan=True)
        outside = found.prior_diagnostics[name][0, 2:]
        said = ~outside.isnan() if outside.is_floating_point() else outside.long() > 0
        assert not said.any(), f"{name} of padding says something"


def test_what_a_smaller_image_leaves_unsaid_is_nan() -> None:
    """Bags of a small image have fewer members than those of a large one; their likelihoods are NaN, not 0."""
    priors, predictions = four_priors("anchor", coding=PRESETS["ltm"].method.coder)
    objects = Objects(torch.tensor([[0.0, 0, 7, 8]]).expand(2, -1, -1), torch.zeros(2, 1).long())
    found = LTM(bag=3)(priors, predictions, objects, Context(image_hw=((8, 16), (16, 16))))
    for name in ("phi_plus", "phi_minus"):
        value = found.diagnostics[name]
        assert value.shape == (2, 1, 3)
        assert torch.equal(value.isnan(), ~found.bags.mask), name


def test_numbers_that_nobody_gave_name_no_object() -> None:
    one = Assignment(*(Targets.hard(torch.zeros(1, 2).long()),) * 2, diagnostics={"rank": torch.zeros(1, 1, 2).long()})
    two = replace(one, diagnostics={"rank": torch.zeros(1, 1, 3).long()})
    assert joined([one, two]).diagnostics["rank"].tolist() == [[[0, 0, BACKGROUND]], [[0, 0, 0]]]


@dataclass(frozen=True)
class OneByOne(PerImageAssigner):
    """A rule for one image that tells something of its objects."""

    def assign_image(self, priors, predictions, objects, context):
        found = MaxIoU().assign(priors, predictions, objects.with_room(), context)
        area = (objects.boxes[..., 2:] - objects.boxes[..., :2]).prod(-1)
        return replace(found, diagnostics={"area": area, "corner": objects.boxes[..., :2]})


def test_a_rule_for_one_image_may_tell_of_its_objects() -> None:
    case = make_case([random_boxes(3, 1), random_boxes(1, 2), random_boxes(0, 3)])
    found = OneByOne()(case.priors, case.predictions, case.objects, case.context)
    assert torch.equal(found.diagnostics["area"].isnan(), ~case.objects.valid)
    assert found.diagnostics["corner"].shape == (3, 3, 2)
    assert run_checks(OneByOne) == {}


@dataclass(frozen=True)
class Misplaced(MaxIoU):
    """Notes something of its priors among what it notes of its objects."""

    def assign(self, priors, predictions, objects, context):
        found = super().assign(priors, predictions, objects, context)
        return replace(found, diagnostics=found.prior_diagnostics, prior_diagnostics={})


@dataclass(frozen=True)
class MisplacedToo(MaxIoU):
    """The other way round."""

    def assign(self, priors, predictions, objects, context):
        found = super().assign(priors, predictions, objects, context)
        return replace(found, prior_diagnostics={"label": objects.labels})


@pytest.mark.parametrize(("rule", "what"), [(Misplaced, "diagnostics 'max_iou'"), (MisplacedToo, "prior_diagnostics")])
def test_conformance_finds_diagnostics_in_the_wrong_place(rule, what) -> None:
    assert what in run_checks(rule)["ordinary_batches"]


@pytest.mark.parametrize("check", [orphans_are_adopted, CHECKS["chunked_equals_unchunked"], padding_changes_nothing])
def test_conformance_leaves_the_instance_that_it_is_given(check) -> None:
    instance = MaxIoU()
    check(lambda: instance, "cpu")
    assert vars(instance) == vars(MaxIoU())


def test_one_instance_passes_all_checks() -> None:
    instance = MaxIoU()
    assert run_checks(lambda: instance) == {}


def test_the_smallest_example_needs_no_context() -> None:
    assert MaxIoU()(*three_anchors()).prior_diagnostics["max_iou"].shape == (1, 3)
