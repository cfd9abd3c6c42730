"""The losses by hand, against torchvision's detectors, and against slow sums of the published formulas."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection import _utils as theirs
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import generalized_box_iou_loss

from assignbench.assigners.criteria import DenseCriterion, box_losses, class_targets
from assignbench.assigners.fcos import centerness
from assignbench.assigners.tal import TALCriterion
from assignbench.boxes import paired_iou
from assignbench.coders import coder_for
from assignbench.config.method import CoderConfig
from assignbench.conformance_cases import CLASSES, make_case, random_boxes
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Targets, total
from assignbench.methods import PRESETS, build_method

UNIT = CoderConfig(stds=(1.0, 1.0))


def decoded(case, coding: CoderConfig, scale: float = 0.1):
    """The case with small deltas, decoded by that coding."""
    priors = replace(case.priors, coding=coding)
    deltas = scale * case.predictions.deltas
    boxes = coder_for(priors).decode(priors, deltas)
    return replace(case, priors=priors, predictions=replace(case.predictions, deltas=deltas, boxes=boxes))


def costs(built, case, assignment=None) -> dict[str, float]:
    given = (case.priors, case.predictions, case.objects)
    found = assignment or built.assigner(*given, case.context)
    return {name: term.value().item() for name, term in built.criterion(*given, found, case.context).items()}


class Drawn:
    """A sampler that returns what was drawn already."""

    def __init__(self, index: torch.Tensor) -> None:
        self.index = index

    def __call__(self, labels: list[torch.Tensor]):
        return [i >= 0 for i in self.index], [i == BACKGROUND for i in self.index]


def test_rpn_costs_what_torchvisions_does() -> None:
    case = decoded(make_case([random_boxes(5, 1), random_boxes(3, 2)], quality=None), UNIT)
    case = replace(case, objects=case.objects.class_agnostic())
    case = replace(case, predictions=replace(case.predictions, cls_logits=case.predictions.cls_logits[..., :1]))
    built = build_method("rpn", assigner={"sample": 64})
    index = built.assigner(case.priors, case.predictions, case.objects, case.context).cls.index
    assert (index != IGNORE).sum(1).tolist() == [64, 64]
    rpn = RegionProposalNetwork(
        AnchorGenerator(), RPNHead(8, 4), 0.7, 0.3, 64, 0.5, {"training": 9}, {"training": 9}, 0.7
    )
    rpn.fg_bg_sampler = Drawn(index)
    objects = [case.objects.boxes[i][case.objects.valid[i]] for i in range(2)]
    labels, matched = rpn.assign_targets_to_anchors([case.priors.boxes] * 2, [{"boxes": b} for b in objects])
    # The same priors are positive; torchvision's labels are before drawing.
    assert all(bool((own[i >= 0] == 1).all()) for own, i in zip(labels, index, strict=True))
    targets = rpn.box_coder.encode(matched, [case.priors.boxes] * 2)
    labels = [torch.where(i >= 0, 1.0, 0.0) for i in index]
    objectness, boxes = rpn.compute_loss(
        case.predictions.cls_logits.reshape(-1, 1), case.predictions.deltas.reshape(-1, 4), labels, targets
    )
    found = costs(built, case)
    assert found["loss_cls"] == pytest.approx(objectness.item(), rel=1e-4)
    assert found["loss_box"] == pytest.approx(boxes.item(), rel=1e-4)


def test_rpn_knowing_nothing_costs_ln_2() -> None:
    case = make_case([random_boxes(5, 1)], quality=None)
    nothing = replace(case.predictions, cls_logits=torch.zeros(1, len(case.priors), 1))
    found = costs(build_method("rpn"), replace(case, predictions=nothing, objects=case.objects.class_agnostic()))
    assert found["loss_cls"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("loss", ["l1", "smooth_l1"])
def test_retinanet_costs_what_torchvisions_does(loss) -> None:
    case = decoded(make_case([random_boxes(6, 3)], quality=None), UNIT)
    built = build_method("retinanet", criterion={"box": loss})
    index = built.assigner(case.priors, case.predictions, case.objects).cls.index
    head = RetinaNetHead(8, 4, CLASSES)
    head.regression_head._loss_type = loss
    outputs = {"cls_logits": case.predictions.cls_logits, "bbox_regression": case.predictions.deltas}
    objects = [{"boxes": case.objects.boxes[0], "labels": case.objects.labels[0]}]
    if loss == "smooth_l1":  # torchvision's has no beta below 1: rebuilt with RetinaNet's 0.11
        target = head.regression_head.box_coder.encode_single(
            case.objects.boxes[0][index[0].clamp(min=0)], case.priors.boxes
        )
        element = F.smooth_l1_loss(case.predictions.deltas[0], target, reduction="none", beta=0.11)
        box = element[index[0] >= 0].sum() / (index >= 0).sum()
        cls = head.compute_loss(objects, outputs, [case.priors.boxes], [index[0]])["classification"]
    else:
        wanted = head.compute_loss(objects, outputs, [case.priors.boxes], [index[0]])
        cls, box = wanted["classification"], wanted["bbox_regression"]
    found = costs(built, case)
    assert found["loss_cls"] == pytest.approx(cls.item(), rel=1e-4)
    assert found["loss_box"] == pytest.approx(box.item(), rel=1e-4)


def test_torchvisions_matcher_finds_the_same() -> None:
    case = make_case([random_boxes(6, 3)], quality=None)
    matcher = theirs.Matcher(0.5, 0.4, allow_low_quality_matches=True)
    from torchvision.ops import box_iou

    wanted = matcher(box_iou(case.objects.boxes[0], case.priors.boxes))
    found = build_method("retinanet").assigner(case.priors, case.predictions, case.objects).cls.index[0]
    assert torch.equal(found, wanted)


def test_fcos_costs_what_torchvisions_does() -> None:
    coding = CoderConfig(distance="relu")
    case = decoded(make_case([random_boxes(4, 5), random_boxes(6, 6)], kind="point", quality="centerness"), coding, 2.0)
    built = build_method("fcos_light", criterion={"box_weight": 1.0}, assigner={"level_ranges": False})
    index = built.assigner(case.priors, case.predictions, case.objects).cls.index
    head = FCOSHead(32, 1, CLASSES)
    p = case.predictions
    outputs = {
        "cls_logits": p.cls_logits,
        "bbox_regression": p.deltas.relu(),
        "bbox_ctrness": p.quality_logits.unsqueeze(-1),
    }
    objects = [
        {"boxes": case.objects.boxes[i][case.objects.valid[i]], "labels": case.objects.labels[i][case.objects.valid[i]]}
        for i in range(2)
    ]
    # torchvision's anchors are squares of a stride's side around the points.
    side = case.priors.strides.unsqueeze(-1) / 2
    squares = torch.cat([case.priors.points - side, case.priors.points + side], dim=-1)
    wanted = head.compute_loss(objects, outputs, [squares] * 2, list(index))
    found = costs(built, case)
    assert found["loss_cls"] == pytest.approx(wanted["classification"].item(), rel=1e-4)
    assert found["loss_box"] == pytest.approx(wanted["bbox_regression"].item(), rel=1e-4)
    assert found["loss_quality"] == pytest.approx(wanted["bbox_ctrness"].item(), rel=1e-4)


@pytest.mark.parametrize("name", ["fcos", "fcos_improved", "atss"])
def test_centerness_weighted_losses_as_printed(name) -> None:
    """Box losses weighted by centerness over its sum; the head learns it (FCOS Eq. 2 and 3, ATSS)."""
    kind = "anchor" if name == "atss" else "point"
    case = make_case([random_boxes(4, 5), random_boxes(6, 6)], kind=kind, quality="centerness")
    built = build_method(name)
    found = costs(built, case)
    index = built.assigner(case.priors, case.predictions, case.objects).box.index
    p = case.predictions
    above = below = entropy = 0.0
    count = 0
    for i in range(2):
        for a in (index[i] >= 0).nonzero().flatten().tolist():
            box, own = case.objects.boxes[i, index[i, a]], p.boxes[i, a]
            x, y = case.priors.points[a].tolist()
            x1, y1, x2, y2 = box.tolist()
            sides = (x - x1, x2 - x, y - y1, y2 - y)
            value = math.sqrt(min(sides[:2]) / max(sides[:2]) * min(sides[2:]) / max(sides[2:]))
            if name == "fcos":
                loss = -math.log(max(paired_iou(own, box).item(), 1e-6))
            else:
                loss = generalized_box_iou_loss(own, box).item()
            above, below, count = above + value * loss, below + value, count + 1
            chance = torch.sigmoid(p.quality_logits[i, a]).item()
            entropy -= value * math.log(chance) + (1 - value) * math.log(1 - chance)
    weight = 2.0 if name == "atss" else 1.0
    assert found["loss_box"] == pytest.approx(weight * above / below, rel=1e-4)
    assert found["loss_quality"] == pytest.approx(entropy / count, rel=1e-4)


def test_simota_costs_what_yolox_does() -> None:
    """Classes over positives alone against the IoU, objectness over all, 5 x (1 - IoU²); each over the positives."""
    case = make_case([random_boxes(4, 5), random_boxes(6, 6)], quality="objectness")
    built = build_method("simota")
    found = costs(built, case)
    index = built.assigner(case.priors, case.predictions, case.objects, case.context).cls.index
    p, count = case.predictions, int((index >= 0).sum())
    cls = box = 0.0
    for i in range(2):
        for a in (index[i] >= 0).nonzero().flatten().tolist():
            g = index[i, a]
            iou = paired_iou(p.boxes[i, a], case.objects.boxes[i, g])
            target = F.one_hot(case.objects.labels[i, g], CLASSES) * iou
            cls += F.binary_cross_entropy(p.cls_logits[i, a].sigmoid(), target, reduction="sum").item()
            box += 1 - iou.item() ** 2
    positive = (index >= 0).float()
    objectness = F.binary_cross_entropy(p.quality_logits.sigmoid(), positive, reduction="sum").item()
    assert found["loss_cls"] == pytest.approx(cls / count, rel=1e-4)
    assert found["loss_box"] == pytest.approx(5 * box / count, rel=1e-4)
    assert found["loss_quality"] == pytest.approx(objectness / count, rel=1e-4)
    assert PRESETS["simota"].method.head_init.quality_prob == 0.01


def test_objectness_leaves_ignored_priors_out() -> None:
    case = make_case([random_boxes(3, 5)], quality="objectness")
    index = torch.full((1, len(case.priors)), BACKGROUND)
    index[0, 0], index[0, 1:50] = 0, IGNORE
    targets = Targets.hard(index)
    one = costs(build_method("simota"), case, Assignment(targets, targets))
    logits = case.predictions.quality_logits.clone()
    logits[0, 1:50] = 30.0
    changed = replace(case, predictions=replace(case.predictions, quality_logits=logits))
    assert costs(build_method("simota"), changed, Assignment(targets, targets)) == one


def test_tal_learns_with_atss_losses_first() -> None:
    """The static stage is focal loss with alpha .25 and GIoU weighted by centerness, then quality focal loss."""
    case = make_case([random_boxes(4, 5), random_boxes(6, 6)], quality=None)
    built = build_method("tal")
    given = (case.priors, case.predictions, case.objects)
    early, late = replace(case, context=Context(progress=0.2)), replace(case, context=Context(progress=0.5))
    static = built.assigner(*given, early.context)
    assert (static.stage, built.assigner(*given, late.context).stage) == ("static", "aligned")
    focal = DenseCriterion(focal_alpha=0.25, weighting="centerness")(*given, static, early.context)
    assert costs(built, early) == {name: term.value().item() for name, term in focal.items()}
    found = built.assigner(*given, late.context)
    wanted = _task_aligned(case, found)
    assert costs(built, late) == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(ValueError, match="knows no stage"):
        TALCriterion()(*given, replace(found, stage="later"), late.context)


def _task_aligned(case, found: Assignment) -> dict[str, float]:
    """|y - s|² BCE and 2 (1 - GIoU) y, both over the sum of y, prior by prior."""
    p, index, soft = case.predictions, found.cls.index, found.cls.quality
    cls = box = 0.0
    for i in range(2):
        for a in range(len(case.priors)):
            g, target = int(index[i, a]), torch.zeros(CLASSES)
            if g >= 0:
                target[case.objects.labels[i, g]] = soft[i, a]
                loss = generalized_box_iou_loss(p.boxes[i, a], case.objects.boxes[i, g])
                box += 2 * (loss * soft[i, a]).item()
            score = p.cls_logits[i, a].sigmoid()
            entropy = F.binary_cross_entropy(score, target, reduction="none")
            cls += (entropy * (target - score).square()).sum().item()
    divisor = max(1.0, soft[index >= 0].sum().item())
    return {"loss_cls": cls / divisor, "loss_box": box / divisor}


def test_hungarian_costs_by_hand() -> None:
    """A box of 20 x 10 px that lies 5 px too far right in an image of 100 x 50 px: L1 is 0.05."""
    case = make_case([torch.tensor([[10.0, 10, 30, 20]])], quality=None)
    boxes = case.priors.boxes.clone()
    boxes[7] = torch.tensor([15.0, 10, 35, 20])
    case = replace(case, predictions=replace(case.predictions, boxes=boxes[None]), context=Context(image_hw=(50, 100)))
    index = torch.full((1, len(case.priors)), BACKGROUND)
    index[0, 7] = 0
    targets = Targets.hard(index)
    found = costs(build_method("hungarian"), case, Assignment(targets, targets))
    assert found["loss_l1"] == pytest.approx(5 * 0.05, rel=1e-4)
    assert found["loss_box"] == pytest.approx(2 * (1 - 150 / 250), rel=1e-4)
    assert PRESETS["hungarian"].method.nms.kind == "none"
    focal = DenseCriterion()(case.priors, case.predictions, case.objects, Assignment(targets, targets), case.context)
    assert found["loss_cls"] == pytest.approx(2 * focal["loss_cls"].value().item(), rel=1e-6)


def test_every_image_has_its_own_size_in_the_l1() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 20]])
    case = make_case([boxes, boxes], quality=None)
    moved = case.priors.boxes.expand(2, -1, -1).clone()
    moved[:, 7] = torch.tensor([15.0, 10, 35, 20])
    index = torch.full((2, len(case.priors)), BACKGROUND)
    index[:, 7] = 0
    case = replace(
        case,
        predictions=replace(case.predictions, boxes=moved),
        context=replace(case.context, image_hw=((50, 100), (50, 200))),
    )
    found = costs(build_method("hungarian"), case, Assignment(Targets.hard(index), Targets.hard(index)))
    assert found["loss_l1"] == pytest.approx(5 * (0.05 + 0.025) / 2, rel=1e-4)


def test_class_targets_need_no_more_than_the_logits() -> None:
    index = torch.tensor([[0, BACKGROUND, IGNORE, 1]])
    objects = Objects(torch.zeros(1, 2, 4), torch.tensor([[2, 0]]))
    target = class_targets(Assignment(Targets.hard(index), Targets.hard(index)), objects, 3)
    assert target.dtype == torch.float32
    assert target[0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_box_losses_by_name() -> None:
    case = decoded(make_case([random_boxes(1, 5)]), UNIT)
    wanted = coder_for(case.priors).encode(case.priors, case.priors.boxes + 1)
    apart = (case.predictions.deltas - wanted).abs()
    given = (case.priors, case.predictions, case.priors.boxes + 1)
    torch.testing.assert_close(box_losses("l1", *given), apart.mean(-1))
    torch.testing.assert_close(box_losses("l1", *given, coordinates="sum"), apart.sum(-1))
    smooth = torch.where(apart < 0.5, apart.square(), apart - 0.25)
    torch.testing.assert_close(box_losses("smooth_l1", *given, beta=0.5), smooth.mean(-1))
    iou = paired_iou(case.predictions.boxes, case.priors.boxes + 1)
    torch.testing.assert_close(box_losses("iou", *given), -iou.clamp(min=1e-6).log())
    torch.testing.assert_close(box_losses("iou_square", *given), 1 - iou.square())
    without = replace(case.predictions, deltas=None)
    with pytest.raises(ValueError, match="deltas"):
        box_losses("l1", case.priors, without, case.priors.boxes)


def test_quality_targets_count_pixels_as_the_method_does() -> None:
    """PAA's released code measures the IoU that its head learns inclusively."""
    case = make_case([torch.tensor([[10.0, 10, 19, 19]])])
    boxes = case.priors.boxes.clone()
    boxes[3] = torch.tensor([10.0, 10, 19, 14])
    logits = torch.zeros(1, len(boxes))
    case = replace(case, predictions=replace(case.predictions, boxes=boxes[None], quality_logits=logits + 2))
    index = torch.full((1, len(boxes)), BACKGROUND)
    index[0, 3] = 0
    assignment = Assignment(Targets.hard(index), Targets.hard(index))
    for convention, iou in (("none", 36 / 81), ("paa", 50 / 100)):
        priors = replace(case.priors, coding=CoderConfig(legacy_plus_one=convention))
        found = costs(build_method("iou"), replace(case, priors=priors), assignment)
        assert found["loss_quality"] == pytest.approx(math.log(1 + math.exp(2)) - 2 * iou, rel=1e-5)


def test_an_implicit_quality_is_refused() -> None:
    case = make_case([random_boxes(2, 5)], quality="implicit")
    with pytest.raises(ValueError, match="implicit"):
        costs(build_method("iou"), case)


def test_terms_of_everything_sum_to_the_loss() -> None:
    case = make_case([random_boxes(2, 5)])
    built = build_method("iou")
    given = (case.priors, case.predictions, case.objects)
    terms = built.criterion(*given, built.assigner(*given), case.context)
    assert total(terms).item() == pytest.approx(sum(costs(built, case).values()), rel=1e-6)


def test_centerness_of_a_point_outside_is_zero() -> None:
    assert centerness(torch.tensor([[20.0, 5.0]]), torch.tensor([[[0.0, 0, 6, 10]]])).item() == 0.0


class Sizes(TorchDispatchMode):
    """Notes the largest tensor of whole numbers that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.dtype == torch.int64:
            self.largest = max(self.largest, made.numel())
        return made


def test_no_whole_numbers_as_large_as_the_logits() -> None:
    """An int64 one-hot would take twice the logits' memory in float32, and ten times with its copies."""
    case = make_case([random_boxes(4, 5), random_boxes(6, 6)])
    built = build_method("iou")
    given = (case.priors, case.predictions, case.objects)
    assignment = built.assigner(*given)
    with Sizes() as sizes:
        built.criterion(*given, assignment, case.context)
    # Boxes are gathered by places of four coordinates each; there are as many classes.
    assert 0 < sizes.largest <= assignment.cls.index.numel() * 4
    wide = case.predictions.cls_logits.repeat(1, 1, 5)
    with Sizes() as sizes:
        predictions = replace(case.predictions, cls_logits=wide)
        built.criterion(case.priors, predictions, case.objects, assignment, case.context)
    assert sizes.largest <= assignment.cls.index.numel() * 4
