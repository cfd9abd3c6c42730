"""Steps on a GPU: whether any waits, images per second of one cell and of a cohort of eight, beside torchvision's step.

python -m benchmarks.gpu [--side 320] [--batch 16] [--steps 30] [--repeats 5] [--mixed 4] [--device cuda]

First every preset makes steps under torch's search for synchronisation, which names the line that waits: on images of
one size and on batches of mixed sizes, which are drawn anew for every step, with the hooks of a training. Then, in
turns, the best of the repeats: torchvision's RetinaNet and ours on batches that lie on the device, and our cells with
JPEG images of 500 x 375 px that are decoded, augmented and sent meanwhile: one cell, and a cohort of eight methods.
Images per second of a cohort are those of all its cells. Both networks have five levels, nine anchors per place, 80
classes and random weights, run under bf16 and learn by SGD. With `--device cpu` it only shows that it works.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from assignbench.config.cell import CellConfig
from assignbench.config.data import DataSpec
from assignbench.data.stream import Batch, TrainLoader
from assignbench.engine.cell import loader_of
from assignbench.engine.hooks import Guard, Idle, Log, Probes
from assignbench.engine.learner import Learner
from assignbench.engine.loop import loop
from assignbench.engine.pictured import ProbeSet
from assignbench.engine.staging import prepared, staged
from assignbench.methods import PRESETS, build
from benchmarks.networks import NEVER, config_of, detector_on, first_fit, learner_of, photos, theirs

COHORT = ("iou", "atss_plain", "mutual_guidance", "mlc", "paa", "tal", "freeanchor", "dynamic_soft_label")


WARM_UP = 2  # steps that are not watched: kernels and the optimiser's state are made once


def mixed(config: CellConfig, device: torch.device, steps: int, seed: int) -> list[Batch]:
    """Batches on the device whose images have drawn short sides, from half of the cell's to all of it."""
    side = config.data.size
    data = {**config.data.model_dump(), "size": {"short": {"from": max(32, side // 2), "to": side}, "long": 2 * side}}
    drawn = config.model_copy(update={"data": DataSpec.model_validate(data), "seed": seed})
    return list(staged(prepared(loader_of(drawn, photos()), device).batches(0, steps), device))


def waits(method: str, batches: Sequence[Batch], options: argparse.Namespace, device: torch.device) -> str:
    """What of the steps after `WARM_UP` made the host wait, empty for nothing."""
    detector = first_fit(method, [detector_on("retinanet-resnet50", options.backbone)])
    learner = learner_of(config_of(method, detector, options.side, options.batch), device, "bf16")
    hooks = [
        *(Guard(learner, Path(), lazily=True), Idle(learner, print)),
        *(Log(learner, Path()), Probes(learner, Path(), ProbeSet([batches[0]]), NEVER)),
    ]
    loop(batches[:WARM_UP], [learner], [])
    learner.detector.train()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
    try:
        for step, batch in enumerate(batches[WARM_UP:], start=WARM_UP):
            outcome, update = learner.learn([batch], step)
            for hook in hooks:
                hook.before_update(outcome, update)
            learner.step(step)
            for hook in hooks:
                hook.after_update(outcome, update)
    except RuntimeError as problem:
        return str(problem).splitlines()[0]
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    return "" if learner.stopped is None else str(learner.stopped)


def speed(work: Callable[[int], None], steps: int, images: int, device: torch.device) -> float:
    """Images per second."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    work(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * images / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--methods", default=",".join(sorted(PRESETS)), help="whose steps are searched for waits")
    parser.add_argument("--mixed", type=int, default=4, help="steps of mixed sizes that are watched")
    parser.add_argument("--seed", type=int, default=0, help="which draws their sizes")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"{name}, torch {torch.__version__}, {options.backbone}, {options.side} px, batch {options.batch}, bf16")

    anchors = detector_on("retinanet-resnet50", options.backbone)
    configs = [config_of(m, anchors, options.side, options.batch) for m in COHORT]
    loader: TrainLoader = prepared(loader_of(configs[0], photos()), device)
    lying = list(staged(loader.batches(0, 4), device))
    kinds = {"one size": lying, "mixed sizes": mixed(configs[0], device, WARM_UP + options.mixed, options.seed)}
    for method in options.methods.split(","):
        if "no_host_synchronisation" in getattr(build(PRESETS[method].method).assigner, "exempt_from", ()):
            print(f"exempt   {method}: its matching is made on the host, which waits for what it matches")
            continue
        for kind, batches in kinds.items():
            told = waits(method, batches, options, device)
            print(f"{'waits' if told else 'goes on':8} {method}, {kind} {told}".rstrip())

    learners = [learner_of(config, device, "bf16") for config in configs]

    def loaded(some: Sequence[Learner]) -> Callable[[int], None]:
        return lambda count: loop(staged(loader.batches(0, count), device), some, [])

    peer = theirs("retinanet", options.backbone, options.side, lying, device, torch.bfloat16)
    ways: dict[str, tuple[Callable[[int], None], int]] = {
        "torchvision, batches there": (peer, 1),
        "one cell, batches there": (lambda n: loop([lying[i % 4] for i in range(n)], learners[:1], []), 1),
        "one cell, images read": (loaded(learners[:1]), 1),
        f"cohort of {len(learners)}, images read": (loaded(learners), len(learners)),
    }
    found = dict.fromkeys(ways, 0.0)
    for work, _ in ways.values():
        work(2)
    for _ in range(options.repeats):
        for way, (work, cells) in ways.items():
            found[way] = max(found[way], speed(work, options.steps, options.batch * cells, device))
    stopped = [f"{learner.name}: {learner.stopped}" for learner in learners if learner.stopped is not None]
    first = next(iter(found.values()))
    for way, value in found.items():
        print(f"{value:10.1f} images/s  {value / first:6.2f} x torchvision  {way}")
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most")
    print("\n".join(stopped), end="\n" if stopped else "")


if __name__ == "__main__":
    main()
