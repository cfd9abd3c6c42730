"""What tells methods apart in every figure: one hue per paper, its variants by lightness and line; a marker each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import numpy as np
from matplotlib.colors import to_hex, to_rgb

from assignbench.analysis import StudyRecord
from assignbench.config.cell import CellConfig

# Ten hues that differ for colour-blind eyes too and that a thin line shows on white.
_PALETTE = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#8c5a2b", "#6a3d9a", "#7f7f7f", "#b5a400", "#56b4e9"),
)
# The hue of each paper's rule, for good; other rules take the free ones of a page.
_HUES = {"max_iou": 0, "mutual_guidance": 1, "atss": 2, "paa": 3, "musu": 4, "ltm": 5, "mlc": 6, "fcos": 9}
# How presets begin whose rule is called otherwise; used where nothing but a name is known.
_ALIASES = {
    **{"iou": "max_iou", "retinanet": "max_iou", "rpn": "max_iou", "freeanchor": "ltm"},
    **{"localize_to_classify": "mutual_guidance", "classify_to_localize": "mutual_guidance"},
    **{"mutual_labeling": "mlc", "iou_rescoring": "mlc"},
}
_STYLES = ("-", "--", ":", "-.")
# How light the variants of a hue are, by their line: times the hue, or that far towards white.
_SHADES = {"-": 1.0, "--": 0.6, ":": 1.3, "-.": 0.35}
# No triangles: an arrow head says that something goes on beyond the axes.
_MARKERS = ("o", "s", "D", "X", "*", "P", "p", "d", "h", "8")
# What a page prints for each in its texts and tables.
GLYPHS = {"o": "●", "s": "■", "D": "◆", "X": "✖", "*": "★", "P": "✚", "p": "⬟", "d": "♦", "h": "⬢", "8": "⬣"}
_GROWN = {"X": 1.2, "*": 1.5, "P": 1.25, "d": 1.3}  # thin ones, which would look smaller than the others
_PLACES = len(_PALETTE) * len(_STYLES)
_LIGHTER = 0.38  # how far each further set of variants of a hue goes towards white

# Where the methods of the page that is being drawn have their places; those of single pictures have none.
_LOOKS: ContextVar[Mapping[str, int]] = ContextVar("looks", default=MappingProxyType({}))


def rules_of(study: StudyRecord) -> dict[str, str]:
    """The name of every method's assigner, as far as it was trained here."""
    configs = (c.config for c in study.cells)
    return {c.method.name: c.method.assigner.name for c in configs if isinstance(c, CellConfig)}


def looks_of(methods: Sequence[str], rules: Mapping[str, str] | None = None) -> dict[str, int]:
    """A place for each method of a page. Its hue is its paper's; of one hue, each has a lightness and a line style of
    its own, the one that is called after the paper the full line.

    `rules` names the methods' assigners. A rule without a hue of its own takes a free one in the study's order, the
    farthest from those taken; once all ten are taken, hues come again with other lines, and then lighter.
    """
    families = {m: _family(m, (rules or {}).get(m, "")) for m in dict.fromkeys(methods)}
    hues = {f: _HUES[f] for f in families.values() if f in _HUES}
    for family in dict.fromkeys(families.values()):
        if family not in hues:
            held = list(hues.values())
            hues[family] = min(range(len(_PALETTE)), key=lambda h: (held.count(h), -_distance(h, held), h))
    found: dict[str, int] = {}
    order = list(families)
    for method in sorted(order, key=lambda m: (m != families[m], _ALIASES.get(m) != families[m], order.index(m))):
        taken = sum(place % len(_PALETTE) == hues[families[method]] for place in found.values())
        found[method] = hues[families[method]] + taken * len(_PALETTE)
    return found


def _family(method: str, rule: str) -> str:
    """The paper's rule that a method belongs to; a rule or a method that belongs to none stands for itself."""
    if rule:
        return rule
    known = {**{name: name for name in _HUES}, **_ALIASES}
    begun = [name for name in known if method == name or method.startswith((f"{name}_", f"{name}-"))]
    return known[max(begun, key=len)] if begun else method


def _distance(hue: int, others: Sequence[int]) -> float:
    """How far a hue lies from the nearest of some others."""
    own = np.asarray(to_rgb(_PALETTE[hue]))
    gaps = [float(np.linalg.norm(own - np.asarray(to_rgb(_PALETTE[o])))) for o in others]
    return round(min(gaps, default=0.0), 6)


@contextmanager
def looks(methods: Sequence[str], rules: Mapping[str, str] | None = None) -> Iterator[None]:
    """Within the block, the methods of one page look as `looks_of` says."""
    token = _LOOKS.set(looks_of(methods, rules))
    try:
        yield
    finally:
        _LOOKS.reset(token)


def _place(method: str) -> int:
    known = _LOOKS.get()
    if method in known:
        return known[method]
    family = _family(method, "")
    if family in _HUES:
        return _HUES[family]
    return int(hashlib.sha256(method.encode()).hexdigest(), 16) % _PLACES


def colour(method: str) -> str:
    """The method's colour: its paper's hue, darker or lighter for a variant; for others a free one of the page
    (`looks`), or by the name.
    """
    place, shade = _place(method), _SHADES[style(method)]
    own = min(shade, 1.0) * np.asarray(to_rgb(_PALETTE[place % len(_PALETTE)]))
    share = 1 - (1 - max(0.0, shade - 1)) * (1 - _LIGHTER) ** (place // _PLACES)
    return str(to_hex(tuple(own + (1 - own) * share)))


def style(method: str) -> str:
    """The method's line style, which tells apart methods of one hue, as their lightness does."""
    return _STYLES[_place(method) // len(_PALETTE) % len(_STYLES)]


def marker(method: str) -> str:
    """The method's marker: each method of a page has its own as long as there are any."""
    known = _LOOKS.get()
    place = list(known).index(method) if method in known else _place(method) // len(_PALETTE)
    return _MARKERS[place % len(_MARKERS)]


def marker_size(method: str, points: float) -> float:
    """Points of the method's marker where a dot has so many."""
    return points * _GROWN.get(marker(method), 1.0)
