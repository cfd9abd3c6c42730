"""The answer card says what the corrected verdicts say, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.analysis.estimates import Estimate, Source
from assignbench.analysis.power import Spread
from assignbench.report import card
from assignbench.report.card import answer_card, banners

PLACES = [("d", "net"), ("e", "net")]


def study(places=PLACES[:1], **about: object) -> StudyRecord:
    """A study of two methods against iou whose cells left no record: what the card needs stands in its tables."""
    grid = {f"{d}-{n}-{m}": {"data": d, "detector": n, "method": m} for d, n in places for m in ("iou", "mg", "paa")}
    content = {"cells": list(grid), "grid": grid, "baselines": {"iou": "", "mg": "iou", "paa": "iou"}, **about}
    return StudyRecord(Path("nowhere"), content, ())


def row(method: str, verdict: str, difference: float = 0.02, place=PLACES[0], **more: object) -> dict[str, object]:
    found = {"data": place[0], "detector": place[1], "method": method, "baseline": "iou", "pair": "assigner"}
    found |= {"metric": "AP", "difference": difference, "half": 0.01, "n": 3, "verdict": verdict, "reason": ""}
    return {**found, **more}


def made(rows: list[dict[str, object]], claims: list[str] = (), **about: object):
    tables = {"differences": pd.DataFrame(rows)}
    told = {"claims": pd.DataFrame({"claim": list(map(str, claims)), "verdict": list(claims)})} if claims else {}
    places = PLACES if any(r["data"] == "e" for r in rows) else PLACES[:1]
    return answer_card(study(places, **about), tables, told)


def test_a_sentence_for_every_method_from_its_verdict(monkeypatch) -> None:
    monkeypatch.setattr(card, "measured_spreads", lambda study, metrics: pd.DataFrame())
    better, worse = made([row("mg", "higher"), row("paa", "lower", -0.03)]).verdicts
    assert (better.method, better.tone) == ("mg", "up") and worse.tone == "down"
    assert better.sentence == "is better than iou: +2.0 ± 1.0 points of AP."
    assert worse.sentence == "is worse than iou: -3.0 ± 1.0 points of AP."
    (same,) = made([row("mg", "not resolvable", 0.004)]).verdicts
    assert same.tone == "open" and same.sentence.startswith("cannot be told from iou: +0.4 ± 1.0")
    (lost,) = made([row("mg", "not testable", np.nan, reason="no finished cell of iou (3 failed)")]).verdicts
    assert lost.tone == "none" and lost.sentence == "cannot be compared with iou: no finished cell of iou (3 failed)."


def test_what_is_so_of_all_is_said_once(monkeypatch) -> None:
    monkeypatch.setattr(card, "measured_spreads", lambda study, metrics: pd.DataFrame())
    one = [row("mg", "not resolvable", -0.09, n=1), row("paa", "not resolvable", n=1)]
    told = made(one)
    assert [v.sentence for v in told.verdicts] == [
        "against iou: -9.0 ± 1.0 points of AP.",
        "against iou: +2.0 ± 1.0 points of AP.",
    ]
    assert told.aside.startswith("One seed carries no verdict") and not any(v.aside for v in told.verdicts)
    for rows in (one[:1], [one[0], row("paa", "higher")]):  # one alone, and another one that has a verdict
        found = made(rows)
        assert found.aside == "" and found.verdicts[0].aside.startswith("One seed")


def test_of_an_error_less_is_better() -> None:
    (told,) = made([row("mg", "higher", metric="oLRP")], primary="oLRP").verdicts
    assert told.sentence.startswith("is worse than iou")


def test_several_places_are_counted_and_named(monkeypatch) -> None:
    monkeypatch.setattr(card, "measured_spreads", lambda study, metrics: pd.DataFrame())
    (told,) = made([row("mg", "higher"), row("mg", "not resolvable", 0.001, PLACES[1])]).verdicts
    assert told.sentence == "is better than iou at 1 of 2 places; cannot be told from iou at 1 of 2 places."
    assert told.tone == "up" and told.aside == "net on d +2.0 ± 1.0; net on e +0.1 ± 1.0."
    (mixed,) = made([row("mg", "higher"), row("mg", "lower", -0.02, PLACES[1])]).verdicts
    assert mixed.tone == "open"


def test_an_interval_clear_of_zero_that_correction_undoes_says_so(monkeypatch) -> None:
    monkeypatch.setattr(card, "measured_spreads", lambda study, metrics: pd.DataFrame())
    near, far = made([row("mg", "not resolvable", -0.026), row("paa", "not resolvable", 0.004)]).verdicts
    assert near.sentence == "cannot be told from iou after correction for 2 tests: -2.6 ± 1.0 points of AP."
    assert far.sentence == "cannot be told from iou: +0.4 ± 1.0 points of AP."
    (several,) = made([row("mg", "not resolvable"), row("mg", "not resolvable", 0.001, PLACES[1])]).verdicts
    assert several.aside.endswith("what ± alone leaves clear of 0 is not so after correction for 2 tests.")
    assert "after correction" not in made([row("mg", "not resolvable", n=1)]).verdicts[0].sentence


def test_claims_with_a_verdict_are_named() -> None:
    told = made([row("mg", "higher")], ["supported"] * 6 + ["not resolvable"] * 2 + ["contradicted"]).claims
    assert told.startswith("6 supported (supported; supported; supported; supported; and 2 more), ")
    assert told.endswith("1 contradicted (contradicted), 2 not resolvable")


def test_the_seeds_that_are_needed_follow_from_the_pairs_own_spread(monkeypatch) -> None:
    """Two pairs of one data set, one of which varies far more than the other: what each needs is its own."""
    pairs = [
        SimpleNamespace(data="d", sides=(m, "iou"), keys={"data": "d", "detector": "net", "method": m})
        for m in ("mg", "paa")
    ]
    errors = {"mg": 0.003, "paa": 0.012}
    own = [Estimate(0.01, 3, Source(errors[p.keys["method"]], 6.0), Source(0.001, 100.0)) for p in pairs]
    monkeypatch.setattr(card, "pairs_of", lambda study: pairs)
    monkeypatch.setattr(card, "estimated", lambda pairs, metric: own)
    monkeypatch.setattr(card, "measured_spreads", lambda study, metrics: pd.DataFrame({"any": [1]}))
    monkeypatch.setattr(card, "spread_of", lambda *asked: (Spread(0.02, 0.001, 500.0, 6.0), "three seeds"))
    quiet, loud = made([row(m, "not resolvable", 0.01) for m in errors]).verdicts
    seeds = [int(re.findall(r"this one, ([0-9]+) seeds", v.aside)[0]) for v in (quiet, loud)]
    assert 3 <= seeds[0] < 8 < 20 < seeds[1]


def test_cells_are_counted_by_their_states() -> None:
    found = made([row("mg", "higher")])
    assert (found.finished, found.asked, found.states) == (0, 3, "3 not begun")


def test_seeds_that_a_difference_needs_are_told_where_it_is_not_resolved(monkeypatch) -> None:
    spread = pd.DataFrame({"data": ["d"], "metric": ["AP"]})
    monkeypatch.setattr(card, "measured_spreads", lambda study, metrics: spread)
    monkeypatch.setattr(card, "pairs_of", lambda study: [])
    monkeypatch.setattr(card, "spread_of", lambda *more: (SimpleNamespace(), "here"))
    for need, told in (
        (SimpleNamespace(seeds=14, bounded=False), "14 seeds would resolve it"),
        (SimpleNamespace(seeds=None, bounded=True), "On these test images no number of seeds"),
        (SimpleNamespace(seeds=None, bounded=False), "more than 200 seeds"),
    ):
        monkeypatch.setattr(card, "need", lambda spread, seen, asked, need=need: need)
        (verdict,) = made([row("mg", "not resolvable", 0.004)]).verdicts
        assert told in verdict.aside
    (clear,) = made([row("mg", "higher")]).verdicts
    assert clear.aside == ""


def test_detectors_that_have_not_learned_are_told_first() -> None:
    averages = pd.DataFrame({"data": ["d"], "detector": ["net"], "metric": ["AP"], "mean": [0.03]})
    missing, learned = banners(study(), averages)
    assert missing.startswith("0 of 3 cells are finished")
    assert learned.startswith("No method of net on d reaches 5 points of AP")
    assert len(banners(study(), averages.assign(mean=0.06))) == 1
