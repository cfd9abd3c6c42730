"""What stands on a study's page, in order, from the run folder alone; `render` writes it down."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from assignbench.analysis import ANALYSES, ORDER, Analysis, Result, StudyRecord, chosen, read_study_record
from assignbench.errors import Contradiction, InputError
from assignbench.records import write_text
from assignbench.records.names import file_name
from assignbench.report.cells import NOTE, write_cells
from assignbench.report.figures import FIGURES
from assignbench.report.folder import check_publishable, replaced
from assignbench.report.hues import looks, rules_of
from assignbench.report.lint import lint
from assignbench.report.lost import lost_methods, lost_note
from assignbench.report.opening import (
    cell_table,
    environment_table,
    fairness,
    opening,
    sharing,
    skipped_problems,
    warnings,
)
from assignbench.report.render.html import to_html
from assignbench.report.render.markdown import to_markdown
from assignbench.report.samples import assignment_pictures, detection_pictures
from assignbench.report.style import Drawn, discard, save
from assignbench.report.tables import Table, average_tables, result_table

Tell = Callable[[str], None]  # is told what is being worked on


@dataclass(frozen=True)
class Picture:
    """A saved figure: its file below the report's folder, and what it shows."""

    caption: str
    file: str


@dataclass(frozen=True)
class Section:
    """One question with its tables and figures; `name` is the analysis' ("" for a section that is none)."""

    name: str
    title: str
    question: str = ""
    definition: str = ""
    paper: str = ""
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A report: plain text throughout, which the renderers escape.

    `contradictions`: what is wrong with it (`lint`); `recompute`: where its numbers lie cell by cell, "" for nowhere.
    """

    title: str
    answers: str
    expect: str
    cost: str
    version: str
    date: str
    fair: str
    unfair: bool
    warnings: list[str]
    sections: list[Section]
    skipped: list[str]
    cells: Table
    runs: Table
    contradictions: list[str] = field(default_factory=list)
    recompute: str = ""


@dataclass(frozen=True)
class Target:
    """Where figures go, of which data sets no image is shown, and the names that are taken."""

    folder: Path
    hidden: frozenset[str]
    taken: set[str] = field(default_factory=set)

    def save(self, drawn: list[Drawn]) -> list[Picture]:
        """Writes the figures; what the page needs of each."""
        pictures = []
        for one in drawn:
            if one.figure is None:
                continue
            if one.photo_of in self.hidden:
                discard(one.figure)
                continue
            path = self.folder / "figures" / f"{self._free(one.name)}.{'jpg' if one.photo_of else 'png'}"
            save(one.figure, path)
            pictures.append(Picture(one.caption, f"figures/{path.name}"))
        return pictures

    def _free(self, text: str) -> str:
        """A file name that no other figure has: "a-b" on "c" and "a" on "b-c" read alike."""
        name, number = file_name(text), 2
        while name in self.taken:
            name, number = file_name(f"{text}-{number}"), number + 1
        self.taken.add(name)
        return name


def build(folder: Path, tell: Tell) -> Path:
    """What `report.build_report` does."""
    out = folder / "report"
    with replaced(out) as new:
        page = write_report(read_study_record(folder), new, tell=tell)
    if page.contradictions:
        raise Contradiction(page.contradictions, out / "index.html")
    return out / "index.html"


def publish(folder: Path, out: Path, tell: Tell) -> Path:
    """What `report.publish_report` does."""
    check_publishable(out)
    study = read_study_record(folder)
    kinds = {c.config.data.name: c.config.data.kind for c in study.cells}
    hidden = frozenset(n for n, k in kinds.items() if k != "shapes")
    with replaced(out) as new:
        page = write_report(study, new, hidden=hidden, published=True, tell=tell)
        if page.contradictions:  # what was published before stays
            raise Contradiction(page.contradictions)
        (new / "index.html").unlink()
    return out / "report.md"


def write_report(
    study: StudyRecord, out: Path, *, hidden: frozenset[str] = frozenset(), published: bool = False, tell: Tell
) -> Page:
    """The report of a study record into an empty folder; images of the data sets in `hidden` are not shown.

    `tell` is told what is being worked on. A published one gets the numbers of every cell beside it. Raises InputError
    for an analysis that is not known.
    """
    with looks(study.methods, rules_of(study)):
        page = page_of(study, Target(out, hidden), tell)
    if published:
        tell("writing the numbers of every cell")
        write_cells(study, out / "cells")
        page = replace(page, recompute=NOTE)
    tell("writing the page")
    write_text(out / "index.html", to_html(page, out))
    write_text(out / "report.md", to_markdown(page))
    return page


def page_of(study: StudyRecord, target: Target, tell: Tell) -> Page:
    """The page: what is compared, the analyses in order, what was left out, what it ran on; figures are saved."""
    selected = chosen(study.about.get("analyses") or [], ORDER)
    answers: dict[str, list[Result] | str] = {}
    sections: list[Section] = []
    for number, one in enumerate(selected, start=1):
        tell(f"analysing: {one.name} ({number} of {len(selected)})")
        answers[one.name] = _answer(one, study)
        section = _section(one, study, answers[one.name], target)
        sections += [section] if section is not None else []
    tell("drawing: pictures of images")
    _insert_samples(sections, study, target)
    first = opening(study, _results(answers, "differences", study), _results(answers, "claims", study))
    if first:
        told = _with_lost(study, first)
        sections.insert(0, Section("", "What is compared", FIRST_QUESTION, FIRST_DEFINITION, "", told))
    behind = _with_lost(study, _appendix(study, answers))
    if behind:
        sections.append(Section("", "Appendix: the tests behind the verdicts", "", APPENDIX_DEFINITION, "", behind))
    fair, unfair = fairness(study)
    about = study.about
    cells, runs = cell_table(study), environment_table(study)
    tables = [t for s in sections for t in s.tables] + [cells, runs]
    return Page(
        title=str(about.get("title") or about.get("study") or study.folder.name),
        answers=str(about.get("answers", "")),
        expect=str(about.get("expect", "")),
        cost=str(about.get("cost", "")),
        version=str(about.get("version", "")),
        date=datetime.now(UTC).date().isoformat(),
        fair=" ".join(filter(None, (fair, sharing(study)))),
        unfair=unfair,
        warnings=warnings(study),
        sections=sections,
        skipped=skipped_problems(study),
        cells=cells,
        runs=runs,
        contradictions=lint(_all(answers), tables, coco_areas=not about.get("areas")),
    )


FIRST_QUESTION = "Which method is compared with which, what differs between the two, and what did the study find?"
FIRST_DEFINITION = (
    "assigner: the two differ in the assigner alone, so that a difference is due to it. recipe: they differ in the "
    "other parts named here too, so that a difference must not be put down to the assigner. Verdicts rest on the "
    "corrected tests of the primary metric, for other seeds and other test images."
)


def _answer(analysis: Analysis, study: StudyRecord) -> list[Result] | str:
    """What an analysis finds, or where it failed."""
    try:
        return analysis.run(study)
    except InputError:
        raise
    except Exception as problem:  # one broken analysis must not cost the report of hours of training
        return _told(problem)


def _told(problem: Exception) -> str:
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem} ({Path(last.filename).name}, line {last.lineno}, in {last.name})"


def _results(answers: dict[str, list[Result] | str], name: str, study: StudyRecord) -> dict[str, pd.DataFrame]:
    """The tables of an analysis by key, also where the study's page does not show it; none where it failed."""
    found = answers[name] if name in answers else _answer(ANALYSES[name], study)
    return {} if isinstance(found, str) else {r.key: r.frame for r in found}


def _section(analysis: Analysis, study: StudyRecord, answer: list[Result] | str, target: Target) -> Section | None:
    """An analysis with its tables and figures; None where the records hold nothing for it."""
    head = (analysis.name, analysis.title, analysis.question, analysis.definition, analysis.paper)
    if isinstance(answer, str):
        return Section(*head, [Table(f"This analysis failed: {answer}", ["failed"], [])])
    tables = _tables(study, answer)
    found = {r.key: r.frame for r in answer}
    pictures: list[Picture] = []
    for result in answer:
        if result.key in FIGURES and len(result.frame) and study.done:
            try:
                pictures += target.save(FIGURES[result.key](study, found))
            except Exception as problem:  # a figure that cannot be drawn must not cost the tables
                tables.append(Table(f"The figure of {result.key} failed: {_told(problem)}", ["failed"], []))
    return Section(*head, tables, pictures) if tables or pictures else None


def _tables(study: StudyRecord, results: list[Result]) -> list[Table]:
    tables: list[Table] = []
    for result in results:
        if result.role != "table":
            continue
        if result.key == "averages":
            tables += average_tables(result.frame, study.methods, lost_methods(study), study.split)
        elif not result.frame.empty:
            tables.append(result_table(result, study.places))
    return _with_lost(study, tables)


def _with_lost(study: StudyRecord, tables: list[Table]) -> list[Table]:
    """The tables, each with a note of the cells that are in none of its numbers."""
    told = lost_note(study)
    return [replace(table, notes=[*table.notes, told]) for table in tables] if told else tables


APPENDIX_DEFINITION = (
    "p: of the single test; p_holm: corrected over the family of tests that one question asks, on which the verdict "
    "rests. No conclusion may be drawn from a single test of many."
)


def _appendix(study: StudyRecord, answers: dict[str, list[Result] | str]) -> list[Table]:
    """What stands behind the verdicts, of all analyses."""
    return [result_table(r, study.places) for r in _all(answers) if r.role == "appendix" and len(r.frame)]


def _all(answers: dict[str, list[Result] | str]) -> list[Result]:
    """The results of every analysis that did not fail."""
    return [r for found in answers.values() if not isinstance(found, str) for r in found]


def _insert_samples(sections: list[Section], study: StudyRecord, target: Target) -> None:
    """Pictures of images stand before the analyses of training, which explain what they show."""
    names = [s.name for s in sections]
    before = names.index("positives") if "positives" in names else len(sections)
    for title, draw in (("What the rules choose", assignment_pictures), ("What the detectors see", detection_pictures)):
        try:
            section = Section("", title, pictures=target.save(draw(study)))
        except Exception as problem:  # a spoilt picture must not cost the page
            failed = [Table(f"These pictures failed: {_told(problem)}", ["failed"], [])]
            section = Section("", title, tables=failed)
        if section.pictures or section.tables:
            sections.insert(before, section)
