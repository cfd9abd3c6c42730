"""What a study asks and its page has no verdict on: claims and comparisons that cannot be tested, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.places import reasons_told
from assignbench.analysis.verdicts import NOT_TESTABLE
from assignbench.report.opening import claims_elsewhere

Frames = Mapping[str, pd.DataFrame]


def untested(study: StudyRecord, differences: Frames, claims: Frames) -> list[str]:
    """Sentences, the claims' first; a comparison that cannot be made counts once, by the primary metric."""
    told = claims_elsewhere(study)
    tests = claims.get("claims.tests", pd.DataFrame(columns=["claim", "verdict", "reason"]))
    for claim, rows in tests.groupby("claim", sort=False):
        lost = rows[rows.verdict == NOT_TESTABLE]
        if len(lost):
            told.append(f'claim "{claim}": {_how_many(lost, rows)}{_reasons(lost, rows, tests)}')
    table = differences.get("differences", pd.DataFrame(columns=["method", "baseline", "metric", "verdict", "reason"]))
    table = table[table.metric == primary_metric(study)]
    for (method, baseline), rows in table.groupby(["method", "baseline"], sort=False):
        lost = rows[rows.verdict == NOT_TESTABLE]
        if len(lost):
            told.append(f"{method} to {baseline}: {_how_many(lost, rows)}{_reasons(lost, rows, table)}")
    return told


def _how_many(lost: pd.DataFrame, rows: pd.DataFrame) -> str:
    """How many of a question's tests cannot be made."""
    return "not testable: " if len(lost) == len(rows) else f"{len(lost)} of {len(rows)} tests cannot be made: "


def _reasons(lost: pd.DataFrame, rows: pd.DataFrame, among: pd.DataFrame) -> str:
    return reasons_told(lost, rows, among=among) or "no reason is known"
