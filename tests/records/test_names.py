"""File names from labels: safe on every system, and different for different labels."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pytest

from assignbench.records.names import LONGEST, file_name

ALPHABET = [*"abzAZ09_-. /\\:*?\"<>|$%~'`\n\t\x00\x1b\x7f", "..", "../", "é", "\u202e", "\ud800", "漢", "con", "COM1"]


def labels(count: int) -> list[str]:
    """Texts made of what names can be spoilt by, short and long."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(0, 12, count) * rng.choice([1, 1, 1, 40], count)
    return ["".join(ALPHABET[i] for i in rng.integers(0, len(ALPHABET), n)) for n in sizes]


def test_every_label_gives_a_safe_name() -> None:
    for label in labels(4000):
        name = file_name(label)
        assert re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,99}", name), (label, name)
        assert ".." not in name and not name.endswith(".") and len(name) <= LONGEST
        assert PurePosixPath(name).name == name and PureWindowsPath(name).name == name
        assert not PureWindowsPath(name).is_reserved()
        assert not any(unicodedata.category(c).startswith("C") for c in name)
        assert file_name(name) == name


def test_different_labels_have_different_names() -> None:
    known = set(labels(4000)) | {"a/b", "a\\b", "a b", "A/b", "a" * 300, "a" * 301, "voc", "VOC", "", ".", ".."}
    assert len({file_name(label) for label in known}) == len(known)


@pytest.mark.parametrize("label", ["voc0712", "retinanet-slim", "evolution-strips-shapes-fcos-slim", "a.b_c-1"])
def test_plain_labels_stay(label) -> None:
    assert file_name(label) == label


@pytest.mark.parametrize("label", ["con", "NUL.txt", "com1", "aux.", "lpt9.csv", "COM1/x"])
def test_devices_of_windows_are_no_names(label) -> None:
    assert file_name(label).split(".")[0] not in {"con", "nul", "com1", "aux", "lpt9"}
