"""Which differences between methods are real, after correction for everything that the question asks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.estimates import Estimate, pairing_efficiency
from assignbench.analysis.pairs import Pair, by_seed, estimated, pairs_of
from assignbench.analysis.power import smallest_told
from assignbench.analysis.result import SEEDS, Result
from assignbench.analysis.verdicts import with_verdicts

METRICS = ("AP", "AP50", "AP75")
COLUMNS = [
    "data",
    "detector",
    "method",
    "baseline",
    "pair",
    "metric",
    "difference",
    "half",
    "seeds_half",
    "images_half",
]

TEST_UNITS = {"t_half": "AP", "freedom": "1", "pairing": "share"}


@analysis(
    "differences",
    title="Differences between methods",
    question="Which differences are real, and how small a one could this study have seen?",
    definition=(
        "Paired difference of each method to its baseline, mean over the seeds that both have. ± is the half-width of "
        "the 95 % interval for other seeds and other test images: half² = (t·s/√n)² + (t·s_images)². ± seeds: the "
        "first part alone, for other trainings on these images; s is moderated over the pairs of the data set "
        "(empirical Bayes, Smyth 2004), since three seeds say little about their own spread. ± images: the second "
        "part alone, what other test images put on all trainings alike: the covariance of two seeds' differences over "
        "200 replicates that leave out a fifth of the images (jackknife; of one seed, its variance). What they put on "
        "each training apart is in s. Verdicts: of the test "
        "that this interval belongs to, after Holm's correction over one metric's comparisons; three seeds are "
        "needed. The primary metric alone answers the study's question. detectable: the smallest true difference "
        "that such a study resolves in 80 % of its runs, before correction. pair: 'assigner' where the two differ in "
        "the assigner alone, 'recipe' where losses, NMS or other parts differ too: such a difference may not be put "
        "down to the assigner."
    ),
)
def differences(study: StudyRecord) -> list[Result]:
    """Per metric, data set, detector and method: the difference, its interval and verdict; and the tests behind."""
    pairs = pairs_of(study)
    metrics = list(dict.fromkeys((primary_metric(study), *METRICS)))
    table = judged(pairs, metrics)
    if table.empty:
        return []
    units = {name: "AP" for name in ("difference", "half", "seeds_half", "images_half", "detectable")}
    shown = [*COLUMNS, "n", "population", "detectable", "verdict", "reason"]
    notes = [
        smallest_told(rows.detectable, rows.detectable_corrected, str(m))
        for m, rows in table.groupby("metric", sort=False)
    ]
    tests = ["data", "detector", "method", "metric", "n", "t_half", "freedom", "pairing", "p", "p_holm"]
    return [
        Result("differences", "Paired differences", table[shown], units, notes=tuple(n for n in notes if n)),
        Result("differences.tests", "The tests behind the differences", table[tests], TEST_UNITS, "appendix", SEEDS),
    ]


def primary_metric(study: StudyRecord) -> str:
    """The measure that the study's question is about."""
    return str(study.about.get("primary") or "AP")


def judged(pairs: list[Pair], metrics: list[str]) -> pd.DataFrame:
    """One row per metric and pair, with what stands in both tables; each metric is one family of tests."""
    rows = []
    for metric in metrics:
        together = estimated(pairs, metric)
        alone = estimated(pairs, metric, moderate=False)
        tests = sum(e.resolvable for e in together)
        rows += [_row(*one, metric, tests) for one in zip(pairs, together, alone, strict=True)]
    if not rows:
        return pd.DataFrame()
    return with_verdicts(pd.DataFrame(rows), "difference", ["metric"]).rename(columns={"untestable": "reason"})


def _row(pair: Pair, estimate: Estimate, alone: Estimate, metric: str, tests: int) -> dict[str, object]:
    row: dict[str, object] = {**pair.keys, "metric": metric, "difference": estimate.mean, "half": estimate.half}
    row |= {"seeds_half": estimate.seeds_half, "images_half": estimate.images_half, "n": estimate.n}
    row |= {"population": estimate.population if estimate.n else "", "detectable": estimate.detectable}
    row |= {"t_half": alone.seeds_half, "pairing": pairing_efficiency(*by_seed(pair, metric)), "p": estimate.p}
    row |= {"detectable_corrected": estimate.detectable_among(tests)}
    row |= {"freedom": estimate.seeds.freedom if estimate.seeds else np.nan}
    missing = "" if np.isfinite(estimate.mean) or pair.untestable else f"{metric} was not recorded"
    return {**row, "untestable": pair.untestable or missing}
