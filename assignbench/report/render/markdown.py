"""A page as GitHub markdown: text from users can neither make markup nor break a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assignbench.characters import printable
from assignbench.report.content import GROUPS
from assignbench.report.tables import Table

if TYPE_CHECKING:
    from assignbench.report.content import Page, Picture, Section

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

    def shown(row: int, column: int, cell: str) -> str:
        return f"**{escaped(cell)}**" if table.mark(row, column) else escaped(cell)

    body = [
        line([escaped(c) for c in table.header]),
        "|" + "".join("---:|" if n else "---|" for n in table.numeric),
    ]
    for band, rows in table.parts:
        body += [line([f"*{escaped(band)}*", *[""] * (len(table.header) - 1)])] if band else []
        body += [line([shown(i, j, c) for j, c in enumerate(table.rows[i])]) for i in rows]
    notes = [f"{paragraph(n)}  " for n in table.said]
    return "\n".join([f"**{escaped(table.caption)}**", "", *(body if table.rows else []), "", *notes])


def to_markdown(page: Page) -> str:
    """The whole page; figures, and tables of all rows, are linked."""
    lines = [f"# {escaped(page.title)}", "", paragraph(page.answers), ""]
    trained = f"Trained {escaped(page.date)}, written" if page.date else "Written"
    lines += [f"{trained} by assignbench {escaped(page.version)}.", "", paragraph(page.fair), ""]
    for told in (*page.warnings, *(f"CONTRADICTION: {told}" for told in page.contradictions)):
        lines += [paragraph(told), ""]
    lines += _card(page)
    for group in GROUPS:
        for section in page.of_group(group):
            lines += _section(section, page)
    if page.skipped:
        lines += ["## Left out of the data", "", f"{len(page.skipped)} problem(s):", ""]
        lines += [f"- {paragraph(s)}" for s in page.skipped] + [""]
    lines += ["## Runs", "", markdown_table(page.cells), "", markdown_table(page.runs), ""]
    if page.recompute:
        lines += ["## Numbers of every cell", "", paragraph(page.recompute), ""]
    return "\n".join(lines)


def _card(page: Page) -> list[str]:
    """The answer: a line per method, and what it rests on."""
    card = page.card
    lines = ["## The answer", ""]
    for verdict in card.verdicts:
        said = " ".join(filter(None, (escaped(verdict.sentence), escaped(verdict.aside))))
        lines.append(f"- **{escaped(verdict.method)}** {said}")
    lines += [""] if card.verdicts else []
    lines += [escaped(card.aside), ""] if card.aside else []
    states = f" ({escaped(card.states)})" if card.states else ""
    lines += [f"{card.finished} of {card.asked} cells finished{states}.", ""]
    if card.claims:
        lines += [f"Claims: {escaped(card.claims)}.", ""]
    if page.expect:
        lines += [f"Expected: {escaped(page.expect)}", ""]
    for picture in filter(None, (page.forest, page.lost)):
        lines += _picture(picture)
    return lines


def _picture(picture: Picture) -> list[str]:
    if not picture.file:
        return [paragraph(picture.caption), ""]
    return [f"![{escaped(picture.caption)}]({picture.file})", "", paragraph(picture.caption), ""]


def _section(section: Section, page: Page) -> list[str]:
    lines = [f"## {escaped(section.title)}", ""]
    if section.question:
        lines += [f"*{escaped(section.question)}*", ""]
    if section.answer:
        lines += [f"> {escaped(section.answer)}", ""]
    if section.definition:
        lines += [paragraph(section.definition), ""]
    for table in section.tables:
        lines += [markdown_table(table), ""]
    behind = [f"[{escaped(t.caption)}](tables/{t.name}.csv)" for t in section.raw if t.rows]
    lines += [f"All rows: {', '.join(behind)}.", ""] if behind else []
    for picture in page.pictures_of(section):
        lines += _picture(picture)
    return lines
