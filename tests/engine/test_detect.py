"""Several views of a test image: mirrored and at other sizes, its boxes come back in place and enter NMS together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.images import AspectSize
from assignbench.contract import Objects, Predictions
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.engine.detect import detect, views_of
from assignbench.engine.evaluate import object_table, predict
from assignbench.engine.outcome import Diverged
from assignbench.methods import resolve
from assignbench.priors import Priors

CORNERS = (10, 20, 34, 60)  # px of the original, of what each image shows
SHAPES = [(120, 90), (100, 130), (120, 90), (64, 128)]  # width, height


def drawn(index: int) -> np.ndarray:
    """Black, with one bright box."""
    width, height = SHAPES[index]
    pixels = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = CORNERS
    pixels[top:bottom, left:right] = 255
    return pixels


def data() -> DetectionData:
    none = np.zeros(0, np.bool_)
    records = [
        ImageRecord(50 + i, f"{i}", *shape, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), none, none,
                    np.zeros(0, np.float32), np.zeros(0, np.int64))
        for i, shape in enumerate(SHAPES)
    ]  # fmt: skip
    return DetectionData("d", "test", ("a", "b"), records, drawn)


class Seer:
    """Predicts the bright box exactly, by its second prior, and a faint one in the image's corner by its first."""

    device = torch.device("cpu")
    class_agnostic = False

    def eval(self) -> None:
        """There is nothing to set."""

    def taught(self, objects: Objects) -> Objects:
        return objects

    def __call__(self, images: torch.Tensor, extents: object) -> tuple[Priors, Predictions]:
        boxes = torch.zeros(len(images), 2, 4)
        for i, image in enumerate(images):
            y, x = torch.nonzero(image[0] > 200, as_tuple=True)
            boxes[i, 1] = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1])
            boxes[i, 0] = torch.tensor([0.0, 0, 8, 8])
        logits = torch.tensor([[-2.0, -9.0], [-9.0, 3.0]]).expand(len(images), 2, 2).clone()
        logits[:, 1, 1] += images.shape[-1] / 1000  # a larger view is surer
        priors = Priors(torch.zeros(2, 4), strides=torch.ones(2), kind="anchor")
        return priors, Predictions(logits, None, boxes)


def seen(size, **entries) -> list:
    evaluation = Evaluation(batch=3, **entries)
    spec = DataSpec(name="d", kind="coco", size=size)
    return [(v, detect(Seer(), resolve("iou"), v, evaluation)) for v in views_of(data(), spec, evaluation)]


@pytest.mark.parametrize("size", [96, AspectSize(short=64, long=128)])
@pytest.mark.parametrize("entries", [{}, {"test_flip": True}, {"test_scales": [64, 96, 160], "test_flip": True}])
def test_all_views_find_the_same_box_of_the_original(size, entries) -> None:
    ids = []
    for views, got in seen(size, **entries):
        batch = views[0].batch
        ids += batch.image_ids
        number = max(1, len(entries.get("test_scales", []))) * (2 if entries.get("test_flip") else 1)
        assert sum(len(v.batch.image_ids) for v in views) == number * len(batch.image_ids)
        for i in range(len(batch.image_ids)):
            before, after = got.before.image(i), got.after.image(i)
            assert len(before) == 2 * number and before.scores.tolist() == sorted(before.scores.tolist(), reverse=True)
            mine = before.boxes[before.labels == 1]
            assert mine.shape == (number, 4) and torch.allclose(mine, torch.tensor(CORNERS).float(), atol=2.5)
            assert after.labels.tolist()[0] == 1 and (after.labels == 1).sum() == 1
            assert torch.equal(after.boxes[0], before.boxes[0])  # NMS keeps the surest view's
            faint = before.boxes[before.labels == 0]
            corner = (0.0, batch.scale[i, 0] * batch.sizes[i][1])
            outer = {round(float(x), 1) for x in faint[:, 0][faint[:, 0] < 1]}
            assert outer == {0.0} and float(faint[:, 2].max()) <= corner[1] + 0.01
            assert (faint[:, 0] > 40).sum() == (
                number // 2 if entries.get("test_flip") else 0
            )  # mirrored: on the right
    assert sorted(ids) == [50, 51, 52, 53]


def test_voting_moves_the_kept_box_to_the_mean_of_the_views() -> None:
    entries = {"test_scales": [64, 160], "test_flip": True}
    for (_, by_nms), (_, by_voting) in zip(seen(96, **entries), seen(96, fuse="voting", **entries), strict=True):
        for i in range(len(by_nms.after)):
            plain, voted = by_nms.after.image(i), by_voting.after.image(i)
            assert voted.scores.tolist() == plain.scores.tolist() and voted.priors.tolist() == plain.priors.tolist()
            views = by_voting.before.image(i)
            mine = views.boxes[views.labels == 1]
            assert (voted.boxes[0] >= mine.amin(0) - 1e-4).all() and (voted.boxes[0] <= mine.amax(0) + 1e-4).all()
            assert not torch.equal(voted.boxes[0], plain.boxes[0]) or torch.equal(mine.amin(0), mine.amax(0))


@pytest.mark.parametrize("part", ["cls_logits", "quality_logits", "boxes"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_outputs_that_are_no_numbers_are_told(part, value) -> None:
    """A NaN lies above no floor: without a word the image would just have no boxes. Infinities are large numbers."""

    class Spoilt(Seer):
        def __call__(self, images: torch.Tensor, extents: object) -> tuple[Priors, Predictions]:
            priors, found = super().__call__(images, extents)
            found = replace(found, quality_logits=torch.zeros(len(images), 2))
            getattr(found, part)[-1, 0] = float(value)
            return priors, found

    spec, evaluation = DataSpec(name="d", kind="coco", size=96), Evaluation(batch=4)
    (views,) = views_of(data(), spec, evaluation)
    if value == "inf":
        assert detect(Spoilt(), resolve("iou"), views, evaluation).after.valid.any()
        return
    with pytest.raises(Diverged, match=r"test image 53: the network's (class|quality|box) outputs are not numbers"):
        detect(Spoilt(), resolve("iou"), views, evaluation)


def test_equal_scores_go_to_the_earlier_view() -> None:
    for _, got in seen(96, test_flip=True):
        for i in range(len(got.before)):
            faint = got.before.image(i)
            faint = faint.boxes[faint.labels == 0]
            assert faint[0, 0] == 0 and faint[1, 0] > 0  # as it is before mirrored


def test_a_split_without_objects_has_boxes_and_no_candidates(tmp_path) -> None:
    spec, evaluation = DataSpec(name="d", kind="coco", size=96), Evaluation(batch=3)
    objects = object_table(data())
    found = predict(tmp_path, Seer(), resolve("iou"), data(), spec, evaluation, objects)
    rows = {p.stem: len(pd.read_parquet(p)) for p in tmp_path.iterdir()}
    assert rows == {"detections": 8, "pre_nms": 8, "candidates": 0} and len(found.detections) == 8
    table = objects.merge(found.found, how="left", on="object_id")
    assert len(table) == 0 and {"num_candidates", "spearman", "left_out", "best_iou_after"} <= set(table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "detections.parquet"), found.detections)


@pytest.mark.parametrize("entries", [{}, {"test_scales": [64, 96, 160], "test_flip": True}])
@pytest.mark.parametrize("workers", [1, 3])
def test_views_that_are_read_ahead_are_the_same(entries, workers) -> None:
    spec, evaluation = DataSpec(name="d", kind="coco", size=AspectSize(short=64, long=128)), Evaluation(**entries)
    plain = list(views_of(data(), spec, evaluation))
    for views, others in zip(views_of(data(), spec, evaluation, workers), plain, strict=True):
        for view, other in zip(views, others, strict=True):
            assert view.mirrored == other.mirrored and view.batch.image_ids == other.batch.image_ids
            assert torch.equal(view.batch.images, other.batch.images)
