"""A training step of ours beside torchvision's, and what assigner and criterion take of it, on the CPU.

python -m benchmarks.training [--side 320] [--batch 2] [--backbones resnet18,resnet50] [--repeats 5] [--threads 1]

In turns, on the same images and objects, the least of the repeats in seconds of the wall clock: torchvision's RetinaNet
and FCOS against ours with torchvision's matching, in fp32, with frozen batch norm, every layer learning, SGD with a
clipped gradient. A ratio above 1 is a step of ours that takes less time. Then, for every preset on the last of the
backbones, the share that assignment, losses and their gradient down to the predictions take of a step of the first
network that it works on: RetinaNet, FCOS or a region proposal network. `--only-shares` prints these alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from assignbench.contract import Predictions, total
from assignbench.data.stream import Batch
from assignbench.engine.cell import loader_of
from assignbench.engine.learner import Learner
from assignbench.methods import PRESETS
from benchmarks.networks import config_of, detector_on, first_fit, learner_of, photos, theirs

# Which of ours stands beside which of theirs: anchors by IoU with L1, points within 1.5 strides of a centre with GIoU.
PEERS = {"retinanet": ("retinanet-resnet50", "iou_torchvision"), "fcos": ("fcos-resnet50", "fcos_improved")}
DETECTORS = (*(detector for detector, _ in PEERS.values()), "rpn-resnet50")
CPU = torch.device("cpu")


def batches_of(learner_config, count: int) -> list[Batch]:
    """The same for everybody: they depend on the seed and the data alone."""
    loader = loader_of(learner_config, photos(64))
    return [loader.load(0, part) for part in range(count)]


def stepping(learner: Learner, batches: Sequence[Batch]) -> Callable[[int], None]:
    """Steps of ours."""

    def steps(count: int) -> None:
        for number in range(count):
            learner.learn([batches[number % len(batches)]], number)
            learner.step(number)

    return steps


def least(ways: dict[str, Callable[[int], None]], repeats: int, steps: int) -> dict[str, float]:
    """Seconds of a step of each way: the least of the repeats, which take turns."""
    for work in ways.values():
        work(1)
    found = dict.fromkeys(ways, float("inf"))
    for repeat in range(repeats):
        for way, work in list(ways.items())[:: 1 - 2 * (repeat % 2)]:
            begun = time.perf_counter()
            work(steps)
            found[way] = min(found[way], (time.perf_counter() - begun) / steps)
    return found


def rules(learner: Learner, batch: Batch) -> Callable[[int], None]:
    """Assignment and losses of a batch whose predictions are made already, and their gradient with respect to these."""
    objects = learner.detector.taught(batch.objects)
    with torch.no_grad():
        priors, predictions = learner.detector(batch.images, batch.extents)
    context = learner.context(batch, 0)

    def leaves() -> Predictions:
        own = {
            name: value.detach().clone().requires_grad_(value.is_floating_point())
            for name, value in vars(predictions).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(predictions, **own)

    def steps(count: int) -> None:
        for _ in range(count):
            made = leaves()
            assignment = learner.method.assigner(priors, made, objects, context)
            total(learner.method.criterion(priors, made, objects, assignment, context)).backward()

    return steps


def against_torchvision(backbone: str, options: argparse.Namespace) -> None:
    for kind, (name, method) in PEERS.items():
        config = config_of(method, detector_on(name, backbone), options.side, options.batch)
        batches = batches_of(config, 2)
        ways = {
            "theirs": theirs(kind, backbone, options.side, batches, CPU, None),
            "ours": stepping(learner_of(config, CPU), batches),
        }
        found = least(ways, options.repeats, options.steps)
        ratio = found["theirs"] / found["ours"]
        print(f"{backbone:10} {kind:10} {found['theirs']:8.3f} {found['ours']:8.3f} {ratio:7.2f}", flush=True)


def shares(backbone: str, options: argparse.Namespace) -> None:
    networks = [detector_on(name, backbone) for name in DETECTORS]
    whole: dict[str, float] = {}
    for method in options.methods.split(","):
        detector = first_fit(method, networks)
        if detector not in networks:
            print(
                f"{method:32} works on none of these, but on {detector.name}; its share there says little", flush=True
            )
            continue
        config = config_of(method, detector, options.side, options.batch)
        learner, batches = learner_of(config, CPU), batches_of(config, 1)
        alone = least({"rules": rules(learner, batches[0])}, options.repeats, 1)["rules"]
        if detector.name not in whole:
            whole[detector.name] = least({"step": stepping(learner, batches)}, options.repeats, 1)["step"]
        rest = whole[detector.name]
        print(
            f"{method:32} {1e3 * alone:8.1f} ms {100 * alone / rest:6.1f} % of {rest:.2f} s  {detector.name}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--backbones", default="resnet18,resnet50")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", default=",".join(sorted(PRESETS)))
    parser.add_argument("--only-shares", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"cpu, torch {torch.__version__}, {options.threads} thread(s), {options.side} px, batch {options.batch}, fp32"
    )
    if not options.only_shares:
        print("backbone   network    theirs s   ours s   ratio")
        for backbone in options.backbones.split(","):
            against_torchvision(backbone, options)
    print("assignment, losses and their gradient:")
    shares(options.backbones.split(",")[-1], options)


if __name__ == "__main__":
    main()
