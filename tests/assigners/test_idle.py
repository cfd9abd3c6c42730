"""A parameter that a part calls idle changes nothing, whatever its value: labels, weights and losses stay the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from assignbench import methods
from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.coders import coder_for
from assignbench.config.method import MethodConfig, PriorKind
from assignbench.config.words import Word
from assignbench.conformance_cases import make_case, random_boxes

WORDS = {"assigner": ASSIGNERS.words, "criterion": CRITERIA.words}


def others(word: Word, now: Any) -> list[Any]:
    """Other values that the parameter may take."""
    if word.options:
        return [o for o in word.options if o != now]
    if bool in word.kinds:
        return [not now]
    start = 0.4 if now is None else now
    numbers = [start * 0.5, start * 0.9 + 0.05, start + 1, start + 3]
    if float not in word.kinds:
        numbers = [int(n) for n in numbers]
    low = -1e9 if word.low is None else word.low
    high = 1e9 if word.high is None else word.high
    return [n for n in numbers if low < n < high and n != now]


def outcome(method: MethodConfig, kind: PriorKind) -> list[torch.Tensor]:
    """Labels, weights and losses of a batch, early and late in training."""
    built, found = methods.build(method), []
    boxes = [random_boxes(5, 30), random_boxes(3, 60), torch.tensor([[3.0, 3, 4, 4], [10, 10, 60, 14]])]
    case = make_case(boxes, kind=kind, quality=method.quality)
    priors = replace(case.priors, coding=method.coder)
    deltas = 0.3 * case.predictions.deltas
    predictions = replace(case.predictions, deltas=deltas, boxes=coder_for(priors).decode(priors, deltas))
    objects = case.objects
    if built.assigner.needs.one_class or built.criterion.needs.one_class:
        objects, predictions = (
            objects.class_agnostic(),
            replace(predictions, cls_logits=predictions.cls_logits[..., :1]),
        )
    for progress in (0.1, 0.9):
        context = replace(case.context, progress=progress)
        labels = built.assigner(priors, predictions, objects, context)
        for task in (labels.cls, labels.box):
            found += [task.index.float(), task.weight, task.quality]
        terms = built.criterion(priors, predictions, objects, labels, context)
        found += [term.value().detach() for term in terms.values()]
    return [torch.nan_to_num(t) for t in found]


@pytest.mark.parametrize("preset", methods.PRESETS)
def test_idle_means_idle(preset) -> None:
    method = methods.resolve(preset)
    built = methods.build(method)
    kind: PriorKind = (
        "anchor" if all("anchor" in n.needs.priors for n in (built.assigner, built.criterion)) else "point"
    )
    before = outcome(method, kind)
    for part, of in (("assigner", built.assigner), ("criterion", built.criterion)):
        held = getattr(method, part)
        words = WORDS[part](held.name)
        if "idle" in vars(type(of)):
            assert set(of.idle) <= set(words), f"{preset}: the {part} calls idle what it does not have"
        for name in of.idle.keys() & words.keys():
            for value in others(words[name], held.parameters[name]):
                after = outcome(methods.resolve(preset, {part: {name: value}}), kind)
                same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
                assert same, f"{preset}: {part}.{name} = {value} is called idle and changes something"
