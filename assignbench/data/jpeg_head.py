"""A JPEG as almost all are, known by its first and last bytes for a tenth of what it takes to open one with Pillow.

Only what is sure is said: a file with anything else in it (EXIF, several pictures, CMYK, a mark of another kind, tables
that are cut) is left to Pillow, which decides on it and words what is wrong.
"""

from __future__ import annotations

import os
import stat

_HEAD = 8192  # bytes: an ICC profile is 3 kB, all other tables are one
_TAIL = 256
_START, _SCAN, _TABLES, _APP0, _APP2, _APP14 = b"\xff\xd8", 0xDA, 0xDB, 0xE0, 0xE2, 0xEE
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive ones
_PASSED = (0xC4, 0xDD, 0xFE)  # Huffman tables, restart interval, comment


def ends_as_jpeg(tail: bytes) -> bool:
    """Whether the mark of the end stands in the last bytes of a file."""
    return b"\xff\xd9" in tail


def is_plain_jpeg(path: str, size: tuple[int, int]) -> bool:
    """Whether a file is a JPEG of this size (width, height), surely: 8 bits of grey or RGB, no EXIF, not cut off.

    Of a file of another kind, or that cannot be read, it is False.
    """
    try:
        about = os.stat(path)  # noqa: PTH116 (to make a path takes as long as to ask)
        if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for who fills it
            return False
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            head = os.pread(file, _HEAD, 0)
            if size_of_plain(head) != size:
                return False
            return ends_as_jpeg(head[-_TAIL:] if len(head) == about.st_size else _end(file, about.st_size))
        finally:
            os.close(file)
    except (OSError, ValueError):
        return False


def _end(file: int, length: int) -> bytes:
    return os.pread(file, _TAIL, max(0, length - _TAIL))


def size_of_plain(head: bytes) -> tuple[int, int] | None:
    """Width and height of the JPEG that begins so; None where it is no plain one, or its scan does not begin here."""
    if head[:2] != _START:
        return None
    size, place = None, 2
    while place + 4 <= len(head) and head[place] == 0xFF:
        kind, end = head[place + 1], place + 2 + (head[place + 2] << 8 | head[place + 3])
        body = head[place + 4 : end]
        if end < place + 4 or end > len(head):
            return None
        if kind == _SCAN:
            return size
        if kind in _FRAMES and size is None:
            size = _size_of_frame(body)
            if size is None:
                return None
        elif kind not in _PASSED and not _is_known(kind, body):
            return None
        place = end
    return None


def _is_known(kind: int, body: bytes) -> bool:
    """Whether a segment is one that changes nothing of what is asked, and whole."""
    if kind == _TABLES:  # each is a number below 16 and 64 bytes
        return len(body) % 65 == 0 and all(number < 16 for number in body[::65])
    if kind == _APP0:
        return body.startswith(b"JFIF") and len(body) >= 14
    if kind == _APP2:  # the others tell of several pictures in one file
        return body.startswith(b"ICC_PROFILE\0") and len(body) >= 14
    return kind == _APP14 and body.startswith(b"Adobe") and len(body) >= 12


def _size_of_frame(body: bytes) -> tuple[int, int] | None:
    """Width and height where a frame has 8 bits in one or three layers."""
    if len(body) < 6 or body[0] != 8 or body[5] not in (1, 3) or len(body) != 6 + 3 * body[5]:
        return None
    height, width = body[1] << 8 | body[2], body[3] << 8 | body[4]
    return (width, height) if width and height else None
