"""What other widths, stems and heads of the slim network would cost the quick start, and bring it.

python -m benchmarks.slim [--nets all] [--amp none,bf16] [--repeats 5]
python -m benchmarks.slim --nets "now,7x7,early + head 32" --train --epochs 5,7,9 [--methods iou] [--seeds 0]

The first prints parameters and milliseconds of the processor per training step of 16 images, one thread, each net in
turns with today's. The second trains a method's cell of studies/quickstart.yaml anew for each number of epochs, since
the schedule goes over all of them, and prints AP, AP50 and seconds of the processor of training and evaluation, without
the records, then what AP 40 takes: between two numbers of epochs in a line, of the mean over the seeds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from assignbench import methods
from assignbench.config.cell import CellConfig
from assignbench.config.detector import resolve as resolve_detector
from assignbench.data.base import DetectionData
from assignbench.data.catalog import load
from assignbench.detectors import build_detector
from assignbench.detectors.backbones import BACKBONES
from assignbench.detectors.backbones.slim import Residual, Slim, conv_bn
from assignbench.engine.cell import loader_of
from assignbench.engine.learner import Learner
from assignbench.engine.seeding import initialise
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from benchmarks.networks import summary_of

STUDY = Path(__file__).parents[1] / "studies" / "quickstart.yaml"
CACHE = Path("runs/.cache")


@dataclass(frozen=True)
class Net:
    """Widths and residual blocks of the stages of stride 2 to 32, of neck and towers, and how deep these are.

    `kernel`: one convolution of that size and of stride 4 takes the place of the first two. `separable` towers have a
    convolution per channel and one across them.
    """

    widths: tuple[int, ...] = (8, 16, 32, 48, 64)
    blocks: tuple[int, ...] = (1, 1, 1, 1, 1)
    kernel: int = 0
    neck: int = 48
    tower: int = 48
    depth: int = 1
    separable: bool = False
    channels_last: bool = True


NOW = Net()
EARLY, BARE = replace(NOW, blocks=(0, 1, 1, 1, 1)), replace(NOW, blocks=(0, 0, 1, 1, 1))
NETS = {
    "now": NOW,
    "channels first": replace(NOW, channels_last=False),
    # Widths that fill a vector of 16 numbers.
    "16 16": replace(NOW, widths=(16, 16, 32, 48, 64)),
    "16 32": replace(NOW, widths=(16, 32, 32, 48, 64)),
    "16 32 48 64": replace(NOW, widths=(16, 32, 48, 64, 64)),
    "8 16 32 64 96": replace(NOW, widths=(8, 16, 32, 64, 96)),
    "8 16 48 64 96": replace(NOW, widths=(8, 16, 48, 64, 96)),
    "8 16 32 32 32": replace(NOW, widths=(8, 16, 32, 32, 32)),
    # No block at stride 2: a convolution alone.
    "early": EARLY,
    "early 16": replace(EARLY, widths=(16, 16, 32, 48, 64)),
    "early 16 24": replace(EARLY, widths=(16, 24, 32, 48, 64)),
    "early 16 32": replace(EARLY, widths=(16, 32, 32, 48, 64)),
    "early 48 64 96": replace(EARLY, widths=(8, 16, 48, 64, 96)),
    "early 2 at 8": replace(EARLY, blocks=(0, 1, 2, 1, 1)),
    "early 2 at 8 and 16": replace(EARLY, blocks=(0, 1, 2, 2, 1)),
    # None at stride 4 either.
    "bare": BARE,
    "bare 16 32": replace(BARE, widths=(16, 32, 32, 48, 64)),
    "bare 2 at 8": replace(BARE, blocks=(0, 0, 2, 1, 1)),
    "bare 2 at 8 + 48 64": replace(BARE, blocks=(0, 0, 2, 1, 1), widths=(8, 16, 48, 64, 64)),
    # One convolution to stride 4.
    "4x4": replace(EARLY, kernel=4),
    "7x7": replace(EARLY, kernel=7),
    "7x7 to 24": replace(EARLY, kernel=7, widths=(8, 24, 32, 48, 64)),
    "7x7 to 32": replace(EARLY, kernel=7, widths=(8, 32, 32, 48, 64)),
    "7x7 bare to 32": replace(BARE, kernel=7, widths=(8, 32, 32, 48, 64)),
    "7x7 + 2 at 8": replace(EARLY, kernel=7, blocks=(0, 1, 2, 1, 1)),
    "7x7 bare + 2 at 8": replace(BARE, kernel=7, blocks=(0, 0, 2, 1, 1)),
    # Neck and head.
    "head 32": replace(NOW, neck=32, tower=32),
    "head 64": replace(NOW, neck=64, tower=64),
    "towers 32": replace(NOW, tower=32),
    "two deep": replace(NOW, depth=2),
    "separable": replace(NOW, separable=True),
    "two deep + separable": replace(NOW, depth=2, separable=True),
    "early + head 32": replace(EARLY, neck=32, tower=32),
    "early + head 64": replace(EARLY, neck=64, tower=64),
    "bare + head 32": replace(BARE, neck=32, tower=32),
    "bare + head 64": replace(BARE, neck=64, tower=64),
    "7x7 + head 32": replace(EARLY, kernel=7, neck=32, tower=32),
}


class Trial(Slim):
    """Slim as a net has it."""

    def __init__(self, net: Net) -> None:
        super().__init__(net.widths)
        before = [3, *net.widths]
        heads: list[nn.Module] = [conv_bn(before[i], w, 2) for i, w in enumerate(net.widths)]
        if net.kernel:
            wide, k = net.widths[1], net.kernel
            patches = nn.Conv2d(3, wide, k, 4, (k - 3) // 2, bias=False)
            heads[:2] = nn.Identity(), nn.Sequential(patches, nn.BatchNorm2d(wide), nn.ReLU(inplace=True))
        parts = zip(heads, net.widths, net.blocks, strict=True)
        self.stages = nn.ModuleList([nn.Sequential(h, *(Residual(w) for _ in range(n))) for h, w, n in parts])


def learner_of(config: CellConfig, net: Net, classes: int, epoch_steps: int) -> Learner:
    """What the cell trains, with that network in the place of its own."""
    parts = {"neck": {"width": net.neck}, "head": {"width": net.tower, "depth": net.depth}}
    spec, method = resolve_detector(config.detector.name, parts), methods.build(config.method)
    with patch.dict(BACKBONES, slim=lambda: Trial(net)):
        detector = build_detector(spec, config.method.coder, classes, config.method.quality, None, config.data.pixels)
    if net.separable:
        for tower in (detector.head.cls_tower, detector.head.box_tower):
            tower.convs = nn.ModuleList([_separable(c.in_channels, c.out_channels) for c in tower.convs])
    initialise(detector, config.seed, config.method.head_init)
    detector = detector.to(memory_format=torch.channels_last if net.channels_last else torch.contiguous_format)
    if not net.channels_last:
        detector.backbone.register_forward_pre_hook(lambda _, x: (x[0].contiguous(),))
    steps = config.schedule.total_steps(epoch_steps)
    learner = Learner(config.slug, detector, method, config.schedule, config.seed, steps, epoch_steps)
    learner.detector.train()
    return learner


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    alone = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
    return nn.Sequential(alone, nn.Conv2d(inputs, outputs, 1, bias=False))


def cell_of(method: str, **changes: object) -> tuple[CellConfig, DetectionData, DetectionData]:
    """The quick start's cell of a method with its schedule changed, and its two splits."""
    cells = cells_of(read_study(STUDY), methods)
    config = next(c.config for c in cells if c.config.method.name == method)
    config = config.model_copy(update={"schedule": config.schedule.model_copy(update=changes)})
    train, test = (load(config.data, split, Path(), CACHE) for split in config.splits)
    return config, train, test


def cost(nets: list[str], amp: str, options: argparse.Namespace) -> None:
    """Milliseconds of a step, medians; the ratio is that of neighbours in time."""
    config, train, _ = cell_of("iou", amp=amp)
    loader = loader_of(config, train)
    batches = [loader.load(0, part) for part in range(options.steps)]
    made = {n: learner_of(config, NETS[n], len(train.classes), loader.steps_per_epoch) for n in ("now", *nets)}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in nets}
    for learner in made.values():
        _spent(learner, batches[:3])
    for turn in range(options.repeats):
        for name in nets:
            later = turn % 2  # who begins takes turns; today's net can stand beside itself, too
            pair = [_spent(made[which], batches) for which in (("now", name), (name, "now"))[later]]
            spent[name].append((pair[later], pair[1 - later]))
    for name, pairs in spent.items():
        mine, ratio = np.median([b for _, b in pairs]), np.median([b / a for a, b in pairs])
        print(f"{name:22} {_size(made[name]):8} {amp:5} {1e3 * mine:8.1f} ms {ratio:6.2f} of now", flush=True)


def _spent(learner: Learner, batches: list) -> float:
    begun = time.process_time()
    for step, batch in enumerate(batches):
        learner.learn([batch], step)
        learner.step(step)
    return (time.process_time() - begun) / len(batches)


def _size(learner: Learner) -> int:
    return sum(p.numel() for p in learner.detector.parameters())


def trained(name: str, method: str, amp: str, epochs: float, seed: int) -> tuple[float, float, float, float]:
    """AP and AP50 in points, seconds of the processor of training and of evaluation."""
    config, train, test = cell_of(method, amp=amp, epochs=epochs)
    config = config.model_copy(update={"seed": seed})
    loader = loader_of(config, train)
    learner = learner_of(config, NETS[name], len(train.classes), loader.steps_per_epoch)
    begun = time.process_time()
    for step, batch in enumerate(loader.batches(0, learner.steps)):
        learner.learn([batch], step)
        learner.step(step)
    learner.finish()
    between = time.process_time()
    summary = summary_of(learner, config, test)
    return 100 * summary["AP"], 100 * summary["AP50"], between - begun, time.process_time() - between


def train(nets: list[str], amp: str, options: argparse.Namespace) -> None:
    lengths, seeds = ([int(n) for n in text.split(",")] for text in (options.epochs, options.seeds))
    for method in options.methods.split(","):
        rows: dict[str, list[np.ndarray]] = {name: [] for name in nets}
        for epochs in lengths:
            found: dict[str, list[tuple[float, ...]]] = {name: [] for name in nets}
            for seed in seeds:
                for name in nets:
                    found[name].append(trained(name, method, amp, epochs, seed))
                    ap, ap50, learning, judging = found[name][-1]
                    row = f"{name:22} {method:15} {amp:5} {epochs:3} epochs, seed {seed}"
                    print(f"{row}: {ap:5.1f} {ap50:5.1f} {learning:6.1f} s + {judging:4.1f} s", flush=True)
            for name in nets:
                rows[name].append(np.mean(found[name], axis=0))
        for name in nets:
            print(f"{name:22} {method:15} {amp:5} {reached(lengths, rows[name], options.goal)}", flush=True)


def reached(lengths: list[int], rows: list[np.ndarray], goal: float) -> str:
    """Where AP passes the goal, in a line between two lengths."""
    aps, seconds = [row[0] for row in rows], [row[2] + row[3] for row in rows]
    over = next((i for i, ap in enumerate(aps) if ap >= goal), None)
    if over is None:
        return f"AP {goal:.0f} not reached in {lengths[-1]} epochs ({seconds[-1]:.0f} s)"
    if over == 0:
        return f"AP {goal:.0f} within {lengths[0]} epochs ({seconds[0]:.0f} s)"
    share = (goal - aps[over - 1]) / (aps[over] - aps[over - 1])
    epochs, spent = (x[over - 1] + share * (x[over] - x[over - 1]) for x in (lengths, seconds))
    return f"AP {goal:.0f} after {epochs:.1f} epochs ({spent:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="all")
    parser.add_argument("--amp", default="none", help="none (float32) or bf16, or both")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--epochs", default="5,7,9")
    parser.add_argument("--methods", default="iou")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--goal", type=float, default=40, help="AP in points")
    options = parser.parse_args()
    torch.set_num_threads(1)
    nets = list(NETS) if options.nets == "all" else options.nets.split(",")
    for amp in options.amp.split(","):
        (train if options.train else cost)(nets, amp, options)


if __name__ == "__main__":
    main()
