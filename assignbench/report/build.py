"""The report of a study: report.md, a self-contained index.html and its figures, from the run folder alone."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

from assignbench.analysis import ANALYSES, ORDER, StudyRecord, read_study_record
from assignbench.analysis.averages import cell_averages
from assignbench.records import write_text
from assignbench.report import figures
from assignbench.report.tables import Table, average_tables, plain_table


def build_report(folder: Path) -> Path:
    """Writes report/index.html and report/report.md under a study's run folder; returns the page's path."""
    study = read_study_record(folder)
    results = {name: ANALYSES[name].run(study) for name in _ordered()}
    drawn = figures.study_figures(study, {**results, "cells": cell_averages(study)})
    out = folder / "report"
    pictures = []
    for name, caption, figure in drawn:
        path = out / "figures" / f"{name}.png"
        figures.save(figure, path)
        encoded = base64.b64encode(path.read_bytes()).decode()
        pictures.append({"name": name, "caption": caption, "data": encoded, "file": f"figures/{name}.png"})
    content: dict[str, Any] = {
        "about": study.about,
        "date": datetime.now(UTC).date().isoformat(),
        "sections": _sections(study, results, pictures),
        "cells": _cells(study),
        "runs": _environments(study),
        "skipped": _skipped(study),
        "fair": _fairness(study, results["configuration"]),
    }
    template = Environment(loader=PackageLoader("assignbench.report"), autoescape=select_autoescape(["j2", "html"]))
    write_text(out / "index.html", template.get_template("index.html.j2").render(**content))
    write_text(out / "report.md", _markdown(content))
    return out / "index.html"


def _ordered() -> list[str]:
    """The known analyses in the report's order, then what others have registered."""
    return [*ORDER, *(n for n in ANALYSES if n not in ORDER)]


def _sections(
    study: StudyRecord, results: dict[str, pd.DataFrame], pictures: list[dict[str, str]]
) -> list[dict[str, Any]]:
    """One section per analysis, with its tables and figures, then the pictures that belong to none."""
    used: set[str] = set()
    sections = []
    for name in _ordered():
        about = ANALYSES[name]
        mine = [p for p in pictures if p["name"] == name]
        used |= {p["name"] for p in mine}
        tables = _tables(name, study, results[name])
        if tables or mine:
            sections.append({"about": about, "tables": tables, "pictures": mine})
    rest = [p for p in pictures if p["name"] not in used]
    order = {"assignment": "What the assigners choose", "detections": "What the detectors see"}
    for start, title in order.items():
        chosen = [p for p in rest if p["name"].startswith(start)]
        if chosen:
            sections.insert(1, {"about": {"title": title}, "tables": [], "pictures": chosen})
    return sections


def _tables(name: str, study: StudyRecord, result: pd.DataFrame) -> list[Table]:
    if result.empty or name in ("curves", "positives"):
        return []
    if name == "averages":
        return average_tables(result, study.methods, study.about.get("published") or {})
    return [plain_table(ANALYSES[name].title, result)]


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
        if not e:
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
