"""`assignbench report`: writes the report again from the run folder."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rich.console import Console

from assignbench.commands.opening import asked, read, run_folder, wanted_table
from assignbench.commands.reporting import reported
from assignbench.commands.staleness import look, recorded
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_about, write_json
from assignbench.report import build_report, publish_report
from assignbench.study.about import about


def report(options: argparse.Namespace, console: Console) -> int:
    """Writes the report again from what is on disk; texts, analyses and claims are those of the study file now."""
    study = read(options)
    folder = run_folder(options, study)
    before = read_about(folder)
    if "cells" not in before or not any(folder.glob("*/config.json")):
        raise InputError(f"no cells in {folder}; run `assignbench run {options.study}` first")
    # The cells are those of the last run, and so is what they are compared with unless the file names it.
    named = {m.name: m.baseline for m in study.spec.methods if m.baseline}
    inputs = look(folder, recorded(study, [CellRecord(folder / i) for i in before["cells"]]), options.out, console)
    baselines = {**before.get("baselines", {}), **named}
    table = wanted_table(options, study)
    here, elsewhere = asked(study, table)
    content = about(
        here,
        before["cells"],
        before.get("grid", {}),
        baselines,
        inputs.about(),
        before.get("tuned"),
        table,
        elsewhere,
    )
    write_json(folder / "study.json", content)
    publish: Path | None = options.publish
    made, failed = reported(
        console, partial(publish_report, folder, publish) if publish else partial(build_report, folder)
    )
    inputs.tell(console, before["cells"])
    console.print(f"report: {made}", markup=False)
    return failed
