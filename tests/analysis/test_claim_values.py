"""The table of claims holds what was measured: effects, intervals and places, and the gains that make a slope."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.claim_values import value_notes, values_told
from assignbench.report.lint import lint
from assignbench.report.tables import result_table
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell

OPEN, NONE = "not resolvable", "not testable"
TEST = {"data": "d", "detector": "net", "method": "ltm", "value": 1.25, "half": 0.5, "unit": "points", "n": 3}
TEST |= {"population": "other seeds and images", "verdict": OPEN, "detail": ""}


def rows(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**TEST, **c} for c in changes])


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("greater", [{}], "+1.2 ± 0.5"),
        ("greater", [{"half": np.nan}, {"detector": "wide", "value": -0.04}], "+1.2 (net); 0.0 ± 0.5 (wide)"),
        ("greater", [{}, {"data": "e", "verdict": NONE, "value": np.nan}], "+1.2 ± 0.5 (net on d)"),
        ("greater", [{"verdict": NONE, "value": np.nan}], ""),
        ("greater", [{"unit": "rank correlation", "value": 0.075, "half": 0.0241}],
         "+0.075 ± 0.024, in rank correlation"),
        ("trend", [{"unit": "points per unit of x", "detail": "a -8.6, b +2.2"}],
         "+1.25 ± 0.50 (a -8.6, b +2.2), in points per unit of x"),
        ("trend", [{"detail": "a -8.6"}, {"detail": "a +1.0", "data": "e"}],
         "+1.2 ± 0.5 (net on d: a -8.6); +1.2 ± 0.5 (net on e: a +1.0)"),
        ("trend", [{"detail": "a -8.6"}, {"method": "paa"}], "+1.2 ± 0.5 (ltm: a -8.6); +1.2 ± 0.5 (paa)"),
        ("equal", [{"detail": "difference -0.8 ± 0.5"}], "difference -0.8 ± 0.5"),
        ("level", [{"detail": "AP 41.2 ± 0.5"}, {"data": "e"}], "AP 41.2 ± 0.5 (net on d); +1.2 ± 0.5 (net on e)"),
    ],
)  # fmt: skip
def test_values_with_their_places(kind, changes, told) -> None:
    assert values_told(rows(*changes), kind) == told


def test_of_many_places_the_decided_ones_are_told() -> None:
    many = rows(*({"data": f"d{k}", "verdict": "supported" if k == 5 else OPEN} for k in range(6)))
    told = values_told(many, "greater")
    assert told.startswith("+1.2 ± 0.5 (net on d5); ") and told.count("±") == 4 and told.endswith(" and 2 more")


def test_a_claim_of_one_place_names_it_beside_those_of_others() -> None:
    table = rows({}, {"data": "e"})
    assert values_told(table[:1], "greater", table) == "+1.2 ± 0.5 (net on d)"


def test_on_what_values_rest() -> None:
    assert value_notes(rows({})) == (
        "values: in points where nothing else is named.",
        "n: 3 seeds.",
        "±: half of the 95 % interval for other seeds and images.",
    )
    several = value_notes(rows({"n": 1, "population": "other images, these models", "unit": "IoU"}, {}))
    assert several[1] == "n: 1 to 3 seeds." and several[2].endswith(
        " for other images, these models or for other seeds and images, as the table of all tests says."
    )
    assert value_notes(rows({"half": np.nan, "unit": "rank correlation"})) == ()


def test_a_growing_gain_shows_the_groups_on_which_the_method_is_worse(tmp_path) -> None:
    """Planted as published: much worse on compact objects, better on slender ones; one row of the table says both."""
    each = 40
    length = np.repeat([1.2, 2.0, 3.0, 5.0], each)
    rows_of = [(i, 0, 10.0, 10, 30, 30) for i in range(len(length))]
    objects = objects_table(rows_of, aspect_ratio=length)
    for method, shares in (("iou", (0.5, 0.5, 0.5, 0.5)), ("ltm", (0.2, 0.4, 0.6, 0.9))):
        for seed in range(3):
            hit = np.concatenate([np.arange(each) < round(s * each) for s in shares])
            hit[each - 1 - seed] = True
            boxes = boxes_table([(*rows_of[i], 0.9) for i in np.flatnonzero(hit)], "score")
            write_cell(tmp_path, method, seed, objects, boxes)
    study = study_of(tmp_path, ("iou", "ltm"), ("gain of ltm grows with aspect_ratio", "ltm > iou on AP"))
    results = ANALYSES["claims"].run(study)
    trend, plain = results[0].frame.itertuples()
    assert trend.verdict == "supported" and trend.values.startswith("+") and " ± " in plain.values
    detail = results[1].frame.detail.iloc[0]
    assert detail.startswith("1-1.5 -") and f"({detail}), in points per unit of aspect_ratio" in trend.values
    shown = [result_table(r, study.places) for r in results]
    assert "values" in shown[0].header and lint(results, shown) == []
    assert any(note.startswith("Smallest values") for note in shown[0].notes)
