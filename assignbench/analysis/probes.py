"""What the probe images tell: churn, confidence over training, score distributions, maps, learned anchors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from assignbench.analysis.base import CellData, StudyRecord, analysis, keys_of
from assignbench.analysis.statistics import over_seeds
from assignbench.assigners.paa import Mixture, fit_mixture
from assignbench.records import CellRecord

LEAST_SCORES = 8  # anchors of an object below which no mixture is drawn
TINY = 1e-12


def visits(cell: CellRecord) -> list[pd.DataFrame]:
    """The probe tables in the order of training."""
    return [pd.read_parquet(path) for path in cell.probe_visits()]


@analysis(
    "churn",
    title="Churn",
    question="Do an object's positives stay the same from visit to visit?",
    definition=(
        "Share of an object's positives at one visit to the probe images (never augmented) that were not its "
        "positives at the visit before, mean over the probe objects that have any; per task, over training."
    ),
)
def churn(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """Mean over the visits of the second half, per cell; and the course over training."""
    rows = [r for cell in study.done for r in cell_churn(cell)]
    if not rows:
        return {}
    table = pd.DataFrame(rows)
    keys = ["data", "detector", "method", "seed", "task"]
    late = table[table.progress > 0.5].groupby(keys, sort=False, as_index=False).churn.mean()
    return {"Second half of training": over_seeds(late), "Churn over training": table}


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
                rows.append({**keys_of(cell), "task": task, "progress": progress, "churn": float(share)})
            before[task] = now
    return rows


@analysis(
    "evolution",
    title="Confidence over training",
    question="Do positives and other priors of an object part, and do score and IoU rise together?",
    definition=(
        "Mean score of the true class and mean IoU of the current prediction over the priors of the probe objects "
        "(those assigned and the best-overlapping ones, up to 80 per object), apart for priors that are positive for "
        "classification and for the others, at every visit."
    ),
    paper="LTM, Fig. 6; PAA, Fig. 4(a)",
)
def evolution(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """data, detector, method, seed, progress, priors (positive, other), score, iou; and the last visit over seeds."""
    rows = []
    for cell in study.done:
        for table in visits(cell):
            for kind, mine in (("positive", table[table.positive_cls]), ("other", table[~table.positive_cls])):
                if len(mine):
                    row = {**keys_of(cell), "progress": float(table.progress.iloc[0]), "priors": kind}
                    rows.append({**row, "score": float(mine.score.mean()), "iou": float(mine.iou.mean())})
    if not rows:
        return {}
    table = pd.DataFrame(rows)
    last = table[table.progress >= table.progress.max() - 1e-9].drop(columns="progress")
    return {"At the end of training": over_seeds(last), "Confidence over training": table}


@analysis(
    "scores",
    title="Anchor scores of an object",
    question="Do the scores of an object's anchors fall into two groups?",
    definition=(
        "Score: −ln(score of the true class × IoU of the prediction), low is good, over the priors of a probe object "
        "at the last visit. A mixture of two normal distributions is fitted to them (PAA's: started at the extremes, "
        "unit variances). Gap: distance of the two means in pooled standard deviations; mean over the probe objects "
        "with at least 8 priors."
    ),
    paper="PAA, Fig. 1 and section 3.1",
)
def scores(study: StudyRecord) -> pd.DataFrame:
    """Per cell: gap of the mixtures, share of the better component, and how well it agrees with the labels."""
    rows = []
    for cell in study.done:
        tables = visits(cell)
        if not tables:
            continue
        found = [object_mixture(group) for _, group in tables[-1].groupby("object_id") if len(group) >= LEAST_SCORES]
        if found:
            mean = pd.DataFrame(found).mean()
            rows.append({**keys_of(cell), **{k: float(v) for k, v in mean.items()}, "objects": len(found)})
    return over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()


def anchor_losses(group: pd.DataFrame) -> npt.NDArray[np.float64]:
    """−ln(score × IoU) of an object's priors, sorted."""
    product = group.score.to_numpy(np.float64) * group.iou.to_numpy(np.float64)
    return np.sort(-np.log(np.maximum(product, TINY)))


def mixture_of(losses: npt.NDArray[np.float64]) -> Mixture:
    """PAA's mixture of one object's sorted losses."""
    x = torch.from_numpy(losses)[None]
    return fit_mixture(x, torch.ones_like(x, dtype=torch.bool))


def object_mixture(group: pd.DataFrame) -> dict[str, float]:
    """gap, share of the better component, and the share of priors on which it agrees with the positives."""
    losses = anchor_losses(group)
    mixture = mixture_of(losses)
    better = (mixture.component[0] == 0).numpy()
    order = np.argsort(-np.log(np.maximum((group.score * group.iou).to_numpy(np.float64), TINY)), kind="stable")
    positive = group.positive_cls.to_numpy()[order]
    means, variances = mixture.means[0].numpy(), mixture.variances[0].numpy()
    gap = abs(means[1] - means[0]) / np.sqrt(max(variances.mean(), TINY))
    return {"gap": float(gap), "better_share": float(better.mean()), "agreement": float((better == positive).mean())}


@analysis(
    "maps",
    title="Where score and IoU peak",
    question="Is the best-scored place of an object also the best-localized one?",
    definition=(
        "Over the priors of a probe object at the last visit: distance between the best-scored prior and the one of "
        "largest IoU in square roots of the object's area, and how far the best-scored one's IoU stays behind the "
        "largest; mean over the probe objects. The picture shows score and IoU at the priors' places."
    ),
    paper="MuSu, Fig. 1",
)
def maps(study: StudyRecord) -> pd.DataFrame:
    """Per cell: distance of the two peaks, and the IoU lost by following the score."""
    rows = []
    for cell in study.done:
        tables = visits(cell)
        if not tables:
            continue
        objects = cell_boxes(cell)
        found = [m for i, g in tables[-1].groupby("object_id") if (m := _peaks(g, objects.get(int(i)))) is not None]
        if found:
            mean = pd.DataFrame(found).mean()
            rows.append({**keys_of(cell), **{k: float(v) for k, v in mean.items()}, "objects": len(found)})
    return over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()


def cell_boxes(cell: CellRecord) -> dict[int, float]:
    """The area of each probe object in network px², as the telemetry of training batches saw it (median)."""
    table = cell.table("assignments")
    if table.empty:
        return {}
    return {int(k): float(v) for k, v in table.groupby("object_id").area.median().items()}


def _peaks(group: pd.DataFrame, area: float | None) -> dict[str, float] | None:
    best, widest = group.loc[group.score.idxmax()], group.loc[group.iou.idxmax()]
    # An object that no sampled batch held: the best prediction's own area.
    area = area or float((widest.x2 - widest.x1) * (widest.y2 - widest.y1))
    if not area > 0:
        return None
    gap = np.hypot(*((best[f"prior_{a}1"] + best[f"prior_{a}2"] - widest[f"prior_{a}1"] - widest[f"prior_{a}2"]) / 2
                     for a in "xy"))  # fmt: skip
    return {"distance": float(gap) / area**0.5, "iou_lost": float(widest.iou - best.iou)}


@analysis(
    "anchors",
    title="What the priors of a location became",
    question="Do the several priors of one location share the work, and what boxes does each predict?",
    definition=(
        "Over the test detections above a score of 0.3, by the place of their prior among those of its location: share "
        "of the detections, median size (square root of the area in strides of the level) and median ratio w:h."
    ),
    paper="MuSu, Fig. 3",
)
def anchors(study: StudyRecord) -> pd.DataFrame:
    """anchor, share, size, ratio over seeds; for imports nothing."""
    rows = []
    for cell in study.data():
        rows += learned_anchors(cell)
    return over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()


def learned_anchors(cell: CellData, least: float = 0.3) -> list[dict[str, object]]:
    """One row per prior of a location that detects anything; boxes are measured in network px."""
    about = cell.cell.environment.get("priors")
    if not about or "prior" not in cell.detections:
        return []
    count = int(about["anchors_per_location"])
    table = cell.detections[cell.detections.score > least].merge(cell.images, on="image_id")
    if table.empty:
        return []
    side = float(cell.cell.environment["image_size"])
    starts = np.cumsum([0, *about["level_sizes"]])[:-1]
    stride = np.asarray(about["strides"])[np.searchsorted(starts, table.prior, side="right") - 1]
    width = (table.x2 - table.x1) * side / table.width
    height = (table.y2 - table.y1) * side / table.height
    table = table.assign(anchor=table.prior % count, size=np.sqrt(width * height) / stride, ratio=width / height)
    return [
        {
            **cell.keys,
            "anchor": f"{int(number)}",
            "share": len(group) / len(table),
            "size": float(group["size"].median()),
            "ratio": float(group.ratio.median()),
        }
        for number, group in table.groupby("anchor")
    ]
