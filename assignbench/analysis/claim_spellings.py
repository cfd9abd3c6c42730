"""How a sentence that is nearly a claim is written: signs, words and numbers as the forms have them."""

from __future__ import annotations

import re

# What people write, and what the forms have in its place, in this order.
_INSTEAD: tuple[tuple[str, str], ...] = (
    (r"\s*[.!;,]+$", ""),
    (r"&gt;|>=|=>|≥|⩾", ">"),
    (r"&lt;|<=|=<|≤|⩽", "<"),
    (r"==|≈|≃|~=?|=~", "="),
    (r"(?<=\d),(?=\d)", "."),
    (r"\b(?:is |are )?(?:greater|higher|better|more|larger) than\b|\bbeats\b|\bexceeds\b|\bis above\b", ">"),
    (r"\b(?:is |are )?(?:less|lower|worse|smaller|fewer) than\b|\bis below\b", "<"),
    (r"\b(?:is |are )?(?:equal to|the same as)\b|\bequals\b", "="),
    (r"\b(within) (?:±|\+/-|\+-)\s?", r"\1 "),
    (r" (?:\+/-|±) ?(?=[\d.]+)", " within "),
    (r"(\bwithin [\d.]+) ?(?:points?|AP|pp)\b", r"\1"),
    (r"([\d.]) ?(?:percent|pct|per cents)\b", r"\1 %"),
    (
        r"(?i)\b(?:for|on|at|with|in) (?:every|each|all|any)(?: of the)? (?:detectors?|networks?|models?)$",
        "for every detector",
    ),
    (r"(?i)\b(?:everywhere|for all|for each|for every)$", "for every detector"),
    (r"\b(?:grow|grew|rises|increases|scales) with\b", "grows with"),
    (r"\b(?:over|across|by) (?:all |the )?(?:categories|category|classes|class)$", "over categories"),
    (r"\b(?:fail|failed|is failing)(?= for |$)", "fails"),
    (r"\bgains\b|\bimprovement\b", "gain"),
    (r"\bpredict\b", "predicts"),
)
_WORDS = (
    "on",
    "of",
    "over",
    "for",
    "every",
    "detector",
    "within",
    "fails",
    "gain",
    "relative",
    "grows",
    "with",
    "predicts",
)


def respelt(sentence: str) -> str:
    """The sentence with the signs and words of the forms in place of others; what stands in brackets, such as a class's
    name, stays as it is.
    """
    parts = re.split(r"(\[[^\]]*\])", sentence)
    for place in range(0, len(parts), 2):
        for found, instead in _INSTEAD:
            # What ends a sentence does so in its last part alone.
            if not found.endswith("$") or place == len(parts) - 1:
                parts[place] = re.sub(found, instead, parts[place])
        parts[place] = re.sub(r"[A-Za-z]+", _lowered, parts[place])
    return re.sub(r"\s+", " ", "".join(parts)).strip()


def _lowered(found: re.Match[str]) -> str:
    """A word of the forms in small letters; any other one as it is, since names tell case apart."""
    return found[0].lower() if found[0].lower() in _WORDS else found[0]
