"""The exact selections: ties, signs, and agreement with plain sorting."""

import pytest
import torch
from hypothesis import given, strategies as st
from torchvision.ops import box_iou

from assignbench.config.method import CoderConfig
from assignbench.contract import IGNORE, Context, Objects, Predictions
from assignbench.priors import Priors, anchor_grid
from assignbench.select import (
    adopt_orphans,
    first_true,
    hashed_uniform,
    matched_iou,
    predicted_iou,
    prior_iou,
    resolve_conflicts,
    sample_balanced,
    top_indices,
    top_mask,
)

COARSE = st.lists(st.sampled_from([-3.5, -1.0, -0.0, 0.0, 0.25, 1.0, float("inf")]), min_size=1, max_size=30)


@given(COARSE, st.integers(1, 31))
def test_top_indices_equal_a_stable_sort(values, k) -> None:
    row = torch.tensor(values)
    expected = row.sort(descending=True, stable=True).indices[:k]
    assert top_indices(row, k).tolist() == expected.tolist()


@given(COARSE, st.integers(0, 30))
def test_top_mask_takes_exactly_the_count(values, count) -> None:
    row = torch.tensor(values)[None]
    count = min(count, row.shape[1])
    mask = top_mask(row, torch.tensor([count]))
    expected = row[0].sort(descending=True, stable=True).indices[:count]
    assert mask[0].nonzero().flatten().tolist() == sorted(expected.tolist())


def test_top_mask_rows_have_their_own_counts() -> None:
    mask = top_mask(torch.tensor([[1.0, 3, 2], [5, 5, 5]]), torch.tensor([1, 2]))
    assert mask.tolist() == [[False, True, False], [True, True, False]]


def test_first_true() -> None:
    row, some = first_true(torch.tensor([[[False, True, True], [True, True, False]]]))
    assert row[0, :].tolist()[1:] == [0, 0]
    assert row[0, 0].item() == 1
    assert some.all()


def test_conflicts_go_to_the_higher_score_then_the_lower_object() -> None:
    index = torch.tensor([[[0, 1, 2], [0, 1, 2]]])
    score = torch.tensor([[[0.5, 0.2, -1.0], [0.5, 0.9, -2.0]]])
    chosen = torch.tensor([[[True, True, True], [True, True, False]]])
    assert resolve_conflicts(index, chosen, score, 4)[0].tolist() == [0, 1, 0, -1]


def test_orphans_take_their_best_prior_unless_it_is_anothers_only_one() -> None:
    priors = Priors(
        torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [30, 30, 40, 40]]), strides=torch.ones(3), kind="anchor"
    )
    objects = Objects(
        torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 10], [80, 80, 90, 90]]), torch.zeros(3, dtype=torch.long)
    )
    # Object 0 owns prior 0 alone, so object 1 gets prior 1; object 2 touches nothing and stays an orphan.
    assert adopt_orphans(torch.tensor([[0, -1, -1]]), priors, objects)[0].tolist() == [0, 1, -1]


def test_blocks_give_the_same(monkeypatch) -> None:
    from assignbench import select

    values = torch.randint(0, 6, (2, 5, 40), generator=torch.Generator().manual_seed(0)).float()
    whole = top_indices(values, 7)
    monkeypatch.setattr(select, "BLOCK", 90)
    assert torch.equal(top_indices(values, 7), whole)
    counts = torch.arange(10).view(2, 5)
    assert torch.equal(top_mask(values, counts).sum(-1), counts)


FORTY = st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 0.75, 2.0]), min_size=40, max_size=40)


@given(st.lists(FORTY, min_size=1, max_size=4))
def test_selecting_by_value_equals_a_stable_sort(rows) -> None:
    values = torch.tensor(rows)
    expected = values.sort(dim=-1, descending=True, stable=True).indices[:, :4]
    assert torch.equal(top_indices(values, 4), expected)
    spread = values + torch.linspace(0, 0.2, 40).flip(0)
    assert torch.equal(top_indices(spread, 4), spread.sort(dim=-1, descending=True, stable=True).indices[:, :4])


def row_of_points(count: int) -> Priors:
    points = torch.stack([torch.arange(count) * 8.0 + 4, torch.full((count,), 4.0)], dim=-1)
    return Priors.from_points(points, torch.full((count,), 8.0))


def test_sampling_draws_half_positives_and_fills_up_with_negatives() -> None:
    index = torch.full((2, 100), -1)
    index[0, :40], index[1, :3] = 0, 0
    index[:, 90:] = IGNORE
    objects = Objects(torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.long))
    priors = row_of_points(100)
    drawn = sample_balanced(index, index >= 0, 20, Context(image_ids=(5, 9)), objects, priors)
    assert (drawn & (index >= 0)).sum(1).tolist() == [10, 3]
    assert (drawn & (index == -1)).sum(1).tolist() == [10, 17]
    assert not bool((drawn & (index == IGNORE)).any())
    alone = sample_balanced(index[1:], index[1:] >= 0, 20, Context(image_ids=(9,)), objects.images(1, 2), priors)
    assert torch.equal(alone[0], drawn[1])
    later = sample_balanced(index, index >= 0, 20, Context(image_ids=(5, 9), epoch=1), objects, priors)
    assert not torch.equal(drawn, later)


def test_draws_are_uniform_and_belong_to_the_prior() -> None:
    priors = anchor_grid((64, 96), (4, 8), (2.0, 3.0), (1.0, 2.0))
    objects = Objects(torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.long))
    luck = hashed_uniform(Context(image_ids=(5, 9)), objects, priors, salt=3)
    assert luck.shape == (2, 3, len(priors))
    # Means and neighbours' correlations of n uniform numbers lie within 4 / sqrt(12 n) and 4 / sqrt(n).
    n = luck.numel()
    assert abs(luck.mean().item() - 0.5) < 4 / (12 * n) ** 0.5
    flat = (luck - 0.5) * 12**0.5
    assert abs((flat[..., 1:] * flat[..., :-1]).mean().item()) < 4 / n**0.5
    assert abs((flat[:, 1:] * flat[:, :-1]).mean().item()) < 4 / (n * 2 / 3) ** 0.5
    assert len(luck[0, 0].unique()) > 0.99 * len(priors)
    keep = (priors.points[:, 0] < 64).nonzero().squeeze(1)
    few = priors.take(keep, tuple(int((priors.strides[keep] == s).sum()) for s in (4, 8)))
    assert torch.equal(hashed_uniform(Context(image_ids=(5, 9)), objects, few, salt=3), luck[..., keep])
    chosen = torch.tensor([[[3, 8], [1, 0], [5, 5]]]).expand(2, -1, -1)
    some = hashed_uniform(Context(image_ids=(5, 9)), objects, priors, salt=3, chosen=chosen)
    assert torch.equal(some, luck.gather(2, chosen))


@pytest.mark.parametrize("convention", ["none", "freeanchor", "paa"])
def test_ious_count_pixels_as_the_coding_says(convention) -> None:
    random = torch.Generator().manual_seed(0)
    corner = (50 * torch.rand(12, 2, generator=random)).round()
    boxes = torch.cat([corner, corner + (30 * torch.rand(12, 2, generator=random)).round()], dim=-1)
    coding = CoderConfig(legacy_plus_one=convention)
    priors = Priors(boxes[:8], strides=torch.ones(8), kind="anchor", coding=coding)
    objects = Objects(boxes[8:], torch.zeros(4).long(), torch.tensor([True, True, True, False]))
    extra = torch.tensor([0.0, 0, 1, 1]) * (convention != "none")
    expected = box_iou(boxes[8:] + extra, boxes[:8] + extra).nan_to_num(0)
    expected[3] = 0
    torch.testing.assert_close(prior_iou(priors, objects)[0], expected)
    predictions = Predictions(torch.zeros(1, 8, 1), None, boxes[None, :8])
    torch.testing.assert_close(predicted_iou(priors, predictions, objects)[0], expected)
    paired = matched_iou(priors, boxes[:3], boxes[8:11])
    torch.testing.assert_close(paired, expected[:3, :3].diagonal())


def test_orphans_that_want_the_same_prior() -> None:
    priors = anchors([0.0, 0, 10, 10], [0, 0, 10, 14], [40, 40, 50, 50])
    objects = Objects(torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10]]), torch.zeros(2, dtype=torch.long))
    # Both want prior 0; object 1 overlaps it more (1 against .9), so object 0 gets its next best.
    assert adopt_orphans(torch.tensor([[-1, -1, -1]]), priors, objects)[0].tolist() == [1, 0, -1]


def test_an_owner_of_two_keeps_its_best_prior() -> None:
    priors = anchors([0.0, 0, 10, 10], [1, 0, 11, 10])
    objects = Objects(torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 10], [1, 0, 12, 10]]), torch.zeros(3).long())
    # Object 0 owns both; one can be given away, to the orphan that overlaps it more, and no more than one.
    assert adopt_orphans(torch.tensor([[0, 0]]), priors, objects)[0].tolist() == [0, 2]


def anchors(*boxes: list[float]) -> Priors:
    return Priors(torch.tensor(boxes), strides=torch.ones(len(boxes)), kind="anchor")


def best_of(index: list[int], owner: int, iou: torch.Tensor) -> int:
    """The prior that an owner overlaps most among its own."""
    return max((a for a, o in enumerate(index) if o == owner), key=lambda a: (iou[a].item(), -a))


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 12), st.floats(0, 1))
def test_adoption_never_orphans_and_serves_whom_it_can(seed, width, count, busy) -> None:
    random = torch.Generator().manual_seed(seed)
    corners = (20 * torch.rand(2, width + count, 2, generator=random)).round()
    sides = 2 + (20 * torch.rand(2, width + count, 2, generator=random)).round()
    boxes = torch.cat([corners, corners + sides], dim=-1)
    objects = Objects(boxes[:, :width], torch.zeros(2, width).long(), torch.rand(2, width, generator=random) < 0.9)
    priors = anchors(*boxes[0, width:].tolist())
    index = torch.randint(width, (2, count), generator=random)
    index[torch.rand(2, count, generator=random) > busy] = -1
    index[~objects.valid.gather(1, index.clamp(min=0))] = -1
    found = adopt_orphans(index.clone(), priors, objects)
    iou = prior_iou(priors, objects)
    for image in range(2):
        before, after = index[image].tolist(), found[image].tolist()
        held = {g: after.count(g) for g in range(width)}
        assert all(held[g] > 0 for g in set(before) - {-1})
        for g in range(width):
            if g in before or not objects.valid[image, g]:
                assert held[g] <= before.count(g)  # owners and invalid objects gain nothing
                continue
            assert held[g] <= 1
            kept = {
                max((a for a, o in enumerate(before) if o == h), key=lambda a, h=h: (iou[image, h, a], -a))
                for h in set(before) - {-1}
            }
            adopted = {a for a in range(count) if after[a] != before[a]}
            if held[g] == 0:  # whatever it touches is kept by its owner or was given to another orphan
                assert all(a in kept or a in adopted for a in range(count) if iou[image, g, a] > 0)
            else:
                assert iou[image, g, after.index(g)] > 0


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(2, 40))
def test_top_indices_of_long_rows_with_ties_equal_a_stable_sort(seed, k, levels) -> None:
    """Few ties at the k-th value, and so many that they fill the row."""
    rows = torch.randint(levels, (3, 200), generator=torch.Generator().manual_seed(seed)).float()
    expected = rows.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    assert torch.equal(top_indices(rows, k), expected)
