"""The known words that an error names: the nearest, few of many, each once, whatever the words are."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from assignbench.errors import MOST_KNOWN, MOST_LETTERS, MOST_NAMED, nearest

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=100)


@given(st.lists(WORDS, max_size=60), WORDS)
def test_few_are_named_in_full_and_many_by_the_nearest_and_a_count(known, wanted) -> None:
    told = nearest(wanted, known)
    there = set(known)
    listed = told.rpartition("(known: ")[2].removesuffix(")")
    names, _, more = listed.partition(" and ")
    names = names.split(", ")
    assert len(told) <= 60 + 200 + (MOST_KNOWN + 1) * (MOST_LETTERS + 2)
    if not there:
        assert listed == "none"
    elif len(there) <= MOST_KNOWN:
        assert names == [n if len(n) <= MOST_LETTERS else f"{n[: MOST_LETTERS - 3]}..." for n in sorted(there)]
    else:
        assert 0 < len(names) <= MOST_NAMED and more == f"{len(there) - len(names)} more"


@given(st.lists(WORDS, min_size=1, max_size=60), st.data())
def test_a_word_twice_in_the_list_is_told_once_and_itself_is_offered(known, data) -> None:
    wanted = data.draw(st.sampled_from(known))
    assert nearest(wanted, known) == nearest(wanted, known * 2)
    assert nearest(wanted, known).lower().startswith(f"; did you mean '{wanted.lower()}'?")


def test_a_list_of_thousands_stays_short() -> None:
    """As of a data set's images; where none resembles, the first ones are named."""
    known = [f"{i:012d}.jpg" for i in range(5000)]
    assert nearest("zzz", known).startswith(" (known: 000000000000.jpg, ") and "4,994 more)" in nearest("zzz", known)
    assert "did you mean '000000004321.jpg'?" in nearest("00000004321.jpg", known)


@pytest.mark.parametrize("always", [False, True])
def test_what_resembles_is_offered(always) -> None:
    assert "did you mean 'AP'?" in nearest("ap", ["AP", "AR100", "NR"], always=always)
    assert ("did you mean" in nearest("zzz", ["AP", "AR100"], always=always)) == always
