"""Hashes of files: any edit is seen, nothing is read twice, a broken cache costs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import time

import numpy as np
import pytest

from assignbench.records import hashes
from assignbench.records.hashes import FileHashes


@pytest.fixture
def settled(monkeypatch) -> None:
    """Files of this moment are trusted as old ones are, so that a test need not wait."""
    monkeypatch.setattr(hashes, "SETTLED_NS", -1_000_000_000)


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The names of the files that were read."""
    names: list[str] = []
    read = hashes._hash

    def counted(path, *given):
        names.append(path.name)
        return read(path, *given)

    monkeypatch.setattr(hashes, "_hash", counted)
    return names


def test_it_is_the_sha256_of_the_content(tmp_path) -> None:
    rng = np.random.default_rng(0)
    block = 1 << 20
    sizes = [0, 1, block - 1, block, block + 1, *map(int, rng.integers(0, 5000, 20))]
    contents = {tmp_path / f"{i}.bin": rng.bytes(size) for i, size in enumerate(sizes)}
    for path, content in contents.items():
        path.write_bytes(content)
    found = FileHashes(None).of_all(contents)
    assert found == {p: hashlib.sha256(c).hexdigest() for p, c in contents.items()}


def test_a_file_is_read_once_over_processes(tmp_path, settled, reads) -> None:
    path, cache = tmp_path / "a", tmp_path / ".cache" / "hashes.json"
    path.write_text("1")
    first = FileHashes(cache).of(path)
    assert FileHashes(cache).of(path) == first
    assert reads == ["a"]


@pytest.mark.parametrize("back", [False, True], ids=["mtime as it comes", "mtime set back"])
def test_an_edit_of_the_same_size_is_seen(tmp_path, settled, back) -> None:
    path, cache = tmp_path / "a", tmp_path / "hashes.json"
    path.write_text("1")
    before, times = FileHashes(cache).of(path), path.stat()
    time.sleep(0.02)  # the kernel's clock of files ticks every few milliseconds
    path.write_text("2")
    if back:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert FileHashes(cache).of(path) != before


def test_touching_a_file_changes_nothing(tmp_path, settled) -> None:
    path, cache = tmp_path / "a", tmp_path / "hashes.json"
    path.write_text("1")
    before = FileHashes(cache).of(path)
    os.utime(path, ns=(1, 1))
    assert FileHashes(cache).of(path) == before


def test_a_file_that_was_just_written_is_not_trusted_to_its_times(tmp_path, reads) -> None:
    path, cache = tmp_path / "a", tmp_path / "hashes.json"
    path.write_text("1")
    known = FileHashes(cache)
    assert known.of(path) == known.of(path)
    assert reads == ["a", "a"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"x": 1}', '{"x": [1, 2, 3, 4]}', "[" * 100_000, "\0"])
def test_a_broken_cache_is_made_again(tmp_path, settled, text) -> None:
    path, cache = tmp_path / "a", tmp_path / "hashes.json"
    path.write_text("1")
    cache.write_text(text)
    assert FileHashes(cache).of(path) == hashlib.sha256(b"1").hexdigest()
    assert str(path) in json.loads(cache.read_text())


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, settled) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    assert FileHashes(path / "hashes.json").of(path) == hashlib.sha256(b"1").hexdigest()


def test_two_writers_lose_nothing(tmp_path, settled) -> None:
    cache = tmp_path / "hashes.json"
    first, second = FileHashes(cache), FileHashes(cache)
    for name, known in (("a", first), ("b", second)):
        (tmp_path / name).write_text(name)
        known.of(tmp_path / name)
    assert set(json.loads(cache.read_text())) == {str(tmp_path / "a"), str(tmp_path / "b")}


def test_what_is_no_file_has_no_hash(tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "fifo", ".", "nul\0l"):
        assert FileHashes(None).of(tmp_path / name) == ""


def test_long_reading_is_told_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(hashes, "TELL_SECONDS", -1.0)
    paths = [tmp_path / str(i) for i in range(5)]
    for path in paths:
        path.write_text("1")
    told: list[str] = []
    FileHashes(None).of_all(paths, told.append)
    assert len(told) == 1 and "5 files" in told[0]
