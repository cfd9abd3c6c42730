"""What was read of large annotation files and looked at of pictures, kept for the next command in a study's cache.

Annotations are kept by the hash of their file's content, pictures by size and times of each file. What is broken,
foreign or cannot be written costs time, never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL

from assignbench.data.base import Problem
from assignbench.records.files import whole_file
from assignbench.records.hashes import SETTLED_NS, FileHashes, stat_of

if TYPE_CHECKING:
    from assignbench.data.instances import Instances

VERSION = 1  # of what is kept; a change of what the readers take needs another one
WORTH = 1 << 23  # bytes of a file: reading smaller ones takes no time
FEW = 2000  # pictures: looking at fewer takes no time
MOST = 12  # files of a folder; the ones that were used longest ago go
_COLUMNS = {
    **dict.fromkeys(("images", "widths", "heights", "ids", "owners", "category_ids", "places"), np.int64),
    **dict.fromkeys(("boxes", "areas"), np.float64),
    **dict.fromkeys(("crowd", "ignored"), np.bool_),
}


class KeptInstances:
    """An instances file as it was read before; `cache` is the folder of the study's cache (None: nothing is kept).

    Its hashes have a file of their own: that of the cells' inputs holds every picture, and takes long to read.
    """

    def __init__(self, cache: Path | None, path: Path) -> None:
        self._hashes = FileHashes(cache / "annotations" / "hashes.json") if cache and _size(path) >= WORTH else None
        self._path, self._folder, self._digest = path, cache / "annotations" if cache else Path(), ""

    def read(self, make: Callable[..., Instances]) -> Instances | None:
        """The file's content; None where it is not kept."""
        if self._hashes is None:
            return None
        self._digest = self._hashes.of(self._path)
        place = self._place()
        try:
            with np.load(place, allow_pickle=False) as held:
                found = _unpacked({name: held[name] for name in held.files}, self._path, make)
        except Exception:  # what numpy's and zip's readers raise for a file that is broken is no closed list
            return None
        with suppress(OSError):
            os.utime(place)
        return found

    def write(self, found: Instances) -> None:
        """Keeps what was read, if the file is still the one that was hashed."""
        if self._hashes is not None and self._digest and self._hashes.of(self._path) == self._digest:
            _write(self._place(), lambda file: np.savez(file, allow_pickle=False, **_packed(found)))

    def _place(self) -> Path:
        return self._folder / f"{self._digest[:32]}-{VERSION}.npz"


class SeenPictures:
    """Which picture files were found sound, by their size and times. A file that was changed has another ctime.

    `told` says what they were looked at for: paths and annotated sizes.
    """

    def __init__(self, cache: Path | None, paths: Sequence[str], told: Callable[[], Sequence[str]]) -> None:
        self._place: Path | None = None
        if cache is None or len(paths) < FEW:
            return
        text = "\n".join([str(VERSION), PIL.__version__, *told()])
        key = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
        self._place = cache / "pictures" / f"{key[:32]}.npy"
        self._since = time.time_ns()
        self._stamps = _stamps(paths)
        self._known = self._before()

    def unchanged(self, count: int) -> npt.NDArray[np.bool_]:
        """Whether each of the `count` files [N] was sound and is what it was."""
        if self._place is None:
            return np.zeros(count, np.bool_)
        return np.asarray((self._stamps == self._known).all(axis=1) & (self._stamps[:, 0] > 0))

    def keep(self, sound: npt.NDArray[np.bool_]) -> None:
        """Keeps which of the files [N] are sound by now."""
        if self._place is None:
            return
        settled = self._stamps[:, 2] < self._since - SETTLED_NS
        stamps = np.where((sound & settled)[:, None], self._stamps, -1)
        if not np.array_equal(stamps, self._known):
            _write(self._place, lambda file: np.save(file, stamps))

    def _before(self) -> npt.NDArray[np.int64]:
        none = np.full_like(self._stamps, -1)
        if self._place is None:
            return none
        try:
            found = np.load(self._place, allow_pickle=False)
            return found if found.dtype == none.dtype and found.shape == none.shape else none
        except Exception:  # as above
            return none


def kept_facts(cache: Path | None, images: int, told: object, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` says of a data set of so many images, kept in a study's cache.

    `told` is all that it depends on, as JSON can write it, but for this code: whoever changes what `make` says counts
    `VERSION` up. What is kept has to have the form that `make` gave it.
    """
    if cache is None or images < FEW:
        return make()
    key = hashlib.sha256(json.dumps([VERSION, told], sort_keys=True).encode()).hexdigest()
    place = cache / "facts" / f"{key[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(place.read_text())
        if found["told"] == told and isinstance(found["facts"], dict):
            os.utime(place)
            return dict(found["facts"])
    facts = make()
    _write(place, lambda file: file.write(json.dumps({"told": told, "facts": facts}).encode()))
    return facts


def _stamps(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """Size, mtime and ctime of each file [N, 3]; zeros where there is none."""
    stamps: list[int] = []
    for path in paths:
        found = stat_of(path)
        stamps += (0, 0, 0) if found is None else (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return np.asarray(stamps, np.int64).reshape(-1, 3)


def _size(path: Path) -> int:
    found = stat_of(path)
    return 0 if found is None else found.st_size


def _write(place: Path, fill: Callable[[Any], object]) -> None:
    """Writes a file whole or not at all, and removes those of its folder that nobody used for longest."""
    try:
        with whole_file(place) as partial, partial.open("wb") as file:
            fill(file)
        others = sorted(place.parent.glob(f"*{place.suffix}"), key=lambda p: p.stat().st_mtime_ns)
        for old in others[:-MOST]:
            old.unlink(missing_ok=True)
    except OSError:
        return


def _packed(found: Instances) -> dict[str, npt.NDArray[Any]]:
    """The columns of an instances file, its texts as bytes."""
    categories = [[number, name] for number, name in found.categories.items()]
    problems = [[p.what, p.object, p.image_lost, p.hint] for p in found.problems]
    texts = json.dumps({"names": found.names, "categories": categories, "problems": problems}).encode()
    columns = {name: getattr(found, name) for name in _COLUMNS}
    return {**columns, "annotated": np.asarray(found.annotated), "texts": np.frombuffer(texts, np.uint8)}


def _unpacked(held: dict[str, npt.NDArray[Any]], path: Path, make: Callable[..., Instances]) -> Instances:
    """The same from a file. Raises ValueError, KeyError and TypeError for what `_packed` does not make."""
    columns = {name: held[name] for name in _COLUMNS}
    texts = json.loads(held["texts"].tobytes())
    images, objects = len(texts["names"]), len(columns["ids"])
    for name, column in columns.items():
        rows = (images if name in ("images", "widths", "heights") else objects, *((4,) if name == "boxes" else ()))
        if column.dtype != _COLUMNS[name] or column.shape != rows:
            raise ValueError(name)
    categories = {int(number): str(name) for number, name in texts["categories"]}
    problems = [Problem(path.name, what, thing, bool(lost), hint) for what, thing, lost, hint in texts["problems"]]
    more = {"names": texts["names"], "categories": categories, "problems": problems, "path": path}
    return make(**columns, **more, annotated=bool(held["annotated"]))
