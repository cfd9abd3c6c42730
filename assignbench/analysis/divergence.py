"""Divergence of classification and localization (MLC): Spearman's rank correlation of score and IoU."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.candidates import CLOSE, JK, Rule, box_candidates, rule_candidates
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.prediction import predictions
from assignbench.analysis.result import SEEDS, Result
from assignbench.measure.correlation import IOU_DIGITS, rank_correlation, spearman
from assignbench.measure.groups import CROWDING

SIZE_NAMES = ("small", "medium", "large")
DENSITY_POINTS = 20_000
SCORES = {"rank": "ranking_score", "cls": "cls_score"}
UNITS = {f"{name}_{kind}": "Spearman" for kind in SCORES for name in ("spearman", "pooled")}
UNITS |= {name: "objects" for name in ("objects", "left_out", "cut")}


def summarise(objects: pd.DataFrame, candidates: pd.DataFrame) -> dict[str, float | int]:
    """Mean Spearman over objects and the pooled value, of the ranking score and of the class score alone.

    `objects` went in, `left_out` have fewer than two candidates or a constant side.
    """
    mine = candidates[candidates.object_id.isin(objects.object_id)]
    iou = mine.iou.to_numpy(float).round(IOU_DIGITS)
    found: dict[str, float | int] = {}
    known = 0
    for name, column in SCORES.items():
        values = rank_correlation(mine, column).spearman
        found[f"spearman_{name}"] = float(values.mean()) if values.notna().any() else float("nan")
        found[f"pooled_{name}"] = spearman(mine[column].to_numpy(float), iou)
        if column == "ranking_score":
            known = int(values.notna().sum())
    return {**found, "objects": known, "left_out": len(objects) - known}


def summary_of(cell: CellData, rule: Rule) -> dict[str, float | int] | None:
    """The divergence of a cell by a candidate rule, crowd regions left out; None where nothing is recorded for it."""

    def compute() -> dict[str, float | int] | None:
        candidates = rule_candidates(cell, rule)
        return None if candidates is None else summarise(cell.objects[~cell.objects.crowd], candidates)

    return cell.keep(("divergence", rule), compute)


@analysis(
    "divergence",
    title="Divergence between classification and localization",
    question="Do well-scored predictions also lie well, and does AP follow from it?",
    definition=(
        "Spearman rank correlation between the ranking score of the true class (what NMS sorts by) and the IoU with "
        "the object over the object's candidates, mean over objects (higher is less divergent); pooled: over all "
        "candidates together; _cls: of the class score alone, which of the tables by class, size and crowdedness only "
        "all rows hold. Candidates J_k: the priors that MLC's rule gives to the "
        "object (anchors with IoU ≥ 0.4 or forced; points inside), the same for every method of a detector; or the "
        "predictions with IoU ≥ 0.5, of which the records hold the best by IoU and the best by ranking score, as many "
        "as `candidates` of the study's evaluation says (cut: objects that have more). IoUs are rounded to 1e-6, ties "
        "get their mean rank; objects with fewer than two "
        "candidates or a constant side are counted and left out. Does it predict AP: Spearman over methods (means "
        "over seeds; six at least) of the divergence (J_k) with AP, within a data set and detector, p by "
        "permutation. Imports without recorded candidates have no J_k."
    ),
    paper="MLC, section 1 and Table 1",
)
def divergence(study: StudyRecord) -> list[Result]:
    """By rule; by class, size and crowdedness (J_k); and its correlation with AP over cells."""
    rules: list[dict[str, object]] = []
    groups: list[dict[str, object]] = []
    cells: list[dict[str, object]] = []
    density: list[pd.DataFrame] = []
    for cell in study.data():
        for rule in (JK, CLOSE):
            told = summary_of(cell, rule)
            if told is not None:
                rules.append({**cell.keys, "candidates": rule, **told, "cut": cut(cell, rule)})
        jk = summary_of(cell, JK)
        if jk is not None:
            cells.append({**cell.keys, "spearman": jk["spearman_rank"], "AP": cell.summary.get("AP")})
            groups += [{**cell.keys, **row} for row in groups_told(cell)]
        density.append(density_sample(cell))
    if not rules:
        return []
    by_cell = pd.DataFrame(cells, columns=["data", "detector", "method", "seed", "spearman", "AP"])
    by_group = over_seeds(pd.DataFrame(groups)) if groups else pd.DataFrame()
    predicted = pd.DataFrame([asdict(p) for p in predictions(study, "AP")])
    behind = predicted[["data", "detector", "methods", "p"]].dropna(subset="p") if len(predicted) else predicted
    shown = predicted.drop(columns="p", errors="ignore")
    return [
        Result("divergence", "By candidate rule", _by_rule(rules), UNITS, population=SEEDS),
        Result("divergence.groups", "By class, size and crowdedness (J_k)", by_group, UNITS, population=SEEDS),
        Result("divergence.predicts", "Does it predict AP?", shown, {"correlation": "Spearman"}),
        Result("divergence.p", "The p values of what predicts AP", behind, {}, "appendix"),
        Result("divergence.cells", "Divergence and AP of every cell", by_cell, {"AP": "AP"}, "figure"),
        Result(
            "divergence.density", "Scores and IoUs of candidates", pd.concat(density, ignore_index=True), {}, "figure"
        ),
    ]


def cut(cell: CellData, rule: Rule) -> int:
    """The objects whose candidates were not recorded whole; J_k always is."""

    def compute() -> int:
        known = rule == CLOSE and "close_left_out" in cell.objects
        return int((cell.objects.close_left_out > 0).sum()) if known else 0

    return cell.keep(("cut", rule), compute)


def _by_rule(rules: list[dict[str, object]]) -> pd.DataFrame:
    """The table by rule; the column `cut` is there where the records of any cell were cut."""
    table = pd.DataFrame(rules)
    return over_seeds(table if table.cut.any() else table.drop(columns="cut"))


def groups_told(cell: CellData) -> list[dict[str, object]]:
    """One row per class, size and crowdedness of the objects."""
    return cell.keep("divergence groups", partial(_by_group, cell))


def _by_group(cell: CellData) -> list[dict[str, object]]:
    objects, candidates = cell.objects[~cell.objects.crowd], rule_candidates(cell, JK)
    if candidates is None:
        return []
    sides = np.digitize(objects.area, (32**2, 96**2))
    labels = {
        "class": [cell.true_classes[int(v)] for v in objects.true_label],
        "size": [SIZE_NAMES[int(v)] for v in sides],
        "crowdedness": [CROWDING.names[int(v)] for v in CROWDING.place(objects.crowdedness)],
    }
    values = pd.DataFrame(
        {
            f"spearman_{name}": objects.object_id.map(
                rank_correlation(candidates, column).set_index("object_id").spearman
            )
            for name, column in SCORES.items()
        }
    )
    orders = {"class": cell.true_classes, "size": SIZE_NAMES, "crowdedness": CROWDING.names}
    rows: list[dict[str, object]] = []
    for by, names in labels.items():
        groups = values.groupby(np.asarray(names))
        mean, count = groups.mean(), groups.spearman_rank.count()
        for name in orders[by]:
            if count.get(name, 0) > 0:
                rows.append({"by": by, "group": name, **mean.loc[name].to_dict(), "objects": int(count[name])})
    return rows


def density_sample(cell: CellData, most: int = DENSITY_POINTS) -> pd.DataFrame:
    """Scores and IoU of at most so many predictions around the objects, every k-th one: for the density plot."""

    def compute() -> pd.DataFrame:
        table = cell.candidates()
        table = box_candidates(cell) if table is None else table
        few = table[["ranking_score", "cls_score", "iou"]].iloc[:: max(1, -(-len(table) // most))]
        return few.reset_index(drop=True)

    return cell.keep(("density", most), compute).assign(**cell.keys)
