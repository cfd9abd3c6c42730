"""The report of a study: report.md, a self-contained index.html and its figures, from the run folder alone."""

from __future__ import annotations

import base64
import shutil
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

from assignbench.analysis import ANALYSES, ORDER, Analysis, StudyRecord, Tables, chosen, read_study_record
from assignbench.analysis.intervals import over_seeds
from assignbench.errors import InputError
from assignbench.records import write_text
from assignbench.report import evidence, probing
from assignbench.report.figures import assignment_pictures, detection_pictures
from assignbench.report.style import FIGURES, Drawn, discard, save
from assignbench.report.tables import Table, average_tables, plain_table, tidy_table

__all__ = ["build_report", "evidence", "probing", "publish_report", "write_report"]

# Shown as a figure only: one row per cell and step.
DRAWN_ONLY = ("curves", "positives")
DRAWN_TABLES = ("Churn over training", "Confidence over training", "Divergence and AP of every cell", "Gain by group")
LONG = 40  # rows from which on a table is folded in the page


def build_report(folder: Path) -> Path:
    """Writes report/index.html and report/report.md under a study's run folder; returns the page's path."""
    return write_report(read_study_record(folder), folder / "report")


def publish_report(folder: Path, out: Path) -> Path:
    """Writes report.md and its figures for publication: without pictures of images that are not our own scenes."""
    study = read_study_record(folder)
    kinds = {c.config["data"]["name"]: c.config["data"]["kind"] for c in study.cells}
    write_report(study, out, hidden=frozenset(n for n, k in kinds.items() if k != "shapes"))
    (out / "index.html").unlink()
    return out / "report.md"


def write_report(study: StudyRecord, out: Path, *, hidden: frozenset[str] = frozenset()) -> Path:
    """The report of a study record into a folder; images of the data sets in `hidden` are not shown.

    Raises InputError for an analysis that is not known.
    """
    selected = chosen(study.about.get("analyses") or [], ORDER)
    shutil.rmtree(out / "figures", ignore_errors=True)
    target = Target(out, hidden)
    sections = [s for analysis in selected if (s := _section(analysis, study, target)) is not None]
    names = [s["about"].name for s in sections]
    pictures = {"What the assigners choose": assignment_pictures, "What the detectors see": detection_pictures}
    before = names.index("positives") if "positives" in names else len(sections)
    for title, draw in pictures.items():
        saved = target.save(draw(study))
        if saved:
            sections.insert(before, {"about": {"title": title}, "tables": [], "pictures": saved})
    content: dict[str, Any] = {
        "about": study.about,
        "date": datetime.now(UTC).date().isoformat(),
        "sections": sections,
        "cells": _cells(study),
        "runs": _environments(study),
        "skipped": _skipped(study),
        "fair": _fairness(study, next(iter(ANALYSES["configuration"].run(study).values()))),
        "long": LONG,
    }
    template = Environment(loader=PackageLoader("assignbench.report"), autoescape=select_autoescape(["j2", "html"]))
    write_text(out / "index.html", template.get_template("index.html.j2").render(**content))
    write_text(out / "report.md", _markdown(content))
    return out / "index.html"


def _section(analysis: Analysis, study: StudyRecord, target: Target) -> dict[str, Any] | None:
    """An analysis with its tables and figures; None where the records hold nothing for it."""
    try:
        found = analysis.run(study)
        tables = _tables(analysis.name, study, found)
        draw = FIGURES.get(analysis.name)
        pictures = target.save(draw(study, found)) if draw and found and study.done else []
    except InputError:
        raise
    except Exception as problem:  # one broken analysis must not cost the report of hours of training
        told = f"This analysis failed: {type(problem).__name__}: {problem}"
        last = traceback.extract_tb(problem.__traceback__)[-1]
        notes = [f"{Path(last.filename).name}, line {last.lineno}, in {last.name}"]
        return {"about": analysis, "tables": [Table(told, ["failed"], [], notes)], "pictures": []}
    return {"about": analysis, "tables": tables, "pictures": pictures} if tables or pictures else None


@dataclass(frozen=True)
class Target:
    """Where figures go, and of which data sets no image is shown."""

    folder: Path
    hidden: frozenset[str]

    def save(self, drawn: list[Drawn]) -> list[dict[str, str]]:
        """Writes the figures; what the page needs of each."""
        pictures = []
        for one in drawn:
            if one.figure is None:
                continue
            if one.photo_of in self.hidden:
                discard(one.figure)
                continue
            suffix, kind = ("jpg", "jpeg") if one.photo_of else ("png", "png")
            path = self.folder / "figures" / f"{one.name}.{suffix}"
            save(one.figure, path)
            encoded = base64.b64encode(path.read_bytes()).decode()
            about = {"name": one.name, "caption": one.caption, "file": f"figures/{path.name}"}
            pictures.append({**about, "data": f"data:image/{kind};base64,{encoded}"})
        return pictures


def _tables(name: str, study: StudyRecord, found: Tables) -> list[Table]:
    if name in DRAWN_ONLY:
        return []
    if name == "averages":
        table = next(iter(found.values()))
        return [] if table.empty else average_tables(table, study.methods, study.about.get("published") or {})
    shown = {k: v for k, v in found.items() if len(v) and k not in DRAWN_TABLES}
    if name == "configuration":
        return [plain_table(k, v) for k, v in shown.items()]
    return [tidy_table(k, over_seeds(v) if "seed" in v else v) for k, v in shown.items()]


def _cells(study: StudyRecord) -> Table:
    rows = []
    for cell in study.cells:
        config, status = cell.config, cell.status
        ap = cell.summary.get("AP")
        rows.append(
            [
                cell.id,
                config["method"]["name"],
                str(config["seed"]),
                status.get("state", "pending"),
                f"{100 * ap:.1f}" if ap is not None else "–",
                str(status.get("reason", ""))[:200],
            ]
        )
    return Table("Cells of this study", ["cell", "method", "seed", "state", "AP", "reason"], rows)


def _environments(study: StudyRecord) -> Table:
    """What the cells ran on; cells that agree share a row."""
    rows: dict[tuple[str, ...], int] = {}
    for cell in study.cells:
        e = cell.environment
        if "device_name" not in e:  # not started, or imported
            continue
        data = e["data"]
        row = (
            f"{e['device_name']} ({e['device']}, {e['threads']} thread{'s' if e['threads'] != 1 else ''})",
            f"python {e['python']}, torch {e['torch']}, torchvision {e['torchvision']}",
            e["date"],
            f"train {data['train']['split']}: {data['train']['images']} images, {data['train']['objects']} objects, "
            f"{data['train']['fingerprint']}",
            f"test {data['test']['split']}: {data['test']['images']} images, {data['test']['objects']} objects, "
            f"{data['test']['fingerprint']}",
        )
        rows[row] = rows.get(row, 0) + 1
    header = ["cells", "device", "versions", "date", "training data", "test data"]
    return Table("What the cells ran on", header, [[str(n), *r] for r, n in rows.items()])


def _skipped(study: StudyRecord) -> list[str]:
    """What was left out of the data, each problem once."""
    found: dict[str, None] = {}
    for cell in study.cells:
        for split, data in cell.environment.get("data", {}).items():
            for problem in data["skipped"]:
                found[f"{cell.config['data']['name']}, {split}: {problem}"] = None
    return list(found)


def _fairness(study: StudyRecord, differences: pd.DataFrame) -> str:
    if study.about.get("imported"):
        return "Imported predictions: the ground truth is the same for all, how they were made is not known here."
    if len(study.methods) < 2:
        return "One method only: nothing to compare."
    foreign = [] if differences.empty else [k for k in differences.key if not k.startswith("method.")]
    prints = {
        (c.config["data"]["name"], s, d["fingerprint"])
        for c in study.cells
        for s, d in c.environment.get("data", {}).items()
    }
    if len({p[:2] for p in prints}) != len(prints):
        return "UNFAIR: cells of one data set were trained or tested on different data; see the table below."
    if foreign:
        return f"UNFAIR: more than the method differs: {', '.join(foreign)}."
    return "Only entries of the method differ between the rows of a table; data, network, schedule and seeds are equal."


def _markdown(content: dict[str, Any]) -> str:
    about = content["about"]
    lines = [f"# {about.get('title') or about.get('study')}", "", str(about.get("answers", "")), ""]
    lines += [f"Built on {content['date']} by assignbench {about.get('version', '')}.", "", content["fair"], ""]
    for section in content["sections"]:
        described = section["about"]
        title = described["title"] if isinstance(described, dict) else described.title
        lines += [f"## {title}", ""]
        if not isinstance(described, dict):
            lines += [f"*{described.question}* {described.definition}", ""]
        for table in section["tables"]:
            lines += [table.markdown(), ""]
        for picture in section["pictures"]:
            lines += [f"![{picture['caption']}]({picture['file']})", "", picture["caption"], ""]
    if content["skipped"]:
        lines += ["## Left out of the data", "", f"{len(content['skipped'])} problem(s):", ""]
        lines += [f"- {s}" for s in content["skipped"]] + [""]
    lines += ["## Runs", "", content["cells"].markdown(), "", content["runs"].markdown(), ""]
    return "\n".join(lines)
