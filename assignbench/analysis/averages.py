"""AP over methods, with intervals over seeds and the paired difference of each method to its own baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis, keys_of
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.estimates import Estimate
from assignbench.analysis.intervals import Interval, t_interval
from assignbench.analysis.pairs import estimated, pair_of, pairs_of
from assignbench.analysis.parts import by_method, of_measure, own_estimates
from assignbench.analysis.result import Result
from assignbench.analysis.verdicts import HIGHER, OPEN, decided, holm

METRICS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100", "AR300", "AR1000"),
    *("AP07", "AP07_50", "AP07_75", "AP50_area"),
)
CELL_COLUMNS = ["data", "detector", "method", "seed", "metric", "value"]
COLUMNS = [
    *("data", "detector", "method", "baseline", "pair", "metric"),
    *(
        "mean",
        "half",
        "n",
        "delta",
        "delta_half",
        "delta_n",
        "detectable",
        "detectable_corrected",
        "leads",
        "population",
        "reason",
    ),
]


def cell_averages(study: StudyRecord) -> pd.DataFrame:
    """One row per finished cell and metric: data, detector, method, seed, metric, value (0-1)."""
    rows = []
    for cell in study.done:
        summary = cell.summary
        rows += [{**keys_of(cell), "metric": m, "value": summary[m]} for m in METRICS if summary.get(m) is not None]
    return pd.DataFrame(rows, columns=CELL_COLUMNS)


@analysis(
    "averages",
    title="Average precision",
    question="Which method detects best?",
    definition=(
        "AP, AP50, AP75, APs/m/l, AR100: COCO's 101-point rules (equal to pycocotools to 1e-9), mean over classes; "
        "they count 100 detections per image and class, or the `max_detections` of the study's evaluation where those "
        "are more. AP07: VOC2007's 11-point AP averaged over IoU 0.50:0.05:0.95, difficult objects left out; "
        "AP50_area: area under the curve at IoU 0.5. ± of a method is the half-width of the 95 % Student-t interval "
        "over seeds, on these test images; of a single trained model (†) it is that for other test images. Δ is "
        "the paired difference to the method's own baseline over the seeds that both have, its ± for other seeds and "
        "other test images (of a single trained model for other test images alone); where the baseline differs in more "
        "than the assigner it is marked 'recipe', since the assigner alone does not explain it. Bold: the highest "
        "mean of the primary metric, where the paired test of three seeds or more tells it from the second after "
        "correction over all tables of this section."
    ),
)
def averages(study: StudyRecord) -> list[Result]:
    """Per data set, detector, method and metric: mean, half-width, n, and the paired difference to the baseline."""
    cells, trained = cell_averages(study), by_method(study)
    pairs = {(p.data, p.detector, p.method): p for p in pairs_of(study)}
    rows = []
    for metric, of_metric in cells.groupby("metric", sort=False):
        told = dict(zip(pairs, estimated(list(pairs.values()), str(metric)), strict=True))
        tests = sum(e.resolvable for e in told.values())
        for (data, detector, method), group in of_metric.groupby(["data", "detector", "method"], sort=False):
            own = t_interval(group.value.tolist())
            key = (str(data), str(detector), str(method))
            if own.n == 1:
                one = of_measure(list(trained[key].values()), str(metric))
                own = Interval(own.mean, own_estimates([key], [one])[0].half, 1)
            row: dict[str, Any] = {"data": data, "detector": detector, "method": method, "metric": metric}
            row |= {"mean": own.mean, "half": own.half_or_nan, "n": own.n, "baseline": "", "pair": "", "reason": ""}
            if key in pairs:
                gain = told[key]
                row |= {"baseline": pairs[key].baseline, "pair": pairs[key].kind}
                row |= {"delta": gain.mean, "delta_half": gain.half, "delta_n": gain.n}
                row |= {"detectable": gain.detectable, "detectable_corrected": gain.detectable_among(tests)}
                row |= {"population": gain.population}
                row["reason"] = pairs[key].untestable
            rows.append(row)
    leading = _leading(study, rows)
    rows = [{**r, "leads": (r["data"], r["detector"], r["metric"], r["method"]) in leading} for r in rows]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return [
        Result(
            "averages",
            "AP over methods",
            frame,
            {n: "AP" for n in ("mean", "delta", "detectable", "detectable_corrected")},
        ),
        Result("averages.cells", "AP of every cell", cells, {"value": "AP"}, "figure"),
    ]


def _leading(study: StudyRecord, rows: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """Data set, detector, metric and method wherever the highest mean of the primary metric is resolvably above the
    second one: after correction over all places, and where the two are method and baseline by their own verdict too.
    """
    metric, pairs = primary_metric(study), pairs_of(study)
    known = pd.DataFrame(rows, columns=COLUMNS).dropna(subset=["mean"])
    asked = []
    for (data, detector), group in known[known.metric == metric].groupby(["data", "detector"], sort=False):
        ranked = group.sort_values("mean", ascending=False, kind="stable").method.tolist()
        if len(ranked) > 1:
            asked.append(pair_of(study, ranked[0], ranked[1], (data, detector)))
    told = [estimated([pair], metric, beside=[p for p in pairs if p.data == pair.data])[0] for pair in asked]
    open_ = {
        (pair.data, frozenset(pair.sides))
        for pair, word in zip(pairs, _words(estimated(pairs, metric)), strict=True)
        if word == OPEN
    }
    return {
        (pair.data, pair.detector, metric, pair.method)
        for pair, word in zip(asked, _words(told), strict=True)
        if word == HIGHER and (pair.data, frozenset(pair.sides)) not in open_
    }


def _words(tests: Sequence[Estimate]) -> list[str]:
    """The corrected verdicts of one family."""
    return [decided(one.mean, p) for one, p in zip(tests, holm([one.p for one in tests]), strict=True)]
