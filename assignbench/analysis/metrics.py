"""Every measure of a method with its interval: AP and its parts, recall, and what stands beside AP."""

from __future__ import annotations

import pandas as pd

from assignbench.analysis.averages import METRICS
from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.estimates import Measured, less
from assignbench.analysis.measures import ERRORS
from assignbench.analysis.pairs import Pair, over_pairs, pairs_of
from assignbench.analysis.parts import by_method, of_measure, own_estimates, without_repeats
from assignbench.analysis.result import Result
from assignbench.measure.calibration import BINS, LEAST_SCORE

ALWAYS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")


@analysis(
    "metrics",
    title="Every measure",
    question="Does the answer depend on the measure?",
    definition=(
        "AP, AR and VOC's numbers as in the first table. NR: recall after NMS over recall before it (LTM), by "
        "coverage, where the boxes before NMS are there. oLRP (localization recall precision) of a class: the least "
        "error (sum of (1 - IoU) / 0.5 over right boxes + false alarms + missed objects) / (right + false alarms + "
        "missed) over all score thresholds, boxes being right from IoU 0.5 on; 0 is perfect, 1 finds nothing; mean "
        "over classes. At the best threshold, oLRP_loc is the mean 1 - IoU of the right boxes, oLRP_fp the share of "
        "the boxes that are false alarms, oLRP_fn the share of the objects that are missed. D_ECE (detection "
        f"calibration error): mean gap between score and share of right boxes over {BINS} bins of the score, boxes of "
        f"score {LEAST_SCORE} or more; right from IoU 0.5 on; n/a where scores are no probabilities. Of oLRP and D_ECE "
        "less is better. ±: 95 % interval for the population that the table names. No verdicts stand here: so many "
        "measures would give some by luck; the study's primary measure and its claims get them."
    ),
    paper="Oksuz et al., ECCV 2018 and TPAMI 2021; Küppers et al., CVPR Workshops 2020",
)
def metrics(study: StudyRecord) -> list[Result]:
    """One row per data set, detector, measure and method."""
    cells = by_method(study)
    named = {(p.data, p.detector, p.method): p for p in pairs_of(study)}
    pairs = [p for p in named.values() if p.seeds]
    known = {name for c in study.done for name, value in c.summary.items() if value is not None}
    rows: list[dict[str, object]] = []
    for name in (*(m for m in dict.fromkeys((*ALWAYS, *METRICS)) if m in ALWAYS or m in known), "NR", *ERRORS):
        samples = [of_measure(list(of_method.values()), name) for of_method in cells.values()]
        gained = over_pairs(pairs, [_gain(p, name) for p in pairs])
        gains = {(p.data, p.detector, p.method): e for p, e in zip(pairs, gained, strict=True)}
        for key, own in zip(cells, own_estimates(list(cells), samples), strict=True):
            if not own.n:
                continue
            row: dict[str, object] = dict(zip(("data", "detector", "method"), key, strict=True))
            pair = named.get(key)
            row |= {"baseline": pair.baseline if pair else "", "pair": pair.kind if pair else ""}
            row |= {"measure": name, "better": "less" if name in ERRORS else "more"}
            row |= {"value": own.mean, "value_half": own.half, "n": own.n, "population": own.population}
            if key in gains:
                gain = gains[key]
                row |= {"difference": gain.mean, "difference_half": gain.half}
                row |= {"difference_n": str(gain.n), "difference_population": gain.population}
            rows.append(row)
    units = {"value": "AP", "difference": "AP"}
    table = without_repeats(pd.DataFrame(rows), "difference")
    return [Result("metrics", "Every measure with its interval", table, units)] if rows else []


def _gain(pair: Pair, measure: str) -> Measured:
    ours, theirs = (of_measure([c[s] for s in pair.seeds], measure) for c in (pair.ours, pair.theirs))
    return less(ours, theirs)
