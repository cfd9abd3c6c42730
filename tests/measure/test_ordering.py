"""Orders of many boxes: NumPy's stable ones, for whatever keys and scores."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from assignbench.measure.ordering import descending, stable_order

COUNTS = st.integers(0, 40)
SPECIAL = [np.nan, -np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 5e-324, -5e-324, 1.0, -1.0, 0.1, -0.1]
DTYPES = {np.float16: 16, np.float32: 32, np.float64: 64}


def whole(count: int) -> st.SearchStrategy[np.ndarray]:
    """Whole numbers of few bits or many, some of which lie in the high ones alone."""

    def of_width(bits: int) -> st.SearchStrategy[np.ndarray]:
        numbers = arrays(np.int64, count, elements=st.integers(-(1 << bits), (1 << bits) - 1))
        return st.tuples(numbers, st.integers(0, 63 - bits)).map(lambda drawn: drawn[0] << drawn[1])

    small = arrays(np.int32, count, elements=st.integers(-3, 3))
    return st.integers(0, 63).flatmap(of_width) | small | small.map(np.sort)


def scores(count: int) -> st.SearchStrategy[np.ndarray]:
    """Scores with many that are equal, and some that are no numbers."""

    def of(dtype: type) -> st.SearchStrategy[np.ndarray]:
        with np.errstate(over="ignore", under="ignore"):
            special = [float(v) for v in np.array(SPECIAL).astype(dtype)]
        elements = st.sampled_from(special) | st.floats(width=DTYPES[dtype])
        return arrays(dtype, count, elements=elements)

    return st.sampled_from([*DTYPES]).flatmap(of)


@given(COUNTS.flatmap(lambda n: st.lists(whole(n), min_size=1, max_size=4)))
def test_whole_numbers_by_one_key_after_the_other(keys) -> None:
    assert stable_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()


@given(COUNTS.flatmap(scores))
def test_scores_by_their_fall(drawn) -> None:
    assert stable_order(descending(drawn)).tolist() == np.argsort(-drawn, kind="stable").tolist()


@given(COUNTS.flatmap(lambda n: st.tuples(whole(n), scores(n), whole(n))))
def test_scores_between_whole_numbers(drawn) -> None:
    first, score, last = drawn
    assert stable_order(first, descending(score), last).tolist() == np.lexsort((last, -score, first)).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_scores_of_which_some_are_equal(dtype) -> None:
    rng = np.random.default_rng(0)
    score = rng.random(100_000).astype(dtype).round(4)
    image, label = np.sort(rng.integers(0, 500, len(score))), rng.integers(0, 80, len(score))
    assert (stable_order(descending(score)) == np.argsort(-score, kind="stable")).all()
    assert (stable_order(label, descending(score), image) == np.lexsort((image, -score, label))).all()
