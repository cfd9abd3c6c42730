"""Measured spreads of paired differences: from the records of a study, or from the table that comes with the package.

The table holds what was measured and nothing else; `python -m benchmarks.spreads` makes it from run folders.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from importlib.resources import files

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord
from assignbench.analysis.moderation import pooled_freedom, prior_of, related
from assignbench.analysis.pairs import Pair, pairs_of
from assignbench.analysis.power import Spread

TABLE = "spreads.csv"
# One row per pair and measure. Deviations are in the unit of the measure (AP: shares, not per cent): of one seed's
# paired difference over trainings, the part of it that test images put on each seed anew, and of the mean difference
# over draws of as many test images.
COLUMNS = [
    *("data", "detector", "method", "baseline", "metric", "seeds"),
    *("seed_deviation", "interaction_deviation", "image_deviation", "test_images"),
    *("study", "version", "date"),
]


def measured_spreads(study: StudyRecord, metrics: Sequence[str]) -> pd.DataFrame:
    """The spread of every pair of a study that has two seeds and more, in each measure that its records hold."""
    about = study.about
    rows = []
    for pair in pairs_of(study):
        if len(pair.seeds) < 2:
            continue
        for metric in metrics:
            measured = pair.measured(metric)
            if measured.n < 2:
                continue
            row = {k: pair.keys[k] for k in COLUMNS[:4]} | {"metric": metric, "seeds": measured.n}
            row |= {"seed_deviation": measured.variance**0.5, "image_deviation": measured.image_variance**0.5}
            row |= {"interaction_deviation": measured.interaction_variance**0.5}
            row |= {"test_images": len(pair.ours[pair.seeds[0]].images), "study": about.get("study", "")}
            rows.append({**row, "version": about.get("version", ""), "date": _date(pair)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _date(pair: Pair) -> str:
    """The day on which the last of a pair's cells was trained; "" where the records do not say."""
    cells = [side[s].cell for s in pair.seeds for side in (pair.ours, pair.theirs)]
    return max(str(c.environment.get("date", "")) for c in cells)


def packaged() -> pd.DataFrame:
    """The measured spreads that come with the package."""
    with (files("assignbench.analysis") / TABLE).open(encoding="utf-8") as lines:
        return pd.read_csv(lines, comment="#", keep_default_na=False)


def spread_of(table: pd.DataFrame, metric: str, data: str, detectors: Sequence[str] = ()) -> tuple[Spread, str] | None:
    """The spread of a measure on a data set, pooled over its pairs, and what it is known from; None if not measured.

    Pairs at `detectors` are taken where there are any, else those of all detectors. Pairs whose methods never differed
    say nothing of others, unless there are no others. Test splits of one data set are taken to be equally large.
    """
    rows = table[(table.data == data) & (table.metric == metric) & (table.seeds > 1)]
    rows = rows[np.isfinite(rows.image_deviation.astype(float)) & np.isfinite(rows.seed_deviation.astype(float))]
    rows = rows[rows.seed_deviation > 0] if (rows.seed_deviation > 0).any() else rows
    here = rows[rows.detector.isin(detectors)]
    rows = here if len(here) else rows
    if rows.empty:
        return None
    own = rows.seeds.to_numpy(float) - 1
    variances = rows.seed_deviation.to_numpy(float) ** 2
    prior = prior_of(variances, own)[1] if len(rows) > 1 and variances.any() else float("inf")
    spread = Spread(
        seeds=float((own * variances).sum() / own.sum()) ** 0.5,
        images=float((rows.image_deviation.astype(float) ** 2).mean()) ** 0.5,
        tested=float(rows.test_images.median()),
        freedom=pooled_freedom(own, related(_comparisons(rows))),
        interaction=float((rows.interaction_deviation.astype(float) ** 2).mean()) ** 0.5,
        prior=prior,
    )
    return spread, _source(rows)


def _comparisons(rows: pd.DataFrame) -> list[tuple[Hashable, Hashable]]:
    """Method and baseline of every row, each with its detector; those of another study are others."""
    where = list(zip(rows.study, rows.detector, strict=True))
    return [((at, m), (at, b)) for at, m, b in zip(where, rows.method, rows.baseline, strict=True)]


def _source(rows: pd.DataFrame) -> str:
    counts = sorted(set(rows.seeds.astype(int)))
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    where = ", ".join(dict.fromkeys(f"{s} ({v})" for s, v in zip(rows.study, rows.version, strict=True)))
    pairs = f"{len(rows)} pair{'s' * (len(rows) != 1)}"
    return f"{pairs} of {seeds} seeds on {', '.join(dict.fromkeys(rows.detector))}, {where}"
