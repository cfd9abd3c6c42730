"""The packaged table of measured spreads, from run folders: assignbench/analysis/spreads.csv.

python -m benchmarks.spreads runs/STUDY [runs/STUDY ...] [--table FILE]

Folders that this version reads are read as they are. Of an older version's cells only what the spreads need is read
(study.json, config.json, environment.json, status.json, summary.json, and the tables of images, objects and detections,
whose columns have not changed since 0.2), so that measured seeds are not lost with the format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

import assignbench
from assignbench.analysis import CellData, StudyRecord, read_study_record
from assignbench.analysis.differences import METRICS
from assignbench.analysis.spreads import COLUMNS, TABLE, measured_spreads
from assignbench.records import CellRecord, OldRecords, read_json, write_text

HEAD = """\
# Measured spreads of paired differences; `assignbench power` reads them where a study has no records of its own.
# Made on {date}: python -m benchmarks.spreads {folders}
# One row per method, its baseline and a measure. Unit: that of the measure (AP: 0 to 1). seeds: both methods have.
# seed_deviation: of one seed's difference over trainings, on these test images, of this pair alone (not moderated).
# interaction_deviation: the part of it that test images put on each seed anew, which falls with their number.
# image_deviation: of the mean difference over draws of test_images images (jackknife, 200 replicates).
# version, date: of the AssignBench that last wrote the study's report, and the last day on which a cell was trained.
"""


@dataclass(frozen=True)
class OldCell(CellRecord):
    """A finished cell of an older version, as far as spreads are concerned; its damage is not looked for."""

    @property
    def state(self) -> str:
        """Where the cell stands, as its own version wrote it."""
        return str(read_json(self.folder / "status.json").get("state", "pending"))

    @cached_property
    def config(self) -> Any:
        """What identifies the cell, and how its detectors were read."""
        content = read_json(self.folder / "config.json")
        parts = {k: SimpleNamespace(**content[k]) for k in ("data", "detector", "method", "evaluation")}
        return SimpleNamespace(seed=content["seed"], **parts)

    @property
    def environment(self) -> dict[str, Any]:
        """What it ran on, as it is."""
        found: dict[str, Any] = read_json(self.folder / "environment.json")
        return found

    def table(self, name: str) -> pd.DataFrame:
        """A table as it is, not checked against the columns of today."""
        return pd.read_parquet(self.folder / f"{name}.parquet")


class OldData(CellData):
    """Its test split; the environment is not checked against the entries of today."""

    def __init__(self, cell: OldCell) -> None:
        super().__init__(cell, environment=cell.environment)


def record_of(folder: Path) -> StudyRecord:
    """The record of a run folder, also of an older version."""
    try:
        return read_study_record(folder)
    except OldRecords:
        about = read_json(folder / "study.json")
        cells = [OldCell(folder / name) for name in about["cells"]]
        opened: dict[str, CellData] = {c.id: OldData(c) for c in cells if c.state == "done"}
        return StudyRecord(folder, about, tuple(cells), (), opened)


def collected(folders: Sequence[Path]) -> pd.DataFrame:
    """The spreads of all pairs of the folders, in their order; a sweep on the validation split is passed over."""
    tables = []
    for folder in folders:
        record = record_of(folder)
        if record.split != "test":
            print(f"{folder}: passed over, its numbers are of the {record.split} split", file=sys.stderr)
            continue
        tables.append(measured_spreads(record, METRICS))
        print(f"{folder}: {len(tables[-1])} rows", file=sys.stderr)
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="run folders of studies")
    own = Path(assignbench.__file__).parent / "analysis" / TABLE
    parser.add_argument("--table", type=Path, default=own, metavar="FILE", help="where the table is written")
    options = parser.parse_args(arguments)
    table = collected(options.folders)
    names = " ".join(f.resolve().name for f in options.folders)
    head = HEAD.format(date=datetime.now(UTC).date(), folders=names)
    write_text(options.table, head + table.to_csv(index=False, float_format="%.5f", lineterminator="\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
