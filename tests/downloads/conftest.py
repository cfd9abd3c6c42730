"""A local server, and archives of every kind."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping

import pytest

from tests.downloads.server import Served, serving


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server without files."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(Served()) as found:
        yield found


def packed(kind: str, files: Mapping[str, bytes]) -> bytes:
    """An archive of a kind ("zip", "tar", "tar.gz") with these files."""
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return content.getvalue()
    with tarfile.open(fileobj=content, mode="w:gz" if kind == "tar.gz" else "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()
