"""What places (a data set and a detector) are called in sentences, and why tests at some of them have no verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def named_places(frame: pd.DataFrame, among: pd.DataFrame | None = None) -> list[str]:
    """Per row its place as a sentence names it: "retinanet on voc", or "retinanet" where there is one data set.

    "" where the table has one place (or the table `among` whose rows these are), and for a row that has none.
    """
    known = frame[["data", "detector"]].fillna("").astype(str)
    wide = known if among is None else among[["data", "detector"]].fillna("").astype(str)
    here = wide[(wide != "").all(axis=1)].drop_duplicates()
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


def labelled(asked: pd.DataFrame, among: pd.DataFrame | None = None) -> list[str]:
    """Per test of a question what it is of: its place where this question or another one (of the table `among`) was
    asked elsewhere, its method where it has several ("ltm at retinanet on voc"); "" where there is but one.
    """
    places = named_places(asked, among)
    if asked.method.nunique() < 2:
        return places
    return [" at ".join(filter(None, (str(m), p))) for m, p in zip(asked.method, places, strict=True)]


def reasons_told(rows: pd.DataFrame, asked: pd.DataFrame, stem: str = "", *, among: pd.DataFrame | None = None) -> str:
    """The reasons of tests, each once, behind what it holds for (`labelled`); "" where none has a reason.

    `asked` are all tests of the question, of the table `among`; `rows` those of it whose reasons are told. `stem` ("not
    testable") stands before each.
    """
    lost = rows[rows.reason.fillna("").astype(str) != ""]
    labels = pd.Series(labelled(asked, among), asked.index, dtype=object).loc[lost.index]
    link = "for" if asked.method.nunique() > 1 else "at"
    told = []
    for reason, names in labels.groupby(lost.reason.astype(str), sort=False):
        who = every([n for n in dict.fromkeys(names) if n])
        head = f"{stem} {link} {who}" if stem and who else stem or who
        told.append(f"{head}: {reason}" if head else str(reason))
    return "; ".join(told)
