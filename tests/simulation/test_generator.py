"""The generator itself: what it says of the truth is what the package measures on its records."""

from dataclasses import replace

import numpy as np
import pytest

from assignbench.analysis import measures
from assignbench.analysis.trends import group_curve, groups_of
from assignbench.measure.groups import group_precision
from assignbench.measure.precision import average_precision, mean_over_classes
from tests.simulation.detections import drawn, found_by, latents, mixed
from tests.simulation.questions import PLAIN
from tests.simulation.records import BASE, simulated
from tests.simulation.truth import gain, gaining, gaining_alike, population, precision
from tests.simulation.worlds import EQUAL, ZIPF, Method, World, layout_of


def test_the_direct_precision_is_that_of_the_records() -> None:
    world, rng = World(images=40), np.random.default_rng(1)
    cell = simulated(world, {"net": {BASE: Method(boxes=0.4)}}, rng).data()[0]
    rng = np.random.default_rng(1)
    layout = layout_of(world, rng)
    common, suits = latents(world, layout, rng), latents(world, layout, rng)
    quality = drawn(world, rng, world.seeds)[0]
    found = found_by(
        Method(boxes=0.4), world, layout, mixed(world, common, suits, latents(world, layout, rng)), quality
    )
    ours = average_precision(cell.matches)[0][:, 0]
    np.testing.assert_allclose(ours, precision(found, len(layout.image)), atol=1e-12)
    assert measures.measured(cell, "AP") == pytest.approx(ours.mean())


def test_every_box_finds_its_own_object_also_in_crowds() -> None:
    study = simulated(World(images=60, even=False), {"net": {BASE: PLAIN}}, np.random.default_rng(2))
    o = study.data()[0].overlaps
    touching = len(np.unique(o.pair_detection))
    assert touching < len(o.pair_detection)  # some touch a neighbour too
    matched = study.data()[0].matches.found[:, 0]
    assert len(np.unique(matched[matched >= 0])) == (matched >= 0).sum() == touching


@pytest.mark.parametrize("even", [True, False])
def test_groups_are_of_equal_or_of_very_unequal_size(even: bool) -> None:
    study = simulated(World(images=400, even=even), {"net": {BASE: PLAIN}}, np.random.default_rng(3))
    for factor in ("aspect_ratio", "objects_in_image", "crowdedness"):
        groups = groups_of(study.data()[0], factor)
        assert groups.untestable == "" and len(groups.names) >= 3
        sizes = groups.objects / groups.objects.sum()
        assert (sizes.max() < 2 * sizes.min()) if even else (sizes.max() > 2.2 * sizes.min()), (factor, sizes)


def test_groups_have_the_same_precision_where_nothing_is_harder() -> None:
    study = simulated(World(images=3000, luck=0.8), {"net": {BASE: PLAIN}}, np.random.default_rng(4))
    cell = study.data()[0]
    whole = measures.measured(cell, "AP")
    inside = [cell.objects.aspect_ratio.between(*edges) for edges in ((1, 1.5), (2.5, 4))]
    for group in inside:
        found = mean_over_classes(group_precision(cell.overlaps, group.to_numpy(), matches=cell.matches))
        assert found[0] == pytest.approx(whole, abs=0.02)


def test_truth_knows_neither_luck_nor_what_suits_a_method_unless_errors_are_skewed() -> None:
    one, other = World(own=0.1, luck=0.1), World(own=0.6, luck=0.4)
    assert population(one, PLAIN)["AP"] == pytest.approx(population(other, PLAIN)["AP"], abs=0.003)
    assert gain(one, PLAIN, PLAIN) == 0.0
    assert gain(one, Method(recall=0.8), PLAIN) == pytest.approx(gain(other, Method(recall=0.8), PLAIN), abs=0.001)


def test_truth_is_what_many_records_measure() -> None:
    world = World(images=1500, seeds=8, seed=0.05)
    study = simulated(world, {"net": {BASE: PLAIN, "a": Method(recall=0.8)}}, np.random.default_rng(5))
    by_method = {m: [measures.measured(c, "AP") for c in study.data() if c.keys["method"] == m] for m in (BASE, "a")}
    seen = np.mean(by_method["a"]) - np.mean(by_method[BASE])
    assert seen == pytest.approx(gain(world, Method(recall=0.8), PLAIN), abs=0.02)


def test_calibrated_methods_have_the_gains_that_they_are_said_to_have() -> None:
    world = World()
    assert gain(world, gaining(world, 0.04), PLAIN) == pytest.approx(0.04, abs=2e-4)
    alike = gaining_alike(world, 0.8)
    assert gain(world, alike, PLAIN, "AP50") == pytest.approx(gain(world, alike, PLAIN, "AP75"), abs=2e-4)


@pytest.mark.parametrize("skewed", [True, False])
def test_errors_have_mean_zero_and_variance_one(skewed: bool) -> None:
    world = World(images=2000, skewed=skewed)
    rng = np.random.default_rng(6)
    layout = layout_of(world, rng)
    latent = mixed(world, *(latents(world, layout, rng) for _ in range(3)))
    assert abs(latent.mean()) < 0.05 and latent.var() == pytest.approx(1.0, abs=0.05)


def test_classes_have_the_shares_of_the_world() -> None:
    for shares in (EQUAL, ZIPF):
        layout = layout_of(World(images=2000, classes=shares), np.random.default_rng(7))
        found = np.bincount(layout.label) / len(layout.label)
        np.testing.assert_allclose(found, np.asarray(shares) / sum(shares), atol=0.02)


def test_a_number_always_gives_the_same_study() -> None:
    worlds = World(images=20), replace(World(images=20), skewed=True)
    for world in worlds:
        one, two = (simulated(world, {"net": {BASE: PLAIN}}, np.random.default_rng(8)) for _ in range(2))
        assert one.data()[2].detections.equals(two.data()[2].detections)
    assert group_curve(one.data()[0], "crowdedness").shape[0] == 1 + measures.REPLICATES
