"""What was worked out from a cell's records, kept in a file under the cell (`cache/analysis.bin`) for the next report.

The file's key says which code made it (the sources of everything that measures) and from which records (their sha256 by
the cell's manifest): a result is either that of this code and these records, or not there. A file that is damaged, or
of other records, or that cannot be written costs time and never an error. It holds numbers, texts and tables as plain
data, and nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json, write_bytes
from assignbench.records.manifest import CACHE, MANIFEST

FILE = Path(CACHE) / "analysis.bin"
LARGEST = 1 << 28  # bytes of a file that is read
MEASURING = ("analysis", "config", "measure", "records")  # packages whose code the results depend on
PLAIN = (str, int, float, bool, type(None))
DTYPES = frozenset(np.dtype(t).str for t in ("f8", "f4", "i8", "i4", "i2", "i1", "u1", "?"))
T = TypeVar("T")


class Kept:
    """Results by name, in memory and on disk. `file` None: in memory alone."""

    def __init__(self, file: Path | None = None, key: str = "") -> None:
        self._file, self._key = file, key
        self._values: dict[str, Any] = {}
        self._stored: dict[str, Any] | None = None
        self._fresh = False

    def get(self, name: Hashable, compute: Callable[[], T]) -> T:
        """The result of a name: as it was kept, else as `compute` gives it.

        `name` tells it from all others of the cell by its repr, parameters included. Results are numbers, texts,
        arrays, frames, and lists, tuples and dictionaries of them; `save` raises TypeError for any other.
        """
        text = repr(name)
        if text not in self._values:
            stored = self._read()
            if text in stored:
                self._values[text] = stored[text]
            else:
                self._values[text] = compute()
                self._fresh = True
        found: T = self._values[text]
        return found

    def holds(self, name: Hashable) -> bool:
        """Whether the result of a name is there."""
        return repr(name) in self._values or repr(name) in self._read()

    def reload(self) -> None:
        """Looks at the file again, which another process has written."""
        self._stored = None

    def _read(self) -> dict[str, Any]:
        if self._stored is None:
            self._stored = read_results(self._file, self._key) if self._file is not None else {}
        return self._stored

    def save(self) -> None:
        """Writes what is new, beside what another process has kept. Raises TypeError for what cannot be kept."""
        if self._file is None or not self._fresh:
            return
        content = packed({**read_results(self._file, self._key), **self._values}, self._key)
        self._fresh = False
        try:
            write_bytes(self._file, content)
        except OSError:  # such as a folder that may only be read
            return


def kept_of(record: CellRecord) -> Kept:
    """What is kept of a finished cell; in memory alone where its bytes are not compared with its manifest."""
    if not record.thorough or (record.folder / FILE.parent).is_symlink():
        return Kept()
    try:
        files = read_json(record.folder / MANIFEST)["files"]
        hashes = sorted((str(name), str(entry["sha256"])) for name, entry in files.items())
    except (InputError, KeyError, TypeError, AttributeError):
        return Kept()
    return Kept(record.folder / FILE, digest([code_digest(), *map(list, hashes)]))


def digest(content: object) -> str:
    """The sha256 of plain data."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def code_digest() -> str:
    """The sha256 of all code that measures, and of the versions of what it is built on."""
    package = Path(__file__).parent.parent
    sources = [p for name in MEASURING for p in sorted((package / name).rglob("*.py"))]
    texts = [[p.relative_to(package).as_posix(), hashlib.sha256(p.read_bytes()).hexdigest()] for p in sources]
    return digest([sys.version_info[:3], *map(version, ("numpy", "pandas", "scipy")), texts])


def packed(values: Mapping[str, Any], key: str) -> bytes:
    """Results as bytes: a line with the key and the sha256 of the rest, a line of JSON, and the arrays' bytes."""
    blobs: list[bytes] = []
    tree = json.dumps({name: _pack(value, blobs) for name, value in values.items()})
    body = tree.encode() + b"\n" + b"".join(blobs)
    head = {"key": key, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


def read_results(file: Path, key: str) -> dict[str, Any]:
    """The results of a file; none where it is missing, damaged, or of another key."""
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST:
            return {}
        head, body = file.read_bytes().split(b"\n", 1)
        if json.loads(head) != {"key": key, "sha256": hashlib.sha256(body).hexdigest()}:
            return {}
        tree, data = body.split(b"\n", 1)
        return {str(name): _unpack(value, data) for name, value in json.loads(tree).items()}
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return {}


def _pack(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list):
        return [_pack(v, blobs) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_pack(v, blobs) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack(k, blobs), _pack(v, blobs)] for k, v in value.items()]}
    if isinstance(value, np.ndarray) and value.dtype.str in DTYPES:
        offset = sum(map(len, blobs))
        blobs.append(np.ascontiguousarray(value).tobytes())
        return {"array": [value.dtype.str, list(value.shape), offset]}
    if isinstance(value, pd.DataFrame) and value.index.equals(pd.RangeIndex(len(value))):
        columns = [[name, _column(value[name], blobs)] for name in value.columns]
        return {"frame": columns, "rows": len(value)}
    raise TypeError(f"a {type(value).__name__} cannot be kept: {value!r:.100}")


def _column(column: pd.Series, blobs: list[bytes]) -> Any:
    plain = isinstance(column.dtype, np.dtype) and column.dtype.str in DTYPES
    return _pack(column.to_numpy() if plain else column.tolist(), blobs)


def _unpack(value: Any, data: bytes) -> Any:
    if isinstance(value, list):
        return [_unpack(v, data) for v in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_unpack(v, data) for v in value["tuple"])
    if "dict" in value:
        return {_unpack(k, data): _unpack(v, data) for k, v in value["dict"]}
    if "frame" in value:
        columns = {name: _unpack(column, data) for name, column in value["frame"]}
        return pd.DataFrame(columns, index=pd.RangeIndex(value["rows"]))
    dtype, shape, offset = value["array"]
    if dtype not in DTYPES:
        raise ValueError(dtype)
    flat = np.frombuffer(data, dtype, count=int(np.prod(shape, dtype=np.int64)), offset=offset)
    return flat.reshape(shape).copy()
