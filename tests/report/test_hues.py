"""One hue per paper, on every page the same; its variants differ in lightness and line, and all in their markers."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb

from assignbench.analysis import read_study_record
from assignbench.methods import PRESETS
from assignbench.report.hues import colour, looks, looks_of, marker, marker_size, rules_of, style
from tests.report.written import write_study

KNOWN = ["iou", "mutual_guidance", "atss", "paa", "musu", "ltm", "mlc", "fcos"]


def test_colours_are_fixed_and_differ() -> None:
    assert len({colour(m) for m in KNOWN}) == len(KNOWN)
    assert colour("somebody_elses") == colour("somebody_elses")


def hue(shade: str) -> float:
    """The hue of a colour, to a fiftieth of the circle."""
    return round(50 * float(rgb_to_hsv(to_rgb(shade))[0])) % 50


def light(shade: str) -> float:
    """How light a colour is to the eye, from 0 to 1."""
    return float(np.dot(to_rgb(shade), (0.2126, 0.7152, 0.0722)))


WITHOUT_PAGE = {m: colour(m) for m in KNOWN}
FEW = 10  # methods up to which each has a marker of its own


@pytest.mark.parametrize("seed", range(30))
def test_any_two_methods_of_a_page_can_be_told_apart(seed) -> None:
    """Whatever their papers are: by marker, and by hue or else by lightness and line."""
    rng = random.Random(seed)
    rules = {f"method_{k}": rng.choice(["paa", "mutual_guidance", "max_iou", "own", "fcos"]) for k in range(FEW)}
    with looks(list(rules), rules):
        for one, other in combinations(rules, 2):
            assert marker(one) != marker(other)
            alike = rules[one] == rules[other]
            few = sum(rule == rules[one] for rule in rules.values()) <= 4  # variants, each with a line of its own
            if alike and (few or style(one) == style(other)):
                assert abs(light(colour(one)) - light(colour(other))) > 0.05
            assert (colour(one), style(one)) != (colour(other), style(other))
        assert not {marker(m) for m in rules} & set("^v<>")  # arrow heads, which say that something goes on
        assert all(6 <= marker_size(m, 6) <= 9 for m in rules)


def test_variants_of_a_paper_share_its_hue_and_differ_by_line() -> None:
    """Whatever a study calls its rows: the assigner tells the paper."""
    rules = {"mine": "paa", "K9": "paa", "paa": "paa", "theirs": "ltm", "iou": "max_iou"}
    with looks(list(rules), rules):
        assert hue(colour("mine")) == hue(colour("K9")) == hue(colour("paa")) != hue(colour("iou"))
        assert len({style(m) for m in ("mine", "K9", "paa")}) == len({marker(m) for m in ("mine", "K9", "paa")}) == 3
        assert colour("paa") == WITHOUT_PAGE["paa"]  # the one that is called after the paper keeps the hue as it is
        assert style("paa") == "-" and style("theirs") == "-"
    assert colour("paa_voting") == colour("paa") and colour("freeanchor") == colour("ltm")


def test_every_preset_with_a_hue_has_that_of_its_assigner_on_a_page() -> None:
    rules = {name: preset.method.assigner.name for name, preset in PRESETS.items()}
    with looks(list(rules), rules):
        shown = {name: (colour(name), style(name)) for name in rules}
    assert len(set(shown.values())) == len(shown)
    own = {"iou": "max_iou", **{m: m for m in KNOWN[1:]}}
    for base, rule in own.items():
        for method in (m for m, r in rules.items() if r == rule):  # the same, nearer to white or to black
            assert (hue(shown[method][0]) - hue(colour(base)) + 1) % 50 <= 2, method


def test_unknown_methods_of_a_page_have_colours_of_their_own() -> None:
    """Whatever they are called: by their names' hashes alone, two of eight would share one in 97 pages of 100."""
    rng = random.Random(3)
    for _ in range(20):
        own = ["".join(rng.choices("abcdefgh_", k=6)) for _ in range(8)]
        with looks(["iou", *own, "paa"]):
            shown = {m: colour(m) for m in ("iou", *own, "paa")}
            assert len(set(shown.values())) == len(shown)
        assert shown["iou"] == colour("iou") and shown["paa"] == colour("paa")  # the same on every page
    many = [f"method_{k}" for k in range(40)]
    with looks(many):
        assert len({(colour(m), style(m)) for m in many}) == 40
    assert len(looks_of([f"method_{k}" for k in range(50)])) == 50


def test_the_first_unknown_method_lies_far_from_the_known_one() -> None:
    def gap(one: str, other: str) -> float:
        return float(np.linalg.norm(np.subtract(to_rgb(one), to_rgb(other))))

    with looks(["iou", "mine"]):
        chosen = gap(colour("iou"), colour("mine"))
    assert chosen >= max(gap(colour("iou"), colour(m)) for m in KNOWN[1:])


def test_the_rules_of_a_study_are_those_of_its_cells(tmp_path) -> None:
    study = read_study_record(write_study(tmp_path, seeds=1, images=6))
    assert rules_of(study) == {"iou": "max_iou", "mutual_guidance": "mutual_guidance", "paa": "paa"}
