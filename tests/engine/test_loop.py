"""The loop: learners that see the same batches do not see each other; hooks are told everything in order."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.engine.cell import Cell, build_cell
from assignbench.engine.hooks import Guard, Hook
from assignbench.engine.learner import Learner
from assignbench.engine.loop import loop
from assignbench.engine.outcome import Diverged
from tests.engine.cells import BY_CRITERION, detector_for, tiny


def cell(config: CellConfig, folder: Path = Path()) -> Cell:
    return build_cell(folder, config, LocalPaths(), "cpu")


def bits(learner: Learner) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in learner.model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Diary(Hook):
    """Writes down what it is told."""

    def __init__(self, learner: Learner, told: list[tuple[str, object]]) -> None:
        super().__init__(learner)
        self.told = told

    def begin(self, first: int) -> None:
        self.told.append(("begin", first))

    def before_update(self, outcome, update) -> None:
        self.told.append(("before", outcome.step))
        self.before = bits(self.learner)

    def after_update(self, outcome, update) -> None:
        self.told.append(("after", outcome.step))
        assert not equal(self.before, bits(self.learner))

    def end(self) -> None:
        self.told.append(("end", None))


@pytest.mark.parametrize("amp", ["none", "bf16"])
def test_learners_of_one_loop_end_as_each_would_alone(amp) -> None:
    names = ("iou", "mutual_guidance", "paa")
    together = [cell(tiny(n, amp=amp)) for n in names]
    start = [bits(c.learner) for c in together]
    stream = together[0].loader
    loop(stream.batches(0, 6), [c.learner for c in together], [])
    for name, mine, before in zip(names, together, start, strict=True):
        alone = cell(tiny(name, amp=amp))
        assert equal(before, bits(alone.learner))
        loop(alone.loader.batches(0, 6), [alone.learner], [])
        assert equal(bits(mine.learner), bits(alone.learner)), name
        assert not equal(before, bits(mine.learner))


def test_hooks_hear_of_their_own_learner_in_order() -> None:
    cells = [cell(tiny(n)) for n in ("iou", "atss")]
    told: list[list[tuple[str, object]]] = [[], []]
    hooks = [Diary(c.learner, t) for c, t in zip(cells, told, strict=True)]
    loop(cells[0].loader.batches(3, 5), [c.learner for c in cells], hooks, first=3)
    expected = [("begin", 3), ("before", 3), ("after", 3), ("before", 4), ("after", 4), ("end", None)]
    assert told == [expected, expected]


def test_one_that_diverges_leaves_the_others_alone(tmp_path) -> None:
    good, bad = cell(tiny("iou")), cell(tiny("atss", lr=1e30, clip_grad=1e30, amp="none"))
    told: list[tuple[str, object]] = []
    hooks = [Guard(bad.learner, tmp_path), Diary(bad.learner, told), Guard(good.learner, tmp_path)]
    loop(good.loader.batches(0, 6), [bad.learner, good.learner], hooks)
    assert isinstance(bad.learner.stopped, Diverged) and good.learner.stopped is None
    assert ("end", None) not in told and (tmp_path / "diverged.json").is_file()
    alone = cell(tiny("iou"))
    loop(alone.loader.batches(0, 6), [alone.learner], [])
    assert equal(bits(good.learner), bits(alone.learner))
    assert all(torch.isfinite(v).all() for v in bits(good.learner).values() if v.is_floating_point())


def test_the_loop_ends_when_nobody_is_left(tmp_path) -> None:
    bad = cell(tiny(lr=1e30, clip_grad=1e30, amp="none"))
    seen = []

    def stream():
        for step, batch in enumerate(bad.loader.batches(0, 8)):
            seen.append(step)
            yield batch

    loop(stream(), [bad.learner], [Guard(bad.learner, tmp_path)])
    assert bad.learner.stopped is not None and len(seen) < 8


def test_a_state_that_was_taken_brings_a_learner_back() -> None:
    config = tiny("mutual_guidance")
    whole, other = cell(config), cell(config)
    loop(whole.loader.batches(0, 3), [whole.learner], [])
    other.learner.restore(deepcopy(whole.learner.state()))
    loop(whole.loader.batches(3, 6), [whole.learner], [], first=3)
    loop(other.loader.batches(3, 6), [other.learner], [], first=3)
    assert equal(bits(whole.learner), bits(other.learner))


class Poison(Hook):
    """Makes a weight of the head NaN after a step."""

    def __init__(self, learner: Learner, after: int) -> None:
        super().__init__(learner)
        self.after = after

    def after_update(self, outcome, update) -> None:
        if outcome.step == self.after:
            with torch.no_grad():
                self.learner.detector.head.cls.bias[0] = float("nan")


@pytest.mark.parametrize("changes", [{}, {"batch_size": 2, "accumulate": 2}, {"amp": "fp16", "ema": 0.5}])
@pytest.mark.parametrize("name", BY_CRITERION)
def test_a_nan_is_told_whatever_the_losses_are(name, changes, tmp_path) -> None:
    """The step, the losses and the images: none of the criteria swallows what is not a number."""
    mine = cell(tiny(name, detector_for(name), **changes), tmp_path)
    loop(mine.loader.batches(0, 4), [mine.learner], [Guard(mine.learner, tmp_path), Poison(mine.learner, 1)])
    assert mine.learner.stopped is not None
    assert str(mine.learner.stopped).startswith("step 2: not finite")
    assert len(json.loads((tmp_path / "diverged.json").read_text())["image_ids"]) == 4


def test_learners_of_one_loop_take_the_same_batches() -> None:
    two = [cell(tiny("iou")), cell(tiny("atss", accumulate=2, batch_size=2))]
    with pytest.raises(ValueError, match="accumulate as many"):
        loop(two[0].loader.batches(0, 2), [c.learner for c in two], [])
