"""A download goes on where it stopped, and never mixes two files."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from assignbench.downloads import transfer
from assignbench.downloads.transfer import Stopped, download
from assignbench.errors import InputError
from tests.downloads.server import Served

CONTENT = np.random.default_rng(0).bytes(40_000)
MOST = 1 << 20


def fetch(served: Served, target, **options) -> bool:
    waited: list[float] = []
    found = download(f"{served.address}/a", target, lambda came, total: None, most=MOST, pause=waited.append, **options)
    assert all(second > 0 for second in waited)
    return found


@pytest.mark.parametrize("length", [True, False])
def test_a_whole_file(served, tmp_path, length) -> None:
    served.files["/a"], served.length = CONTENT, length
    seen: list[tuple[int, int]] = []
    target = tmp_path / "new" / "a"
    assert not download(f"{served.address}/a", target, lambda *now: seen.append(now), most=MOST)
    assert target.read_bytes() == CONTENT
    assert seen[0][0] == 0 and seen[-1] == (len(CONTENT), len(CONTENT) if length else 0)
    assert [p.name for p in target.parent.iterdir()] == ["a"]


@pytest.mark.parametrize(("ranges", "tag"), list(itertools.product((True, False), ('"one"', 'W/"weak"', ""))))
@pytest.mark.parametrize("cuts", [[1], [0, 13_000, 0], [39_000, 1, 500]])
def test_cut_connections_of_servers_of_every_kind(served, tmp_path, ranges, tag, cuts) -> None:
    """Parts are only added where the server knows them and says which file they are of."""
    served.files["/a"] = CONTENT
    served.ranges, served.tag, served.cuts = ranges, tag, list(cuts)
    continued = fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(served.asked) == len(cuts) + 1
    assert continued == (ranges and tag == '"one"' and any(cuts[:-1] + cuts[-1:]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_another_call_goes_on_where_one_gave_up(served, tmp_path) -> None:
    served.files["/a"], served.cuts = CONTENT, [10_000, *([0] * transfer.TRIES)]
    with pytest.raises(Stopped, match="stopped after 10000 bytes"):
        fetch(served, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    served.cuts = []
    assert fetch(served, tmp_path / "a")
    assert served.asked[-1] == ("/a", "bytes=10000-")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_slow_line_is_no_reason_to_give_up(served, tmp_path) -> None:
    """Only attempts that bring nothing count."""
    served.files["/a"], served.cuts = CONTENT, [1000] * 20
    assert fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_begins_anew(served, tmp_path) -> None:
    served.files["/a"], served.cuts = CONTENT, [10_000, *([0] * transfer.TRIES)]
    with pytest.raises(Stopped):
        fetch(served, tmp_path / "a")
    for tag, other in (('"two"', CONTENT[::-1]), ('"three"', b"short")):
        served.files["/a"], served.tag, served.cuts = other, tag, []
        (tmp_path / "a").unlink(missing_ok=True)
        fetch(served, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == other


def test_a_beginning_of_another_address_or_longer_than_the_file_is_not_used(served, tmp_path) -> None:
    served.files["/a"], served.files["/b"] = CONTENT, CONTENT[::-1]
    served.cuts = [10_000, *([0] * transfer.TRIES)]
    with pytest.raises(Stopped):
        fetch(served, tmp_path / "a")
    served.cuts = []
    download(f"{served.address}/b", tmp_path / "a", lambda *_: None, most=MOST)
    assert (tmp_path / "a").read_bytes() == CONTENT[::-1]
    served.files["/a"], served.cuts = CONTENT, [10_000, *([0] * transfer.TRIES)]
    with pytest.raises(Stopped):
        fetch(served, tmp_path / "c")
    served.files["/a"], served.cuts = CONTENT[:5000], []  # with the same ETag, which is wrong
    fetch(served, tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == CONTENT[:5000]


def test_a_server_that_is_busy_is_asked_again_and_one_without_the_file_is_not(served, tmp_path) -> None:
    served.files["/a"], served.statuses = CONTENT, [503, 429, 500]
    fetch(served, tmp_path / "a")
    assert len(served.asked) == 4
    for status in (401, 403, 404, 410):
        served.asked.clear()
        served.statuses = [status]
        with pytest.raises(InputError, match=f"answers {status}"):
            fetch(served, tmp_path / "b")
        assert len(served.asked) == 1


def test_redirections(served, tmp_path) -> None:
    """Ranges go along; what is not HTTP is not followed, nor a circle."""
    served.files["/b"], served.cuts = CONTENT, [10_000]
    served.moved = {"/a": f"{served.address}/b"}
    assert fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    for wrong in ("file:///etc/hostname", "ftp://127.0.0.1/a", "data:,a"):
        served.moved = {"/a": wrong}
        with pytest.raises(InputError, match=r"not allowed|not http or https"):
            fetch(served, tmp_path / "c")
    served.moved = {"/a": f"{served.address}/a"}
    with pytest.raises(InputError, match="302"):
        fetch(served, tmp_path / "c")
    with pytest.raises(InputError, match="not https"):
        transfer._check_address("http://there/a", "https://here/a")
    with pytest.raises(InputError, match="not http or https"):
        download("file:///etc/hostname", tmp_path / "c", lambda *_: None, most=MOST)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("length", [True, False])
def test_a_server_that_sends_without_end(served, tmp_path, length) -> None:
    served.files["/a"], served.length = CONTENT, length
    with pytest.raises(InputError, match="not the file"):
        download(f"{served.address}/a", tmp_path / "a", lambda *_: None, most=1000)
    assert not (tmp_path / "a").exists()


def test_too_little_room_is_told_before_the_first_byte(served, tmp_path, monkeypatch) -> None:
    served.files["/a"] = CONTENT
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(InputError, match="40000 bytes are still to come, and 100 are free"):
        fetch(served, tmp_path / "a")


def test_nobody_answers(tmp_path) -> None:
    with pytest.raises(Stopped, match="no connection"):
        download("http://127.0.0.1:9/a", tmp_path / "a", lambda *_: None, most=MOST, pause=lambda _: None)
