"""What an analysis returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

Role = Literal["table", "figure", "appendix"]
# For whom the intervals of a table over seeds speak.
SEEDS = "other seeds, these images"


@dataclass(frozen=True)
class Result:
    """One tidy table of an analysis. Figures and tables find it by `key`, never by its caption.

    `key` is unique in the package: the analysis' name, or "<analysis>.<part>" where it has several. `units` says what
    the columns' numbers are ("AP", "px", "share", ...; "1" for a pure number), which every printed column of fractions
    must have. `role`: "table" is printed, "figure" only drawn, "appendix" printed at the end of the page (raw p values,
    on which no headline may rest). `population`: for whom the intervals in it speak, where no column of that name says
    it. A column `seed` marks one row per cell, which the report averages over. `notes` are sentences that stand below
    the printed table. `folded`: columns that only the table of all rows and columns shows. `answer`: the one sentence
    that the table comes to; where it is "", `answers` may know one.
    """

    key: str
    caption: str
    frame: pd.DataFrame
    units: Mapping[str, str] = field(default_factory=dict)
    role: Role = "table"
    population: str = ""
    notes: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    answer: str = ""
