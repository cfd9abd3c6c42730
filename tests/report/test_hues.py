"""One hue per paper, on every page the same; its variants differ by line and marker."""

from __future__ import annotations

import random

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from assignbench.analysis import read_study_record
from assignbench.methods import PRESETS
from assignbench.report.hues import colour, looks, looks_of, marker, rules_of, style
from tests.report.written import write_study

KNOWN = ["iou", "mutual_guidance", "atss", "paa", "musu", "ltm", "mlc", "fcos"]


def test_colours_are_fixed_and_differ() -> None:
    assert len({colour(m) for m in KNOWN}) == len(KNOWN)
    assert colour("somebody_elses") == colour("somebody_elses")


def test_variants_of_a_paper_share_its_hue_and_differ_by_line() -> None:
    """Whatever a study calls its rows: the assigner tells the paper."""
    rules = {"mine": "paa", "K9": "paa", "paa": "paa", "theirs": "ltm", "iou": "max_iou"}
    with looks(list(rules), rules):
        assert colour("mine") == colour("K9") == colour("paa") != colour("theirs")
        assert len({style(m) for m in ("mine", "K9", "paa")}) == len({marker(m) for m in ("mine", "K9", "paa")}) == 3
        assert style("paa") == "-" and style("theirs") == "-"
    assert colour("paa_voting") == colour("paa") and colour("freeanchor") == colour("ltm")


def test_every_preset_with_a_hue_has_that_of_its_assigner_on_a_page() -> None:
    rules = {name: preset.method.assigner.name for name, preset in PRESETS.items()}
    with looks(list(rules), rules):
        shown = {name: (colour(name), style(name)) for name in rules}
    assert len(set(shown.values())) == len(shown)
    own = {"iou": "max_iou", **{m: m for m in KNOWN[1:]}}
    for base, rule in own.items():
        ink = 1 - np.array(to_rgb(colour(base)))
        for method in (m for m, r in rules.items() if r == rule):  # the same, or nearer to white
            theirs = 1 - np.array(to_rgb(shown[method][0]))
            assert theirs == pytest.approx(ink * (theirs.max() / ink.max()), abs=0.01), method


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
