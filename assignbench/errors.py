"""The one error that a user can mend; the command line prints it without a traceback and exits with 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MOST_TOLD = 20  # of what is wrong with a report


class InputError(ValueError):
    """Something that the user wrote or supplied is wrong: the message names the place, the value and the way out.

    `place` is the key of the wrong entry below the part that was read; who knows the file finds its line by it.
    """

    def __init__(self, message: object = "", place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


class Contradiction(InputError):
    """A report that must not be used: `told` says what is wrong with it, `page` where it was written, if it was."""

    def __init__(self, told: Sequence[str], page: Path | None = None) -> None:
        lines = "\n  ".join(
            [*told[:MOST_TOLD], *([f"and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else [])]
        )
        where = "so nothing in it may be quoted" if page else "and is not published"
        super().__init__(f"the report fails its own check, {where}:\n  {lines}")
        self.told, self.page = list(told), page


class Unread(BrokenPipeError):
    """What is printed reaches nobody any more; the command ends without a word."""


def nearest(name: str, known: Sequence[str], *, always: bool = False) -> str:
    """The tail of an error message: the nearest known name and the list of all of them.

    Without `always` a name is offered only if it resembles the one that was written.
    """
    import difflib

    # "ap" is AP misspelt, however few letters agree.
    folded = {k.lower(): k for k in reversed(known)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.0 if always else 0.5)
    hint = f"; did you mean '{folded[close[0]]}'?" if close else ""
    return hint if always else f"{hint} (known: {', '.join(sorted(known)) or 'none'})"
