"""Loops that Numba compiles give what NumPy gives, to the last bit where sums of weights are exact."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import ModuleType

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
    found = compiled._loops()
    assert found is not None
    return found


class Watched:
    """The loops, and the names of those that were called."""

    def __init__(self, loops: ModuleType) -> None:
        self.loops, self.called = loops, set[str]()

    def __getattr__(self, name: str) -> Callable[..., object]:
        self.called.add(name)
        return getattr(self.loops, name)


@contextmanager
def everywhere(way: Watched | None) -> Iterator[None]:
    """Has all of the folder take the loops, whatever the size, or none of it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (matching, precision, suppression):
            patch.setattr(module, "compiled", lambda name, seconds: way)
        yield


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
@pytest.mark.parametrize("step", [30, 29, 7])
def test_replicates_are_the_same_with_and_without_numba(loops, monkeypatch, seed, step) -> None:
    """Also where a block of them holds a single one, which NumPy adds up in an order of its own."""
    images, objects, detections = scene(seed)
    matches = match(overlaps_of(images, objects, detections, CLASSES))
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((30, len(images))) < 0.2, 2.0**-20, 1.0)
    groups = [None, rng.random(len(objects)) < 0.5, np.zeros(len(objects), bool)]
    slices = [slice(begin, begin + step) for begin in range(0, 30, step)]
    monkeypatch.setattr(precision, "blocks", lambda rows, width: iter(slices))
    watched = Watched(loops)
    with everywhere(None):
        without = average_precisions(matches, groups, weights)
    with everywhere(watched):
        np.testing.assert_array_equal(average_precisions(matches, groups, weights), without)
    assert watched.called == {"sums_up_to", "wrong", "area"}


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
def test_pairs_and_matches_are_the_same(loops, seed, grid, least) -> None:
    tables, watched, ways = rounded(seed, grid), Watched(loops), []
    for way in (None, watched):
        with everywhere(way):
            overlaps = overlaps_of(*tables, CLASSES, least=least)
            ways.append((overlaps, overlapping(*tables, least=least), matched(overlaps)))
    (ours, pairs, found), (theirs, other_pairs, other_found) = ways
    assert watched.called == {"pairs", "match"}
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
@example(count=0, seed=0, iou=0.5, limit=5, kind=np.float32, block=64)
@given(
    count=st.integers(0, 200),
    seed=st.integers(0, 2**32),
    iou=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    limit=st.sampled_from([1, 5, 10_000]),
    kind=st.sampled_from([np.float32, np.float64]),
    block=st.sampled_from([3, 16, 64]),
)
def test_nms_keeps_the_same(loops, count, seed, iou, limit, kind, block) -> None:
    """Also where boxes coincide, have no area or are no numbers, and with any labels; owners, where all boxes are
    looked at.
    """
    rng = np.random.default_rng(seed)
    boxes = rng.integers(0, 12, (count, 4)).astype(kind) * 8
    boxes[:, 2:] += boxes[:, :2] - 8 * (rng.random((count, 1)) < 0.1)
    boxes[rng.random(count) < 0.03] = np.nan
    labels = rng.choice([-(10**9), -1, 0, 10**12], count)
    given_ = (boxes, labels, rng.integers(0, 4, count), rng.integers(0, 9, count).astype(kind))
    found, watched = [], Watched(loops)
    for way in (None, watched):
        with everywhere(way), pytest.MonkeyPatch.context() as patch:
            patch.setattr(suppression, "BLOCK", block)
            found.append(clusters(*given_, iou, limit))
    (kept, owner), (other_kept, other_owner) = found
    assert watched.called == {"suppress"}
    np.testing.assert_array_equal(kept, other_kept)
    if limit > count:
        np.testing.assert_array_equal(owner, other_owner)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_labels_of_any_kind_part_the_boxes(kind) -> None:
    boxes, labels = np.tile([[0.0, 0.0, 9.0, 9.0]], (3, 1)), np.array([0, np.iinfo(kind).max, 0], kind)
    kept, owner = clusters(boxes, labels, np.zeros(3, int), np.array([3.0, 2.0, 1.0]), 0.5, 10)
    assert kept.tolist() == [0, 1] and owner.tolist() == [0, 1, 0]


def test_a_loop_is_there_once_it_would_have_paid(loops, monkeypatch) -> None:
    """For what NumPy does in a moment, nothing is imported, however often it is asked; loops count for themselves."""
    monkeypatch.setattr(compiled, "_asked", defaultdict(float))
    asked = [compiled.compiled("match", compiled.LEAST / 2) for _ in range(1000)]
    assert asked == [None] * 1000
    half = compiled.WORTH / 2
    assert [compiled.compiled("match", half) for _ in range(3)] == [None, loops, loops]
    assert compiled.compiled("pairs", half) is None


def test_without_numba_nothing_is_compiled(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_asked", defaultdict(float))
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "assignbench.measure.loops", raising=False)
    monkeypatch.delattr(assignbench.measure, "loops", raising=False)
    compiled._loops.cache_clear()
    assert compiled.compiled("match", 1e9) is None
    compiled._loops.cache_clear()
