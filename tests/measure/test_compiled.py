"""Loops that Numba compiles give what NumPy gives, to the last bit where sums of weights are exact."""

import sys
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import assignbench.measure
from assignbench.measure import compiled, matching, precision, suppression
from assignbench.measure.matching import Overlaps, match, overlapping, overlaps_of
from assignbench.measure.precision import LEVELS, NOTHING, Arithmetic, average_precisions
from assignbench.measure.sums import sums_up_to
from assignbench.measure.suppression import clusters
from tests.measure.test_matching import CLASSES, scene


@pytest.fixture(scope="module")
def loops():
    pytest.importorskip("numba", reason="Numba (extra `fast`) is not installed")
    return compiled.compiled(1.0)


@pytest.fixture
def used(loops, monkeypatch) -> list[str]:
    """Has `matching`, `precision` and `suppression` take the loops, whatever the size; which of them did."""
    asked: list[str] = []
    for module in (matching, precision, suppression):
        name = module.__name__
        monkeypatch.setattr(module, "compiled", lambda _, name=name: asked.append(name) or loops)
    return asked


def curve(rng: np.random.Generator, weights: str) -> tuple[np.ndarray, ...]:
    """Weights of images, rows of right detections in them, and what counts up to each of these.

    Two replicates and more: of one nothing is compiled, and NumPy adds in another order.
    """
    images, columns, hits = (int(n) for n in rng.integers([1, 2, 1], [8, 40, 60]))
    rows = {
        "jackknife": lambda: np.where(rng.random((images, columns)) < 0.2, 2.0**-20, 1.0),
        "counts": lambda: rng.integers(0, 4, (images, columns)).astype(float),
        "shares": lambda: rng.random((images, columns)),
    }[weights]()
    image = rng.integers(0, images, hits)
    wrong = np.cumsum(rows[rng.integers(0, images, hits)] * rng.integers(0, 3, (hits, 1)), axis=0)
    return rows, image, np.cumsum(rows[image], axis=0) + wrong


@pytest.mark.parametrize("weights", ["jackknife", "counts", "shares"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(sorted(LEVELS)), shared=st.booleans(), all_found=st.booleans())
def test_compiled_arithmetic_is_that_of_numpy(loops, weights, seed, kind, shared, all_found) -> None:
    rng = np.random.default_rng(seed)
    by_image, image, counted = curve(rng, weights)
    rows = np.sort(rng.choice(2 * len(image), len(image), replace=False))  # of more than are asked for
    more = np.full((2 * len(image), counted.shape[1]), np.nan)
    more[rows] = counted
    kind = "area" if weights == "shares" else kind  # levels are missed by a rounding of sums in another order
    whole = NOTHING if all_found else by_image[image].sum(axis=0) + rng.integers(0, 5)
    share = rng.integers(0, 5, by_image.shape[1]) / 4 if shared else NOTHING
    found = []
    for arithmetic in (precision.IN_NUMPY, Arithmetic(loops.sums_up_to, loops.wrong, loops.area)):
        wrong = arithmetic.wrong(by_image, image, more, rows)
        others, places = (wrong, np.arange(len(rows))) if shared else (more, rows)
        found.append((wrong, arithmetic.area(by_image, image, others, places, share, whole, LEVELS[kind])))
    for ours, compiled_ in zip(*found, strict=True):
        if weights == "shares":
            np.testing.assert_allclose(ours, compiled_, rtol=0, atol=1e-12)
        else:
            np.testing.assert_array_equal(ours, compiled_)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), ends=st.sets(st.integers(0, 60)), which=st.sets(st.integers(0, 60)))
def test_compiled_sums_are_those_of_numpy(loops, seed, ends, which) -> None:
    rng = np.random.default_rng(seed)
    by_image, image = np.where(rng.random((7, 5)) < 0.2, 2.0**-20, 1.0), rng.integers(0, 7, 61)
    places = [np.array(sorted(some), np.int64) for some in (ends, which)]
    found = [way(*places, image, by_image) for way in (sums_up_to, loops.sums_up_to)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("seed", range(3))
def test_replicates_are_the_same_with_and_without_numba(loops, monkeypatch, seed) -> None:
    images, objects, detections = scene(seed)
    matches = match(overlaps_of(images, objects, detections, CLASSES))
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((30, len(images))) < 0.2, 2.0**-20, 1.0)
    groups = [None, rng.random(len(objects)) < 0.5, np.zeros(len(objects), bool)]
    without = average_precisions(matches, groups, weights)
    asked: list[float] = []
    monkeypatch.setattr(precision, "compiled", lambda seconds: asked.append(seconds) or loops)
    np.testing.assert_array_equal(average_precisions(matches, groups, weights), without)
    assert asked[0] > 0


def rounded(seed: int, columns: int):
    """A scene of which boxes often coincide, and overlap by the same, with crowds, difficult objects, and detections of
    unknown images.
    """
    images, objects, detections = scene(seed)
    for table in (objects, detections):
        corners = table[["x1", "y1", "x2", "y2"]].to_numpy()
        table[["x1", "y1", "x2", "y2"]] = (corners / columns).round() * columns
    rng = np.random.default_rng(seed)
    detections.loc[rng.random(len(detections)) < 0.05, "image_id"] = 10**6
    return images, objects, detections


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grid", [1, 16])
@pytest.mark.parametrize("least", [0.5, 0.1, 0.0])
def test_pairs_and_matches_are_the_same(loops, used, monkeypatch, seed, grid, least) -> None:
    tables = rounded(seed, grid)
    taken = overlaps_of(*tables, CLASSES, least=least)
    ways = [(taken, overlapping(*tables, least=least), matched(taken))]
    assert {*used} == {matching.__name__}
    monkeypatch.setattr(matching, "compiled", lambda _: None)
    own = overlaps_of(*tables, CLASSES, least=least)
    ways.append((own, overlapping(*tables, least=least), matched(own)))
    (ours, pairs, found), (theirs, other_pairs, other_found) = ways
    assert len(pairs[0]) and any((each >= 0).any() for each in found)
    for field in fields(Overlaps):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))
    for one, other in (*zip(pairs, other_pairs, strict=True), *zip(found, other_found, strict=True)):
        np.testing.assert_array_equal(one, other)


def matched(overlaps: Overlaps) -> list[np.ndarray]:
    """Who found what by several rules."""
    outside = np.arange(len(overlaps.crowd)) % 3 == 0
    rules = ({}, {"outside": outside}, {"area": (0.0, 40.0**2)}, {"max_detections": 2}, {"thresholds": (0.1, 1.0)})
    return [match(overlaps, **rule).found for rule in rules]


@settings(max_examples=60, deadline=None)
@example(count=0, seed=0, iou=0.5, limit=5, kind=np.float32)
@given(
    count=st.integers(0, 200),
    seed=st.integers(0, 2**32),
    iou=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    limit=st.sampled_from([1, 5, 10_000]),
    kind=st.sampled_from([np.float32, np.float64]),
)
def test_nms_keeps_the_same(loops, count, seed, iou, limit, kind) -> None:
    """Also where boxes coincide, have no area or are no numbers; owners, where no limit ends the search."""
    rng = np.random.default_rng(seed)
    boxes = rng.integers(0, 12, (count, 4)).astype(kind) * 8
    boxes[:, 2:] += boxes[:, :2] - 8 * (rng.random((count, 1)) < 0.1)
    boxes[rng.random(count) < 0.03] = np.nan
    given_ = (boxes, rng.integers(0, 3, count), rng.integers(0, 4, count), rng.integers(0, 9, count).astype(kind))
    found = []
    for way in (None, loops):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(suppression, "compiled", lambda _, way=way: way)
            found.append(clusters(*given_, iou, limit))
    (kept, owner), (other_kept, other_owner) = found
    np.testing.assert_array_equal(kept, other_kept)
    if limit > count:
        np.testing.assert_array_equal(owner, other_owner)


def test_little_is_not_compiled(monkeypatch) -> None:
    """For what NumPy does in a moment nothing is imported."""
    monkeypatch.setattr(compiled, "_loops", lambda: pytest.fail("asked for"))
    assert compiled.compiled(compiled.WORTH / 2) is None


def test_without_numba_nothing_is_compiled(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "assignbench.measure.loops", raising=False)
    monkeypatch.delattr(assignbench.measure, "loops", raising=False)
    compiled._loops.cache_clear()
    assert compiled.compiled(1e9) is None
    compiled._loops.cache_clear()
