"""A cell has one holder at a time; a claim ends with its process, whatever the clock says."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from assignbench.records import claim, write_json
from assignbench.records.claim import CLAIM, Claimed, all_kept, holder_of, kept, release, renew, take


@pytest.fixture
def other():
    """The claim of another process of this machine, which lives for the time of a test."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield replace(claim._me(0), pid=process.pid, began=claim.began_of(process.pid))
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


def test_another_machine_is_believed_while_it_renews(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(claim, "RENEWAL_SECONDS", 0.05)
    away = replace(claim._me(0), host="elsewhere")
    write_json(tmp_path / CLAIM, asdict(away))
    with pytest.raises(Claimed, match="on elsewhere since"), all_kept([tmp_path]):
        pass
    write_json(tmp_path / CLAIM, asdict(replace(away, renewed=away.renewed - 1e6)))
    with all_kept([tmp_path]):
        held = holder_of(tmp_path)
        assert held is not None and held.pid == os.getpid()


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


def _try(folder, start, won) -> None:
    start.wait()
    try:
        take(folder)
    except Claimed:
        return
    with won.get_lock():
        won.value += 1
    time.sleep(0.3)  # lives on, and with it the claim


def test_of_many_at_once_one_wins(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(20):
        start, won = context.Event(), context.Value("i", 0)
        tries = [context.Process(target=_try, args=(tmp_path / str(turn), start, won)) for _ in range(2)]
        for process in tries:
            process.start()
        start.set()
        for process in tries:
            process.join()
        assert won.value == 1
