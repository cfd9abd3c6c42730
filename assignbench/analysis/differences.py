"""Which differences between methods are real, after correction for everything that the table asks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.intervals import bootstrap, paired_p, t_interval, with_verdicts
from assignbench.analysis.pairs import KEYS, gains
from assignbench.analysis.result import Result

METRICS = ("AP", "AP50", "AP75")
REPLICATES = 1000
UNITS = {"difference": "AP", "low": "AP", "high": "AP"}


@analysis(
    "differences",
    title="Differences between methods",
    question="Which differences are real, and how small a one could this study have seen?",
    definition=(
        "Paired difference of each method to its baseline, seed by seed, with the 95 % Student-t interval over seeds. "
        "The verdict rests on the paired t-test after Holm's correction over all comparisons of the table, and needs "
        "three seeds. pair: 'assigner' where the two methods differ in the assigner alone, 'recipe' where losses, "
        "NMS or other parts differ too: such a difference may not be put down to the assigner. Half-width: the "
        "smallest difference that an uncorrected test could have resolved. The bootstrap resamples test images (1000 "
        "replicates, by reweighting the matches) of the first seed's pair: it describes how much that one trained "
        "pair's difference hangs on the images, not on training."
    ),
)
def differences(study: StudyRecord) -> list[Result]:
    """Per data set, detector, method and metric: difference, half, n, p, p_holm, verdict; and the bootstrap."""
    rows = [{**c.keys, "metric": m, "value": c.cell.summary.get(m)} for c in study.data() for m in METRICS]
    if not rows:
        return []
    table = pd.DataFrame(rows)
    table["value"] = table.value.astype(float)
    found = []
    for key, group in gains(table, study, "value").groupby([*KEYS, "metric"], sort=False):
        interval = t_interval(group.gain.tolist())
        row = dict(zip([*KEYS, "metric"], key, strict=True))
        row |= {"difference": interval.mean, "half": interval.half_or_nan, "n": interval.n}
        found.append({**row, "p": paired_p(group.gain.tolist())})
    result = with_verdicts(pd.DataFrame(found), "difference") if found else pd.DataFrame()
    return [
        Result("differences", "Paired differences over seeds", result, {"difference": "AP", "half": "AP"}),
        Result("differences.images", "One trained pair, test images resampled", _bootstrapped(study), UNITS),
    ]


def _bootstrapped(study: StudyRecord) -> pd.DataFrame:
    """AP difference of each method to its baseline for the first seed, with its percentile interval over images."""
    cells = study.data()
    first = min((c.keys["seed"] for c in cells), default=0)
    of_first: dict[tuple[str, str], dict[str, CellData]] = {}
    for cell in cells:
        if cell.keys["seed"] == first:
            place = (cell.keys["data"], cell.keys["detector"])
            of_first.setdefault(place, {})[cell.keys["method"]] = cell
    rows = []
    for (data, detector), members in of_first.items():
        pairs = {m: study.baseline_of(m, list(members)) for m in members}
        asked = {m for pair in pairs.items() if pair[1] for m in pair}
        # The same draws for all methods of a data set: the replicates are paired.
        seeds = [17, len(next(iter(members.values())).images)]
        drawn = {m: bootstrap(members[m].matches, REPLICATES, np.random.default_rng(seeds)) for m in asked}
        for method, baseline in pairs.items():
            if baseline:
                gap = drawn[method] - drawn[baseline]
                low, high = np.percentile(gap, [2.5, 97.5])
                row = {"data": data, "detector": detector, "method": method, "baseline": baseline}
                row |= {"pair": study.pair(method, baseline, (data, detector)), "images": f"one pair, seed {first}"}
                rows.append({**row, "difference": float(gap.mean()), "low": float(low), "high": float(high)})
    return pd.DataFrame(rows)
