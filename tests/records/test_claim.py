"""A cell has one holder at a time; a claim ends with its process, whatever the clock says."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace

import pytest

from assignbench.records import claim, write_json
from assignbench.records.claim import CLAIM, Claimed, Signs, all_kept, holder_of, kept, release, renew, take
from assignbench.records.processes import began_of


@pytest.fixture
def other():
    """The claim of another process of this machine, which lives for the time of a test."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield replace(claim._me(0), pid=process.pid, began=began_of(process.pid))
        process.kill()


def test_a_claim_is_taken_told_renewed_and_given_back(tmp_path) -> None:
    take(tmp_path)
    held = holder_of(tmp_path)
    assert held is not None and held.pid == os.getpid() and held.here and held.alive and not held.orphaned
    take(tmp_path)
    renew(tmp_path)
    again = holder_of(tmp_path)
    assert again is not None and again.renewed > held.renewed and again.since == held.since
    release(tmp_path)
    assert holder_of(tmp_path) is None and not list(tmp_path.iterdir())


def test_a_living_process_keeps_its_cell(tmp_path, other) -> None:
    write_json(tmp_path / CLAIM, asdict(other))
    with pytest.raises(Claimed, match=rf"process {other.pid} on .* since \d\d\d\d-"):
        take(tmp_path)
    release(tmp_path)
    assert holder_of(tmp_path) == other


@pytest.mark.parametrize("shift", [-86400.0, 0.0, 86400.0])
def test_the_clock_decides_nothing_on_one_machine(tmp_path, other, shift, monkeypatch) -> None:
    write_json(tmp_path / CLAIM, asdict(other))
    now = time.time() + shift
    monkeypatch.setattr(time, "time", lambda: now)
    with pytest.raises(Claimed):
        take(tmp_path)
    write_json(tmp_path / CLAIM, asdict(replace(other, began=other.began + 1)))  # the number went to another process
    take(tmp_path)


def test_the_next_one_goes_over_to_what_its_launcher_started(tmp_path, other) -> None:
    write_json(tmp_path / CLAIM, asdict(other))
    take(tmp_path, launcher=other.pid)
    held = holder_of(tmp_path)
    assert held is not None and (held.pid, held.launcher, held.since) == (os.getpid(), other.pid, other.since)


@pytest.fixture
def away(tmp_path):
    """The claim of a process of another machine, whose clock is a year ahead; `away(n)` is its n-th renewal."""
    first = replace(claim._me(0), host="elsewhere", since=time.time() + 3e7)

    def renewed(count: int) -> claim.Holder:
        found = replace(first, renewed=first.since + count)
        write_json(tmp_path / CLAIM, asdict(found))
        return found

    return renewed


def test_another_machine_is_believed_while_it_renews(tmp_path, away, monkeypatch) -> None:
    monkeypatch.setattr(claim, "LOOK_SECONDS", 0.01)
    away(0)
    threading.Timer(0.1, away, [1]).start()
    with pytest.raises(Claimed, match="on elsewhere since"), all_kept([tmp_path]):
        pass
    signs = Signs()
    for count in (1, 2, 2, 3):
        found = away(count)
        with pytest.raises(Claimed, match="on elsewhere since"):
            take(tmp_path, signs=signs)
        assert holder_of(tmp_path) == found


@pytest.mark.parametrize("shift", [-1e9, 0.0, 1e9])
def test_another_machine_is_gone_when_nothing_came_for_a_lease_whatever_the_clocks_say(
    tmp_path, away, monkeypatch, shift
) -> None:
    now = [0.0]
    monkeypatch.setattr(claim.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(claim.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    real = time.time()
    monkeypatch.setattr(claim.time, "time", lambda: real + shift)
    away(0)
    with all_kept([tmp_path]):
        held = holder_of(tmp_path)
        assert held is not None and held.pid == os.getpid()
        assert claim.LEASE_SECONDS <= now[0] < claim.LEASE_SECONDS + 1


def test_a_claim_of_another_container_of_this_machine_is_one_of_another_machine(tmp_path, other) -> None:
    write_json(tmp_path / CLAIM, asdict(replace(other, pid=10**7, boot=f"{other.boot} other")))
    with pytest.raises(Claimed):
        take(tmp_path)


def test_who_lost_its_claim_is_told_and_takes_nothing_back(tmp_path, away, monkeypatch) -> None:
    monkeypatch.setattr(claim, "RENEWAL_SECONDS", 0.01)
    lost = threading.Event()
    with kept(tmp_path, lost=lost.set):
        assert not lost.wait(0.1)
        with claim._locked(tmp_path):
            found = away(1)
        assert lost.wait(60)
        assert holder_of(tmp_path) == found
    assert holder_of(tmp_path) == found


def test_a_claim_that_was_removed_is_made_again(tmp_path) -> None:
    take(tmp_path)
    (tmp_path / CLAIM).unlink()
    assert renew(tmp_path) and holder_of(tmp_path) is None  # a launcher, whose process has ended with its cell
    assert renew(tmp_path, restore=True)
    held = holder_of(tmp_path)
    assert held is not None and held.mine


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": "x"}', b"\xff"])
def test_a_broken_claim_is_none(tmp_path, content) -> None:
    (tmp_path / CLAIM).write_bytes(content)
    assert holder_of(tmp_path) is None
    with kept(tmp_path):
        assert holder_of(tmp_path) is not None


def test_all_or_none(tmp_path, other) -> None:
    folders = [tmp_path / n for n in ("a", "b", "c")]
    write_json(folders[1] / CLAIM, asdict(other))
    with pytest.raises(Claimed), all_kept(folders):
        pass
    assert [holder_of(f) for f in folders] == [None, other, None]


def _try(folder, start, tried, won, locks, links) -> None:
    if not locks:
        claim.fcntl.flock = _no_locks
    if not links:
        claim.os.link = _no_links
    start.wait()
    with suppress(Claimed):
        take(folder)
        with won.get_lock():
            won.value += 1
    tried.wait(600)  # who has won lives on until all have tried, and with it the claim


def _no_locks(*given: object) -> None:
    raise OSError("this file system knows no locks")


def _no_links(*given: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links(tmp_path, other, monkeypatch, code) -> None:
    def none(*given: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(claim.os, "link", none)
    take(tmp_path)
    held = holder_of(tmp_path)
    assert held is not None and held.mine and [p.name for p in tmp_path.iterdir()] == [CLAIM]
    release(tmp_path)
    with monkeypatch.context() as now:  # another one is faster
        now.setattr(claim, "holder_of", lambda folder: None)
        now.setattr(claim, "_remove_dead", lambda folder, dead: write_json(folder / CLAIM, asdict(other)))
        with pytest.raises(Claimed, match="has just begun"):
            take(tmp_path)
    assert holder_of(tmp_path) == other
    with pytest.raises(Claimed, match="has just begun"):  # and is put back by who took it for another one
        claim._remove_dead(tmp_path, None)
    assert holder_of(tmp_path) == other


def test_a_new_file_that_was_taken_away_while_it_was_empty_is_no_claim(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(claim.os, "link", _no_links)
    monkeypatch.setattr(claim.time, "sleep", lambda seconds: (tmp_path / CLAIM).unlink())
    with pytest.raises(Claimed, match="has just begun"):
        take(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("locks", "links"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("before", ["nothing", "dead", "broken"])
def test_of_many_at_once_one_wins(tmp_path, locks, links, before) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(4):
        folder = tmp_path / str(turn)
        if before == "dead":
            write_json(folder / CLAIM, asdict(replace(claim._me(0), began=1)))
        elif before == "broken":
            folder.mkdir()
            (folder / CLAIM).write_text("{")
        start, tried, won = context.Event(), context.Barrier(3), context.Value("i", 0)
        tries = [context.Process(target=_try, args=(folder, start, tried, won, locks, links)) for _ in range(3)]
        for process in tries:
            process.start()
        start.set()
        for process in tries:
            process.join()
        assert won.value == 1
        assert [p.name for p in folder.iterdir()] == [CLAIM]
