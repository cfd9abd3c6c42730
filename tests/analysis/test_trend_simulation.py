"""Trends over groups on simulated detections: error rates, what is planted, and groups that differ in size alone.

tests/simulation runs whole studies; here the slopes of single pairs, each moderated by none.
"""

import numpy as np
import pytest

from assignbench.analysis.estimates import estimates
from assignbench.analysis.measures import borrowed, held_by_class, jackknife, stretch, stretched
from assignbench.analysis.trends import slopes_of
from assignbench.analysis.verdicts import decided
from assignbench.measure.groups import GroupRule, group_precision
from assignbench.measure.matching import match
from assignbench.measure.precision import average_precision
from tests.analysis.simulation import IMAGES, PLAIN, THRESHOLDS, UNIFORM, Design, groups_of, studies
from tests.simulation.records import BASE, simulated
from tests.simulation.worlds import Method, World

pytestmark = pytest.mark.slow
STUDIES = 100
EQUAL, UNEQUAL = (50, 50, 50, 50), (150, 30, 35, 30)
MIDDLES = np.array([1.25, 2.0, 3.2, 5.0])
DRAWS = jackknife(IMAGES, 60)
WEIGHTS = np.concatenate([np.ones((1, IMAGES)), DRAWS.rows])


def curves(matches, design: Design, rule: GroupRule) -> np.ndarray:
    """AP [1 + R, cells, G] of every cell and group."""
    groups, cells = groups_of(design), matches.overlaps.classes
    found = []
    for g in range(len(design.sizes)):
        inside = np.tile(groups == g, cells)
        if rule == "all":
            values = average_precision(match(matches.overlaps, thresholds=THRESHOLDS, outside=~inside), WEIGHTS)
        else:
            values = average_precision(matches, WEIGHTS, group=inside)
        found.append(values.mean(axis=1))
    told = np.stack(found, axis=-1)
    return np.concatenate([told[:1], stretched(told[1:], DRAWS.reach)])


def verdicts(design: Design, method, seed: int, *, growing: float = 0.0) -> list[str]:
    """The verdict of every study's one trend: "higher", "lower" or "not resolvable"."""
    matches = studies(np.random.default_rng(seed), STUDIES, design, [PLAIN, method], growing=growing)
    aps = curves(matches, design, "balanced")
    aps = aps.reshape(len(WEIGHTS), STUDIES, design.seeds, 2, len(design.sizes))
    gained = (aps[..., 1, :] - aps[..., 0, :]).transpose(1, 0, 2, 3)  # study, replicate, seed, group
    images = np.minimum(design.sizes, IMAGES).astype(float)
    found = [estimates([slopes_of(one, MIDDLES, images)], ["base"])[0] for one in gained]
    return [decided(e.mean, e.p) for e in found]


def rate(told: list[str]) -> float:
    return sum(v != "not resolvable" for v in told) / len(told)


@pytest.mark.parametrize(("what", "sizes"), [("fewer false positives", UNEQUAL), ("more found", EQUAL)])
def test_what_is_the_same_in_every_group_is_no_trend(what: str, sizes) -> None:
    """5 % of 100 studies have a Monte-Carlo deviation of 2.2 points."""
    assert rate(verdicts(Design(sizes, own=0.8), UNIFORM[what], 11)) <= 0.08


def test_planted_trends_are_recovered() -> None:
    """1.3 probits from the first group to the last: from 65 % found to about 90 %."""
    told = verdicts(Design((100,) * 4, seeds=5, own=0.3), PLAIN, 15, growing=1.3)
    assert told.count("higher") / STUDIES >= 0.9 and "lower" not in told


def test_slopes_weigh_groups_by_their_images() -> None:
    """By hand: gains 0, 1, 5 at 0, 1, 2 with 40, 40 and 10 images: centre 2/3, slope 2."""
    x, y, w = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 5.0]), np.array([40.0, 40.0, 10.0])
    replicates = y + np.array([[-1.0], [1.0]]) * np.array([1.0, 1.0, 2.0])
    gained = np.concatenate([y[None], replicates])[:, None, :]  # 1 + R, one seed, G
    pull = np.array([-4 / 9 * 2 / 3, 4 / 9 * 1 / 3, 1 / 9 * 4 / 3]) / (24 / 54)  # over the sum of share (x - 2/3)^2
    found = slopes_of(gained, x, w)
    assert found.values.tolist() == pytest.approx([2.0]) and found.replicates.shape == (2, 1)
    assert found.replicates.mean() == pytest.approx(pull @ y)
    parts = pull**2 * np.array([1.0, 1.0, 4.0])
    assert found.freedom == pytest.approx(parts.sum() ** 2 / (parts**2 / (w - 1)).sum())


def test_a_class_in_few_images_is_stretched_to_the_variance_that_it_has() -> None:
    """The variance of a mean over 12 of 60 images, over many sets of numbers: s²/12, and what an AP of 12 images varies
    more than that.
    """
    rng = np.random.default_rng(20)
    cell = simulated(World(images=60), {"net": {BASE: Method()}}, rng).data()[0]
    inside = cell.overlaps.object_image < 12
    rows, drawn, wanted = jackknife(60, 2000).rows[:, :12], [], []
    for _ in range(30):
        numbers = rng.normal(size=12)
        means = rows @ numbers / rows.sum(axis=1)
        drawn.append(stretched(means[:, None], stretch(held_by_class(cell, inside)[0], 60)).var())
        wanted.append(numbers.var(ddof=1) / 12 * 13 / 11)
    assert np.mean(drawn) == pytest.approx(np.mean(wanted), rel=0.03)
    assert stretch(held_by_class(cell)[0], 60) == pytest.approx([jackknife(60).reach * (61 / 59) ** 0.5])
    assert np.isnan(stretch(held_by_class(cell, inside & False)[0], 60)).all()
    single = held_by_class(cell, cell.overlaps.object_image == 3)[0]
    assert stretch(single, 60).tolist() == [jackknife(60).reach]  # its false alarms are in all images


def test_a_class_in_few_images_borrows_deviations() -> None:
    """Of the fourth class, one image and object: those of the others, as large as one image of theirs makes them. A
    class of many objects on one image has those of an image; nothing changes where all classes have enough.
    """
    rng = np.random.default_rng(21)
    images, objects = np.array([50.0, 50, 50, 1, 1, 0]), np.array([50.0, 100, 50, 1, 70, 0])
    replicates = np.stack([0.5 + 0.02 * rng.normal(size=(200, 1)) for _ in images], axis=-1)
    replicates[:, :, 3:5], replicates[:, :, 5] = 0.8, np.nan
    found = borrowed(replicates, images, objects)
    np.testing.assert_array_equal(found[:, :, :3], replicates[:, :, :3])
    assert np.isnan(found[:, :, 5]).all()
    own = [0.02 * (50.5 / 1.5) ** 0.5, 0.02 * (100.5 / 1.5) ** 0.5, 0.02 * (50.5 / 1.5) ** 0.5]
    assert found[:, 0, 3].std() == pytest.approx(np.mean(np.square(own)) ** 0.5, rel=0.15)
    assert found[:, 0, 4].std() == pytest.approx(own[0], rel=0.15)
    assert np.abs(np.corrcoef(found[:, 0, :5].T)[3:, :3]).max() < 0.25  # from other draws than theirs
    np.testing.assert_array_equal(borrowed(replicates[:, :, 3:5], images[3:5], objects[3:5]), replicates[:, :, 3:5])


@pytest.mark.parametrize("what", ["better boxes", "more found"])
def test_the_old_rule_makes_a_trend_of_size_alone(what: str) -> None:
    """Teeth: with many objects the gain is the same in every group by the balanced rule, and shrinks by the old one."""
    design = Design((30000, 6000, 3000, 1000), seeds=1)
    matches = studies(np.random.default_rng(17), 1, design, [PLAIN, UNIFORM[what]])
    gained = {}
    for rule in ("balanced", "all"):
        aps = curves(matches, design, rule)[0]
        gained[rule] = aps[1] - aps[0]
    assert np.ptp(gained["balanced"]) < 0.02
    assert gained["all"][0] - gained["all"][3] > 0.03


def test_groups_that_differ_in_size_alone_have_the_same_precision() -> None:
    """With many objects the four groups agree to 1.5 points by the balanced rule, and differ by 20 by the other."""
    design = Design((60000, 12000, 6000, 2000), seeds=1)
    matches = studies(np.random.default_rng(17), 1, design, [PLAIN])
    balanced, full = (curves(matches, design, rule)[0, 0] for rule in ("balanced", "all"))
    assert np.ptp(balanced) < 0.015
    assert full[0] - full[3] > 0.2
    whole = average_precision(matches)[0].mean()
    assert np.average(balanced, weights=design.sizes) == pytest.approx(whole, abs=0.01)


def test_group_precision_of_everything_is_precision() -> None:
    matches = studies(np.random.default_rng(18), 2, Design(EQUAL), [PLAIN])
    everything = np.ones(len(matches.counted), bool)
    ours = average_precision(matches, WEIGHTS, group=everything)
    np.testing.assert_allclose(ours, average_precision(matches, WEIGHTS), atol=1e-12)
    for rule in ("balanced", "all"):
        found = group_precision(matches.overlaps, everything, rule=rule)
        np.testing.assert_allclose(found, average_precision(match(matches.overlaps)), atol=1e-12)
