"""How good the predicted IoU is (PAA Table 2), and what AP it would give if it were exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.nms import own_precision, replayed_precision
from assignbench.analysis.result import SEEDS, Result
from assignbench.config.method import Ranking
from assignbench.measure.matching import overlapping
from assignbench.measure.precision import mean_over_classes
from assignbench.measure.ranking import ranking_score

BINS = 10
# The true IoUs of a bin spread by about 0.2, so that the mean of fewer is uncertain by more than a third of a bin.
LEAST_BOXES = 50
GOOD_IOU = 0.5  # a box from this IoU on counts in the error of the predicted one
Floats = npt.NDArray[np.float64]


def true_iou(cell: CellData, boxes: pd.DataFrame) -> Floats:
    """Largest IoU of each box [N] with an object of its image, whatever the classes; 0 without one.

    The head that predicts IoU knows no classes, and an exact one must not correct the classes either.
    """
    row, _, iou = overlapping(cell.images, cell.objects[~cell.objects.crowd], boxes, least=1e-9)
    best = np.zeros(len(boxes))
    np.maximum.at(best, row, iou)
    return best


def true_of_kept(cell: CellData) -> Floats:
    """The true IoU of each detection."""
    return cell.once("true IoU of detections", lambda: true_iou(cell, cell.detections))


def predicts_iou(cell: CellData) -> bool:
    """Whether the method has a head that predicts the IoU, and its records hold what it said."""
    return cell.config.method.quality == "iou"


@analysis(
    "quality",
    title="Prediction of the IoU",
    question="How far is the predicted IoU from the true one, and what would an exact one be worth?",
    definition=(
        "True IoU: the largest with any object, whatever the classes. Error: mean |predicted − true| over kept "
        "detections with true IoU ≥ 0.5; beside it over the boxes before NMS, and the bias (predicted − true). "
        "Reliability: mean true IoU of the boxes before NMS in ten bins of the predicted one, of bins that hold "
        f"{LEAST_BOXES} boxes in every seed. Oracle IoU: AP when the "
        "true IoU takes the place of the predicted one in the method's ranking score (of cls × IoU for methods without "
        "such a head), through the cell's own NMS, limit and voting; AP_replay: the same without that change."
    ),
    paper="PAA, Table 2",
)
def quality(study: StudyRecord) -> list[Result]:
    """Errors and bias, the reliability curve, and AP with oracle IoU."""
    errors, curves, oracle = [], [], []
    for cell in study.data():
        error, curve, ideal = cell_quality(cell)
        errors += [{**cell.keys, **error}] if error else []
        curves += [{**cell.keys, **row} for row in curve]
        oracle += [{**cell.keys, **ideal}] if ideal else []
    tables = [over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame() for rows in (errors, oracle)]
    reliabilities = mean_curves(pd.DataFrame(curves)) if curves else pd.DataFrame()
    points = {"AP": "AP", "AP_replay": "AP", "AP_oracle": "AP", "room": "AP"}
    ious = {name: "IoU" for name in ("error_kept", "bias_kept", "error_before", "bias_before")}
    ious |= {"boxes_kept": "boxes", "boxes_before": "boxes"}
    reliable = {"predicted": "IoU", "true": "IoU", "boxes": "boxes", "fewest": "boxes"}
    few = len(reliabilities) > 0 and bool((reliabilities.fewest < LEAST_BOXES).any())
    left_out = (
        (f"No number where a seed has fewer than {LEAST_BOXES} boxes; in brackets the fewest of any seed.",)
        if few
        else ()
    )
    return [
        Result("quality", "Error of the predicted IoU", tables[0], ious, population=SEEDS),
        Result("quality.reliability", "Reliability", reliabilities, reliable, population=SEEDS, notes=left_out),
        Result("quality.oracle", "AP with the true IoU in the ranking", tables[1], points, population=SEEDS),
    ]


Quality = tuple[dict[str, float], list[dict[str, object]], dict[str, float]]


def cell_quality(cell: CellData) -> Quality:
    """A cell's errors, its reliability curve and its AP with the true IoU; empty where the records do not hold them."""
    return cell.keep("quality", lambda: _quality(cell))


def _quality(cell: CellData) -> Quality:
    boxes = cell.pre_nms()
    before = np.zeros(0) if boxes is None else true_iou(cell, boxes)
    error: dict[str, float] = {}
    curve: list[dict[str, object]] = []
    if predicts_iou(cell):
        error |= _error(true_of_kept(cell), cell.detections.quality_score.to_numpy(float), "kept")
        if boxes is not None:
            error |= _error(before, boxes.quality_score.to_numpy(float), "before")
            curve = reliability(boxes.quality_score.to_numpy(float), before)
    return error, curve, _oracle(cell, boxes, before) if boxes is not None and len(boxes) else {}


def _error(true: Floats, predicted: Floats, name: str) -> dict[str, float]:
    good = true >= GOOD_IOU
    gap = predicted[good] - true[good]
    nothing = float("nan")
    mean, bias = (float(np.abs(gap).mean()), float(gap.mean())) if good.any() else (nothing, nothing)
    return {f"error_{name}": mean, f"bias_{name}": bias, f"boxes_{name}": float(good.sum())}


def reliability(predicted: Floats, true: Floats) -> list[dict[str, object]]:
    """Mean true IoU, mean prediction and number of boxes of every bin that holds one."""
    place = np.minimum((predicted * BINS).astype(int), BINS - 1)
    rows: list[dict[str, object]] = []
    for b in range(BINS):
        mine = place == b
        if mine.any():
            name = f"{b / BINS:.1f}-{(b + 1) / BINS:.1f}"
            row = {"bin": name, "predicted": float(predicted[mine].mean()), "true": float(true[mine].mean())}
            rows.append({**row, "boxes": float(mine.sum())})
    return rows


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Reliability over seeds, of rows per cell and bin: with `fewest`, the least number of boxes that a seed has there.

    No number where these are fewer than `LEAST_BOXES` (a seed without the bin has none), no interval below three seeds.
    """
    keys = ["data", "detector", "method"]
    seeds = curves.groupby(keys, sort=False).seed.nunique()
    least = curves.groupby([*keys, "bin"], sort=False).boxes.min()
    table = over_seeds(curves)
    every = table.n.to_numpy() == seeds.loc[list(table[keys].itertuples(index=False, name=None))].to_numpy()
    found = least.loc[list(table[[*keys, "bin"]].itertuples(index=False, name=None))].to_numpy()
    table["fewest"] = np.where(every, found, 0).astype(int)
    halves = ["predicted_half", "true_half"]
    table.loc[table.fewest < LEAST_BOXES, ["predicted", "true", *halves]] = np.nan
    table.loc[table.n < LEAST_SEEDS, halves] = np.nan
    return table


def _oracle(cell: CellData, boxes: pd.DataFrame, true: Floats) -> dict[str, float]:
    """AP as recorded, as replayed through the cell's NMS, and the same with the true IoU in the ranking."""
    method = cell.config.method
    ranking: Ranking = method.ranking if predicts_iou(cell) and method.ranking != "cls" else "cls*quality"
    score = ranking_score(ranking, boxes.cls_score.to_numpy(float), true)
    ideal = replayed_precision(cell, boxes.assign(ranking_score=score, quality_score=true))
    own, recorded = own_precision(cell), float(mean_over_classes(cell.precision()))
    return {"AP": recorded, "AP_replay": own, "AP_oracle": ideal, "room": ideal - own}
