"""The reports of this repository, held against the cells that lie beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.report.test_page import rows_under

ROOT = Path(__file__).parents[2]
REPORTS = sorted(p.parent.parent for p in ROOT.glob("reports/*/cells/measures.parquet"))
CAPTION = re.compile(r"^\*\*((\S+) on (\S+), \S+ split: [^*]+)\*\*$", re.MULTILINE)
ROUNDING = 0.0500001


def number(text: str) -> float:
    """The number before ±, without marks."""
    return float(re.sub(r"[*†+]", "", text.split("±", maxsplit=1)[0]))


@pytest.mark.parametrize("folder", REPORTS, ids=lambda p: p.name)
def test_a_report_says_what_its_cells_hold(folder: Path) -> None:
    """Every mean over seeds, and every difference to a baseline over the seeds that both have."""
    text, measures = (folder / "report.md").read_text(), pd.read_parquet(folder / "cells" / "measures.parquet")
    seen = 0
    for caption, detector, data in CAPTION.findall(text):
        header, *rows = rows_under(text, caption)
        here = measures[(measures.detector == detector) & (measures.data == data)]
        for row in rows:
            mine = here[here.method == row[0]]
            for metric in (m for m in header if m in set(here.measure) and row[header.index(m)] not in ("–", "n/a")):
                value = 100 * mine[mine.measure == metric].value.mean()
                assert abs(number(row[header.index(metric)]) - value) <= ROUNDING, (caption, row[0], metric)
                seen += 1
            if "ΔAP" in header and row[header.index("ΔAP")] != "–":
                baseline = row[header.index("to")].removesuffix(" (recipe)")
                wide = here[here.measure == "AP"].pivot_table(index="seed", columns="method", values="value")
                gain = 100 * (wide[row[0]] - wide[baseline]).mean()
                assert abs(number(row[header.index("ΔAP")]) - gain) <= ROUNDING, (caption, row[0])
    assert seen > 10


@pytest.mark.parametrize("folder", REPORTS, ids=lambda p: p.name)
def test_nothing_is_bold_that_no_verdict_carries(folder: Path) -> None:
    """A bold number of the table is the highest of its column, and stands only where the table says what bold means."""
    text = (folder / "report.md").read_text()
    for caption, _, _ in CAPTION.findall(text):
        lines = text[text.index(f"**{caption}**") :].splitlines()[2:]
        rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines[: lines.index("")]]
        for column in range(1, len(rows[0])):
            bold = [r for r in rows[2:] if r[column].startswith("**")]
            known = [number(r[column]) for r in rows[2:] if re.match(r"^\**[\d.]", r[column])]
            assert all(number(r[column]) == max(known) for r in bold), (caption, rows[0][column])
            assert len(bold) <= 1
