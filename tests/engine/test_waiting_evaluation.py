"""How often the host waits for a GPU while a batch of test images becomes tables: as often as for one image.

No GPU is needed: numbers that pretend to lie on one count the looks of the host at them, and so does all that is made
of them. They take the ways of a GPU where those differ from the processor's, and the tables are the same to the bit.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch
from torch import Tensor

from assignbench import contract, sending
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.contract import Objects, Predictions
from assignbench.data.stream import Batch
from assignbench.engine import candidates, detect as detection, scoring
from assignbench.engine.detect import View, detect
from assignbench.engine.evaluate import tables_of
from assignbench.methods import resolve
from assignbench.priors import Priors, anchor_grid, point_grid

CLASSES = 3
TABLES = 2  # detections and boxes before NMS are fetched each at once
LOOKS = {
    *("item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__", "is_nonzero"),
    *("nonzero", "argwhere", "equal", "allclose", "masked_select", "unique", "bincount", "repeat_interleave"),
}


class There(Tensor):
    """Numbers that lie on a GPU, as far as anyone can tell who does not look; `waits` counts the looks."""

    waits: ClassVar[int] = 0

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, function.__name__
        if name == "to" and "cpu" in args[1:]:
            There.waits += not kwargs.get("non_blocking")
            return args[0].as_subclass(Tensor)
        index = args[1] if name in ("__getitem__", "__setitem__") else ()
        masks = [i for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, Tensor)]
        There.waits += name in LOOKS or any(mask.dtype == torch.bool for mask in masks)
        return super().__torch_function__(function, types, args, kwargs)


def waited(there: object) -> None:
    There.waits += 1


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent lies on a GPU then, what is fetched is waited for, and nothing is near."""
    monkeypatch.setattr(sending, "NEAR", set())
    monkeypatch.setattr(sending, "_wait", waited)
    for module in (contract, scoring, candidates, detection):
        monkeypatch.setattr(module, "sent", lambda values, device: values.as_subclass(There))


class Network:
    """Says of an image, whose first pixel is its id, what a generator of that seed draws."""

    device, class_agnostic = torch.device("cpu"), False

    def __init__(self, kind: str) -> None:
        self.grid = {
            "anchor": lambda hw: anchor_grid(hw, (8, 16), (2.5, 3.5), (1.0, 2.0)),
            "point": lambda hw: point_grid(hw, (8, 16)),
        }[kind]

    def taught(self, objects: Objects) -> Objects:
        return objects

    def __call__(self, images: Tensor, extents: object) -> tuple[Priors, Predictions]:
        lie = (lambda t: t.as_subclass(There)) if isinstance(images, There) else (lambda t: t)
        plain = self.grid((images.shape[2], images.shape[3]))
        priors = Priors(
            *(lie(t) for t in (plain.boxes, plain.points, plain.strides)),
            *(plain.level_sizes, plain.anchors_per_location, plain.kind),
        )
        made, said = torch.Generator(), []
        for number in images.as_subclass(Tensor)[:, 0, 0].amax(dim=1).tolist():
            made.manual_seed(int(number))
            logits = 2 * torch.randn(len(plain), CLASSES, generator=made) - 1
            boxes = plain.boxes + 4 * torch.randn(len(plain), 4, generator=made)
            said.append((logits, boxes, torch.randn(len(plain), generator=made)))
        logits, boxes, quality = (lie(torch.stack(parts)) for parts in zip(*said, strict=True))
        return priors, Predictions(logits, None, boxes, quality, "iou")


def batch_of(numbers: list[int], hw: tuple[int, int]) -> Batch:
    """Images of these ids with drawn objects, which some of them have none of."""
    boxes, labels = [], []
    for number in numbers:
        made = torch.Generator().manual_seed(number)
        count = number % 4
        corner = torch.rand(count, 2, generator=made) * 0.5 * hw[0]
        boxes.append(torch.cat([corner, corner + 6 + 20 * torch.rand(count, 2, generator=made)], dim=1))
        labels.append(torch.randint(CLASSES, (count,), generator=made))
    objects = Objects.pad(boxes, labels)
    ids = torch.full(objects.labels.shape, -1)
    ids[objects.valid] = torch.arange(int(objects.valid.sum())) + 100
    images = torch.tensor(numbers).view(-1, 1, 1, 1).expand(-1, 3, *hw).float()
    sizes = (hw,) * len(numbers)
    return Batch(images, objects, tuple(numbers), ids, 0, torch.full((len(numbers), 2), 1.5), sizes, sizes)


def method_of(nms: str) -> MethodConfig:
    return resolve("iou", {"quality": "iou", "ranking": "cls*quality", "nms": {"kind": nms}})


def tables(network: Network, method: MethodConfig, batch: Batch, evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    views = [View(batch, mirrored) for mirrored in (False, True)[: 1 + evaluation.test_flip]]
    return tables_of(detect(network, method, views, evaluation), views[0], method, evaluation, network)


def waits(*given: Any) -> tuple[int, dict[str, pd.DataFrame]]:
    There.waits = 0
    found = tables(*given)
    return There.waits, found


@pytest.mark.parametrize("nms", ["none", "standard", "agnostic", "soft", "iou_guided"])
@pytest.mark.parametrize("seed", range(4))
def test_a_batch_waits_no_more_often_than_one_of_its_images(nms, seed, request) -> None:
    drawn = random.Random(seed)
    hw = (8 * drawn.randint(3, 9), 8 * drawn.randint(3, 9))
    per, flip = drawn.choice(["image", "level"]), bool(seed % 2)
    evaluation = Evaluation(pre_nms=drawn.randint(20, 120), pre_nms_per=per, floor=0.05, test_flip=flip)
    numbers = drawn.sample(range(200), drawn.randint(2, 9))
    given = (Network(drawn.choice(["anchor", "point"])), method_of(nms))
    expected = tables(*given, batch_of(numbers, hw), evaluation)
    request.getfixturevalue("pretended")
    count, found = waits(*given, batch_of(numbers, hw), evaluation)
    assert count <= max(waits(*given, batch_of([n], hw), evaluation)[0] for n in numbers)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True)


@pytest.mark.parametrize("images", [1, 2, 7, 16])
@pytest.mark.parametrize("flip", [False, True])
def test_the_waits_of_a_batch_are_counted(images, flip, pretended) -> None:
    """But for NMS, which waits as its blocks of boxes need it."""
    evaluation = Evaluation(test_flip=flip)
    count, _ = waits(Network("anchor"), method_of("none"), batch_of(list(range(1, images + 1)), (64, 48)), evaluation)
    views = 2 * scoring.WAITS + 1 if flip else scoring.WAITS
    assert count == views + TABLES + candidates.WAITS


@pytest.mark.parametrize("pairs", [1, 3000])
def test_what_is_looked_at_at_once_changes_nothing(pairs, monkeypatch, request) -> None:
    given = (Network("anchor"), method_of("standard"), batch_of([1, 2, 3, 4, 7], (64, 48)), Evaluation())
    whole = tables(*given)
    request.getfixturevalue("pretended")
    monkeypatch.setattr(scoring, "PAIRS", pairs)
    monkeypatch.setattr(candidates, "PAIRS", pairs)
    for name, table in tables(*given).items():
        pd.testing.assert_frame_equal(table, whole[name], check_exact=True)


@pytest.mark.parametrize(
    "look",
    [
        lambda t: t[t > 0],
        lambda t: t.nonzero(),
        lambda t: float(t.sum()),
        lambda t: bool((t > 0).any()),
        lambda t: (t + 1).cpu(),
        lambda t: t.to("cpu"),
        lambda t: t.sort().values.tolist(),
        lambda t: torch.equal(t, t),
        lambda t: sending.fetched([t, t]),
    ],
)
def test_a_look_is_counted(look, pretended) -> None:
    There.waits = 0
    look(torch.arange(3).as_subclass(There))
    assert There.waits == 1
