"""The tables of a page as files, for spreadsheets and papers: tables/NAME.csv, .md and .tex, and tables/columns.csv."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from assignbench.records import write_text
from assignbench.records.names import file_name
from assignbench.report.content import Page, Section
from assignbench.report.render.csv import table_csv
from assignbench.report.render.latex import latex_table
from assignbench.report.render.markdown import markdown_table
from assignbench.report.tables import Table


def write_tables(page: Page, out: Path) -> Page:
    """Writes every table with rows as CSV, Markdown and LaTeX; the page with the names that the files have got."""
    names = _Names()
    sections = [_named(section, names) for section in page.sections]
    whole = replace(
        page,
        sections=sections,
        cells=replace(page.cells, name=names.of("cells")),
        runs=replace(page.runs, name=names.of("runs")),
    )
    for table in (t for t in whole.tables if t.rows):
        write_text(out / "tables" / f"{table.name}.csv", table_csv(table))
        write_text(out / "tables" / f"{table.name}.md", markdown_table(table) + "\n")
        write_text(out / "tables" / f"{table.name}.tex", latex_table(table))
    return whole


class _Names:
    """File names that no other table of the page has."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def of(self, wanted: str) -> str:
        """A free name like the wanted one."""
        name, number = file_name(wanted) or "table", 2
        while name in self.taken:
            name, number = file_name(f"{wanted}-{number}"), number + 1
        self.taken.add(name)
        return name


def _named(section: Section, names: _Names) -> Section:
    def of(table: Table) -> Table:
        return replace(table, name=names.of(table.name or section.name or section.anchor))

    raw = [of(t) for t in section.raw]  # first, so that they have the names of their analyses
    return replace(section, raw=raw, tables=[of(t) for t in section.tables])
