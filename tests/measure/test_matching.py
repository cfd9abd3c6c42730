"""Matching and AP against pycocotools, the published numbers, and curves by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.measure.coco import AREAS, coco_ground_truth, coco_numbers, coco_results
from assignbench.measure.matching import BOX, COCO_THRESHOLDS, match, overlapping, overlaps_of
from assignbench.measure.precision import average_precision, average_recall, mean_over_classes
from assignbench.measure.voc import VOC_THRESHOLDS, match_voc, voc_evaluate
from tests.measure.reference import coco_evaluate, evaluated

CLASSES = 3


def scene(seed: int, images: int = 12, *, crowd: float = 0.1, difficult: float = 0.1, ties: bool = True):
    """Tables of random boxes: objects, and detections scattered around them and elsewhere, with tied scores."""
    rng = np.random.default_rng(seed)
    boxes, found = [], []
    for image in range(images):
        count = int(rng.integers(0, 9))
        corner, side = rng.uniform(0, 150, (count, 2)), rng.choice([12.0, 40.0, 110.0], (count, 2))
        side = side * rng.uniform(0.8, 1.3, side.shape)
        label = rng.integers(0, CLASSES - 1, count)  # the last class has no object
        for i in range(count):
            boxes.append((image, label[i], *corner[i], *(corner[i] + side[i])))
            for _ in range(int(rng.integers(0, 5))):
                moved = np.r_[corner[i], corner[i] + side[i]] + rng.normal(0, 6, 4)
                found.append((image, label[i] if rng.random() < 0.8 else rng.integers(CLASSES), *moved))
        for _ in range(int(rng.integers(0, 8))):
            at, wide = rng.uniform(0, 150, 2), rng.uniform(10, 100, 2)
            found.append((image, rng.integers(CLASSES), *at, *(at + wide)))
    columns = ["image_id", "label", "x1", "y1", "x2", "y2"]
    objects, detections = pd.DataFrame(boxes, columns=columns), pd.DataFrame(found, columns=columns)
    objects["area"] = (objects.x2 - objects.x1) * (objects.y2 - objects.y1)
    objects["crowd"] = rng.random(len(objects)) < crowd
    objects["difficult"] = rng.random(len(objects)) < difficult
    detections = detections[(detections.x2 > detections.x1) & (detections.y2 > detections.y1)].reset_index(drop=True)
    score = rng.random(len(detections))
    detections["score"] = score.round(1) if ties else score
    names = pd.DataFrame({"image_id": np.arange(images), "name": "", "width": 300, "height": 300})
    return names, objects, detections


def oracle(images, objects, detections, *, max_dets=(1, 10, 100), ids=None):
    """pycocotools' arrays of precision [T, R, C, A, M] and recall [T, C, A, M], difficult objects ignored."""
    truth = coco_ground_truth(images, objects, [str(i) for i in range(CLASSES)])
    run = evaluated(truth, coco_results(detections), max_dets, ids)
    return run.eval["precision"], run.eval["recall"]


def as_array(precision: np.ndarray) -> np.ndarray:
    """[T, R, C] to AP [T, C] with NaN for classes without objects."""
    return np.where(precision[:, 0] < 0, np.nan, precision.mean(axis=1))


@pytest.mark.parametrize("seed", range(12))
def test_equals_pycocotools_for_all_thresholds_areas_and_limits(seed) -> None:
    images, objects, detections = scene(seed)
    limits = (1, 3, 10, 100, 300)
    precision, recall = oracle(images, objects, detections, max_dets=limits)
    overlaps = overlaps_of(images, objects, detections, CLASSES)
    for place, area in enumerate([(0.0, 1e10), *AREAS.values()]):
        whole = match(overlaps, area=area, max_detections=300)
        for m, limit in enumerate(limits):
            part = whole.first(limit)
            np.testing.assert_allclose(
                average_precision(part)[0], as_array(precision[:, :, :, place, m]), rtol=0, atol=1e-9
            )
            expected = np.where(recall[:, :, place, m] < 0, np.nan, recall[:, :, place, m])
            np.testing.assert_allclose(average_recall(part)[0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_copies_of_images(seed) -> None:
    """A subset of images is a weight of zero elsewhere; a weight of two is the image and its twin."""
    images, objects, detections = scene(seed, ties=False)
    overlaps = overlaps_of(images, objects, detections, CLASSES)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, (4, len(images))).astype(float)
    ours = average_precision(match(overlaps), weights)
    for row, weight in zip(ours, weights, strict=True):
        parts = [[], [], []]
        for copy in range(2):
            for image in np.flatnonzero(weight > copy):
                for kept, table in zip(parts, (images, objects, detections), strict=True):
                    kept.append(table[table.image_id == image].assign(image_id=int(image) + 1000 * copy))
        copied = [pd.concat(p, ignore_index=True) for p in parts]
        expected = average_precision(match(overlaps_of(*copied, CLASSES)))[0]
        np.testing.assert_allclose(row, expected, atol=1e-12)
    some = weights[0] > 0
    precision, _ = oracle(images, objects, detections, ids=np.flatnonzero(some).tolist())
    np.testing.assert_allclose(
        average_precision(match(overlaps), some[None].astype(float))[0], as_array(precision[:, :, :, 0, 2]), atol=1e-9
    )


def test_objects_outside_a_group_are_neither_missed_nor_matched_at_a_cost() -> None:
    images = pd.DataFrame({"image_id": [7]})
    objects = pd.DataFrame(
        {"image_id": 7, "label": 0, "x1": [0.0, 50], "y1": 0.0, "x2": [10.0, 60], "y2": 10.0, "area": 100.0}
    ).assign(crowd=False, difficult=False)
    found = pd.DataFrame(
        {
            "image_id": 7,
            "label": 0,
            "score": [0.9, 0.8, 0.7],
            "x1": [50.0, 80, 0],
            "y1": 0.0,
            "x2": [60.0, 90, 10],
            "y2": 10.0,
        }
    )
    overlaps = overlaps_of(images, objects, found, 1)
    both = mean_over_classes(average_precision(match(overlaps))[0])
    assert both == pytest.approx((51 + 50 * 2 / 3) / 101)  # right, wrong, right
    first = match(overlaps, outside=np.array([False, True]))
    assert mean_over_classes(average_precision(first)[0]) == pytest.approx(0.5)  # wrong, right
    assert first.reached()[:, 0].tolist() == [True, True]


def voc_by_loops(objects, detections, threshold: float) -> float:
    """PASCAL's rule written out: one detection after the other, eleven recalls, mean over classes."""
    values = []
    for label in range(CLASSES):
        own = objects[objects.label == label]
        total = int((~own.difficult).sum())
        if not total:
            continue
        taken: set[int] = set()
        right, seen, curve = 0, 0, []
        for d in (
            detections[detections.label == label].sort_values("score", ascending=False, kind="stable").itertuples()
        ):
            best, at, difficult = -1.0, -1, False
            for o in own[own.image_id == d.image_id].itertuples():
                wide, high = min(d.x2, o.x2) - max(d.x1, o.x1), min(d.y2, o.y2) - max(d.y1, o.y1)
                shared = max(wide, 0.0) * max(high, 0.0)
                area = (d.x2 - d.x1) * (d.y2 - d.y1) + (o.x2 - o.x1) * (o.y2 - o.y1) - shared
                if shared / area > best:
                    best, at, difficult = shared / area, o.Index, o.difficult
            if best >= threshold and difficult:
                continue
            seen += 1
            if best >= threshold and at not in taken:
                taken.add(at)
                right += 1
            curve.append((right / total, right / seen))
        values.append(np.mean([max((p for r, p in curve if r >= k * 0.1), default=0.0) for k in range(11)]))
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(3))
def test_voc_equals_its_rule_written_out(seed) -> None:
    _, objects, detections = scene(seed, crowd=0.0, ties=False)
    found = voc_evaluate(objects, detections, [str(i) for i in range(CLASSES)])
    assert found["AP07_50"] == pytest.approx(voc_by_loops(objects, detections, 0.5), abs=1e-9)
    assert found["AP07_75"] == pytest.approx(voc_by_loops(objects, detections, 0.75), abs=1e-9)
    every = [voc_by_loops(objects, detections, t) for t in VOC_THRESHOLDS]
    assert found["AP07"] == pytest.approx(np.mean(every), abs=1e-9)


def test_nothing_found_and_nothing_to_find() -> None:
    images, objects, detections = scene(1)
    none = match(overlaps_of(images, objects, detections[:0], CLASSES))
    values = average_precision(none)[0]
    assert (values[:, :2] == 0).all() and np.isnan(values[:, 2]).all()
    empty = match(overlaps_of(images, objects[:0], detections, CLASSES))
    assert np.isnan(mean_over_classes(average_precision(empty)[0]))


NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def test_the_twelve_published_numbers_of_cocoapi(shared_data) -> None:
    folder = shared_data / "results-json" / "cocoapi_val2014_100"
    truth = read_ground_truth(folder / "instances_val2014_100.json")
    table = read_predictions(folder / "instances_val2014_fakebbox100_results.json", truth)
    found = coco_numbers(overlaps_of(truth.images, truth.objects, table, len(truth.classes)))
    known = json.loads((folder.parent / "known_ap.json").read_text())["cocoapi_val2014_100"]
    exact = coco_evaluate(coco_ground_truth(truth.images, truth.objects, list(truth.classes)), coco_results(table))
    for name in NAMES:
        assert found[name] == pytest.approx(known[name], abs=1e-6), name
        assert found[name] == pytest.approx(exact[name], abs=1e-9), name


def test_coco_mini_with_its_crowds_and_empty_classes(shared_data) -> None:
    """Its annotations as detections, moved about: parity for every class, limit and area."""
    truth = read_ground_truth(shared_data / "coco-mini" / "annotations" / "instances_val2017.json")
    rng = np.random.default_rng(0)
    table = truth.objects.loc[
        rng.random(len(truth.objects)) < 0.8, ["image_id", "label", "x1", "y1", "x2", "y2"]
    ].copy()
    table[["x1", "y1", "x2", "y2"]] += rng.normal(0, 4, (len(table), 4))
    table["score"] = rng.random(len(table)).round(2)
    table = table[(table.x2 > table.x1) & (table.y2 > table.y1)]
    exact = coco_evaluate(coco_ground_truth(truth.images, truth.objects, list(truth.classes)), coco_results(table))
    overlaps = overlaps_of(truth.images, truth.objects, table, len(truth.classes))
    found = coco_numbers(overlaps)
    for name in NAMES:
        assert found[name] == pytest.approx(exact[name], abs=1e-9), name
    by_class = average_precision(match(overlaps))[0].mean(axis=0)
    for name, value in zip(truth.classes, by_class, strict=True):
        wanted = exact["per_class"][name]
        assert np.isnan(value) if wanted is None else value == pytest.approx(wanted, abs=1e-9), name


def test_the_published_numbers_of_padilla(shared_data) -> None:
    """11-point and every-point AP of a single class in VOC's inclusive pixels: continuous boxes are one wider."""
    folder = shared_data / "results-json" / "padilla_voc_testcase1"
    known = json.loads((folder.parent / "known_ap.json").read_text())["padilla_voc_testcase1"]
    tables = []
    for part in ("gts", "dets"):
        rows = []
        for path in sorted((folder / part).glob("*.txt")):
            for line in path.read_text().split("\n"):
                if line.strip():
                    *score, x, y, w, h = (float(v) for v in line.split()[1:])
                    rows.append((int(path.stem), 0, x, y, x + w + 1, y + h + 1, score[0] if score else 1.0))
        tables.append(pd.DataFrame(rows, columns=["image_id", "label", "x1", "y1", "x2", "y2", "score"]))
    objects, detections = tables
    objects = objects.assign(area=1.0, crowd=False, difficult=False)
    images = pd.DataFrame({"image_id": sorted(objects.image_id.unique())})
    overlaps = overlaps_of(images, objects, detections, 1, least=0.0)
    for kind, key in (("voc07", "eleven_point"), ("area", "every_point")):
        for threshold, value in known[key].items():
            matches = match_voc(overlaps, thresholds=(float(threshold),))
            found = average_precision(matches, interpolation=kind)[0, 0, 0]
            assert found == pytest.approx(value, abs=1e-9), (kind, threshold)


def test_thresholds_are_pycocotools_own() -> None:
    assert np.array_equal(np.asarray(COCO_THRESHOLDS), np.linspace(0.5, 0.95, 10))


@pytest.mark.parametrize("seed", range(8))
def test_pairs_are_those_of_every_box_with_every_object_of_its_image(seed, monkeypatch) -> None:
    images, objects, detections = scene(seed)
    rng = np.random.default_rng(seed)
    detections = detections.sample(frac=1, random_state=seed).reset_index(drop=True)  # of no order at all
    detections.loc[rng.random(len(detections)) < 0.1, "image_id"] = 99  # of no image of these
    for pairs_at_once in (1, 7, 1 << 16):
        monkeypatch.setattr("assignbench.measure.ordering.PAIRS", pairs_at_once)
        for least in (1e-9, 0.1, 0.5, 1.0):
            row, target, iou = overlapping(images, objects, detections, least=least)
            found, truth = (t[["x1", "y1", "x2", "y2"]].to_numpy(float) for t in (detections, objects))
            low, high = (
                f(found[:, None, k], truth[None, :, k]) for f, k in ((np.maximum, [0, 1]), (np.minimum, [2, 3]))
            )
            shared = (high - low).clip(min=0).prod(axis=2)
            own, area = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (found, truth))
            union = np.where(objects.crowd, own[:, None], own[:, None] + area - shared)
            expected = np.where(
                detections.image_id.to_numpy()[:, None] == objects.image_id.to_numpy(), shared / union, 0
            )
            pairs = np.argwhere(expected >= min(least, 1 - 1e-10))
            np.testing.assert_array_equal(np.stack([row, target], axis=1), pairs)
            np.testing.assert_allclose(iou, expected[row, target], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_closer_pairs_are_those_of_a_larger_iou_from_the_start(seed) -> None:
    images, objects, detections = scene(seed)
    detections.loc[: len(objects) // 2, BOX] = objects.loc[: len(objects) // 2, BOX]  # some lie exactly
    wide = overlaps_of(images, objects, detections, CLASSES, least=0.1)
    for least in (0.1, 0.5, 0.75, 1.0):
        narrow = overlaps_of(images, objects, detections, CLASSES, least=least)
        for name, values in vars(wide.closer(least)).items():
            np.testing.assert_array_equal(values, getattr(narrow, name))


def test_boxes_of_unknown_images_find_nothing_whatever_the_labels() -> None:
    images, objects, detections = scene(1)
    unknown = detections.assign(image_id=99, label=-1)
    overlaps = overlaps_of(images, objects.assign(label=-1), unknown, CLASSES, least=0.0)
    assert not len(overlaps.row) and not len(overlaps.pair_iou)
