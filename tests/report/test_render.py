"""Tables for papers and spreadsheets: every name is printed letter by letter, whatever its letters are."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from assignbench.characters import printable
from assignbench.report.render.csv import table_csv
from assignbench.report.render.html import heading
from assignbench.report.render.latex import _ACCENTS, _SIGNS, _SPECIAL, escaped, latex_table
from assignbench.report.render.markdown import markdown_table
from assignbench.report.tables import Table
from tests.report.test_hostile import HOSTILE

NAMES = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=60), st.text(alphabet="\\{}$&#%_~^<>|\"'`-[]*é漢Δ±−", max_size=40)
)
# What an escaped text may consist of: letters, commands of our own, and groups of these.
_WRITTEN = sorted({*_SPECIAL.values(), *_SIGNS.values()}, key=len, reverse=True)
_ACCENT = rf"\\[{re.escape(''.join(_ACCENTS.values()))}]\{{(?:\\[ij]|[A-Za-z])\}}"
_PLAIN = r"[A-Za-z0-9 .,:;!?@/()=+]"
ALLOWED = re.compile(f"(?:{'|'.join(map(re.escape, _WRITTEN))}|{_ACCENT}|{_PLAIN})*")


@given(NAMES)
@settings(max_examples=150, deadline=None)
def test_no_name_is_a_command(text) -> None:
    written = escaped(text)
    assert written.isascii() and "\n" not in written
    assert ALLOWED.fullmatch(written), written


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4), NAMES)
@settings(max_examples=60, deadline=None)
def test_a_table_of_any_names_has_its_rows_and_columns(rows, caption) -> None:
    text = latex_table(Table(caption, ["a_b", "c"], [list(r) for r in rows], notes=[caption]))
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0].strip().split("\n")
    assert len(body) == len(rows)
    assert all(line.endswith(r" \\") and len(re.findall(r"(?<!\\)&", line)) == 1 for line in body)
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 1


def test_numbers_and_what_stands_out() -> None:
    table = Table("Gain", ["method", "AP"], [["a_b", "-1.2 ± 0.3"], ["c", "n/a"]], marks={(0, 1): "down"})
    text = latex_table(table)
    assert r"a\_b & \textbf{$-$1.2 $\pm$ 0.3} \\" in text and r"c & n/a \\" in text
    assert r"\begin{tabular}{@{}lr@{}}" in text and r"\toprule" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_pdflatex_compiles_every_name(tmp_path) -> None:
    rows = [[name, "-1.0 ± 0.1"] for name in HOSTILE if len(name) < 400]
    tables = latex_table(Table(HOSTILE[0], ["name", "AP"], rows, notes=["Δ ± ≥ † of 100 %"]))
    head = "\\documentclass{article}\\usepackage{booktabs}\\usepackage{textcomp}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{tables}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]


@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=True, allow_infinity=False)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_csv_is_read_as_it_was(rows) -> None:
    """All rows and columns, numbers to twelve digits, whatever stands in the names."""
    names = pd.Series([name for name, _ in rows], dtype=object)  # half a surrogate pair is no text of Arrow's
    frame = pd.DataFrame({"name": names, "value": [value for _, value in rows]})
    read = list(csv.reader(io.StringIO(table_csv(Table("t", [], [], data=frame)), newline="")))
    assert read[0] == ["name", "value"] and len(read) == len(rows) + 1
    for line, (_, value) in zip(read[1:], rows, strict=True):
        assert line[1] == "" if np.isnan(value) else float(line[1]) == pytest.approx(value, rel=1e-11)


def test_bands_stand_above_their_rows_and_in_every_row_of_a_spreadsheet() -> None:
    rows = [["a", "1.0"], ["b", "2.0"], ["a", "3.0"]]
    table = Table("t", ["method", "AP"], rows, bands=["slim_net", "slim_net", "wide"], band="detector")
    assert table_csv(table).split() == ["detector,method,AP", "slim_net,a,1.0", "slim_net,b,2.0", "wide,a,3.0"]
    text = latex_table(table)
    assert r"\multicolumn{2}{@{}l}{\textit{slim\_net}} \\" in text and text.count(r"\addlinespace") == 1
    assert markdown_table(table).split("\n")[4:9] == [
        *("| *slim_net* |  |", "| a | 1.0 |", "| b | 2.0 |"),
        *("| *wide* |  |", "| a | 3.0 |"),
    ]
    plain = Table("t", ["method", "AP"], rows)
    assert "multicolumn" not in latex_table(plain) and list(plain.parts) == [("", [0, 1, 2])]


@given(NAMES)
@settings(max_examples=100, deadline=None)
def test_a_heading_is_its_text_and_nothing_else(name) -> None:
    """Places where a line may end, and a second line for counts, add no letter and no element of somebody else's."""
    for text in (name, f"{name} (12 objects)"):
        shown = re.sub(r"<(?:wbr|small|/small)>", "", str(heading(text)))
        assert "<" not in shown and html.unescape(shown) == printable(text)
