"""A table as LaTeX for a paper: booktabs, what is resolved in bold, every name as the letters that it is made of."""

from __future__ import annotations

import unicodedata

from assignbench.characters import printable
from assignbench.report.tables import INTERVAL, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two of them would be a dash
    "[": "{[}",  # behind a line's end it would be an argument
    "]": "{]}",
    "*": "{*}",
}
# Signs of our own texts; any other one outside of ASCII is written as its number, which every engine prints.
_SIGNS = {
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "–": "--",
    "−": "$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "τ": r"$\tau$",
    "σ": r"$\sigma$",
    "γ": r"$\gamma$",
    "√": r"$\surd$",
    "²": r"$^2$",
    "₊": r"$_+$",
    "₋": r"$_-$",
    "†": r"$\dagger$",
    "…": r"\ldots{}",
    "’": "'",
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r", "\u0327": "c"}


def escaped(text: object) -> str:
    """Text that LaTeX prints letter by letter, on one line, in ASCII, with pdflatex as with the others."""
    return "".join(_letter(c) for c in printable(" ".join(str(text).split())))


def _letter(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if c in _SIGNS:
        return _SIGNS[c]
    if c.isascii():
        return c
    parts = unicodedata.normalize("NFD", c)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        letter = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return f"\\{_ACCENTS[parts[1]]}{{{letter}}}"
    return f"{{[}}U+{ord(c):04X}{{]}}"


def latex_table(table: Table) -> str:
    """A table environment with its caption above and its notes below; it needs the packages booktabs and textcomp."""
    columns = "".join("r" if n else "l" for n in table.numeric)
    lines = ["% needs \\usepackage{booktabs} and \\usepackage{textcomp}", "\\begin{table}", "\\centering"]
    lines += [f"\\caption{{{escaped(table.caption)}}}", f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}", "\\toprule"]
    lines += [_row([escaped(c) for c in table.header]), "\\midrule"]
    for number, (band, rows) in enumerate(table.parts):
        if band:
            lines += ["\\addlinespace"] if number else []
            lines.append(_row([f"\\multicolumn{{{len(columns)}}}{{@{{}}l}}{{\\textit{{{escaped(band)}}}}}"]))
        lines += [_row([_shown(table, i, j, cell) for j, cell in enumerate(table.rows[i])]) for i in rows]
    lines += ["\\bottomrule", "\\end{tabular}"]
    if table.said:
        notes = " ".join(escaped(note) for note in table.said)
        lines += ["\\par\\smallskip", f"\\parbox{{\\linewidth}}{{\\footnotesize {notes}}}"]
    return "\n".join([*lines, "\\end{table}", ""])


def _row(cells: list[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _shown(table: Table, row: int, column: int, cell: str) -> str:
    """A cell: numbers with a real minus, what stands out in bold."""
    text = escaped(cell)
    if table.numeric[column]:
        text = " $\\pm$ ".join(_number(part) for part in cell.split(INTERVAL)) if _is_plain(cell) else text
    return f"\\textbf{{{text}}}" if table.mark(row, column) else text


def _is_plain(cell: str) -> bool:
    return all(c in "0123456789.+-± " for c in cell) and any(c.isdigit() for c in cell)


def _number(text: str) -> str:
    return f"$-${text[1:]}" if text.startswith("-") else text
