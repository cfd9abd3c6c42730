"""Every equation that a paper's file claims in its header is marked exactly once, on the line that computes it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from assignbench import assigners

FOLDER = Path(assigners.__file__).parent
HEADER = re.compile(r"^Equations: (.+)$", re.MULTILINE)
MARK = re.compile(r"#.*\bEqs?\. ((?:\(\d+\)(?:, )?)+)")
NUMBER = re.compile(r"\((\d+)\)")
# The five papers, in the files that implement them: equations that LTM's text has are split over two files.
FILES = ("mutual_guidance", "mlc", "musu", "ltm", "mean_max", "paa")


def claimed(source: str) -> list[int]:
    found = HEADER.search(source.split('"""')[1])
    return [int(n) for n in found.group(1).split(", ")] if found else []


def marked(source: str) -> list[int]:
    return [int(n) for mark in MARK.findall(source) for n in NUMBER.findall(mark)]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem)
def test_what_a_header_claims_is_marked_once_and_nothing_else(path) -> None:
    source = path.read_text()
    numbers = claimed(source)
    assert numbers == sorted(set(numbers))
    assert (path.stem in FILES) <= bool(numbers), f"{path.name} needs a line 'Equations: ...' in its docstring"
    if numbers:
        assert Counter(marked(source)) == Counter(numbers)


def test_a_mark_is_read_from_comments_alone() -> None:
    assert marked("x = 1  # Eqs. (4), (5)\n'see Eq. (9)'\ny = 2  # as printed.  Eq. (6)\n") == [4, 5, 6]
