"""Dynamic-k matching against a slow transcription of its words, on crowded scenes."""

import math

import pytest
import torch

from assignbench.assigners.simota import DynamicSoftLabel, SimOTA
from assignbench.boxes import pairwise_iou
from assignbench.conformance_cases import CLASSES, Case, make_case


def crowd(seed: int, count: int) -> Case:
    """Objects that overlap heavily, and predictions near them, so that many priors are wanted by several."""
    random = torch.Generator().manual_seed(seed)
    centre = 20 + 24 * torch.rand(count, 2, generator=random)
    half = 5 + 10 * torch.rand(count, 2, generator=random)
    boxes = torch.cat([centre - half, centre + half], dim=1)
    case = make_case([boxes], seed=seed, quality=None)
    near = torch.randint(count, (len(case.priors),), generator=random)
    noise = 3 * torch.randn(len(case.priors), 4, generator=random)
    case.predictions.boxes[0] = boxes[near] + noise
    return case


def binary(p: float, target: float) -> float:
    return -(target * max(math.log(p), -100) + (1 - target) * max(math.log(1 - p), -100))


def simota_cost(case: Case, radius: float) -> tuple[list[list[float]], list[int]]:
    """cost[g][a] and the candidates: inside any object, or within `radius` strides of any object's centre."""
    iou = pairwise_iou(case.objects.boxes[0], case.predictions.boxes[0]).tolist()
    scores = case.predictions.cls_logits[0].sigmoid().tolist()
    cost, candidates = [], set()
    for g, (x1, y1, x2, y2) in enumerate(case.objects.boxes[0].tolist()):
        row = []
        for a, (x, y) in enumerate(case.priors.points.tolist()):
            reach = radius * case.priors.strides[a].item()
            in_box = x1 < x < x2 and y1 < y < y2
            in_centre = abs(x - (x1 + x2) / 2) < reach and abs(y - (y1 + y2) / 2) < reach
            if in_box or in_centre:
                candidates.add(a)
            label = int(case.objects.labels[0, g])
            value = sum(binary(s, float(c == label)) for c, s in enumerate(scores[a]))
            row.append(value - 3 * math.log(iou[g][a] + 1e-7) + (0 if in_box and in_centre else 1e5))
        cost.append(row)
    return cost, sorted(candidates)


def soft_label_cost(case: Case) -> tuple[list[list[float]], list[int]]:
    iou = pairwise_iou(case.objects.boxes[0], case.predictions.boxes[0]).tolist()
    scores = case.predictions.cls_logits[0].sigmoid().tolist()
    cost, candidates = [], set()
    for g, (x1, y1, x2, y2) in enumerate(case.objects.boxes[0].tolist()):
        row = []
        for a, (x, y) in enumerate(case.priors.points.tolist()):
            if x1 < x < x2 and y1 < y < y2:
                candidates.add(a)
            label = int(case.objects.labels[0, g])
            soft = [iou[g][a] if c == label else 0.0 for c in range(CLASSES)]
            value = sum((t - s) ** 2 * binary(s, t) for s, t in zip(scores[a], soft, strict=True))
            distance = math.dist((x, y), ((x1 + x2) / 2, (y1 + y2) / 2)) / case.priors.strides[a].item()
            row.append(value - 3 * math.log(iou[g][a] + 1e-7) + 10 ** (distance - 3))
        cost.append(row)
    return cost, sorted(candidates)


def matched(case: Case, cost: list[list[float]], candidates: list[int], topk: int) -> list[int]:
    """Each object takes its k cheapest candidates; what several took goes to the cheapest of all objects."""
    iou = pairwise_iou(case.objects.boxes[0], case.predictions.boxes[0])
    takers: dict[int, list[int]] = {}
    for g, row in enumerate(cost):
        best = sorted((iou[g, a].item() for a in candidates), reverse=True)[:topk]
        k = max(1, int(sum(best)))
        for a in sorted(candidates, key=lambda a, row=row: (row[a], a))[:k]:
            takers.setdefault(a, []).append(g)
    index = [-1] * len(case.priors)
    for a, objects in takers.items():
        index[a] = objects[0] if len(objects) == 1 else min(range(len(cost)), key=lambda g, a=a: (cost[g][a], g))
    return index


@pytest.mark.parametrize("count", [3, 12, 30])
@pytest.mark.parametrize("seed", range(5))
def test_simota_in_a_crowd(seed, count) -> None:
    case = crowd(seed, count)
    for radius, topk in ((2.5, 10), (1.5, 5)):
        expected = matched(case, *simota_cost(case, radius), topk)
        rule = SimOTA(radius, topk, zero_overlap="force")
        assert rule(case.priors, case.predictions, case.objects).cls.index[0].tolist() == expected


@pytest.mark.parametrize("count", [3, 12, 30])
@pytest.mark.parametrize("seed", range(5))
def test_dynamic_soft_label_in_a_crowd(seed, count) -> None:
    case = crowd(seed, count)
    expected = matched(case, *soft_label_cost(case), 13)
    rule = DynamicSoftLabel(zero_overlap="force")
    assert rule(case.priors, case.predictions, case.objects).cls.index[0].tolist() == expected


def test_crowds_hold_the_case_in_question() -> None:
    """In some of these scenes a prior goes to an object that did not take it; else they would test nothing."""
    surprising = 0
    for seed in range(5):
        case = crowd(seed, 30)
        cost, candidates = simota_cost(case, 2.5)
        index = matched(case, cost, candidates, 10)
        iou = pairwise_iou(case.objects.boxes[0], case.predictions.boxes[0])
        for g, row in enumerate(cost):
            k = max(1, int(sum(sorted((iou[g, a].item() for a in candidates), reverse=True)[:10])))
            cheapest = sorted(candidates, key=lambda a, row=row: (row[a], a))[:k]
            surprising += sum(1 for a, owner in enumerate(index) if owner == g and a not in cheapest)
    assert surprising > 0
