"""File names from labels: the one place where text that somebody wrote becomes part of a path."""

from __future__ import annotations

import hashlib
import re

LONGEST = 100  # characters; most file systems take 255 bytes, and an ending and a folder's id come on top
_UNSAFE = re.compile(r"[^a-z0-9_.-]+|\.{2,}")
# What Windows keeps for devices, whatever ending follows.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin|conout|clock|com\d|lpt\d)(\.|$)")


def file_name(text: str) -> str:
    """A name for a file or a folder that every system takes: small letters, digits, `_`, `-` and single dots.

    Text of that kind, up to 100 characters, stays as it is, and so does what this function returned. Anything else is
    changed and ends with ten digits of the text's hash, so that two labels that differ only in what was replaced or
    cut (or in upper and lower case, which some systems do not tell apart) have two names. The name is never empty,
    begins with no dot or dash, ends with no dot and is no device of Windows.
    """
    kept = _UNSAFE.sub("-", text.lower()).strip("-.")
    if _DEVICE.match(kept):
        kept = f"x-{kept}"
    if text and kept == text and len(text) <= LONGEST:
        return text
    tail = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return "-".join(p for p in (kept[: LONGEST - len(tail) - 1].rstrip("-."), tail) if p)
