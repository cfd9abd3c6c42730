"""Divergence, NMS recall, crowdedness and COCO numbers on the planted cases of ../shared/golden/metrics."""

import json

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis.divergence import summarise
from assignbench.analysis.nms import THRESHOLDS, nms_recall, recalls
from assignbench.config.method import Nms
from assignbench.measure.coco import coco_numbers
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.crowding import crowdedness
from assignbench.measure.groups import CROWDING
from assignbench.measure.matching import BOX, match, overlaps_of
from assignbench.measure.nms import Boxes, thin_out
from assignbench.measure.precision import average_precision, mean_over_classes
from tests.conftest import golden

FLOOR, NMS = 0.05, 0.5
CASES = golden("metrics/*.json")


class Case:
    """The tables of a case: boxes before and after NMS, objects, and the candidates that it names."""

    def __init__(self, path) -> None:
        content = json.loads(path.read_text())
        self.expected = content["expected"]
        label = {c: i for i, c in enumerate(sorted(content["category_ids"]))}
        self.classes = len(label)
        images, objects, boxes = [], [], []
        for image in content["images"]:
            images.append(image["image_id"])
            first = len(objects)
            for g in image["gts"]:
                objects.append((image["image_id"], label[g["category_id"]], *g["bbox_xyxy"]))
            for place, c in enumerate(image["candidates"]):
                owner = -1 if c["object"] is None else first + c["object"]
                row = (image["image_id"], label[c["category_id"]], *c["bbox_xyxy"], c["score"], owner, place)
                boxes.append(row)
        names = ["image_id", "label", *BOX]
        self.images = pd.DataFrame({"image_id": images})
        self.objects = pd.DataFrame(objects, columns=names).astype(dict.fromkeys(BOX, float))
        self.objects = self.objects.assign(
            area=(self.objects.x2 - self.objects.x1) * (self.objects.y2 - self.objects.y1),
            object_id=np.arange(len(objects)), crowd=False, difficult=False,
        )  # fmt: skip
        self.boxes = pd.DataFrame(boxes, columns=[*names, "score", "object_id", "place"]).astype(
            {**dict.fromkeys(BOX, float), "score": float}
        )
        self.before = self.boxes[self.boxes.score > FLOOR].reset_index(drop=True)
        self.after = pd.concat([self.kept(i) for i in images], ignore_index=True)

    def kept(self, image: int) -> pd.DataFrame:
        """What NMS leaves of an image's boxes above the floor, best first."""
        mine = self.before[self.before.image_id == image]
        score = mine.score.to_numpy()
        ones = np.ones(len(mine))
        boxes = Boxes(mine[BOX].to_numpy(), mine.label.to_numpy(int), score, score, ones, np.arange(len(mine)))
        return mine.iloc[thin_out(boxes, Nms(iou=NMS), 10**6).priors]

    def overlaps(self, table):
        return overlaps_of(self.images, self.objects, table, self.classes)


def number(value) -> float:
    return float("nan") if value is None else value


def coco(value) -> float:
    """pycocotools says -1 where there is nothing to measure."""
    return float("nan") if value is None or value == -1 else value


@pytest.mark.parametrize("path", CASES)
def test_divergence(path) -> None:
    case = Case(path)
    mine = case.boxes[case.boxes.object_id >= 0]
    pairs = mine.merge(case.objects[["object_id", *BOX]], on="object_id", suffixes=("", "_truth"))
    low = np.maximum(pairs[["x1", "y1"]].to_numpy(), pairs[["x1_truth", "y1_truth"]].to_numpy())
    high = np.minimum(pairs[["x2", "y2"]].to_numpy(), pairs[["x2_truth", "y2_truth"]].to_numpy())
    shared = (high - low).clip(0).prod(axis=1)
    area = ((pairs.x2 - pairs.x1) * (pairs.y2 - pairs.y1)).to_numpy()
    truth = ((pairs.x2_truth - pairs.x1_truth) * (pairs.y2_truth - pairs.y1_truth)).to_numpy()
    table = pd.DataFrame(
        {
            "object_id": pairs.object_id,
            "ranking_score": pairs.score,
            "cls_score": -pairs.score,
            "iou": shared / (area + truth - shared),
        }
    )
    expected = case.expected["divergence"]
    found = summarise(case.objects, table)
    assert found["spearman_rank"] == pytest.approx(number(expected["mean_over_objects"]), abs=1e-9, nan_ok=True)
    assert found["pooled_rank"] == pytest.approx(number(expected["pooled"]), abs=1e-9, nan_ok=True)
    assert found["objects"] == expected["objects_used"]
    assert found["spearman_cls"] == pytest.approx(
        -found["spearman_rank"], abs=1e-9, nan_ok=True
    )  # planted as its mirror
    if len(table):
        by_object = rank_correlation(table).set_index("object_id").spearman
        wanted = [number(o["spearman"]) for o in expected["per_object"]]
        ours = [by_object.get(i, float("nan")) for i in range(len(wanted))]
        np.testing.assert_allclose(ours, wanted, atol=1e-9)


@pytest.mark.parametrize("path", CASES)
def test_nms_and_its_recall(path) -> None:
    case = Case(path)
    expected = case.expected["nms"]
    for image in case.images.image_id:
        kept = case.after[case.after.image_id == image].place.tolist()
        assert kept == expected["kept"].get(str(image), []), image
    before, after = case.overlaps(case.before), case.overlaps(case.after)
    first, last = recalls(before), recalls(after)
    ratio = nms_recall(before, after)
    for reading in ("coverage", "one_to_one"):
        for t, row in enumerate(expected["per_tau"]):
            assert row["tau"] == pytest.approx(THRESHOLDS[t])
            wanted = row[reading]
            if len(case.objects):
                assert first[reading][t] == pytest.approx(number(wanted["recall_before"]), abs=1e-9)
                assert last[reading][t] == pytest.approx(number(wanted["recall_after"]), abs=1e-9)
            assert ratio[reading][t] == pytest.approx(number(wanted["NR"]), abs=1e-9, nan_ok=True)
        known = ratio[reading][np.isfinite(ratio[reading])]
        mean = known.mean() if len(known) else float("nan")
        assert mean == pytest.approx(number(expected[f"NR_mean_{reading}"]), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("path", CASES)
def test_crowdedness_and_its_groups(path) -> None:
    case = Case(path)
    values = crowdedness(case.objects.image_id.to_numpy(np.int64), case.objects[BOX].to_numpy(float))
    place = CROWDING.place(pd.Series(values))
    for image in case.expected["crowdedness"]["per_image"]:
        mine = (case.objects.image_id == image["image_id"]).to_numpy()
        np.testing.assert_allclose(values[mine], image["per_object"], atol=1e-9)
        assert [CROWDING.names[p] for p in place[mine]] == image["object_group"]
        if mine.any():
            top = CROWDING.place(pd.Series([values[mine].max()]))[0]
            assert CROWDING.names[top] == image["image_group"]


@pytest.mark.parametrize("path", CASES)
def test_coco_numbers(path) -> None:
    case = Case(path)
    for table, name in ((case.after, "coco_after_nms"), (case.before, "coco_before_nms_score_gt_005")):
        found = coco_numbers(case.overlaps(table))
        wanted = {k: v for k, v in case.expected[name].items() if k not in ("note", "stats")}
        if "stats" not in case.expected[name]:  # pycocotools refuses an empty result: AP alone is defined there
            assert set(wanted) == set(found)
        for key, value in wanted.items():
            assert found[key] == pytest.approx(coco(value), abs=1e-9, nan_ok=True), (name, key)
    overlaps = case.overlaps(case.after)
    for group, value in case.expected["coco_after_nms_by_image_group"].items():
        members = case.expected["crowdedness"]["image_groups"].get(group, [])
        weight = np.isin(overlaps.images, members).astype(float)[None]
        found = float(mean_over_classes(average_precision(match(overlaps), weight)[0]))
        assert found == pytest.approx(coco(value), abs=1e-9, nan_ok=True), group
