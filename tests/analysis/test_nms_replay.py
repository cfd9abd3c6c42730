"""The replay of a cell's NMS: its own flavour, limit and voting give its own detections again."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.base import CellData
from assignbench.analysis.nms import dealt_by_iou, replay
from assignbench.config import Nms, Voting
from assignbench.config.evaluation import Evaluation
from assignbench.measure.matching import BOX
from assignbench.measure.nms import Boxes, thin_out, vote
from assignbench.records import CellRecord
from tests.analysis.planted import boxes_table, method_of, objects_table, study_of, write_cell

FLAVOURS = [
    (Nms(iou=0.6), None),
    (Nms(kind="agnostic", iou=0.4), None),
    (Nms(kind="soft", sigma=0.3), None),
    (Nms(kind="iou_guided"), None),
    (Nms(kind="none"), None),
    (Nms(iou=0.6), Voting(sigma=0.025)),
    (Nms(kind="soft"), Voting(by="closeness")),
]


def scattered(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Objects of two classes, and boxes before NMS around them, best first within an image."""
    rng = np.random.default_rng(seed)
    rows, boxes = [], []
    for image in range(6):
        for k in range(3):
            label, corner = int(rng.integers(2)), np.r_[60.0 * k, 10.0, 60.0 * k + 40, 50.0]
            rows.append((image, label, *corner))
            for _ in range(6):
                said = label if rng.random() < 0.8 else 1 - label
                boxes.append((image, said, *(corner + rng.normal(0, 5, 4)), *rng.uniform(0.05, 1, 2)))
    table = boxes_table(boxes, "cls_score quality_score")
    table["score"] = table.cls_score * table.quality_score
    table = table.sort_values(["image_id", "score"], ascending=[True, False], ignore_index=True)
    return objects_table(rows), table.astype(dict.fromkeys([*BOX, "score", "cls_score", "quality_score"], np.float32))


def detected(before: pd.DataFrame, nms: Nms, voting: Voting | None) -> pd.DataFrame:
    """What the engine does, image by image."""
    parts = []
    for image, mine in before.groupby("image_id"):
        columns = [mine[c].to_numpy() for c in ("label", "score", "cls_score", "quality_score")]
        boxes = Boxes(mine[BOX].to_numpy(), *columns, np.arange(len(mine)))
        found = thin_out(boxes, nms, 100)
        found = vote(found, boxes, voting) if voting else found
        corners = {n: found.boxes[:, i] for i, n in enumerate(BOX)}
        parts.append(pd.DataFrame({"image_id": image, "label": found.labels, "score": found.scores, **corners}))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("nms", "voting"), FLAVOURS)
def test_a_replay_gives_the_cells_own_detections(tmp_path, nms: Nms, voting: Voting | None) -> None:
    objects, before = scattered(3)
    after = detected(before, nms, voting)
    method = method_of("own", quality="iou", nms=nms, voting=voting)
    folder = write_cell(tmp_path, method, 0, objects, after, pre_nms=before, classes=("a", "b"))
    cell = CellData(CellRecord(folder))
    again = replay(cell, cell.pre_nms())
    columns = ["image_id", "label", "score", *BOX]
    pd.testing.assert_frame_equal(again[columns], after[columns], check_dtype=False)
    table = {r.key: r.frame for r in ANALYSES["nms"].run(study_of(tmp_path, ("own",)))}["nms.oracle"].iloc[0]
    assert pytest.approx(table.AP, abs=1e-12) == table.AP_replay
    assert table.AP_oracle >= table.AP_replay - 0.02  # a better ranking of every object's boxes seldom hurts


def test_a_replay_votes_where_the_views_of_an_image_vote(tmp_path) -> None:
    """`fuse: voting` moves the boxes of a method without voting; so must its replay."""
    objects, before = scattered(4)
    after = detected(before, Nms(), Voting())
    views = Evaluation(test_flip=True, fuse="voting")
    folder = write_cell(
        tmp_path, "own", 0, objects, after, pre_nms=before, classes=("a", "b"), quality="iou", evaluation=views
    )
    cell = CellData(CellRecord(folder))
    columns = ["image_id", "label", "score", *BOX]
    pd.testing.assert_frame_equal(replay(cell, cell.pre_nms())[columns], after[columns], check_dtype=False)


@pytest.mark.parametrize(("nms", "voting"), FLAVOURS)
def test_a_perfect_cell_has_no_misranking(tmp_path, nms: Nms, voting: Voting | None) -> None:
    """Every object's exact box comes first, its other boxes far behind: AP 1 before and after, by every flavour."""
    objects = objects_table([(i, 0, 20.0, 20, 60, 60) for i in range(8)])
    exact = [(i, 0, 20.0, 20, 60, 60, 0.9, 0.9) for i in range(8)]
    poor = [(i, 0, 24.0, 20, 64, 60, 0.3, 0.3) for i in range(8)]
    before = boxes_table(exact + poor, "cls_score quality_score")
    before["score"] = before.cls_score * before.quality_score
    if voting is not None:
        before = before[:8]  # voting would move the exact boxes
    after = detected(before, nms, voting)
    method = method_of("own", quality="iou", nms=nms, voting=voting)
    write_cell(tmp_path, method, 0, objects, after, pre_nms=before)
    table = {r.key: r.frame for r in ANALYSES["nms"].run(study_of(tmp_path, ("own",)))}["nms.oracle"].iloc[0]
    assert pytest.approx(1.0) == table.AP and abs(table.misranking) < 1e-12


def test_dealing_changes_the_order_of_an_objects_boxes_alone(tmp_path) -> None:
    objects, before = scattered(5)
    folder = write_cell(tmp_path, "own", 0, objects, before[:0], pre_nms=before, classes=("a", "b"))
    cell = CellData(CellRecord(folder))
    boxes = cell.pre_nms()
    dealt = dealt_by_iou(cell, boxes)
    assert sorted(dealt.ranking_score) == sorted(boxes.ranking_score)
    pd.testing.assert_frame_equal(dealt.drop(columns="ranking_score"), boxes.drop(columns="ranking_score"))
    assert (dealt.ranking_score != boxes.ranking_score).any()
