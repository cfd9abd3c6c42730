"""What NMS loses (LTM): recall after over recall before, and the AP if scores ranked an object's boxes by their IoU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.candidates import sorted_by
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import SEEDS, Result
from assignbench.config.method import Voting
from assignbench.measure.matching import BOX, Overlaps, match, overlaps_of
from assignbench.measure.nms import Boxes, thin_out, vote
from assignbench.measure.precision import average_precision, mean_over_classes

THRESHOLDS: tuple[float, ...] = tuple(np.arange(0.5, 0.91, 0.05).round(2).tolist())
UNLIMITED = 10**9
ORACLE = "AP if scores ranked boxes by their true IoU"
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def recalls(overlaps: Overlaps, thresholds: tuple[float, ...] = THRESHOLDS) -> dict[str, Floats]:
    """Recall [T] of all counted objects in both readings.

    coverage: an object counts if any box of its class reaches the IoU; one_to_one: a box serves one object, greedily
    by score (COCO's matching). NaN without an object.
    """
    counted = ~overlaps.left_out
    total = max(int(counted.sum()), 1) if counted.any() else np.nan
    best = np.zeros(len(counted))
    np.maximum.at(best, overlaps.pair_object, overlaps.pair_iou)
    coverage = (best[counted, None] >= np.asarray(thresholds)).sum(axis=0) / total
    reached = match(overlaps.paired(), thresholds=thresholds, max_detections=UNLIMITED).reached()
    return {"coverage": coverage, "one_to_one": reached[counted].sum(axis=0) / total}


def nms_recall(before: Overlaps, after: Overlaps, thresholds: tuple[float, ...] = THRESHOLDS) -> dict[str, Floats]:
    """NR_tau [T] in both readings; NaN where nothing is recalled before NMS."""
    first, last = recalls(before, thresholds), recalls(after, thresholds)
    blank = np.full(len(thresholds), np.nan)
    return {k: np.divide(last[k], first[k], out=blank.copy(), where=first[k] > 0) for k in first}


def replay(cell: CellData, boxes: pd.DataFrame) -> pd.DataFrame:
    """The detections that the cell's own NMS, limit and voting leave of boxes from before NMS.

    Of the boxes as they were recorded these are the cell's detections again; an analysis changes one column and sees
    what follows from it.
    """
    method, evaluation = cell.config.method, cell.config.evaluation
    voting = evaluation.voting(method.voting)
    image = boxes.image_id.to_numpy()
    before = Boxes(
        boxes[BOX].to_numpy(),
        boxes.label.to_numpy(),
        boxes.ranking_score.to_numpy(),
        boxes.cls_score.to_numpy(),
        boxes.quality_score.to_numpy(),
        np.arange(len(boxes)),
    )
    after = thin_out(before, method.nms, evaluation.max_detections, image)
    if voting is not None:
        after = _voted(after, before, image, voting)
    corners = {name: after.boxes[:, i] for i, name in enumerate(BOX)}
    return pd.DataFrame({"image_id": image[after.priors], "label": after.labels, "score": after.scores, **corners})


def _voted(after: Boxes, before: Boxes, image: Ints, voting: Voting) -> Boxes:
    """Kept boxes after the vote of those around them, image by image."""
    order = np.argsort(image, kind="stable")
    ours, theirs = image[after.priors], image[order]
    moved = after.boxes.copy()
    for one in np.unique(ours):
        mine = slice(*np.searchsorted(ours, [one, one + 1]))
        around = before.take(order[slice(*np.searchsorted(theirs, [one, one + 1]))])
        moved[mine] = vote(after.take(np.arange(mine.start, mine.stop)), around, voting).boxes
    return replace(after, boxes=moved)


def replayed_precision(cell: CellData, boxes: pd.DataFrame) -> float:
    """AP of what the cell's own NMS leaves of these boxes."""
    left = replay(cell, boxes)
    overlaps = overlaps_of(cell.images, cell.objects, left, len(cell.classes))
    return float(mean_over_classes(average_precision(match(overlaps, max_detections=cell.most))[0]))


def own_precision(cell: CellData) -> float:
    """AP of the cell's boxes from before NMS through its own NMS: what every change is compared with."""

    def compute() -> float:
        boxes = cell.pre_nms()
        return float("nan") if boxes is None else replayed_precision(cell, boxes)

    return cell.keep("replayed", compute)


def dealt_by_iou(cell: CellData, boxes: pd.DataFrame) -> pd.DataFrame:
    """The same boxes with the scores of every object's boxes dealt out again in the order of their true IoU.

    A box belongs to the object of its class that it overlaps most, if by 0.5 or more (`CellData.before`). Nothing else
    changes: neither which scores an object's boxes have, nor any other box, nor NMS itself.
    """
    column = sorted_by(cell)
    before = cell.before
    if before is None:
        return boxes
    pairs = pd.DataFrame(
        {"row": before.row[before.pair_detection], "object": before.pair_object, "iou": before.pair_iou}
    )
    pairs = pairs[~before.left_out[pairs.object]].sort_values(["row", "iou"], ascending=[True, False], kind="stable")
    best = pairs.drop_duplicates("row")
    score = boxes[column].to_numpy(copy=True)
    rows, owner = best.row.to_numpy(), best.object.to_numpy()
    by_iou = np.lexsort((rows, -best.iou.to_numpy().round(6), owner))
    by_score = np.lexsort((rows, -score[rows], owner))
    score[rows[by_iou]] = boxes[column].to_numpy()[rows[by_score]]
    return boxes.assign(**{column: score})


@analysis(
    "nms",
    title="What NMS loses",
    question="Do the scores rank the boxes of an object as their IoU would, or does NMS throw the good ones away?",
    definition=(
        "NR_τ: recall after NMS over recall before it at IoU τ, NR: mean over τ = 0.50:0.05:0.90, where anything was "
        "recalled before. coverage: an object counts if any box of its class reaches τ; one-to-one: a box serves one "
        "object, greedily by score. Before NMS: the boxes above the study's score floor, at most `pre_nms` per image "
        "or level. AP_replay: those boxes through the cell's own NMS flavour, limit and voting again (it equals AP). "
        "AP_oracle: the same after the scores of each object's boxes (IoU 0.5 and more) were dealt out again in the "
        "order of their true IoU; misranking: AP_oracle minus AP_replay."
    ),
    paper="LTM, section 4.2 and Table 4",
)
def nms(study: StudyRecord) -> list[Result]:
    """NR and NR_tau in both readings, and AP with the oracle ranking; nothing for imports without pre-NMS boxes."""
    rows, oracle = [], []
    for cell in study.data():
        recall = cell_recall(cell)
        if recall is None:
            continue
        for reading, values in recall.items():
            row = {**cell.keys, "reading": reading.replace("_", "-"), "NR": mean_recall(values)}
            rows.append({**row, **{f"NR{round(100 * t)}": v for t, v in zip(THRESHOLDS, values, strict=True)}})
        oracle.append({**cell.keys, "kind": cell.config.method.nms.kind, **cell_oracle(cell)})
    if not rows:
        return []
    shares = {"NR": "share"} | {f"NR{round(100 * t)}": "share" for t in THRESHOLDS}
    points = {name: "AP" for name in ("AP", "AP_replay", "AP_oracle", "misranking")}
    return [
        Result("nms", "NMS recall", over_seeds(pd.DataFrame(rows)), shares, population=SEEDS),
        Result("nms.oracle", ORACLE, over_seeds(pd.DataFrame(oracle)), points, population=SEEDS),
    ]


def cell_oracle(cell: CellData) -> dict[str, float]:
    """AP as recorded, as replayed, with the oracle ranking, and the last two's difference."""

    def compute() -> float:
        boxes = cell.pre_nms()
        return float("nan") if boxes is None else replayed_precision(cell, dealt_by_iou(cell, boxes))

    ideal, own = cell.keep("oracle of NMS", compute), own_precision(cell)
    recorded = float(mean_over_classes(cell.precision()))
    return {"AP": recorded, "AP_replay": own, "AP_oracle": ideal, "misranking": ideal - own}


def cell_recall(cell: CellData) -> dict[str, Floats] | None:
    """NR_tau [T] of a cell in both readings; None without boxes from before NMS."""

    def compute() -> dict[str, Floats] | None:
        before = cell.before
        return None if before is None or not len(before.row) else nms_recall(before, cell.overlaps)

    return cell.keep("nms_recall", compute)


def mean_recall(values: Floats) -> float:
    """NR: the mean over the thresholds where anything was recalled before NMS; NaN if nothing was."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
