"""The kinds of data sets by name. A kind's file registers its reader here; nothing else knows how it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from assignbench.config.data import DataSpec, Split
from assignbench.data.base import DetectionData
from assignbench.data.checks import missing_root
from assignbench.errors import InputError


class Reader(Protocol):
    """Reads one split; `root` is the data folder of this machine, `cache` a folder for what is expensive to make.

    Raises InputError for everything that the user has to mend.
    """

    def __call__(self, spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData: ...


READERS: dict[str, Reader] = {}


def reads(kind: str) -> Callable[[Reader], Reader]:
    """Decorator that enters the reader of a kind."""

    def enter(reader: Reader) -> Reader:
        if kind in READERS:
            raise ValueError(f"data kind '{kind}' is registered twice")
        READERS[kind] = reader
        return reader

    return enter


def listed(spec: DataSpec, split: Split, root: Path) -> list[tuple[str, str]]:
    """The pairs that name a split of a data set in files. Raises InputError without a root folder or such pairs."""
    if not root.is_dir():
        raise missing_root(root, f"data set '{spec.name}'", spec.obtain)
    parts = spec.pairs(split)
    if not parts:
        raise InputError(f"data set '{spec.name}': names no {split} split; set data.{split}")
    return parts


def one_pair(spec: DataSpec, split: Split, root: Path) -> tuple[str, str]:
    """The one (annotation file, image folder) pair of a split. Raises InputError as `listed`, and for several."""
    pairs = listed(spec, split, root)
    if len(pairs) != 1:
        raise InputError(
            f"data set '{spec.name}': {spec.kind} needs one (annotations, folder) pair for {split}, got {len(pairs)}; "
            f"give data.{split} one pair"
        )
    return pairs[0]
