"""What the probe images tell: churn, confidence over training, score distributions, maps, learned anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import SEEDS, Result
from assignbench.config.images import HW, network_hw, padded_hw
from assignbench.config.method import Ranking
from assignbench.measure.ranking import ranking_score
from assignbench.records import CellRecord

LEAST_SCORES = 8  # priors of an object below which its scores are not looked at
TINY = 1e-12
LATE = 0.5  # of the progress: the second half of training
SCORE_UNITS = {"cls_score": "1", "iou": "IoU"}
# A gap of two means in pooled standard deviations, and a chance.
MIXTURE_UNITS = {"separation": "1", "gap": "deviations", "better_share": "share", "objects": "objects"}
PEAK_UNITS = {f"distance{kind}": "√area" for kind in ("", "_cls")} | {"objects": "objects"}
PEAK_UNITS |= {f"iou_lost{kind}": "IoU" for kind in ("", "_cls")}
ANCHOR_UNITS = {"share": "share", "size": "strides", "ratio": "w:h"}
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def visits(cell: CellRecord) -> list[pd.DataFrame]:
    """The probe tables in the order of training, of the images that every cell of the study probes."""
    return [counted(pd.read_parquet(path)) for path in cell.probe_visits()]


def last_visit(cell: CellRecord) -> pd.DataFrame:
    """The last of `visits`, without reading the others."""
    return counted(pd.read_parquet(cell.probe_visits()[-1]))


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """A probe table without the images that are probed only to be shown."""
    return table[~table.extra.astype(bool)].reset_index(drop=True) if "extra" in table else table


def probe_objects(cell: CellRecord) -> pd.DataFrame:
    """What the rule noted of every probe object (its diagnostics) at the last visit; empty where it notes nothing."""
    found = last_recorded(cell, "objects")
    return pd.DataFrame() if found is None else counted(found)


def recorded(cell: CellRecord, name: str) -> list[pd.DataFrame]:
    """The tables objects, shapes or grid of the visits to the probe images, in the order of training; none in records
    of earlier versions.
    """
    return [pd.read_parquet(path) for path in _files(cell, name)]


def last_recorded(cell: CellRecord, name: str) -> pd.DataFrame | None:
    """The last of `recorded`, without reading the others; None where there are none."""
    files = _files(cell, name)
    return pd.read_parquet(files[-1]) if files else None


def _files(cell: CellRecord, name: str) -> list[Path]:
    return sorted((cell.folder / "probes").glob(f"{name}-*.parquet"))


@analysis(
    "churn",
    title="Churn",
    question="Do an object's positives stay the same from visit to visit?",
    definition=(
        "Share of an object's positives at one visit to the probe images (never augmented) that were not its "
        "positives at the visit before, mean over the probe objects that have any; per task, over training."
    ),
)
def churn(study: StudyRecord) -> list[Result]:
    """Mean over the visits of the second half, over seeds; and the course over training."""
    rows = [{**cell.keys, **r} for cell in study.data() for r in kept_churn(cell)]
    if not rows:
        return []
    table = pd.DataFrame(rows)
    keys = ["data", "detector", "method", "seed", "task"]
    late = table[table.progress > LATE].groupby(keys, sort=False, as_index=False).churn.mean()
    units = {"churn": "share", "progress": "share"}
    return [
        Result("churn", "Second half of training", over_seeds(late) if len(late) else late, units, population=SEEDS),
        Result("churn.course", "Churn over training", table, units, "figure"),
    ]


def kept_churn(cell: CellData) -> list[dict[str, object]]:
    """One row per visit but the first, and task."""
    return cell.keep("churn", partial(cell_churn, cell.cell))


def late_churn(cell: CellData) -> dict[str, float]:
    """Churn by task, mean over the visits of the second half of training; nothing where there are none."""
    table = pd.DataFrame(kept_churn(cell), columns=["task", "progress", "churn"])
    late = table[table.progress > LATE].groupby("task").churn.mean()
    return {str(task): float(value) for task, value in late.items()}


def cell_churn(cell: CellRecord) -> list[dict[str, object]]:
    """One row per visit but the first, and task."""
    rows: list[dict[str, object]] = []
    before: dict[str, set[tuple[int, int]]] = {}
    for table in visits(cell):
        for task in ("cls", "box"):
            mine = table[table[f"positive_{task}"]]
            now = set(zip(mine.object_id.tolist(), mine.prior.tolist(), strict=True))
            if task in before and now:
                fresh = pd.Series([(o, (o, p) not in before[task]) for o, p in now])
                share = pd.DataFrame(fresh.tolist(), columns=["object", "new"]).groupby("object").new.mean().mean()
                progress = float(table.progress.iloc[0])
                rows.append({"task": task, "progress": progress, "churn": float(share)})
            before[task] = now
    return rows


@analysis(
    "evolution",
    title="Confidence over training",
    question="Do positives and other priors of an object part, and do score and IoU rise together?",
    definition=(
        "Mean class score (of the true class) and mean IoU of the current prediction over the priors of the probe "
        "objects (those assigned and the best-overlapping ones, up to 80 per object), apart for priors that are "
        "positive for classification and for the others, at every visit."
    ),
    paper="LTM, Fig. 6; PAA, Fig. 4(a)",
)
def evolution(study: StudyRecord) -> list[Result]:
    """data, detector, method, seed, progress, priors (positive, other), cls_score, iou; and the last visit."""
    rows = [{**cell.keys, **row} for cell in study.data() for row in kept_evolution(cell)]
    if not rows:
        return []
    table = pd.DataFrame(rows)
    last = table[table.progress >= table.progress.max() - 1e-9].drop(columns="progress")
    return [
        Result("evolution", "At the end of training", over_seeds(last), SCORE_UNITS, population=SEEDS),
        Result("evolution.course", "Confidence over training", table, role="figure"),
    ]


def kept_evolution(cell: CellData) -> list[dict[str, object]]:
    """One row per visit and kind of prior."""
    return cell.keep("evolution", partial(_evolution, cell.cell))


def _evolution(cell: CellRecord) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for table in visits(cell):
        for kind, mine in (("positive", table[table.positive_cls]), ("other", table[~table.positive_cls])):
            if len(mine):
                row: dict[str, object] = {"progress": float(table.progress.iloc[0]), "priors": kind}
                rows.append({**row, "cls_score": float(mine.cls_score.mean()), "iou": float(mine.iou.mean())})
    return rows


@analysis(
    "scores",
    title="Scores of an object's priors",
    question="Do the scores of an object's priors fall into two groups?",
    definition=(
        "Over the priors of a probe object at the last visit. Separation: the chance that one of its positives (for "
        "classification) has a larger class score × IoU than one of its other priors, ties counting half (0.5: no "
        "separation, 1: complete); mean over the probe objects with at least 8 priors of both kinds. Gap and better "
        "share belong to rules that fit a mixture of two normal distributions to their costs (PAA), as the rule "
        "itself recorded it: distance of the two means in pooled standard deviations, weight of the component of "
        "lower cost."
    ),
    paper="PAA, Fig. 1 and section 3.1",
)
def scores(study: StudyRecord) -> list[Result]:
    """Over seeds: separation of positives and others, gap and better share of the recorded mixtures; the mixtures."""
    rows, mixtures = [], []
    for cell in study.data():
        row, fitted = kept_scores(cell)
        mixtures += [fitted.assign(**cell.keys)] if len(fitted) else []
        rows += [{**cell.keys, **row}] if row else []
    table = over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()
    drawn = pd.concat(mixtures, ignore_index=True) if mixtures else pd.DataFrame()
    return [
        Result("scores", "How far an object's positives stand out", table, MIXTURE_UNITS, population=SEEDS),
        Result("scores.mixtures", "Recorded mixtures of the probe objects", drawn, role="figure"),
    ]


def kept_scores(cell: CellData) -> tuple[dict[str, float], pd.DataFrame]:
    """A cell's row (empty where it has none), and the mixtures that its rule recorded."""
    return cell.keep("scores", partial(_scores, cell.cell))


def _scores(cell: CellRecord) -> tuple[dict[str, float], pd.DataFrame]:
    fitted, tables = recorded_mixtures(probe_objects(cell)), visits(cell)
    last = tables[-1:]
    apart = [separation(g) for table in last for _, g in table.groupby("object_id") if len(g) >= LEAST_SCORES]
    known = [s for s in apart if np.isfinite(s)]
    if not known:
        return {}, fitted
    return {"separation": float(np.mean(known)), **mixture_means(fitted), "objects": len(known)}, fitted


def prior_losses(group: pd.DataFrame) -> Floats:
    """−ln(class score × IoU) of an object's priors, in the rows' order."""
    product = group.cls_score.to_numpy(np.float64) * group.iou.to_numpy(np.float64)
    return np.asarray(-np.log(np.maximum(product, TINY)))


def separation(group: pd.DataFrame) -> float:
    """The chance that a positive's loss is below another prior's; NaN where an object has only one kind."""
    losses, positive = prior_losses(group), group.positive_cls.to_numpy(bool)
    ours, others = losses[positive], losses[~positive]
    if not len(ours) or not len(others):
        return float("nan")
    lower = (ours[:, None] < others).mean()
    return float(lower + 0.5 * (ours[:, None] == others).mean())


def own_candidates(group: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The costs by which a rule judged an object's candidates, and which of them became positive; none where the
    records do not hold them.
    """
    if not {"candidate", "rule_loss"} <= set(group.columns):
        return np.zeros(0), np.zeros(0, np.bool_)
    mine = group[group.candidate.fillna(False).astype(bool)]
    return mine.rule_loss.to_numpy(np.float64), mine.positive_cls.to_numpy(bool)


def boundary(costs: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Half-way between the dearest positive and the cheapest other candidate; NaN where costs do not part them."""
    if positive.all() or not positive.any():
        return float("nan")
    last, first = float(costs[positive].max()), float(costs[~positive].min())
    return (last + first) / 2 if last <= first else float("nan")


def recorded_mixtures(objects: pd.DataFrame) -> pd.DataFrame:
    """object_id and weight, mean and variance of both components, the one of lower mean first; fitted ones only."""
    names = [f"mixture_{what}_{k}" for what in ("weight", "mean", "variance") for k in (0, 1)]
    if objects.empty or not set(names) <= set(objects.columns):
        return pd.DataFrame()
    table = objects[["object_id", *names]].dropna().rename(columns=lambda n: n.removeprefix("mixture_"))
    swapped = table.mean_0 > table.mean_1
    for what in ("weight", "mean", "variance"):
        pair = [f"{what}_0", f"{what}_1"]
        table.loc[swapped, pair] = table.loc[swapped, pair[::-1]].to_numpy()
    return table.reset_index(drop=True)


def mixture_means(fitted: pd.DataFrame) -> dict[str, float]:
    """gap and better_share, mean over the objects; NaN without a fitted one."""
    if fitted.empty:
        return {"gap": float("nan"), "better_share": float("nan")}
    pooled = np.sqrt(np.maximum((fitted.variance_0 + fitted.variance_1) / 2, TINY))
    return {
        "gap": float(((fitted.mean_1 - fitted.mean_0) / pooled).mean()),
        "better_share": float(fitted.weight_0.mean()),
    }


@analysis(
    "maps",
    title="Where score and IoU peak",
    question="Is the best-scored place of an object also the best-localized one?",
    definition=(
        "Over the priors of a probe object at the last visit: distance between the best-scored prior and the one of "
        "largest IoU in square roots of the object's area, and how far the best-scored one's IoU stays behind the "
        "largest; mean over the probe objects. Scored by the ranking score, which NMS sorts by; _cls: by the class "
        "score alone. The picture shows score and IoU at the priors' places."
    ),
    paper="MuSu, Fig. 1",
)
def maps(study: StudyRecord) -> Result:
    """Per cell: distance of the two peaks, and the IoU lost by following the score; of both scores."""
    rows = [{**cell.keys, **row} for cell in study.data() if (row := kept_peaks(cell))]
    table = over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()
    return Result("maps", "Distance of the two peaks", table, PEAK_UNITS, population=SEEDS)


def kept_peaks(cell: CellData) -> dict[str, float]:
    """The mean distances of a cell's peaks; empty where it has no probes."""
    return cell.keep("peaks", partial(_mean_peaks, cell.cell))


def _mean_peaks(cell: CellRecord) -> dict[str, float]:
    tables = visits(cell)
    if not tables:
        return {}
    areas, last = cell_areas(cell), tables[-1].assign(ranking_score=probe_ranking(cell, tables[-1]))
    found = [m for i, g in last.groupby("object_id") if (m := _peaks(g, areas.get(int(i)))) is not None]
    mean = pd.DataFrame(found).mean()
    return {**{str(k): float(v) for k, v in mean.items()}, "objects": len(found)} if found else {}


def cell_areas(cell: CellRecord) -> dict[int, float]:
    """The area of each probe object in network px²: as recorded with the probes, or in training batches (median)."""
    table = probe_objects(cell)
    if "network_area" not in table:
        table = cell.table("assignments")
    if table.empty:
        return {}
    return {int(k): float(v) for k, v in table.groupby("object_id").network_area.median().items()}


def probe_ranking(cell: CellRecord, probes: pd.DataFrame) -> Floats:
    """The ranking score of every row of a visit's table: what NMS would sort these predictions by."""
    method = cell.config.method
    ranking: Ranking = "quality" if method.nms.kind == "iou_guided" else method.ranking
    return ranking_score(ranking, probes.cls_score.to_numpy(float), probes.quality_score.to_numpy(float))


def _peaks(group: pd.DataFrame, area: float | None) -> dict[str, float] | None:
    widest = group.loc[group.iou.idxmax()]
    # An object that no sampled batch held: the best prediction's own area.
    area = area or float((widest.x2 - widest.x1) * (widest.y2 - widest.y1))
    if not area > 0:
        return None
    found: dict[str, float] = {}
    for kind, score in (("", "ranking_score"), ("_cls", "cls_score")):
        best = group.loc[group[score].idxmax()]
        gap = (best[f"prior_{a}1"] + best[f"prior_{a}2"] - widest[f"prior_{a}1"] - widest[f"prior_{a}2"] for a in "xy")
        found |= {f"distance{kind}": float(np.hypot(*gap)) / 2 / area**0.5}
        found |= {f"iou_lost{kind}": float(widest.iou - best.iou)}
    return found


@analysis(
    "anchors",
    title="What the priors of a location became",
    question="Do the several priors of one location share the work, and what boxes does each predict?",
    definition=(
        "Over the test detections above a score of 0.3, by the place of their prior among those of its location: share "
        "of the detections, median size (square root of the area in strides of the level) and median ratio w:h. "
        "Nothing for cells that see test images at several sizes: a detection does not say in which one it was made."
    ),
    paper="MuSu, Fig. 3",
)
def anchors(study: StudyRecord) -> Result:
    """anchor, share, size, ratio over seeds; for imports nothing."""
    rows = []
    for cell in study.data():
        rows += [{**cell.keys, **row} for row in kept_anchors(cell)]
    table = over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()
    return Result("anchors", "Boxes by place of the prior", table, ANCHOR_UNITS, population=SEEDS)


def kept_anchors(cell: CellData) -> list[dict[str, object]]:
    """One row per prior of a location that detects anything."""
    return cell.keep("anchors", partial(learned_anchors, cell))


def learned_anchors(cell: CellData, least: float = 0.3) -> list[dict[str, object]]:
    """One row per prior of a location that detects anything; boxes are measured in network px.

    None for a cell with test images at several sizes: which of them a detection's prior belongs to is not recorded.
    """
    about = cell.cell.environment.get("priors")
    if not about or "prior" not in cell.detections:
        return []
    own = cell.cell.trained.data.size
    size, *others = cell.config.evaluation.sizes(own)
    if others:
        return []
    count = int(about["anchors_per_location"])
    table = cell.detections[cell.detections.score > least].merge(cell.images, on="image_id")
    if table.empty:
        return []
    seen = [network_hw(size, *of) for of in zip(table.width.tolist(), table.height.tolist(), strict=True)]
    recorded = size == own and isinstance(own, int)
    stride = _strides(table.prior.to_numpy(), about, [padded_hw(size, hw) for hw in seen], recorded=recorded)
    high, wide = np.asarray(seen, np.float64).T
    width = (table.x2 - table.x1) * wide / table.width
    height = (table.y2 - table.y1) * high / table.height
    table = table.assign(anchor=table.prior % count, size=np.sqrt(width * height) / stride, ratio=width / height)
    return [
        {
            "anchor": f"{int(number)}",
            "share": len(group) / len(table),
            "size": float(group["size"].median()),
            "ratio": float(group.ratio.median()),
        }
        for number, group in table.groupby("anchor")
    ]


def _strides(priors: Ints, about: Mapping[str, Any], inputs: Sequence[HW], *, recorded: bool) -> Floats:
    """The strides of priors, each counted in the grid of its image, whose network input has this (height, width).

    `recorded`: these are the inputs whose grids the records know.
    """
    strides = np.asarray(about["strides"], np.float64)
    levels = np.asarray(about["level_sizes"])[None]
    if not recorded:
        cells = np.ceil(np.asarray(inputs)[:, None, :] / strides[:, None]).prod(axis=2)
        levels = cells * int(about["anchors_per_location"])
    ends = levels.cumsum(axis=1)
    found: Floats = strides[(priors[:, None] >= ends).sum(axis=1)]
    return found
