"""The sections of a page: every analysis with its answer, its tables laid out to be read, and its figures."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from assignbench.analysis import ANALYSES, Analysis, Result, StudyRecord
from assignbench.errors import InputError
from assignbench.report.content import Group, Picture, Section
from assignbench.report.figures import FIGURES
from assignbench.report.lost import lost_methods, lost_note
from assignbench.report.samples import assignment_pictures, detection_pictures
from assignbench.report.saving import Target
from assignbench.report.tables import Table, average_tables, result_table
from assignbench.report.wide import wide_tables

Answers = Mapping[str, list[Result] | str]  # by analysis; a text says where it failed
LONG = 40  # rows from which on a table is folded
# In which part of the page an analysis stands; any other one, which somebody asked for by name, belongs to the answer.
ANALYSES_OF: Mapping[Group, tuple[str, ...]] = {
    "Where": ("classes", "size", "crowdedness", "aspect_ratio", "factors", "errors", "images"),
    "Why": (
        *("divergence", "nms", "quality", "positives", "orphans", "levels", "churn", "evolution", "scores", "maps"),
        "anchors",
    ),
    "Appendix": ("curves", "cost", "formulas", "configuration"),
}
RAW = ("claims.tests", "formulas.")  # tables of all that stands behind another one, or behind a figure
LEADING = {"nms": ("reading", "coverage")}  # the column and value of what is read where a second reading says the same


def answer_of(analysis: Analysis, study: StudyRecord) -> list[Result] | str:
    """What an analysis finds, or where it failed."""
    try:
        return analysis.run(study)
    except InputError:
        raise
    except Exception as problem:  # one broken analysis must not cost the report of hours of training
        return told(problem)


def told(problem: Exception) -> str:
    """A failure in a line."""
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem} ({Path(last.filename).name}, line {last.lineno}, in {last.name})"


def results_of(answers: Answers, name: str, study: StudyRecord) -> dict[str, Result]:
    """The results of an analysis by key, also where the study's page does not show it; none where it failed."""
    found = answers[name] if name in answers else answer_of(ANALYSES[name], study)
    return {} if isinstance(found, str) else {r.key: r for r in found}


def all_results(answers: Answers) -> list[Result]:
    """The results of every analysis that did not fail."""
    return [r for found in answers.values() if not isinstance(found, str) for r in found]


def group_of(name: str) -> Group:
    """The part of the page that an analysis stands in."""
    return next((group for group, names in ANALYSES_OF.items() if name in names), "Answer")


def section_of(analysis: Analysis, study: StudyRecord, answer: list[Result] | str, target: Target) -> Section | None:
    """An analysis with its tables and figures; None where the records hold nothing for it."""
    group = group_of(analysis.name)
    empty = Section(analysis.name, analysis.title, analysis.question, analysis.definition, analysis.paper, group=group)
    if isinstance(answer, str):
        return replace(empty, tables=[Table(f"This analysis failed: {answer}", ["failed"], [])])
    tables, raw = tables_of(study, answer)
    found = {r.key: r.frame for r in answer}
    pictures: list[Picture] = []
    for result in answer:
        if result.key in FIGURES and len(result.frame) and study.done:
            try:
                key, draw = target.kept.key(result.key, found), FIGURES[result.key]
                pictures += target.drawn(key, partial(draw, study, found))
            except Exception as problem:  # a figure that cannot be drawn must not cost the tables
                tables.append(Table(f"The figure of {result.key} failed: {told(problem)}", ["failed"], []))
    if not (tables or raw or pictures):
        return None
    said = next((r.answer for r in answer if r.answer), "")
    return replace(empty, tables=tables, raw=raw, pictures=pictures, answer=said)


def tables_of(study: StudyRecord, results: list[Result]) -> tuple[list[Table], list[Table]]:
    """The tables that are read, and those of all rows and columns behind them."""
    tables: list[Table] = []
    raw: list[Table] = []
    for result in (r for r in results if r.role == "table"):
        if result.key == "averages":
            found = average_tables(result.frame, study.methods, lost_methods(study), study.split)
            tables += [replace(t, name=f"averages-{k}" if len(found) > 1 else "averages") for k, t in enumerate(found)]
        elif not result.frame.empty:
            whole = result_table(result, study.places)
            whole = replace(whole, headline=result.key == "claims")  # whose verdicts are the study's
            if whole.header == ["method"]:
                continue  # all else is the same for all of them, and stands with the others
            laid_out = wide_tables(result, study.places) or excerpt(result, study.places)
            tables += laid_out or ([] if _is_raw(result, whole) else [whole])
            raw += [whole] if laid_out or _is_raw(result, whole) else []
    return with_lost(study, tables), raw


def excerpt(result: Result, places: Sequence[tuple[str, str]]) -> list[Table]:
    """The part of a Result that is read: one of two near readings, and less the columns that it folds; none of all."""
    column, reading = LEADING.get(result.key, ("", ""))
    frame = result.frame[result.frame[column] == reading] if column in result.frame else result.frame
    if frame.empty or (len(frame) == len(result.frame) and not result.folded):
        return []
    shown = replace(result, frame=frame.drop(columns=[*filter(None, [column]), *result.folded]))
    table = result_table(shown, places)
    if column:
        table = replace(
            table, constants=[f"{column}: {reading}; the other one stands with all rows.", *table.constants]
        )
    return [] if _is_raw(result, table) else [replace(table, name=f"{result.key}-read")]


def _is_raw(result: Result, table: Table) -> bool:
    return result.key.startswith(RAW) or len(table.rows) > LONG


def with_lost(study: StudyRecord, tables: list[Table]) -> list[Table]:
    """The tables, each with a note of the cells that are in none of its numbers."""
    note = lost_note(study)
    return [replace(table, notes=[*table.notes, note]) for table in tables] if note else tables


APPENDIX_DEFINITION = (
    "p: of the single test; p_holm: corrected over the family of tests that one question asks, on which the verdict "
    "rests. No conclusion may be drawn from a single test of many. t half: the half-width by the plain t of a "
    "pair's own seeds, for other seeds alone; freedom: degrees of freedom of the moderated one; pairing: the share of "
    "the variance that pairing by seed takes away."
)


def appendix(study: StudyRecord, answers: Answers) -> Section | None:
    """What stands behind the verdicts, of all analyses; None without any test."""
    behind = [result_table(r, study.places) for r in all_results(answers) if r.role == "appendix" and len(r.frame)]
    title, question = "The tests behind the verdicts", "On which single tests do the verdicts of this page rest?"
    return Section("", title, question, APPENDIX_DEFINITION, raw=behind, group="Appendix") if behind else None


def sample_sections(study: StudyRecord, target: Target) -> list[Section]:
    """Pictures of images, which explain what the analyses of training show."""
    sections = []
    for title, draw in (("What the detectors see", detection_pictures), ("What the rules choose", assignment_pictures)):
        try:
            pictures = target.drawn(target.kept.key(draw.__name__), partial(draw, study))
            section = Section("", title, pictures=pictures, group="Why")
        except Exception as problem:  # a spoilt picture must not cost the page
            failed = [Table(f"These pictures failed: {told(problem)}", ["failed"], [])]
            section = Section("", title, tables=failed, group="Why")
        if section.pictures or section.tables:
            sections.append(section)
    return sections
