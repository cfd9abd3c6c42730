"""Predicted power against counted power, on a study of many seeds that was really run.

python -m benchmarks.power runs/ten_seeds [--metric AP] [--table FILE]

Counted: over all choices of n of the study's seeds, and over draws of its test images, the smallest difference that
80 % of them resolve. Predicted: the same by `analysis.power`, from the spread of all seeds, of the first three, and of
the packaged table or another one that `benchmarks.spreads` wrote.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pandas as pd

from assignbench.analysis import read_study_record
from assignbench.analysis.estimates import POWER, Measured, estimates
from assignbench.analysis.pairs import pairs_of
from assignbench.analysis.power import Comparisons, Spread, smallest
from assignbench.analysis.spreads import packaged, spread_of

ALONE = Comparisons(("baseline",))
SEEDS = (3, 5)
MOST_CHOICES = 500


def counted(pair: Measured, seeds: int) -> float:
    """The smallest difference that 80 % of the choices of so many seeds resolve, each alone with its own interval.

    A choice lies off the mean of all seeds by chance, and on other images by what these do to all seeds alike. Choices
    from few seeds resemble one another: their distance is widened by the correction for a finite population.
    """
    if pair.replicates is None or seeds >= pair.n:
        return float("nan")
    shift = (pair.replicates - pair.values).mean(axis=1)
    wider = (1 - seeds / pair.n) ** -0.5
    needed = []
    for choice in islice(combinations(range(pair.n), seeds), MOST_CHOICES):
        taken = Measured(pair.values[list(choice)], pair.replicates[:, list(choice)])
        (estimate,) = estimates([taken], ["baseline"])
        needed.append(estimate.half - wider * (taken.mean - pair.mean) - shift)
    return float(np.quantile(np.concatenate(needed), POWER))


def spread_of_pair(pair: Measured, images: int) -> Spread:
    """The spread of one pair by its own seeds."""
    deviations = (pair.variance**0.5, pair.image_variance**0.5)
    return Spread(*deviations, images, pair.n - 1.0, interaction=pair.interaction_variance**0.5)


def compared(folder: Path, metric: str, known: pd.DataFrame) -> pd.DataFrame:
    """One row per pair and number of seeds: what was counted, and what each source predicts."""
    rows = []
    for pair in pairs_of(read_study_record(folder)):
        whole = pair.measured(metric)
        if whole.replicates is None or whole.n <= max(SEEDS):
            continue
        images = len(pair.ours[pair.seeds[0]].images)
        first = Measured(whole.values[:3], whole.replicates[:, :3])
        table = spread_of(known, metric, pair.data, [pair.detector])
        for seeds in SEEDS:
            row = {"data": pair.data, "method": pair.method, "baseline": pair.baseline, "seeds": seeds}
            row |= {"counted": 100 * counted(whole, seeds)}
            row |= {"of all seeds": 100 * smallest(spread_of_pair(whole, images), seeds, ALONE)}
            row |= {"of the first three": 100 * smallest(spread_of_pair(first, images), seeds, ALONE)}
            if table:
                row |= {"of the table": 100 * smallest(table[0].on(images), seeds, ALONE)}
            rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="run folder of a study of six seeds and more")
    parser.add_argument("--metric", default="AP", metavar="NAME", help="a measure in points (default: AP)")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="spreads that are known beforehand (default: packaged)"
    )
    options = parser.parse_args(arguments)
    known = packaged() if options.table is None else pd.read_csv(options.table, comment="#", keep_default_na=False)
    found = compared(options.folder, options.metric, known)
    print(f"smallest difference in {options.metric} that 80 % of studies resolve, points")
    print(found.to_string(index=False, float_format="%.2f") if len(found) else "no pair has six seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
