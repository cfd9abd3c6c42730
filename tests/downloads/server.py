"""A server of one's own machine that behaves as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What a server has and does.

    `cuts`: after how many bytes each of the next answers ends early. `statuses`: what each of the next requests is
    answered instead. `ranges`: whether it knows of parts. `tag`: its ETag of every file. `length`: whether it says how
    long a file is. `moved`: addresses of other places by path.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    tag: str = '"one"'
    length: bool = True
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)  # path and Range of every request
    address: str = ""


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Serves on a free port until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            served.asked.append((self.path, wanted))
            if served.statuses:
                return self._empty(served.statuses.pop(0))
            if self.path in served.moved:
                return self._empty(302, Location=served.moved[self.path])
            if self.path not in served.files:
                return self._empty(404)
            content = served.files[self.path]
            first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            part = served.ranges and bool(wanted) and self.headers.get("If-Range") == served.tag
            if part and first >= len(content):
                return self._empty(416)
            body = content[first:] if part else content
            self.send_response(206 if part else 200)
            if part:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            if served.tag:
                self.send_header("ETag", served.tag)
            if served.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)
            return None

        def _empty(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
