"""The one error that a user can mend; the command line prints it without a traceback and exits with 2."""


class InputError(ValueError):
    """Something that the user wrote or supplied is wrong: the message names the place, the value and the way out."""


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The tail of an error message: the nearest known name if one is close, and the list of all of them."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{hint} (known: {', '.join(sorted(known))})"
