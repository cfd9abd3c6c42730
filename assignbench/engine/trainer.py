"""One cell: train, resume, predict, and leave the records."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from assignbench.config.data import DataSpec
from assignbench.config.recipe import Schedule, learning_rate
from assignbench.contract import Context
from assignbench.data.base import DetectionData
from assignbench.data.catalog import load
from assignbench.data.stream import Batch, TrainLoader, evaluation_batches
from assignbench.detectors import DETECTORS, Detector
from assignbench.engine import checkpoint
from assignbench.engine.evaluate import EvaluationSettings, describe_objects, image_table, object_table, predict
from assignbench.engine.seeding import initialise
from assignbench.engine.telemetry import assignment_rows, seen_by, visit_probes
from assignbench.measure.coco import coco_evaluate, coco_ground_truth, coco_results, voc_evaluate
from assignbench.methods import Built, Method, Part, build
from assignbench.records import append_lines, read_json, read_lines, write_json, write_table, write_text

HEARTBEAT_SECONDS = 1.0
EXAMPLES = 6


class Diverged(RuntimeError):
    """A loss stopped being finite; the message names the step, the terms and the images."""


class Orphaned(RuntimeError):
    """The process that launched this cell is gone; the cell stops and can be resumed."""


@dataclass
class Cell:
    """Everything that training one cell needs, built from its resolved configuration."""

    folder: Path
    config: dict[str, Any]
    device: torch.device
    schedule: Schedule
    spec: DataSpec
    method: Built
    detector: Detector
    train: DetectionData
    test: DetectionData

    @property
    def whole(self) -> nn.Module:
        """Everything that learns, as checkpoints name it."""
        return nn.ModuleDict({"detector": self.detector, "criterion": self.method.criterion})

    @property
    def seed(self) -> int:
        """The cell's seed."""
        return int(self.config["seed"])


def method_of(config: dict[str, Any]) -> Method:
    """The method that a cell's configuration describes."""
    return Method(
        name=config["name"],
        assigner=Part(config["assigner"]["name"], config["assigner"]["parameters"]),
        criterion=Part(config["criterion"]["name"], config["criterion"]["parameters"]),
        quality=config["quality"],
        ranking=config["ranking"],
        nms=config["nms"],
        nms_kind=config["nms_kind"],
        voting=config["voting"],
        prior_prob=config["prior_prob"],
        zero_box=config["zero_box"],
    )


def build_detector(config: dict[str, Any], method: Method, classes: int, seed: int) -> Detector:
    """The cell's detector with the initial weights of its seed; pretrained features are read from their file."""
    parameters = dict(config["parameters"])
    if config.get("weights"):
        parameters["weights"] = config["weights"]
    given = {"num_classes": classes, "quality_kind": method.quality, **parameters}
    detector = DETECTORS.build(config["name"], given)
    pretrained = bool(config.get("weights"))
    initialise(detector, seed, method.prior_prob, keep_backbone=pretrained, zero_box=method.zero_box)
    return detector


def prepare(folder: Path, device: str) -> Cell:
    """Builds a cell from its folder. Raises InputError for what the user has to mend."""
    return build_cell(folder, read_json(folder / "config.json"), read_json(folder / "local.json"), device)


def build_cell(folder: Path, config: dict[str, Any], local: dict[str, Any], device: str) -> Cell:
    """Builds a cell from its configuration; the folder is where it would leave its records."""
    spec = DataSpec.model_validate(config["data"])
    root, cache = Path(local.get("root", ".")), Path(local["cache"]) if local.get("cache") else None
    train, test = load(spec, "train", root, cache), load(spec, "test", root, cache)
    method = build(method_of(config["method"]))
    detector_config = {**config["detector"], "weights": local.get("weights") or None}
    detector = build_detector(detector_config, method.method, len(train.classes), int(config["seed"]))
    detector = detector.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    method.criterion.to(device)
    schedule = Schedule.model_validate(config["schedule"])
    return Cell(folder, config, torch.device(device), schedule, spec, method, detector, train, test)


def run_cell(folder: Path, device: str, alive: Callable[[], bool] = lambda: True) -> str:
    """Trains and evaluates a cell in its folder; returns the final state and never raises for a failed training."""
    status = _Status(folder, alive)
    try:
        torch.set_num_threads(int(read_json(folder / "config.json")["schedule"]["threads"]))
        if device.startswith("cuda"):
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.backends.cudnn.benchmark = False
        cell = prepare(folder, device)
        write_json(folder / "environment.json", environment(cell))
        seconds = _train(cell, status)
        status.write("running", phase="evaluating", force=True)
        _evaluate(cell, seconds)
        checkpoint.finish(folder / "checkpoint", cell.whole)
        status.write("done", force=True)
        return "done"
    except Orphaned:
        return "pending"
    except Diverged as problem:
        status.write("diverged", reason=str(problem), force=True)
        return "diverged"
    except Exception as problem:
        import traceback

        write_text(folder / "error.txt", traceback.format_exc())
        status.write("failed", reason=f"{type(problem).__name__}: {problem}", force=True)
        return "failed"


def environment(cell: Cell) -> dict[str, Any]:
    """Where and on what a cell ran."""
    import torchvision

    size = cell.spec.image_size
    priors = cell.detector.priors((size, size), cell.device)
    name = torch.cuda.get_device_name(cell.device) if cell.device.type == "cuda" else _processor()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": cell.device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "data": {
            split: {
                "split": data.split,
                "images": len(data),
                "objects": int(sum(len(i.labels) for i in data.images)),
                "fingerprint": data.fingerprint(),
                "skipped": [str(p) for p in data.skipped],
            }
            for split, data in (("train", cell.train), ("test", cell.test))
        },
        "classes": list(cell.train.classes),
        "parameters": sum(p.numel() for p in cell.detector.parameters()),
        "class_agnostic": cell.detector.class_agnostic,
        "priors": {
            "kind": priors.kind,
            "level_sizes": list(priors.level_sizes),
            "strides": [float(priors.strides[i]) for i in priors.level_starts()],
            "anchors_per_location": priors.anchors_per_location,
        },
        "image_size": size,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class _Status:
    """Writes status.json at most once a second, and notices when the launching process is gone."""

    def __init__(self, folder: Path, alive: Callable[[], bool]) -> None:
        self.folder, self.alive, self.last, self.held = folder, alive, 0.0, {"step": 0, "steps": 0}

    def write(self, state: str, *, force: bool = False, **more: Any) -> None:
        if not self.alive():
            raise Orphaned
        now = time.time()
        self.held.update({k: v for k, v in more.items() if k in ("step", "steps")})
        if force or now - self.last >= HEARTBEAT_SECONDS:
            self.last = now
            content = {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "heartbeat": now, **self.held}
            write_json(self.folder / "status.json", {**content, **more})


def _optimiser(cell: Cell) -> torch.optim.Optimizer:
    """AdamW or SGD over four groups: backbone or not, decayed or not (norms and biases are not)."""
    schedule = cell.schedule
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    named = [*cell.detector.named_parameters(), *cell.method.criterion.named_parameters(prefix="criterion")]
    for name, parameter in named:
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone"), parameter.ndim > 1), []).append(parameter)
    lists = []
    for (backbone, decayed), parameters in sorted(groups.items(), key=lambda item: item[0]):
        factor = schedule.backbone_lr if backbone else 1.0
        decay = schedule.weight_decay if decayed else 0.0
        lists.append({"params": parameters, "lr": schedule.lr * factor, "factor": factor, "weight_decay": decay})
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(lists, lr=schedule.lr, momentum=schedule.momentum)
    return torch.optim.AdamW(lists, lr=schedule.lr, fused=True)


def _train(cell: Cell, status: _Status) -> float:
    """Trains from the last checkpoint to the end; returns the seconds spent, earlier tries counted in."""
    schedule, folder = cell.schedule, cell.folder
    loader = TrainLoader(
        cell.train,
        cell.spec.image_size,
        schedule.batch_size,
        cell.seed,
        cell.spec.augment,
        cell.spec.use_difficult,
        schedule.loader_workers,
    )
    total = schedule.total_steps(loader.steps_per_epoch)
    optimiser = _optimiser(cell)
    model = cell.whole
    first, extra = checkpoint.restore(folder / "checkpoint", model, optimiser)
    _forget_after(folder, first)
    spent, begun = float(extra.get("seconds", 0.0)), time.perf_counter()
    probes = _probe_batches(cell)
    rows: list[pd.DataFrame] = []
    visits = schedule.probe_steps(total, loader.steps_per_epoch)
    cell.detector.train()
    window, counted = time.perf_counter(), 0
    if first == 0 and probes:
        visit_probes(cell.detector, cell.method, probes, _context(cell, 0, total, probes[0]), _visit(folder, 0))
    for step, batch in enumerate(loader.batches(first, total), start=first):
        rate = learning_rate(schedule, step, total)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        sample = step % schedule.log_every == 0
        logged, table = _step(cell, optimiser, batch, step, total, sample)
        counted += len(batch.image_ids)
        if sample:
            now = time.perf_counter()
            speed = counted / max(now - window, 1e-9)
            window, counted = now, 0
            append_lines(folder / "metrics.jsonl", [{**logged, "lr": rate, "images_per_second": speed}])
            if table is not None:
                rows.append(table)
        status.write("running", step=step + 1, steps=total, phase="training")
        done = step + 1
        if done in visits and probes:
            visit_probes(
                cell.detector, cell.method, probes, _context(cell, done, total, probes[0]), _visit(folder, done)
            )
        if done % schedule.checkpoint_every == 0 and done < total:
            _flush(folder, rows, done)
            extra = {"seconds": spent + time.perf_counter() - begun}
            checkpoint.save(folder / "checkpoint", done, model, optimiser, extra)
    _flush(folder, rows, total)
    parts = [pd.read_parquet(p) for p in sorted((folder / "assignments").glob("*.parquet"))]
    write_table(folder / "assignments.parquet", pd.concat(parts, ignore_index=True) if parts else pd.DataFrame())
    return spent + time.perf_counter() - begun


def _step(
    cell: Cell, optimiser: torch.optim.Optimizer, batch: Batch, step: int, total: int, sample: bool
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    schedule, device = cell.schedule, cell.device
    objects = seen_by(cell.detector, batch.objects).to(device)
    mixed = torch.autocast(device.type, torch.bfloat16) if schedule.amp == "bf16" else nullcontext()
    with mixed:
        priors, predictions = cell.detector(batch.images.to(device))
    context = replace(_context(cell, step, total, batch), epoch=batch.epoch)
    begun = time.perf_counter()
    assignment = cell.method.assigner(priors, predictions, objects, context)
    assigned = time.perf_counter()
    losses: dict[str, Tensor] = cell.method.criterion(priors, predictions, objects, assignment, context)
    loss = torch.stack(list(losses.values())).sum()
    costed = time.perf_counter()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [p for g in optimiser.param_groups for p in g["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, schedule.clip_grad, foreach=True)
    if not bool(torch.isfinite(norm + loss.detach())):
        terms = {k: float(v.detach()) for k, v in losses.items()}
        dump = {"step": step, "losses": terms, "grad_norm": float(norm), "image_ids": list(batch.image_ids)}
        write_json(cell.folder / "diverged.json", dump)
        raise Diverged(f"step {step}: not finite: {json.dumps(dump)}")
    optimiser.step()
    if not sample:
        return {}, None
    values = {k: float(v.detach()) for k, v in losses.items()}
    row = {"step": step, "epoch": batch.epoch, "loss": float(loss.detach()), **values, "grad_norm": float(norm)}
    if device.type == "cpu":  # a GPU works on after the call has returned: see benchmarks/assigners.py
        row |= {"assign_ms": 1e3 * (assigned - begun), "criterion_ms": 1e3 * (costed - assigned)}
    return row, assignment_rows(step, batch, priors, assignment)


def _context(cell: Cell, step: int, total: int, batch: Batch) -> Context:
    epoch = step * cell.schedule.batch_size // max(1, len(cell.train))
    size = cell.spec.image_size
    return Context(
        epoch=epoch,
        progress=step / max(1, total),
        image_ids=batch.image_ids,
        image_hw=(size, size),
        seed=cell.seed,
    )


def _probe_batches(cell: Cell) -> list[Batch]:
    """The probe images: spread evenly over the training images that have objects, the same for every method."""
    usable = [i for i, record in enumerate(cell.train.images) if len(record.labels)]
    count = min(int(cell.config["probe_images"]), len(usable))
    chosen = [usable[int(i)] for i in np.linspace(0, len(usable) - 1, count)] if count else []
    size = cell.spec.image_size
    batches = list(evaluation_batches(cell.train, chosen, size, 8, use_difficult=cell.spec.use_difficult))
    for batch in batches:
        for image_id, pixels in zip(batch.image_ids, batch.images, strict=True):
            _save_picture(cell.folder / "probes" / f"{image_id}.png", pixels.permute(1, 2, 0).numpy())
    return batches


def _visit(folder: Path, step: int) -> Path:
    return folder / "probes" / f"visit-{step:08d}.parquet"


def _flush(folder: Path, rows: list[pd.DataFrame], step: int) -> None:
    if rows:
        write_table(folder / "assignments" / f"part-{step:08d}.parquet", pd.concat(rows, ignore_index=True))
        rows.clear()


def _forget_after(folder: Path, step: int) -> None:
    """Drops what a killed run had written past its last checkpoint."""
    kept = [row for row in read_lines(folder / "metrics.jsonl") if row["step"] < step]
    write_text(folder / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in kept))
    for part in [*(folder / "assignments").glob("part-*.parquet"), *(folder / "probes").glob("visit-*.parquet")]:
        if int(part.stem.split("-")[1]) > step:
            part.unlink()


def _evaluate(cell: Cell, seconds: float) -> None:
    settings = EvaluationSettings(**cell.config["evaluation"])
    tables, cost = predict(cell.detector, cell.method.method, cell.test, cell.spec.image_size, settings)
    objects, images = object_table(cell.test), image_table(cell.test)
    agnostic = cell.detector.class_agnostic
    classes = ["object"] if agnostic else list(cell.test.classes)
    judged = objects.assign(label=0) if agnostic else objects
    write_table(cell.folder / "images.parquet", images)
    write_table(cell.folder / "objects.parquet", describe_objects(judged, tables).assign(label=objects.label))
    for name, table in tables.items():
        write_table(cell.folder / f"{name}.parquet", table)
    for index in range(min(EXAMPLES, len(cell.test))):
        _save_picture(cell.folder / "examples" / f"{cell.test.images[index].id}.png", cell.test.read(index))
    truth = coco_ground_truth(images, judged, classes)
    summary: dict[str, Any] = coco_evaluate(truth, coco_results(tables["detections"]))
    if cell.spec.kind == "voc":
        summary |= voc_evaluate(judged, tables["detections"], classes)
    log = read_lines(cell.folder / "metrics.jsonl")
    rates = [row["images_per_second"] for row in log[1:]]
    summary |= {
        "train_seconds": seconds,
        "images_per_second": float(np.median(rates)) if rates else None,
        "gflops": _gflops(cell),
        "peak_memory_mib": _peak_memory(cell.device),
        "parameters": sum(p.numel() for p in cell.detector.parameters()),
        **cost,
    }
    write_json(cell.folder / "summary.json", summary)


def _peak_memory(device: torch.device) -> float:
    """MiB: allocated on the GPU, or resident in this process (Linux counts it in KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _gflops(cell: Cell) -> float:
    """Multiply-adds of one forward pass in units of 1e9."""
    from torch.utils.flop_counter import FlopCounterMode

    size = cell.spec.image_size
    cell.detector.eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        cell.detector(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=cell.device))
    return counter.get_total_flops() / 2e9


def _save_picture(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
