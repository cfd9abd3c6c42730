"""The test split of a RetinaNet-R50-shaped network: memory and time of scores, NMS and records, without the network.

python -m benchmarks.evaluation [--images 500] [--batch 4] [--compare 2] [--network retinanet-resnet50] [--device cuda]

Outputs and objects are generated: 201,600 anchors of an 800 x 1333 image (padded to 800 x 1344), 80 classes, seven
objects on average, anchors around an object that score high and lie well, and a background above the floor here and
there. Only what follows the network is timed, records included. With --compare, some batches also go through a real
network of that size, and, on a CPU, the way of version 0.3, image by image in numpy: each in turns with ours, and only
the ratios of one run are compared. `--network ""` leaves the first of them out.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.assigners.max_iou import MaxIoU
from assignbench.boxes import clip, pairwise_iou
from assignbench.config.data import DataSpec
from assignbench.config.detector import resolve as resolve_detector
from assignbench.config.evaluation import Evaluation
from assignbench.config.images import AspectSize
from assignbench.config.method import MethodConfig
from assignbench.contract import IGNORE, Objects, Predictions
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.stream import Batch
from assignbench.engine.detect import detect, views_of
from assignbench.engine.evaluate import object_table, predict, tables_of
from assignbench.measure.coco import coco_summary
from assignbench.measure.matching import overlaps_of
from assignbench.measure.nms import Boxes, select_before, thin_out
from assignbench.methods import resolve
from assignbench.priors import Priors, anchor_grid
from assignbench.records import write_table
from assignbench.records.schema import OBJECTS
from assignbench.select import prior_iou
from benchmarks.networks import config_of, detector_on, learner_of

CLASSES = 80
SIZE = AspectSize(short=800, long=1333)
PADDED = (800, 1344)
STRIDES, SCALES, RATIOS = (8, 16, 32, 64, 128), (4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3)), (0.5, 1.0, 2.0)


def images_of(count: int) -> DetectionData:
    """Black images of 800 x 1333 px with seven objects on average, from 16 to 500 px."""
    rng = np.random.default_rng(0)
    records, first = [], 1
    for number in range(count):
        objects = int(rng.poisson(7))
        sides = np.exp(rng.uniform(np.log(16), np.log(500), (objects, 2)))
        corner = rng.uniform(0, 1, (objects, 2)) * (np.array([1333.0, 800.0]) - sides)
        boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
        none, ids = np.zeros(objects, np.bool_), np.arange(first, first + objects)
        label = rng.integers(0, CLASSES, objects)
        records.append(
            ImageRecord(number + 1, f"{number}.jpg", 1333, 800, boxes, label, none, none, sides.prod(1), ids, {})
        )
        first += objects
    black = np.zeros((800, 1333, 3), np.uint8)
    names = tuple(f"class{c}" for c in range(CLASSES))
    return DetectionData("generated", "test", names, records, lambda index: black)


@dataclass
class Network:
    """Gives what a trained RetinaNet could, and counts the time that it takes to make it up."""

    device: torch.device
    priors: Priors
    background: Tensor
    objects: dict[int, Objects]
    class_agnostic: bool = False
    asked: list[tuple[int, ...]] = field(default_factory=list)
    spent: float = 0.0

    @staticmethod
    def of(data: DetectionData, device: torch.device) -> Network:
        priors = anchor_grid(PADDED, STRIDES, SCALES, RATIOS).to(device)
        drawn = torch.Generator(device).manual_seed(0)
        background = torch.randn(len(priors), CLASSES, device=device, generator=drawn) - 7.5
        known = {r.id: Objects(torch.tensor(r.boxes), torch.tensor(r.labels)).to(device) for r in data.images}
        return Network(device, priors, background, known)

    def eval(self) -> None:
        """There is nothing to set."""

    def taught(self, objects: Objects) -> Objects:
        """All classes."""
        return objects

    def __call__(self, images: Tensor, extents: object) -> tuple[Priors, Predictions]:
        begun = clock(self.device)
        ids = self.asked.pop(0)
        logits = self.background.new_empty(len(ids), *self.background.shape)
        for i, number in enumerate(ids):
            logits[i] = self.background.roll(7919 * number, 0)
        drawn = torch.Generator(self.device).manual_seed(ids[0])
        boxes = self.priors.boxes.repeat(len(ids), 1, 1)
        boxes += torch.randn(boxes.shape, device=self.device, generator=drawn) * self.priors.strides[:, None] / 4
        for i, number in enumerate(ids):
            self._see(self.objects[number], logits[i], boxes[i], drawn)
        self.spent += clock(self.device) - begun
        return self.priors, Predictions(logits, None, boxes)

    def _see(self, objects: Objects, logits: Tensor, boxes: Tensor, drawn: torch.Generator) -> None:
        """Anchors from an IoU of 0.3 on score for the object's class, and predict boxes near it: both the better."""
        for box, label in zip(objects.boxes[0], objects.labels[0], strict=True):
            iou = pairwise_iou(box[None], self.priors.boxes)[0]
            near = torch.nonzero(iou > 0.3).squeeze(1)
            noise = torch.randn(len(near), 5, device=self.device, generator=drawn)
            logits[near, label] = 8 * (iou[near] - 0.55) + noise[:, 0]
            side = (box[2:] - box[:2]).repeat(2)
            boxes[near] = box + 0.25 * side * (1 - iou[near])[:, None] * noise[:, 1:]


def clock(device: torch.device) -> float:
    """Processor time; on a GPU the time that passed, when it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def peak() -> float:
    """GiB that this process ever had at once on the host."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def ours(
    folder: Path, network: Network, data: DetectionData, spec: DataSpec, method: MethodConfig, evaluation: Evaluation
) -> tuple[float, dict[str, float]]:
    """Seconds of the whole split without the network: images, scores, NMS, records and AP; and what predict told."""
    network.asked = [v[0].batch.image_ids for v in views_of(data, spec, evaluation)]
    begun, made_up = clock(network.device), network.spent
    objects = object_table(data)
    found = predict(folder, network, method, data, spec, evaluation, objects)
    write_table(folder / "objects.parquet", objects.merge(found.found, how="left", on="object_id"), OBJECTS)
    images = pd.DataFrame({"image_id": [r.id for r in data.images]})
    coco_summary(overlaps_of(images, objects, found.detections, CLASSES), data.classes, evaluation.max_detections)
    return clock(network.device) - begun - (network.spent - made_up), found.cost


def former(predictions: Predictions, priors: Priors, batch: Batch, method: MethodConfig, evaluation: Evaluation) -> int:
    """Scores, NMS and candidate rows of a batch as version 0.3 worked them out; how many rows that makes."""
    cls = predictions.cls_logits.sigmoid()
    quality = torch.ones_like(cls)
    ranking = cls
    height, width = (torch.tensor([[float(side)] for side in sides]) for sides in zip(*batch.sizes, strict=True))
    corners = clip(predictions.boxes.float(), height, width)
    area = ((corners[..., 2:] - corners[..., :2]) > 0).all(dim=-1).numpy()
    original = (corners * batch.scale.repeat(1, 2).unsqueeze(1)).numpy()
    levels = {"image": None, "level": priors.levels().numpy()}[evaluation.pre_nms_per]
    rows = 0
    for i in range(len(original)):
        scores = [s[i].numpy() for s in (ranking, cls, quality)]
        chosen = select_before(scores[0], scores[1], evaluation.floor, evaluation.pre_nms, levels)
        prior, label = np.divmod(chosen, CLASSES)
        before = Boxes(original[i][prior], label, *(s[prior, label] for s in scores), prior).take(area[i][prior])
        rows += len(before) + len(thin_out(before, method.nms, evaluation.max_detections))
    objects = batch.objects.with_room()
    overlap = pairwise_iou(objects.boxes, predictions.boxes) * objects.valid.unsqueeze(-1)
    iou = prior_iou(priors, objects)
    index, _ = MaxIoU(low_quality="mmdet").match(iou, objects.valid)
    owner = torch.where(index == IGNORE, iou.argmax(dim=1), index)
    in_jk = owner.unsqueeze(1) == torch.arange(objects.labels.shape[1])[None, :, None]
    b, g, a = torch.nonzero((overlap >= 0.1) | in_jk, as_tuple=True)
    label = objects.labels[b, g]
    columns = {name: s[b, a, label].numpy() for name, s in (("cls", cls), ("quality", quality), ("ranking", ranking))}
    return rows + len(
        pd.DataFrame({"object": g.numpy(), "prior": a.numpy(), "iou": overlap[b, g, a].numpy(), **columns})
    )


def side_by_side(
    network: Network, data: DetectionData, spec: DataSpec, method: MethodConfig, evaluation: Evaluation, batches: int
) -> tuple[list[float], list[int]]:
    """Seconds and rows of some batches by both ways in turns, ours first; no file is written."""
    spent, rows = [0.0, 0.0], [0, 0]
    for number, views in enumerate(views_of(data, spec, evaluation)):
        if number == batches:
            break
        batch = views[0].batch
        network.asked = [batch.image_ids, batch.image_ids]
        begun, made_up = time.process_time(), network.spent
        got = detect(network, method, views, evaluation)
        tables = tables_of(got, views[0], method, evaluation, network)
        spent[0] += time.process_time() - begun - (network.spent - made_up)
        rows[0] += sum(len(table) for name, table in tables.items() if name != "counts")
        del got, tables
        priors, predictions = network(batch.images, batch.extents)
        begun = time.process_time()
        rows[1] += former(predictions, priors, batch, method, evaluation)
        spent[1] += time.process_time() - begun
    return spent, rows


def against_network(
    name: str, network: Network, data: DetectionData, spec: DataSpec, method: MethodConfig, evaluation: Evaluation
) -> tuple[float, float]:
    """Seconds of a split's way after the network, images and records included, and of a real network's forward passes.

    They take turns after one that nobody counts, and the least of two is given.
    """
    config = detector_on(name, resolve_detector(name).backbone.name)
    detector = learner_of(config_of(method.name, config, 320, evaluation.batch), network.device).detector.eval()
    spent: list[tuple[float, float]] = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            seconds, _ = ours(Path(folder), network, data, spec, method, evaluation)
        forward = 0.0
        for views in views_of(data, spec, evaluation):
            images = views[0].batch.images.to(network.device)
            begun = clock(network.device)
            with torch.no_grad():
                detector(images, views[0].batch.extents)
            forward += clock(network.device) - begun
        spent.append((seconds, forward))
    return min(s for s, _ in spent[1:]), min(s for _, s in spent[1:])


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 500), ("batch", 4), ("compare", 2), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--floor", type=float, default=0.01)
    parser.add_argument("--method", default="retinanet")
    parser.add_argument("--network", default="retinanet-resnet50")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    data = images_of(options.images)
    spec = DataSpec(name="generated", kind="coco", size=SIZE)
    method = resolve(options.method)
    evaluation = Evaluation(floor=options.floor, pre_nms_per="level", batch=options.batch)
    network = Network.of(data, device)
    print(f"{options.images} images, {len(network.priors)} anchors, {CLASSES} classes, batch {options.batch}, {device}")
    print(f"host memory with the network's outputs of no batch yet: {peak():.2f} GiB")
    with tempfile.TemporaryDirectory() as name:
        seconds, cost = ours(Path(name), network, data, spec, method, evaluation)
        sizes = {p.stem: p.stat().st_size for p in sorted(Path(name).glob("*.parquet"))}
        rows = {stem: len(pd.read_parquet(Path(name) / f"{stem}.parquet", columns=["image_id"])) for stem in sizes}
    kind = "passed" if device.type == "cuda" else "of one processor" if options.threads == 1 else "of all processors"
    print(f"images, scores, NMS, records and AP: {seconds / options.images:.4f} s {kind} an image")
    after = cost["postprocess_ms_per_image"] if device.type == "cuda" else cost["postprocess_cpu_ms_per_image"]
    print(f"of it scores and NMS: {after / 1e3:.4f} s")
    print(f"host memory at the peak: {peak():.2f} GiB")
    for stem, count in rows.items():
        print(f"{stem}.parquet: {count} rows, {count / options.images:.0f} an image, {sizes[stem] / 2**20:.1f} MiB")
    if options.compare and device.type == "cpu":
        spent, rows_of = side_by_side(network, data, spec, method, evaluation, options.compare)
        images = min(options.images, options.compare * options.batch)
        told = [f"{s / images:.3f} s and {r / images:.0f} rows an image" for s, r in zip(spent, rows_of, strict=True)]
        print(f"scores, NMS and tables: {told[0]}; as in 0.3: {told[1]}; ratio {spent[1] / spent[0]:.1f}")
        print(f"host memory at the peak with 0.3's way: {peak():.2f} GiB")
    if options.compare and options.network:
        few = replace(data, images=data.images[: options.compare * options.batch])
        after, forward = (
            s / len(few) for s in against_network(options.network, network, few, spec, method, evaluation)
        )
        told = f"all after the network: {after:.3f} s an image; {options.network}'s forward: {forward:.3f} s"
        print(f"{told}; ratio {after / forward:.3f}")


if __name__ == "__main__":
    main()
