"""Characters that are not to be looked at, but do something to whoever looks: written out in one place."""

from __future__ import annotations

import unicodedata

# Controls (terminals' escape sequences begin with one), formats (among them those that turn the writing direction
# round), surrogates, and the two separators that some take for the end of a line.
_NEVER = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""The text with each character that would steer a terminal or a page written out, `\x1b`; lines stay lines."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in _NEVER else c.encode("unicode_escape").decode() for c in text
    )
