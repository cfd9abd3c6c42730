"""Signed numbers in sentences and tables."""

from __future__ import annotations


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign; what rounds to 0 has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def rounded(value: float, digits: int) -> str:
    """A number, with a sign where it is below 0 as printed."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def in_signed_points(share: float) -> str:
    """A share in signed points."""
    return signed(100 * share)
