"""A page as GitHub markdown: text from users can neither make markup nor break a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assignbench.characters import printable
from assignbench.report.tables import Table

if TYPE_CHECKING:
    from assignbench.report.page import Page, Section

# Backslash, code, emphasis, links and table cells; an underscore inside a word is no markup, at its edge it is.
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
# GitHub makes links of bare addresses.
_ADDRESS = re.compile(r"(?i)(?:\bhttps?(?=:)|\bftp(?=:)|\bwww(?=\.)|(?<=\w)(?=@))")
_OPENING = re.compile(r"^(\s*)([#+>-]|\d+(?=[.)]\s))")  # what makes a heading, a list or a quotation of a line


def escaped(text: object) -> str:
    """Text that GitHub shows as it is, on one line."""
    line = printable(" ".join(str(text).split()))
    line = _MARKUP.sub(lambda m: "\\" + m.group(), line)
    line = _ADDRESS.sub(lambda m: m.group() + "\\", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def paragraph(text: object) -> str:
    """Escaped text that also begins as a plain paragraph."""
    line = escaped(text)
    opened = _OPENING.match(line)
    if opened is None:
        return line
    mark = opened.group(2)
    kept = f"{mark}\\" if mark.isdigit() else f"\\{mark}"
    return opened.group(1) + kept + line[opened.end() :]


def markdown_table(table: Table) -> str:
    """A table with its caption above and its notes below."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def shown(column: int, cell: str) -> str:
        return f"**{escaped(cell)}**" if table.stands_out(column, cell) else escaped(cell)

    body = [
        line([escaped(c) for c in table.header]),
        "|" + "".join("---:|" if n else "---|" for n in table.numeric),
        *(line([shown(i, c) for i, c in enumerate(r)]) for r in table.rows),
    ]
    notes = [f"{paragraph(n)}  " for n in table.notes]
    return "\n".join([f"**{escaped(table.caption)}**", "", *(body if table.rows else []), "", *notes])


def to_markdown(page: Page) -> str:
    """The whole page; figures are linked."""
    lines = [f"# {escaped(page.title)}", "", paragraph(page.answers), ""]
    lines += [f"Built on {page.date} by assignbench {escaped(page.version)}.", "", paragraph(page.fair), ""]
    for line in (*page.warnings, *(f"CONTRADICTION: {told}" for told in page.contradictions)):
        lines += [paragraph(line), ""]
    for section in page.sections:
        lines += _section(section)
    if page.skipped:
        lines += ["## Left out of the data", "", f"{len(page.skipped)} problem(s):", ""]
        lines += [f"- {paragraph(s)}" for s in page.skipped] + [""]
    lines += ["## Runs", "", markdown_table(page.cells), "", markdown_table(page.runs), ""]
    if page.recompute:
        lines += ["## Numbers of every cell", "", paragraph(page.recompute), ""]
    return "\n".join(lines)


def _section(section: Section) -> list[str]:
    lines = [f"## {escaped(section.title)}", ""]
    if section.question:
        lines += [f"*{escaped(section.question)}*", "", paragraph(section.definition), ""]
    for table in section.tables:
        lines += [markdown_table(table), ""]
    for picture in section.pictures:
        lines += [f"![{escaped(picture.caption)}]({picture.file})", "", paragraph(picture.caption), ""]
    return lines
