"""What a cell records: true labels, candidates, probes with diagnostics, formulas, and numbers that agree."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from assignbench.assigners.candidates import divergence_candidates
from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.cell import LocalPaths
from assignbench.contract import BACKGROUND, Objects
from assignbench.engine.cell import build_cell
from assignbench.engine.hooks import Probes
from assignbench.engine.loop import loop
from assignbench.engine.pictured import probe_set
from assignbench.engine.run import run_cell
from assignbench.errors import InputError
from assignbench.measure.nms import Boxes, thin_out
from assignbench.priors import Priors, anchor_grid, point_grid
from assignbench.records import CellRecord
from tests.engine.cells import place, tiny


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> CellRecord:
    """A finished cell with a quality head."""
    folder = place(tiny("iou", parts={"quality": "iou", "ranking": "cls*quality"}), tmp_path_factory.mktemp("c") / "c")
    assert run_cell(folder, "cpu") == "done"
    return CellRecord(folder)


def test_rpn_learns_one_class_and_the_records_keep_the_true_labels(tmp_path) -> None:
    folder = place(tiny("rpn", "rpn-slim", steps=6), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "done"
    record = CellRecord(folder)
    assert record.environment["class_agnostic"] is True
    assert record.table("objects").label.nunique() > 1
    assert set(record.table("detections").label) <= {0}
    assert list(record.summary["per_class"]) == ["object"]
    assert 0 <= record.summary["AR100"] <= 1
    truth = dict(zip(*(record.table("assignments")[c] for c in ("object_id", "label")), strict=True))
    visit = pd.read_parquet(record.probe_visits()[-1])
    assert visit.label.nunique() > 1
    known = visit[visit.object_id.isin(truth)]
    assert len(known) and (known.label == known.object_id.map(truth)).all()


def test_the_detections_are_what_the_one_nms_makes_of_the_recorded_boxes(record) -> None:
    """The replay of the analysis starts from these boxes, so it must come to the same detections."""
    before, after = record.table("pre_nms"), record.table("detections")
    method, limit = record.trained.method, record.trained.evaluation.max_detections
    assert len(before) > len(after) > 0
    for image, mine in before.groupby("image_id"):
        boxes = Boxes(
            mine[["x1", "y1", "x2", "y2"]].to_numpy(),
            *(mine[c].to_numpy() for c in ("label", "ranking_score", "cls_score", "quality_score", "prior")),
        )
        kept, found = thin_out(boxes, method.nms, limit), after[after.image_id == image]
        assert kept.priors.tolist() == found.prior.tolist() and kept.scores.tolist() == found.score.tolist()
        assert (found.score == found.cls_score * found.quality_score).mean() > 0.9


def test_correlations_are_scipys(record) -> None:
    objects = record.table("objects").set_index("object_id")
    candidates = record.table("candidates")
    candidates = candidates[candidates.in_jk]
    for number, mine in candidates.groupby("object_id"):
        assert objects.num_candidates[number] == len(mine)
        for column, score in (("spearman", "ranking_score"), ("spearman_cls", "cls_score")):
            if len(mine) > 1 and mine[score].nunique() > 1 and mine.iou.round(6).nunique() > 1:
                expected = spearmanr(mine[score], mine.iou.round(6)).statistic
                assert objects[column][number] == pytest.approx(expected, abs=1e-9)
            else:
                assert np.isnan(objects[column][number])
    assert objects.spearman.notna().sum() > 10


def test_areas_are_those_of_the_annotation_and_of_the_network(record) -> None:
    objects = record.table("objects")
    sides = (objects.x2 - objects.x1) * (objects.y2 - objects.y1)
    assert objects.area.to_numpy() == pytest.approx(sides.to_numpy(), rel=1e-5)
    assert "area" not in record.table("assignments") and (record.table("assignments").network_area > 0).all()


def test_candidates_of_anchors_are_what_max_iou_gives_or_would_ignore() -> None:
    priors = anchor_grid((64, 64), (8, 16), (2.5, 3.5), (1.0, 2.0))
    boxes = torch.tensor([[[8.0, 8, 30, 28], [30, 20, 62, 60], [0, 0, 5, 6], [0, 0, 0, 0]]])
    objects = Objects(boxes, torch.zeros(1, 4).long(), torch.tensor([[True, True, True, False]]))
    owner = divergence_candidates(priors, objects)[0]
    iou = torch.stack([_iou(box, priors.boxes) for box in objects.boxes[0, :3]])
    assert set(owner.unique().tolist()) == {BACKGROUND, 0, 1, 2}
    for prior, chosen in enumerate(owner.tolist()):
        best = float(iou[:, prior].max())
        forced = (iou[:, prior] == iou.max(dim=1).values) & (iou[:, prior] > 0)
        if chosen == BACKGROUND:
            assert best < 0.4 and not forced.any()
        else:
            assert forced[chosen] or (best >= 0.4 and float(iou[chosen, prior]) == best)
    gives = MaxIoU(low_quality="mmdet").match(torch.cat([iou, torch.zeros(1, len(priors))])[None], objects.valid)[0][0]
    assert ((gives >= 0) <= (owner == gives)).all()


def _iou(box: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(-1) - shared)


def test_candidates_of_points_lie_inside_the_smallest_object() -> None:
    priors = point_grid((64, 64), (8, 16))
    boxes = torch.tensor([[[0.0, 0, 64, 64], [10, 10, 40, 40]]])
    owner = divergence_candidates(priors, Objects(boxes, torch.zeros(1, 2).long()))[0]
    inside = ((priors.points > 10) & (priors.points < 40)).all(dim=-1)
    assert torch.equal(owner, torch.where(inside, 1, 0))
    nothing = divergence_candidates(priors, Objects(torch.zeros(2, 0, 4), torch.zeros(2, 0).long()))
    assert (nothing == BACKGROUND).all() and nothing.shape == (2, len(priors))


@dataclass(frozen=True)
class Talkative(MaxIoU):
    """Tells something of objects, of priors, and of both."""

    def assign(self, priors: Priors, predictions, objects, context):
        found = super().assign(priors, predictions, objects, context)
        batch, width = objects.labels.shape
        area = (objects.boxes[..., 2:] - objects.boxes[..., :2]).prod(-1)
        told = {
            "size": area,
            "corner": objects.boxes[..., :2],
            "table": torch.zeros(batch, width, len(priors)),
        }
        # As many priors as objects would be told apart by nothing but the dictionary that they stand in.
        of_priors = {"owner": found.cls.index}
        return replace(found, diagnostics=told, prior_diagnostics=of_priors)

    def formulas(self) -> list[dict[str, float | str]]:
        return [{"formula": "square", "curve": "", "x": x, "y": float("nan"), "value": x * x} for x in (0.0, 0.5, 1.0)]


def test_diagnostics_of_objects_are_recorded_without_knowing_the_method(tmp_path) -> None:
    config = tiny("iou")
    cell = build_cell(tmp_path, config, LocalPaths(), "cpu")
    cell.learner.method = replace(cell.learner.method, assigner=Talkative())
    probed = probe_set(cell.train, config.data, 2)
    loop(cell.loader.batches(0, 2), [cell.learner], [Probes(cell.learner, tmp_path, probed, 6)])
    told = pd.read_parquet(tmp_path / "objects-00000000.parquet")
    shared = ["epoch", "progress", "image_id", "object_id", "object", "label", "network_area", "x1", "y1", "x2", "y2"]
    assert list(told) == [*shared, "size", "corner_0", "corner_1", "extra", "shown"]
    (batch,) = probed.batches
    assert len(told) == int(batch.objects.valid.sum())
    assert told["size"].to_numpy() == pytest.approx(told.network_area.to_numpy())
    boxes = batch.objects.boxes[batch.objects.valid]
    assert torch.equal(torch.tensor(told[["corner_0", "corner_1"]].to_numpy()), boxes[:, :2])


def test_a_papers_curves_are_recorded_where_it_has_some(record, tmp_path) -> None:
    assert not (record.folder / "formulas.parquet").exists()
    folder = place(tiny("mutual_guidance", steps=2), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "done"
    curves = pd.read_parquet(folder / "formulas.parquet")
    assert list(curves) == ["formula", "curve", "x", "y", "value"] and len(curves) > 10


def test_weights_of_another_place_change_nothing_but_the_backbone(tmp_path, shared_data) -> None:
    path = shared_data / "squeezenet-weights" / "squeezenet1_1_imagenet_features_rgb.npz"
    config = tiny("iou", "retinanet-squeezenet", weights=path.name)
    with pytest.raises(InputError, match=f"weights is empty, but the cell starts from '{path.name}'"):
        build_cell(Path(), config, LocalPaths(), "cpu")
    unread = tiny("iou", "retinanet-squeezenet")
    bare = build_cell(Path(), unread, LocalPaths(), "cpu").learner.detector.state_dict()
    given = build_cell(Path(), config, LocalPaths(weights=str(path)), "cpu").learner.detector.state_dict()
    changed = {k for k in bare if not torch.equal(bare[k], given[k])}
    assert changed and all(k.startswith("backbone.") for k in changed)
