"""An update over several batches: the gradient of one large batch, in the memory of a small one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.contract import Term, summed
from assignbench.engine.cell import Cell, build_cell
from assignbench.engine.loop import loop
from tests.engine.cells import BY_CRITERION, detector_for, tiny


def cell(config: CellConfig) -> Cell:
    return build_cell(Path(), config, LocalPaths(), "cpu")


@pytest.mark.parametrize(("batch", "parts_of", "epoch"), [(3, 4, 2), (5, 2, 2), (7, 3, 1), (1, 5, 4), (16, 2, 1)])
def test_the_batches_of_a_step_hold_the_images_of_one_large_batch(batch, parts_of, epoch) -> None:
    """Of 24 images, whatever is left over at the end of an epoch, also where an update takes some of them twice."""
    shapes = ((batch * parts_of, 1), (batch, parts_of))
    large, small = (cell(tiny(batch_size=b, accumulate=a)).loader for b, a in shapes)
    assert large.steps_per_epoch == small.steps_per_epoch == epoch
    parts = list(small.batches(1, 3))
    for step, whole in enumerate(large.batches(1, 3)):
        mine = parts[parts_of * step : parts_of * (step + 1)]
        assert sum((p.image_ids for p in mine), ()) == whole.image_ids and {p.epoch for p in mine} == {whole.epoch}
        assert torch.equal(torch.cat([p.images for p in mine]), whole.images)
    ahead = list(replace(small, workers=2).batches(1, 3))
    assert [p.image_ids for p in ahead] == [p.image_ids for p in parts]


@pytest.mark.parametrize("name", [*BY_CRITERION, "fcos", "atss", "tal"])
def test_four_batches_of_four_are_one_of_sixteen(name) -> None:
    """The loss, each of its terms and the gradient, for every kind of criterion and of normaliser."""
    detector = detector_for(name)
    large, small = (cell(tiny(name, detector, batch_size=b, accumulate=a, amp="none")) for b, a in ((16, 1), (4, 4)))
    told = []
    for mine in (large, small):
        mine.learner.detector.eval()  # the statistics of a batch norm are those of what is in memory
        outcome, update = mine.learner.learn(list(mine.loader.batches(0, 1)), 0)
        gradient = torch.cat([p.grad.flatten() for p in mine.learner.model.parameters() if p.grad is not None])
        told.append((outcome, update, gradient))
    (one, whole, wanted), (four, parts, found) = told
    assert one.image_ids == four.image_ids and one.terms.keys() == four.terms.keys()
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.norm, whole.norm, rtol=1e-5, atol=1e-6)
    for key, term in four.terms.items():
        torch.testing.assert_close(term.count.float(), one.terms[key].count.float(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(term.value(), one.terms[key].value(), rtol=1e-5, atol=1e-6)
        assert term.images == one.terms[key].images == 16
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_running_statistics_count_every_batch_once() -> None:
    mine = cell(tiny(batch_size=3, accumulate=4))
    mine.learner.detector.train()
    norms = [m for m in mine.learner.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    mine.learner.learn(list(mine.loader.batches(0, 1)), 0)
    assert {int(m.num_batches_tracked) for m in norms} == {4}
    alone = cell(tiny(batch_size=3, accumulate=4))
    alone.learner.detector.train()
    for batch in alone.loader.batches(0, 1):
        with torch.no_grad():
            alone.learner.terms(batch, 0)
    for mine_buffer, buffer in zip(mine.learner.model.buffers(), alone.learner.model.buffers(), strict=True):
        assert torch.equal(mine_buffer, buffer)


def test_one_batch_at_a_time_has_a_graph() -> None:
    """What a network keeps for its backward pass is that of one batch, however many there are."""
    mine = cell(tiny(batch_size=2, accumulate=4))
    held = 0
    passes: list[bool] = []
    mine.learner.detector.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    backward = mine.learner._backward

    def counted(terms, whole):
        nonlocal held
        assert passes.count(True) == held + 1, "a graph was built before the one before it was used"
        held += 1
        return backward(terms, whole)

    mine.learner._backward = counted  # type: ignore[method-assign]
    mine.learner.learn(list(mine.loader.batches(0, 1)), 0)
    assert passes == [False] * 3 + [True] * 4 and held == 4


def test_the_loop_takes_the_batches_of_an_update_together() -> None:
    mine = cell(tiny(batch_size=2, accumulate=3))
    taken: list[tuple[int, int]] = []
    learn = mine.learner.learn

    def noted(batches, step):
        taken.append((step, len(batches)))
        return learn(batches, step)

    mine.learner.learn = noted  # type: ignore[method-assign]
    loop(mine.loader.batches(5, 7), [mine.learner], [], first=5)
    assert taken == [(5, 3), (6, 3)]


def test_terms_of_different_losses_are_not_added_up() -> None:
    term = Term(torch.tensor(1.0), torch.tensor(2.0), 3)
    assert summed([{"a": term}, {"a": term}])["a"].images == 6
    with pytest.raises(ValueError, match="different losses"):
        summed([{"a": term}, {"b": term}])
