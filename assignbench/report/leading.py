"""Which method a page shows where there is room for one: the one that the study says most of."""

from __future__ import annotations

import re
from collections.abc import Mapping

from assignbench.analysis import StudyRecord


def leading(study: StudyRecord) -> list[str]:
    """The methods that are compared with a baseline, the one that most claims name first; of those that are named
    alike, the one that the study lists last.
    """
    compared = [m for m in study.methods if any(study.baseline_of(m, place) for place in study.places)]
    claims = [str(c.get("claim", "")) for c in study.about.get("claims") or [] if isinstance(c, Mapping)]
    counts = {m: sum(_names(claim, m) for claim in claims) for m in compared}
    return sorted(compared, key=lambda m: (-counts[m], -compared.index(m)))


def _names(claim: str, method: str) -> bool:
    """Whether a claim names a method, as a word and not as part of another one's name."""
    return re.search(rf"(?<![\w-]){re.escape(method)}(?![\w-])", claim) is not None
