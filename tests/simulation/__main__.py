"""The long version: every design with 400 studies, as a table and as CSV.

python -m tests.simulation [--studies 400] [--processes 2] [--only WORDS] [--out DIR]
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path

import pandas as pd

from tests.simulation.designs import DESIGNS, answered, table_of
from tests.simulation.questions import Answers

CHUNK = 10  # studies


def tabled(answers: dict[str, dict[int, list[Answers]]], seconds: dict[str, float]) -> pd.DataFrame:
    """One row per design and question."""
    rows = []
    for name, chunks in answers.items():
        for rate in table_of([a for first in sorted(chunks) for a in chunks[first]]):
            low, high = rate.wanted or (None, None)
            row = {"design": name, "question": rate.question, "rate": rate.mean, "monte_carlo_error": rate.error}
            row |= {"studies": rate.studies, "at_least": low, "at_most": high, "holds": rate.word}
            rows.append({**row, "cpu_seconds": round(seconds[name], 1)})
    return pd.DataFrame(rows)


def main() -> int:
    """Runs the designs, prints their table and says with the exit status whether all of it holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--studies", type=int, default=400, help="for each design (default 400)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="designs whose name holds these words")
    parser.add_argument("--out", type=Path, help="folder for simulation.csv")
    given = parser.parse_args()
    names = [n for n in DESIGNS if given.only in n]
    if not names:
        parser.error(f"no design holds '{given.only}'; there are: {'; '.join(DESIGNS)}")
    starts = range(0, given.studies, CHUNK)
    tasks = [(name, first, min(first + CHUNK, given.studies)) for name in names for first in starts]
    answers: dict[str, dict[int, list[Answers]]] = {name: {} for name in names}
    seconds = dict.fromkeys(names, 0.0)
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for name, first, found, spent in pool.imap(answered, tasks):
            answers[name][first] = found
            seconds[name] += spent
            if len(answers[name]) == len(starts):
                _show(name, tabled({name: answers[name]}, seconds))
    table = tabled(answers, seconds)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "simulation.csv", index=False, float_format="%.5f")
    return int((table.holds == "NO").any())


def _show(name: str, table: pd.DataFrame) -> None:
    print(f"\n{name}: {table.studies.iloc[0]} studies, {table.cpu_seconds.iloc[0]:.0f} s of CPU", flush=True)
    for row in table.itertuples():
        wanted = f"wanted {row.at_least:g} to {row.at_most:g}: {row.holds}" if row.holds else ""
        print(f"  {row.question:66} {row.rate:6.3f} ± {1.96 * row.monte_carlo_error:.3f}  {wanted}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
