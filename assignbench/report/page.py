"""What stands on a study's page, in order, from the run folder alone; `render` writes it down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from assignbench.analysis import ORDER, Analysis, Result, StudyRecord, chosen, read_study_record
from assignbench.analysis.prepared import prepare
from assignbench.errors import Contradiction
from assignbench.records import write_text
from assignbench.report.card import answer_card, banners
from assignbench.report.cells import NOTE, write_cells
from assignbench.report.content import Page, Picture, Section
from assignbench.report.files import write_tables
from assignbench.report.folder import check_publishable, replaced
from assignbench.report.hues import GLYPHS, colour, looks, marker, rules_of
from assignbench.report.kept import Kept, kept_of
from assignbench.report.leading import leading
from assignbench.report.lint import lint
from assignbench.report.opening import (
    cell_table,
    environment_table,
    fairness,
    made_on,
    opening,
    sharing,
    skipped_problems,
    warnings,
)
from assignbench.report.render.bibliography import to_bibliography
from assignbench.report.render.html import to_html
from assignbench.report.render.markdown import to_markdown
from assignbench.report.saving import Target
from assignbench.report.sections import (
    all_results,
    answer_of,
    appendix,
    results_of,
    sample_sections,
    section_of,
    with_lost,
)
from assignbench.report.tables import Table, without_empty_columns
from assignbench.report.untested import untested

Tell = Callable[[str], None]


def build(folder: Path, tell: Tell, say: Tell) -> Path:
    """What `report.build_report` does."""
    out = folder / "report"
    study = read_study_record(folder)
    kept = kept_of(study)
    with replaced(out) as new:
        page = write_report(study, new, kept, tell=tell)
    kept.write()
    for sentence in page.untested:
        say(sentence)
    if page.contradictions:
        raise Contradiction(page.contradictions, out / "index.html")
    return out / "index.html"


def prepare_finished(folder: Path) -> None:
    """What `report.prepare_report` does."""
    study = read_study_record(folder)
    prepare(study, [one.name for one in _selected(study)], lambda text: None, most=1)


def publish(folder: Path, out: Path, tell: Tell, say: Tell) -> Path:
    """What `report.publish_report` does."""
    check_publishable(out)
    study = read_study_record(folder)
    kinds = {c.config.data.name: c.config.data.kind for c in study.cells}
    hidden = frozenset(n for n, k in kinds.items() if k != "shapes")
    with replaced(out) as new:
        page = write_report(study, new, kept_of(study), hidden=hidden, published=True, tell=tell)
        if page.contradictions:  # what was published before stays
            raise Contradiction(page.contradictions)
        (new / "index.html").unlink()
    for sentence in page.untested:
        say(sentence)
    return out / "report.md"


def write_report(
    study: StudyRecord,
    out: Path,
    kept: Kept,
    *,
    hidden: frozenset[str] = frozenset(),
    published: bool = False,
    tell: Tell,
) -> Page:
    """The report of a study record into an empty folder; images of the data sets in `hidden` are not shown.

    `tell` is told what is being worked on; figures that are `kept` are not drawn again. A published one gets the
    numbers of every cell beside it, and no figures for print. The same records give the same bytes. Raises InputError
    for an analysis that is not known.
    """
    with looks(study.methods, rules_of(study)):
        page = page_of(study, Target(out, hidden, not published, kept), tell)
    if published:
        tell("writing the numbers of every cell")
        write_cells(study, out / "cells")
        page = replace(page, recompute=NOTE)
    tell("writing the page")
    page = write_tables(page, out)
    write_text(out / "cite.bib", to_bibliography(study))
    write_text(out / "index.html", to_html(page, out))
    write_text(out / "report.md", to_markdown(page))
    return page


def _selected(study: StudyRecord) -> list[Analysis]:
    """The analyses that the page shows."""
    return chosen(study.about.get("analyses") or [], ORDER)


def page_of(study: StudyRecord, target: Target, tell: Tell) -> Page:
    """The page: the answer, the analyses in order, what was left out, what it ran on; figures are saved."""
    selected = _selected(study)
    prepare(study, [one.name for one in selected], tell)
    answers: dict[str, list[Result] | str] = {}
    sections: list[Section] = []
    for number, one in enumerate(selected, start=1):
        tell(f"analysing: {one.name} ({number} of {len(selected)})")
        answers[one.name] = answer_of(one, study)
        section = section_of(one, study, answers[one.name], target)
        sections += [section] if section is not None else []
    tell("drawing: pictures of images")
    names = [s.name for s in sections]
    place = names.index("positives") if "positives" in names else len(sections)  # which explain what they show
    sections[place:place] = sample_sections(study, target)
    frames = {
        name: {k: r.frame for k, r in results_of(answers, name, study).items()}
        for name in ("differences", "claims", "averages")
    }
    first = opening(study, frames["differences"], frames["claims"])
    if first:
        sections.insert(0, _compared(with_lost(study, first)))
    behind = appendix(study, answers)
    sections += [replace(behind, raw=with_lost(study, behind.raw))] if behind else []
    card = answer_card(study, frames["differences"], frames["claims"])
    fair, unfair = fairness(study)
    about = study.about
    cells, runs = (without_empty_columns(t) for t in (cell_table(study), environment_table(study)))
    page = Page(
        title=str(about.get("title") or about.get("study") or study.folder.name),
        answers=str(about.get("answers", "")),
        expect=str(about.get("expect", "")),
        cost=str(about.get("cost", "")),
        version=str(about.get("version", "")),
        date=made_on(study),
        fair=" ".join(filter(None, (fair, sharing(study)))),
        unfair=unfair,
        warnings=[*warnings(study), *banners(study, frames["averages"].get("averages", pd.DataFrame()))],
        card=card,
        methods=study.methods,
        colours={m: colour(m) for m in study.methods},
        glyphs={m: GLYPHS[marker(m)] for m in study.methods},
        sections=sections,
        skipped=skipped_problems(study),
        cells=cells,
        runs=runs,
        forest=_forest(sections),
        lost=_lost(sections, study),
        untested=untested(study, frames["differences"], frames["claims"]),
    )
    for cell in study.data():
        cell.kept.save()
    wrong = lint(
        all_results(answers),
        page.tables,
        coco_areas=not about.get("areas"),
        sentences=page.sentences,
        names=_names(study),
    )
    return replace(page, contradictions=wrong)


def _names(study: StudyRecord) -> set[str]:
    """What somebody named: methods, data sets, detectors and classes."""
    classes = {str(name) for cell in study.data() for name in cell.classes}
    return classes | {str(m) for m in study.methods} | {str(name) for place in study.places for name in place}


FIRST_QUESTION = "Which method is compared with which, what differs between the two, and what did the study find?"
FIRST_DEFINITION = (
    "assigner: the two differ in the assigner alone, so that a difference is due to it. recipe: they differ in the "
    "other parts named here too, so that a difference must not be put down to the assigner. Verdicts rest on the "
    "corrected tests of the primary metric, for other seeds and other test images."
)


def _compared(tables: list[Table]) -> Section:
    return Section("", "What is compared", FIRST_QUESTION, FIRST_DEFINITION, "", tables)


def _forest(sections: list[Section]) -> Picture | None:
    """The plot of all differences with their intervals."""
    pictures = next((s.pictures for s in sections if s.name == "differences"), [])
    return next((p for p in pictures if p.file), None)


def _lost(sections: list[Section], study: StudyRecord) -> Picture | None:
    """Lost and gained assignments of the method that the study says most of (Mutual Guidance, Fig. 4)."""
    drawn = {p.changed_by: p for s in reversed(sections) for p in reversed(s.pictures) if p.changed_by}
    return next((drawn[m] for m in leading(study) if m in drawn), None)
