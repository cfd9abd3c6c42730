"""Verdicts: Holm's correction by hand, families, and what is not testable."""

import numpy as np
import pandas as pd

from assignbench.analysis.verdicts import decided, holm, with_verdicts


def test_holm_by_hand() -> None:
    found = holm([0.01, 0.04, float("nan"), 0.03])
    np.testing.assert_allclose(found, [0.03, 0.06, np.nan, 0.06])  # 3 x .01, then 2 x .03, then the larger of .04, .06
    assert holm([]).tolist() == [] and holm([0.7, 0.9]).tolist() == [1.0, 1.0]


def test_words() -> None:
    assert decided(0.02, 0.04) == "higher" and decided(-0.02, 0.04) == "lower"
    assert decided(0.02, 0.06) == decided(0.02, float("nan")) == decided(0.0, 0.0) == "not resolvable"
    assert decided(0.02, 0.05) == "not resolvable"


def table(**columns: list[object]) -> pd.DataFrame:
    """Four tests of two families."""
    made = {"metric": ["AP", "AP", "AP50", "AP50"], "gain": [1.0, -1.0, 1.0, 1.0], "p": [0.03, 0.02, 0.03, 0.5]}
    return pd.DataFrame({**made, **columns})


def test_families_are_corrected_apart() -> None:
    one = with_verdicts(table(), "gain")
    assert one.p_holm.tolist() == [0.09, 0.08, 0.09, 0.5] and set(one.verdict) == {"not resolvable"}
    apart = with_verdicts(table(), "gain", ["metric"])
    assert apart.p_holm.tolist() == [0.04, 0.04, 0.06, 0.5]
    assert apart.verdict.tolist() == ["higher", "lower", "not resolvable", "not resolvable"]


def test_what_cannot_be_tested_belongs_to_no_family() -> None:
    told = with_verdicts(table(untestable=["", "", "no cells", ""]), "gain", ["metric"])
    assert told.verdict.tolist() == ["higher", "lower", "not testable", "not resolvable"]
    assert np.isnan(told.p_holm[2]) and told.p_holm[3] == 0.5


def test_rows_of_too_few_seeds_are_not_resolvable_and_cost_the_others_nothing() -> None:
    told = with_verdicts(table(p=[0.03, float("nan"), 0.03, 0.02]), "gain", ["metric"])
    assert told.p_holm.tolist()[0] == 0.03 and told.verdict.tolist()[1] == "not resolvable"


def test_an_index_of_any_kind_will_do() -> None:
    told = with_verdicts(table().set_index(pd.Index([7, 7, 3, 1])).reset_index(drop=True), "gain", ["metric"])
    assert told.verdict.tolist()[:2] == ["higher", "lower"]
