"""One file over HTTP: it goes on where it stopped, and nothing is taken for more than it is.

What has come stands in NAME.part, and NAME.part.json says of which state of the server's file it is. Only a server that
says that its file is still the same one (If-Range) adds to it; else it begins anew.
"""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from assignbench.errors import InputError
from assignbench.records import read_json, write_json

BLOCK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
TRIES = 5  # in a row that bring nothing
_LATER = (408, 425, 429, 500, 502, 503, 504)  # a server that may answer better soon
Watch = Callable[[int, int], None]  # bytes that are there, and in all (0: not known)


class Stopped(InputError):
    """A download that did not come to its end; what came is kept."""


class _Cut(Exception):
    """The connection ended early, or did not come about; worth another try."""


class _Changed(Exception):
    """The server's file is not the one whose beginning is here."""


@dataclass(frozen=True)
class _Partial:
    """The beginning of a file, and what is known of it."""

    path: Path
    address: str

    @property
    def _about(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def validator(self) -> str:
        """What the server called the state of the file that the beginning is of; empty where nothing can go on."""
        about = read_json(self._about) if self.path.is_file() else {}
        found = about.get("validator", "") if about.get("address") == self.address else ""
        return found if isinstance(found, str) else ""

    def begin(self, validator: str) -> None:
        """Remembers of what the file is before its first byte is written."""
        self.path.unlink(missing_ok=True)
        write_json(self._about, {"address": self.address, "validator": validator})

    def forget(self) -> None:
        """Removes the beginning."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def settle(self, target: Path) -> None:
        """Makes the beginning, which is all by now, the file."""
        self.path.replace(target)
        self._about.unlink(missing_ok=True)


def download(
    address: str, target: Path, watch: Watch, *, most: int, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Brings a file of at most `most` bytes to `target`; returns whether an earlier beginning was continued.

    Raises Stopped where the connection fails again and again, and InputError for what another try cannot mend: an
    address without the file, a redirection to something else than HTTP, more bytes than `most`, no room.
    """
    _check_address(address)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(target.with_name(f"{target.name}.part"), address)
    continued, failed, before = False, 0, -1
    while True:
        try:
            continued = _attempt(partial, watch, most) or continued
            partial.settle(target)
            return continued
        except _Changed:
            partial.forget()
            continued, problem = False, "the server's file changed meanwhile"
        except _Cut as cut:
            problem = str(cut)
        came = partial.path.stat().st_size if partial.path.is_file() else 0
        failed = failed + 1 if came <= before else 1
        before = came
        if failed >= TRIES:
            raise Stopped(f"{address}: stopped after {came} bytes ({problem:.200})")
        pause(float(2 ** (failed - 1)))


def _attempt(partial: _Partial, watch: Watch, most: int) -> bool:
    """One connection; returns whether it went on behind what was there. Raises _Cut and _Changed."""
    validator = partial.validator()
    had = partial.path.stat().st_size if validator else 0
    request = urllib.request.Request(partial.address, headers={"Accept-Encoding": "identity"})  # noqa: S310 (checked)
    request.add_header("User-Agent", "assignbench")
    if had:
        request.add_header("Range", f"bytes={had}-")
        request.add_header("If-Range", validator)
    with closing(_open(request, partial.address)) as answer:
        goes_on = had > 0 and bool(answer.status == http.HTTPStatus.PARTIAL_CONTENT)
        if goes_on and not _follows(answer.headers, had):
            raise _Changed
        if not goes_on:
            had = 0
            partial.begin(_validator(answer.headers))
        length = answer.headers.get("Content-Length", "")
        total = had + int(length) if length.isdecimal() else 0
        _check_room(partial.path.parent, total - had, total, most, partial.address)
        came = had
        with partial.path.open("ab" if goes_on else "wb") as file:
            watch(came, total)
            for block in _blocks(answer):
                came += len(block)
                if came > most:
                    raise InputError(f"{partial.address}: sends more than {most} bytes, which is not the file")
                file.write(block)
                watch(came, total)
    if came < total:
        raise _Cut(f"the connection ended after {came} of {total} bytes")
    return goes_on


def _open(request: urllib.request.Request, address: str) -> Any:
    """The answer. Raises _Cut for what may be better soon, InputError for the rest."""
    try:
        return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    except HTTPError as problem:
        problem.close()
        if problem.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _Changed from None
        if problem.code in _LATER:
            raise _Cut(f"the server answers {problem.code} {problem.reason}") from None
        raise InputError(f"{address}: the server answers {problem.code} {problem.reason:.100}") from None
    except URLError as problem:
        raise _Cut(f"no connection: {problem.reason}") from None
    except (OSError, http.client.HTTPException) as problem:
        raise _Cut(f"no connection: {problem or type(problem).__name__}") from None


def _blocks(answer: IO[bytes]) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read(BLOCK)
        except http.client.IncompleteRead as problem:
            yield problem.partial
            raise _Cut("the connection was cut") from None
        except (OSError, http.client.HTTPException) as problem:
            raise _Cut(f"the connection was cut: {problem or type(problem).__name__}") from None
        if not block:
            return
        yield block


def _follows(headers: Message, had: int) -> bool:
    """Whether a part of a file begins behind what is there: `Content-Range: bytes 100-199/200`."""
    unit, _, span = headers.get("Content-Range", "").partition(" ")
    return unit == "bytes" and span.startswith(f"{had}-")


def _validator(headers: Message) -> str:
    """What tells one state of a file from another, for If-Range, which takes no weak ETag."""
    tag: str = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _check_room(folder: Path, coming: int, total: int, most: int, address: str) -> None:
    free = shutil.disk_usage(folder).free
    if total > most:
        raise InputError(f"{address}: has {total} bytes, which is not the file (at most {most} are expected)")
    if coming > free:
        raise InputError(f"{folder}: {coming} bytes are still to come, and {free} are free; make room")


def _check_address(address: str, former: str = "") -> None:
    """Raises InputError for an address that is not HTTP, or less safe than the one that led to it."""
    schemes = ("https",) if urlsplit(former).scheme == "https" else ("http", "https")
    if urlsplit(address).scheme not in schemes:
        told = f"{former}: leads to" if former else "no address to download from:"
        raise InputError(f"{told} {address:.300}, which is not {' or '.join(schemes)}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, never away from HTTP and never from HTTPS to less."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _check_address(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
