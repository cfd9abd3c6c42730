"""The one error that a user can mend; the command line prints it without a traceback and exits with 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MOST_TOLD = 20  # of what is wrong with a report
MOST_KNOWN = 8  # known names that are all told; of more, the nearest MOST_NAMED
MOST_NAMED = 6
MOST_LETTERS = 60  # of a known name that is told
RESEMBLES = 0.5  # share of letters that two names have in common, from which on one may be the other misspelt
_COMPARED = 1000


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


class BrokenRule(InputError):
    """Somebody's assigner returned what nothing can read: `fault` says what, `rule` is its module:Class."""

    def __init__(self, rule: str, fault: str) -> None:
        checks = f"`python -m assignbench.conformance {rule}` checks the whole contract"
        super().__init__(f"{rule} {fault}; {checks}")
        self.rule, self.fault = rule, fault

    def of(self, method: str) -> InputError:
        """The same, said of the method that has the assigner."""
        return InputError(str(self).replace(self.rule, f"method '{method}' ({self.rule})", 1))


class Unread(BrokenPipeError):
    """What is printed reaches nobody any more; the command ends without a word."""


def nearest(name: str, known: Sequence[str], *, always: bool = False) -> str:
    """The tail of an error message: the nearest known name, and the known names; of many the nearest few and a count.

    Without `always` a name is offered only if it resembles the one that was written.
    """
    import difflib

    there = sorted(set(known))
    # "ap" is AP misspelt, however few letters agree.
    folded = {k.lower(): k for k in reversed(there)}
    few = len(there) <= MOST_KNOWN
    # Each name of a long list is compared letter by letter, which is not worth it for those that do not resemble it.
    cutoff = 0.0 if always or len(there) <= _COMPARED else RESEMBLES
    close = difflib.get_close_matches(name.lower(), list(folded), n=MOST_NAMED, cutoff=cutoff)
    likely = difflib.get_close_matches(name.lower(), close[:1], cutoff=0.0 if always else RESEMBLES)
    if not always:  # two letters in a row of five are no misspelling: "width" does not stand for "id"
        likely = [n for n in likely if len(name) <= 2 * len(n)]
    hint = f"; did you mean '{folded[likely[0]]}'?" if likely else ""
    if always:
        return hint
    if few:
        return f"{hint} (known: {', '.join(map(_short, there)) or 'none'})"
    named = [folded[k] for k in close] or there[:MOST_NAMED]
    return f"{hint} (known: {', '.join(map(_short, named))} and {len(there) - len(named):,} more)"


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 3]}..."
