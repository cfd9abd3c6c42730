"""What every data set gives to everyone downstream, whatever its files look like."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import overload

import numpy as np
import numpy.typing as npt

from assignbench.errors import InputError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

# Bytes of decoded images that all processes of a run on a machine hold at most: of a split that is learned from, and of
# one that is measured on.
LEARNED, MEASURED = 2 << 30, 1 << 28
# What differs between problems of one kind: what stands in brackets or quotes, and numbers.
_VALUES = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|'[^']*'|-?[0-9][0-9.x]*")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a data set: where, what, and whether an object or the whole image has to be left out.

    `hint` is a way out that many problems may share.
    """

    file: str
    what: str
    object: str = ""
    image_lost: bool = False
    hint: str = ""

    @property
    def place(self) -> str:
        """File and object."""
        return f"{self.file}{f', {self.object}' if self.object else ''}"

    def __str__(self) -> str:
        return f"{self.place}: {self.what}{f'; {self.hint}' if self.hint else ''}"


@dataclass(frozen=True)
class ImageRecord:
    """One image and its objects: boxes [N, 4] xyxy px of the original · labels [N] 0-based · crowd, difficult [N].

    `areas` [N] is what the annotation says (COCO: of the mask), `ids` [N] are annotation ids, `attributes` are known
    factors per object (shapes only).
    """

    id: int
    name: str
    width: int
    height: int
    boxes: Floats
    labels: Ints
    crowd: Bools
    difficult: Bools
    areas: Floats
    ids: Ints
    attributes: dict[str, Floats] = field(default_factory=dict)


class Files(Sequence[Path]):
    """Files that are kept as texts, as pathlib writes them; each is a path when it is asked for.

    100,000 paths take a second to make, and as long again to be looked up, or joined.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Files: ...
    def __getitem__(self, index: int | slice) -> Path | Files:
        return Files(self.texts[index]) if isinstance(index, slice) else Path(self.texts[index])


def texts_of(files: Iterable[Path]) -> Sequence[str]:
    """Paths as pathlib writes them."""
    return files.texts if isinstance(files, Files) else [str(path) for path in files]


@dataclass
class DetectionData:
    """One split: class names, image records, pixels on demand, and what was left out while reading.

    `sources` are all annotation files and lists that were read for it, `files` all image files that it names, also
    those that were left out: what a cell's identity is made of. Embedded scenes have none. `annotated` is False where
    nobody knows the objects: nothing can be measured on such a split, and its detections are there to be exported.
    `notes` are sentences on what is read as it stands and looks wrong.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    images: Sequence[ImageRecord]
    read: Callable[[int], Pixels]
    skipped: list[Problem] = field(default_factory=list)
    sources: tuple[Path, ...] = ()
    files: Sequence[Path] = ()
    annotated: bool = True
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> Ints:
        """How many objects each image has [N]."""
        told: Callable[[], Ints] | None = getattr(self.images, "counts", None)
        return np.asarray([len(i.labels) for i in self.images], np.int64) if told is None else told()

    def share(self, sharers: int) -> None:
        """Leaves others, so many processes with this one, their parts of the room for decoded images."""
        if isinstance(self.read, PixelCache):
            self.read.sharers = sharers

    def release(self) -> None:
        """Gives back what decoded images hold."""
        if isinstance(self.read, PixelCache):
            self.read.clear()

    def fingerprint(self) -> str:
        """16 hex digits over class names, image names, sizes and boxes: the data that a number was measured on."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for image in self.images:
            digest.update(f"{image.id} {image.name} {image.width} {image.height}".encode())
            for array in (image.boxes, image.labels, image.crowd, image.difficult):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


class PixelCache:
    """Decoded originals (uint8 [H, W, 3]) kept in RAM: `limit` bytes of them at most in so many processes (`sharers`),
    of which each has its part.

    Those that came first stay: a training visits every image once an epoch, in another order each time, and of a set
    that is larger than its room by far, the latest are never those that come next. With `latest`, they are what is
    kept, for images that are read several times in a row.
    """

    def __init__(self, read: Callable[[int], Pixels], limit: int = LEARNED, *, latest: bool = False) -> None:
        self.limit, self.latest, self.sharers = limit, latest, 1
        self._read, self._held = read, 0
        self._images: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = Lock()

    def __call__(self, index: int) -> Pixels:
        with self._lock:
            if index in self._images:
                self._images.move_to_end(index)
                return self._images[index]
        pixels, room = self._read(index), self.limit // self.sharers
        with self._lock:
            while self.latest and self._images and self._held + pixels.nbytes > room:
                self._held -= self._images.popitem(last=False)[1].nbytes
            if index not in self._images and self._held + pixels.nbytes <= room:
                self._images[index] = pixels
                self._held += pixels.nbytes
        return pixels

    def clear(self) -> None:
        """Gives the memory back; images are decoded again when they are asked for."""
        with self._lock:
            self._images.clear()
            self._held = 0


def grouped(problems: Sequence[Problem]) -> list[str]:
    """The problems as lines; those that differ in names and numbers alone share one, which counts them and has the
    values of three.
    """
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((_VALUES.sub("…", problem.what), problem.hint), []).append(problem)
    lines = []
    for (_, hint), members in groups.items():
        if len(members) == 1:
            lines.append(str(members[0]))
            continue
        simple = all(m.what == members[0].what for m in members)
        first, *others = members[:3]
        shown = "; ".join([first.place, *(m.place if simple else f"{m.place}: {m.what}" for m in others)])
        alike = "" if simple else ", or alike"
        lines.append(f"{len(members)} × {first.what}{alike}, e.g. {shown}{f'; {hint}' if hint else ''}")
    return lines


def refusal(problems: Sequence[Problem], where: str, remedy: str) -> InputError:
    """The error that shows problems in groups, with what can be done about them."""
    lines = grouped(problems)
    shown = "\n  ".join(lines[:40])
    more = f"\n  and {len(lines) - 40} more kinds" if len(lines) > 40 else ""
    return InputError(f"{where}: {len(problems)} annotation problem(s)\n  {shown}{more}\n{remedy}")


def settle(problems: Sequence[Problem], on_bad: str, where: str) -> list[Problem]:
    """Returns the problems when they may be skipped; raises InputError that shows them in groups when not."""
    if problems and on_bad == "error":
        raise refusal(
            problems,
            where,
            "Mend the files, or set data.on_bad: skip to leave these out (counted in the report); "
            "`assignbench doctor STUDY` counts every kind in all splits, with three examples.",
        )
    return list(problems)


def is_file(path: Path) -> bool:
    """Whether there is a regular file; not where no file can have the name, such as one of more than 255 bytes."""
    try:
        return path.is_file()
    except OSError:
        return False


def within(root: Path, name: str, source: str) -> Path:
    """`root / name`. Raises InputError if the name leads out of the root or cannot be a file's name."""
    steps = Path(name)
    if not name.isprintable() or not name.strip():
        raise InputError(f"{source}: file name {name!r:.200} is empty or holds characters that cannot be printed")
    if steps.is_absolute() or ".." in steps.parts:
        raise InputError(f"{source}: image file '{name}' leads out of the data root {root}")
    return root / name
