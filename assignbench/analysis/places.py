"""What places (a data set and a detector) are called in sentences, and why tests at some of them have no verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def named_places(frame: pd.DataFrame) -> list[str]:
    """Per row its place as a sentence names it: "retinanet on voc", or "retinanet" where there is one data set.

    "" in a table of one place, and for a row that has none.
    """
    known = frame[["data", "detector"]].fillna("").astype(str)
    here = known[(known != "").all(axis=1)].drop_duplicates()
    if len(here) < 2:
        return [""] * len(frame)
    several = here.data.nunique() > 1
    return [
        "" if not (data and detector) else f"{detector} on {data}" if several else detector
        for data, detector in known.itertuples(index=False)
    ]


def every(names: Sequence[str]) -> str:
    """All names, none of them cut: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def reasons_told(rows: pd.DataFrame, asked: pd.DataFrame, stem: str = "") -> str:
    """The reasons of tests, each once, behind the places at which it holds; "" where none has a reason.

    `asked` are all tests of the question, `rows` those of it whose reasons are told: a place is named where the
    question was asked at several, a method where a place has several. `stem` ("not testable") stands before them.
    """
    lost = rows[rows.reason.fillna("").astype(str) != ""]
    if lost.empty:
        return ""
    methods = asked.method.nunique() > 1
    where = pd.Series(named_places(asked), asked.index).loc[lost.index]
    labels = [_label(m if methods else "", p) for m, p in zip(lost.method, where, strict=True)]
    told = []
    for reason, names in pd.Series(labels, lost.index).groupby(lost.reason.astype(str), sort=False):
        who = every([n for n in dict.fromkeys(names) if n])
        head = " ".join(filter(None, (stem, "for" if methods else "at", who))) if stem and who else stem or who
        told.append(f"{head}: {reason}" if head else str(reason))
    return "; ".join(told)


def _label(method: str, place: str) -> str:
    return " at ".join(filter(None, (str(method), place)))
