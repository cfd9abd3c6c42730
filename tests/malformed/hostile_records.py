"""A run folder whose every name and text means harm: its report shows them as text and writes nothing elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from assignbench.records import CellRecord
from tests.malformed.harness import Case, Told
from tests.malformed.records import BRIEF, STUDY, cell_names, run_folder

EVIL = "<script>alert('corpus')</script>"
TEXTS = {
    "a script": EVIL,
    "an image": "<img src=x onerror=alert('corpus')>",
    "markup": "[/red][link=file:///etc/passwd]x[/link] :boom:",
    "mathematics": "$\\frac{1}{$ \\input{/etc/passwd} % & # _ ^ ~ { } \\",
    "Markdown": "| a | b |\n# [x](javascript:alert(1)) ![x](http://localhost:9/x.png) `code` <!-- ",
    "an escape": "a\x1b[2J\x1b]0;owned\x07\x9b31m",
    "template": "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "a path": "../../../canary",
    "an address": "javascript:alert('corpus')",
    "right to left": "\u202egnp.exe",
}


def _poisoned(text: str, folder: Path) -> list[str]:
    """Puts a text wherever records hold one: title, answers, classes, image names, labels, reasons, devices.

    Returns the names of the cells, which their labels are part of.
    """
    run = run_folder(folder)
    about = json.loads((run / "study.json").read_text())
    for key in ("title", "answers", "expect", "cost"):
        about[key] = text
    about["notes"], about["left_out"] = [text], [text]
    entry = {**STUDY, "title": text, "answers": text, "expect": text, "cost": text, "analyses": ["averages"]}
    (folder / "study.yaml").write_text(yaml.safe_dump(entry, allow_unicode=True))
    names = []
    for name in cell_names():
        cell = run / name
        environment = json.loads((cell / "environment.json").read_text())
        environment["classes"] = [f"{text} {i}" for i in range(len(environment["classes"]))]
        environment |= {"device_name": text, "torch": text, "date": text}
        (cell / "environment.json").write_text(json.dumps(environment))
        summary = json.loads((cell / "summary.json").read_text())
        summary["per_class"] = dict.fromkeys(environment["classes"], 0.5)
        (cell / "summary.json").write_text(json.dumps(summary))
        config = json.loads((cell / "config.json").read_text())
        config["detector"]["label"] = text.replace("\n", " ")
        config["data"]["title"] = text
        (cell / "config.json").write_text(json.dumps(config))
        images = pd.read_parquet(cell / "images.parquet")
        images.assign(name=[f"{text}{i}.png" for i in range(len(images))]).to_parquet(
            cell / "images.parquet", index=False
        )
        _finished(cell)
        names.append(CellRecord(cell).own_id)
        cell.rename(run / names[-1])
    (run / "study.json").write_text(json.dumps({**about, "cells": names}))
    return names


def _finished(cell: Path) -> None:
    """Makes the records whole again, as if AssignBench had written them so."""
    from assignbench import records

    finish = getattr(records, "finish", None)
    if finish is not None:
        finish(cell)


def _report(text: str, folder: Path) -> list[str]:
    _poisoned(text, folder)
    return ["report", "study.yaml"]


def _harmless(folder: Path, told: Told) -> list[str]:
    """The page holds no element that the texts asked for, and nothing lies outside the report."""
    if told.code == 2:
        return []
    found = []
    for page in (folder / "runs").rglob("*"):
        if page.suffix not in (".html", ".md") or not page.is_file():
            continue
        text = page.read_text(errors="replace")
        if re.search(r"<script>alert|<img src=x", text) and page.suffix == ".html":
            found.append(f"{page.name} holds the element")
        if re.search(r"(?<![`\\])<script>alert", text) and page.suffix == ".md":
            found.append(f"{page.name} holds a script")
        if "\x1b" in text:
            found.append(f"{page.name} holds an escape")
        if "root:x:0:0" in text:
            found.append(f"{page.name} holds a file of the machine")
        if page.suffix == ".html" and re.search(r"""(?:href|src)=["']?(?:javascript:|http://localhost)""", text):
            found.append(f"{page.name} holds an address")
        if page.suffix == ".md" and re.search(r"(?<!\\)\]\((?:javascript:|http://localhost)", text):
            found.append(f"{page.name} holds an address")
    if (folder / "canary").exists() or list(folder.glob("canary*")):
        found.append("wrote outside the run folder")
    return found


def cases() -> Iterator[Case]:
    """One report per kind of harm."""
    for name, text in TEXTS.items():
        yield Case(
            "hostile records",
            f"report: {name}",
            lambda f, t=text: _report(t, f),
            (),
            (0, 2),
            _harmless,
            written=("runs",),
        )
        yield Case(
            "hostile records", f"status: {name}", lambda f, t=text: ["status", *_report(t, f)[1:]], (), (0, 1, 2)
        )
        yield Case(
            "hostile records",
            f"compare: {name}",
            lambda f, t=text: _compare(t, f),
            (),
            (0, 2),
            written=("comparison",),
            instead=BRIEF,
        )


def _compare(text: str, folder: Path) -> list[str]:
    return ["compare", *(f"runs/written/{n}" for n in _poisoned(text, folder)), "--out", "comparison"]
