"""Time and peak memory of every assigner (and of its criterion, forward and backward).

    python benchmarks/assigners.py                                   # 22,400 priors, 7 and 40 objects, batch 1 and 8
    python benchmarks/assigners.py --priors 201600 --objects 300 --batch 2 --only max_iou,atss
    python benchmarks/assigners.py --device cuda

Medians over --reps after one warm-up. Peak memory is what one call adds to the process (Linux: VmHWM) or to the GPU.
Compare times only within one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from assignbench.contract import Context, Objects, Predictions, total
from assignbench.methods import PRESETS, build_method
from assignbench.priors import Priors, anchor_grid, point_grid

STRIDES = (8, 16, 32, 64, 128)
POINTS = {"fcos", "musu", "mlc_fcos", "ltm_af", "autoassign"}
METHODS = (
    *("iou", "iou_mmdet", "retinanet", "atss", "mutual_guidance", "mlc", "ltm", "freeanchor", "paa", "tal", "simota"),
    *("dynamic_soft_label", "oracle_iou", "random_matched", "hungarian", "fcos", "musu", "mlc_fcos", "ltm_af"),
    "autoassign",
)


def inputs(
    method: str, priors: int, objects: int, batch: int, classes: int, device: str
) -> tuple[Priors, Predictions, Objects]:
    """Random predictions and objects on a grid that has about so many priors."""
    random = torch.Generator().manual_seed(0)
    nine = priors > 60_000
    hw = (800, 1344)
    if method in POINTS:
        grid = point_grid(hw, STRIDES, 9 if nine else 1)
    else:
        grid = anchor_grid(hw, STRIDES, (4.0, 5.04, 6.35) if nine else (8.0,), (0.5, 1.0, 2.0) if nine else (1.0,))
    count = len(grid)
    corner = torch.rand(batch, objects, 2, generator=random) * torch.tensor([1100.0, 600.0])
    size = 20 + 200 * torch.rand(batch, objects, 2, generator=random)
    boxes = torch.cat([corner, corner + size], -1)
    labels = torch.randint(classes, (batch, objects), generator=random)
    logits = torch.randn(batch, count, classes, generator=random) - 4
    shift = torch.randn(batch, count, 4, generator=random) * 4
    predicted = grid.boxes + shift
    predicted[..., 2:] = predicted[..., 2:].maximum(predicted[..., :2] + 1)
    quality = torch.randn(batch, count, generator=random) if PRESETS[method].method.quality else None
    kind = PRESETS[method].method.quality
    scores = None if quality is None else quality.to(device)
    predictions = Predictions(logits.to(device), shift.to(device) / 8, predicted.to(device), scores, kind)
    grid = replace(grid, coding=PRESETS[method].method.coder)
    return grid.to(device), predictions, Objects(boxes.to(device), labels.to(device))


def memory(device: str, *, reset: bool) -> float:
    """Peak memory in MiB since the last reset, or what is in use right after one."""
    if device == "cuda":
        torch.cuda.synchronize()
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def clock(run: Callable[[], object], reps: int, device: str) -> float:
    """Median milliseconds."""
    run()
    times = []
    for _ in range(reps):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--priors", type=int, default=22_400, help="22400 (one per location) or 201600 (nine)")
    parser.add_argument("--objects", type=int, nargs="+", default=[7, 40])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--only", default="")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name = torch.cuda.get_device_name(0) if options.device == "cuda" else "CPU"
    about = f"{name}, {options.threads} thread(s), {options.reps} repetitions, {time.strftime('%F')}"
    print(f"torch {torch.__version__}, {about}")
    print("| method | priors | objects | batch | assign ms | peak MiB | criterion forward + backward ms |")
    print("|---|---|---|---|---|---|---|")
    for method in [m for m in METHODS if not options.only or m in options.only.split(",")]:
        for objects in options.objects:
            for batch in options.batch:
                print(row(method, objects, batch, options), flush=True)


def row(method: str, objects: int, batch: int, options: argparse.Namespace) -> str:
    """One line of the table."""
    built = build_method(method)
    device = options.device
    built.criterion.to(device)
    priors, predictions, truth = inputs(method, options.priors, objects, batch, options.classes, device)
    assign = clock(lambda: built.assigner(priors, predictions, truth), options.reps, device)
    before = memory(device, reset=True)
    assignment = built.assigner(priors, predictions, truth)
    peak = memory(device, reset=False) - before

    def learn() -> None:
        logits = predictions.cls_logits.detach().requires_grad_()
        deltas = predictions.deltas.detach().requires_grad_()
        again = Predictions(logits, deltas, predictions.boxes, predictions.quality_logits, predictions.quality_kind)
        total(built.criterion(priors, again, truth, assignment, Context())).backward()

    loss = clock(learn, options.reps, device)
    return f"| {method} | {len(priors)} | {objects} | {batch} | {assign:.1f} | {peak:.0f} | {loss:.1f} |"


if __name__ == "__main__":
    main()
