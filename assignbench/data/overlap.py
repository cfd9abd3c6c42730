"""What stands in a data set twice: pictures in both splits or more than once in one, and objects of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from assignbench.data.base import DetectionData, is_file

_END = 4096  # bytes at the end of a file that are compared before all of it is


def overlap_notes(
    train: DetectionData,
    test: DetectionData,
    hash_of: Callable[[Path], str],
    measured: str = "test",
    known: Mapping[Path, str] | None = None,
) -> list[str]:
    """Sentences about image files with the same content and objects that are there twice, and the splits' own notes.

    `measured` is what the split of `test` is called. Only files that agree in length and in their end are hashed, by
    `hash_of`; where the hashes of all files are `known`, none is opened.
    """
    splits = {"train": _there(train.files), measured: _there(test.files)}
    split_of: dict[Path, set[str]] = {}
    for split, files in splits.items():
        for path in files:
            split_of.setdefault(path, set()).add(split)
    known = known or {}
    sure = all(known.get(path) for path in split_of)
    groups = _same(split_of, (_length, known.__getitem__) if sure else (_length, _end, hash_of))
    notes = []
    shared = [g for g in groups if {s for p in g for s in split_of[p]} == {"train", measured}]
    shared += [[p] for p, found in split_of.items() if len(found) == 2 and not any(p in g for g in shared)]
    if shared:
        count = sum(1 for g in shared for p in g if measured in split_of[p])
        notes.append(
            f"{count} of {len(splits[measured])} {measured} images are training images too, e.g. {_shown(shared[0])}; "
            "take them out of one of the splits: what was learnt by heart is no measure of a method"
        )
    for split in splits:
        twice = [m for g in groups if len(m := [p for p in g if split in split_of[p]]) > 1]
        if twice:
            notes.append(
                f"{sum(len(g) - 1 for g in twice)} images of the {split} split are there more than once, "
                f"e.g. {_shown(twice[0])}"
            )
    for split, data in (("train", train), (measured, test)):
        notes += [*_repeated(data, split), *(f"{split} split: {n}" for n in data.notes)]
    return notes


def _repeated(data: DetectionData, split: str) -> list[str]:
    """Objects of one image with the same class and box."""
    count, example = 0, ""
    for image in data.images:
        boxes = zip(image.labels.tolist(), map(tuple, image.boxes.tolist()), strict=True)
        again = len(image.labels) - len(set(boxes))
        count += again
        example = example or (image.name if again else "")
    if not count:
        return []
    return [f"{count} objects of the {split} split are there twice, with the same class and box, e.g. in {example}"]


def _there(files: Iterable[Path]) -> list[Path]:
    return [p for p in dict.fromkeys(files) if is_file(p)]


def _same(files: Iterable[Path], keys: Sequence[Callable[[Path], object]]) -> list[list[Path]]:
    """Groups of two or more files that agree in all keys, of which a later one is asked for less often."""
    groups = [list(files)]
    for key in keys:
        finer = []
        for group in groups:
            parts: dict[object, list[Path]] = {}
            for path in group:
                parts.setdefault(key(path), []).append(path)
            finer += [p for p in parts.values() if len(p) > 1]
        groups = finer
    return groups


def _length(path: Path) -> int:
    return path.stat().st_size


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END))
        return file.read()


def _shown(group: Sequence[Path]) -> str:
    return " = ".join(f"{p.parent.name}/{p.name}" for p in group[:2])
