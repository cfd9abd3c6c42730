"""No archive writes outside of its folder, and one that is refused leaves nothing behind."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from assignbench.downloads import unpack as module
from assignbench.downloads.unpack import unpack
from assignbench.errors import InputError
from tests.downloads.conftest import packed

KINDS = ("zip", "tar", "tar.gz")
FILES = {"top/a/1.txt": b"one", "top/a/2.txt": b"two" * 1000, "top/b/3.txt": b"", "top/LICENSE": b"free"}


def _files(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_out(kind, tmp_path) -> None:
    archive = tmp_path / f"x.{kind}"
    archive.write_bytes(packed(kind, FILES))
    unpack(archive, tmp_path / "whole")
    assert _files(tmp_path / "whole") == FILES
    unpack(archive, tmp_path / "part", strip=1, only=("a/", "LICENSE"))
    assert _files(tmp_path / "part") == {k[4:]: v for k, v in FILES.items() if not k.startswith("top/b")}


@pytest.mark.parametrize("kind", KINDS)
def test_two_archives_fill_one_folder(kind, tmp_path) -> None:
    """As VOC's do; what was there stays, what has the same name is replaced."""
    first, second = tmp_path / f"1.{kind}", tmp_path / f"2.{kind}"
    first.write_bytes(packed(kind, FILES))
    second.write_bytes(packed(kind, {"top/a/2.txt": b"new", "top/c/4.txt": b"four"}))
    unpack(first, tmp_path / "f")
    unpack(second, tmp_path / "f")
    assert _files(tmp_path / "f") == {**FILES, "top/a/2.txt": b"new", "top/c/4.txt": b"four"}


ODD = ("../out", "a/../../out", "/out", "a/../out", "..\\out", "C:out", "a\nb", "x" * 300, "a/..")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ODD)
def test_names_that_lead_out(kind, name, tmp_path) -> None:
    inner = tmp_path / "deep" / "folder"
    archive = tmp_path / f"x.{kind}"
    archive.write_bytes(packed(kind, {"fine.txt": b"1", name: b"2"}))
    for only in ((), ("fine",)):  # also where the name would not be taken
        with pytest.raises(InputError, match="leads out of its folder"):
            unpack(archive, inner, only=only)
    assert _files(tmp_path) == {archive.name: archive.read_bytes()}


@settings(max_examples=60)
@given(
    st.lists(st.text(alphabet="ab./\\~-\u00e9", min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
    st.sampled_from(KINDS),
    st.integers(0, 2),
)
def test_whatever_the_names_are_nothing_lies_elsewhere(tmp_path_factory, names, kind, strip) -> None:
    folder = tmp_path_factory.mktemp("any")
    archive = folder / f"x.{kind}"
    archive.write_bytes(packed(kind, {name: b"content" for name in names}))
    with suppress(InputError, OSError):  # OSError: one is a file and a folder at once
        unpack(archive, folder / "in" / "side", strip=strip)
    assert all(p.is_relative_to(folder / "in" / "side") or p == archive for p in folder.rglob("*") if p.is_file())


def test_links_and_devices(tmp_path) -> None:
    for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            link = tarfile.TarInfo("link")
            link.type, link.linkname = kind, "/etc"
            tar.addfile(link)
            inside = tarfile.TarInfo("link/passwd")
            tar.addfile(inside, io.BytesIO())
        archive = tmp_path / f"{number}.tar"
        archive.write_bytes(content.getvalue())
        with pytest.raises(InputError, match="a link or a device"):
            unpack(archive, tmp_path / "f")
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as packed_link:
        packed_link.writestr(info, "/etc")
    with pytest.raises(InputError, match="a link or a device"):
        unpack(tmp_path / "l.zip", tmp_path / "f")
    assert not _files(tmp_path / "f")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_archives(kind, tmp_path) -> None:
    """Cut or changed anywhere: an error that names the file, or the whole of it; never half of it."""
    content = packed(kind, FILES)
    for place in range(0, len(content) - 1, max(1, len(content) // 25)):
        for broken in (content[:place], content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]):
            archive = tmp_path / f"x.{kind}"
            archive.write_bytes(broken)
            target = tmp_path / "f"
            try:
                unpack(archive, target)
            except InputError as problem:
                assert str(archive) in str(problem)
                assert not _files(target)
            else:
                for path in sorted(target.rglob("*"), reverse=True):
                    path.unlink() if path.is_file() else path.rmdir()


def test_bombs(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SPARE", 1000)
    archive = tmp_path / "x.zip"
    archive.write_bytes(packed("zip", {"large": bytes(10_000_000)}))
    with pytest.raises(InputError, match="far more bytes"):
        unpack(archive, tmp_path / "f")
    monkeypatch.setattr(module, "MOST_MEMBERS", 2)
    archive.write_bytes(packed("zip", FILES))
    with pytest.raises(InputError, match="more than 2 members"):
        unpack(archive, tmp_path / "f")
    assert not _files(tmp_path / "f")


def test_an_archive_without_what_is_looked_for(tmp_path) -> None:
    archive = tmp_path / "x.zip"
    archive.write_bytes(packed("zip", FILES))
    with pytest.raises(InputError, match="none of the files"):
        unpack(archive, tmp_path / "f", only=("gone/",))
