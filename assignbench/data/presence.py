"""Whether the files that a study names are there, looked at without reading them; and how many images they list."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from assignbench.config.catalog import CATALOG, IMAGES
from assignbench.config.data import DataSpec, Split
from assignbench.data.checks import missing_root
from assignbench.errors import InputError
from assignbench.json_files import load

LARGEST_COUNTED = 64 << 20  # bytes of a list, table or annotation file whose images are counted


def absent(spec: DataSpec, splits: Sequence[Split], root: Path) -> list[Path]:
    """The folders and files of these splits that are not there; the root alone if that is not."""
    if spec.kind == "shapes":
        return []
    named = dict.fromkeys(place for split in splits for place in _named(spec, split))
    inside = [root / place for place in named if _below(place)]
    return [path for path in inside if not _exists(path)] if _exists(root) else [root]


def _below(place: str) -> bool:
    """Whether a name stays below the root; a reader tells what is wrong with others."""
    return place.isprintable() and not Path(place).is_absolute() and ".." not in Path(place).parts


def _exists(path: Path) -> bool:
    """Whether something is there; not so for what no file can be called, such as a name of 300 letters."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def missing(spec: DataSpec, gone: Sequence[Path]) -> InputError:
    """The error for a data set of which `gone` are not there: the first of them, and how to get it."""
    kind = "annotation file" if gone[0].suffix else "folder"
    return missing_root(gone[0], f"data set '{spec.name}'", spec.obtain, kind)


def _named(spec: DataSpec, split: Split) -> Iterator[str]:
    """What a split names, below the root: folders of VOC; annotation files and picture folders of the others."""
    for first, second in spec.pairs(split):
        yield first
        if spec.kind != "voc":
            yield second


def images_of(spec: DataSpec, split: Split, root: Path) -> tuple[int, str] | None:
    """How many images a split has, and how that is known; None where nothing says it.

    Lists are counted without reading annotations, so images that a run leaves out are in; where they are not there or
    too large for that, the catalogue's own data sets have known numbers.
    """
    if spec.kind == "shapes":
        return {"train": spec.train_images, "val": spec.val_images, "test": spec.test_images}[split], "as set"
    counted = _counted(spec, split, root)
    if counted is not None:
        return counted, "counted"
    known = CATALOG.get(spec.name, {})
    if split == "val" or spec.pairs(split) != known.get(split) or spec.name not in IMAGES:
        return None
    return IMAGES[spec.name][("train", "test").index(split)], "as known"


def _counted(spec: DataSpec, split: Split, root: Path) -> int | None:
    total = 0
    for first, second in spec.pairs(split):
        name = f"{first}/ImageSets/Main/{second}.txt" if spec.kind == "voc" else first
        try:
            if not _below(name) or (root / name).stat().st_size > LARGEST_COUNTED:
                return None
            total += _COUNTED[spec.kind](root / name)
        except (
            InputError,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            csv.Error,
        ):  # a run tells why
            return None
    return total or None


def _lines(path: Path) -> int:
    return len({line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()})


def _entries(path: Path) -> int:
    return len(load(path)["images"])


def _named_by_rows(path: Path) -> int:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        first = next(rows, [])
        place = first.index("image_name") if "image_name" in first else 0
        own = set(first[:1]) if "image_name" not in first else set()
        return len({row[place] for row in rows if row} | own)


_COUNTED: dict[str, Callable[[Path], int]] = {"voc": _lines, "coco": _entries, "csv": _named_by_rows}
