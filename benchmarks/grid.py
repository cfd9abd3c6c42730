"""A cohort of cells against the same cells trained one by one: processor time and time on the wall, in turns.

python benchmarks/grid.py [studies/voc_mini.yaml] [--methods A,B,...] [--steps 4] [--repeats 5] [--workers 1]

The study gives detector, data and schedule; its first cell is taken with each of the methods. Both ways train the same
learners on the same images, `steps` updates at a time: separate cells each read and augment their batches, a cohort
does so once. Images are read anew in every turn, as in the first epoch of a training (afterwards decoded ones are kept,
as far as memory is granted to them). With two workers the methods are divided among two processes that work at the
same time. Only ratios of one run are compared: the least of the repeats of each way. Weights are not compared here;
tests/engine/test_cohort.py does that to the last bit. On a GPU both ways stage their batches as a training does, and
the clock is read when the device is done; there the making of batches lies beside the steps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from assignbench import methods
from assignbench.data.stream import Batch, TrainLoader
from assignbench.engine.cell import Cell, Splits, build_cell, loader_of
from assignbench.engine.loop import loop
from assignbench.engine.meter import Spent
from assignbench.engine.staging import prepared, staged
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study

METHODS = "iou,atss_plain,mutual_guidance,mlc,paa,tal,freeanchor,dynamic_soft_label"


@dataclass(frozen=True)
class Turn:
    """What one way took for its steps, and the making of its batches alone."""

    whole: Spent
    loading: Spent


def cell_of(study: Path, method: str, device: str, splits: Splits) -> Cell:
    """The study's first cell with another method."""
    first = cells_of(read_study(study, seeds=1), methods)[0]
    config = first.config.model_copy(update={"method": methods.resolve(method)})
    return build_cell(Path(), config, first.paths, device, splits)


def fresh(cell: Cell, study: Path) -> Cell:
    """The same learner on data of which nothing is decoded yet."""
    first = cells_of(read_study(study, seeds=1), methods)[0]
    root, cache = Path(first.paths.root), Path(first.paths.cache) if first.paths.cache else None
    train = Splits().load(cell.config.data, "train", root, cache)
    return Cell(cell.folder, cell.config, train, cell.test, loader_of(cell.config, train), cell.learner)


@dataclass(frozen=True)
class Timed(TrainLoader):
    """A loader that notes what the making of each batch took; where threads make them, of the thread."""

    made: list[Spent] = field(default_factory=list)

    def load(self, step: int, part: int = 0) -> Batch:
        """One batch of a step."""
        begun, clock = time.perf_counter(), time.thread_time()
        batch = super().load(step, part)
        self.made.append(Spent(time.perf_counter() - begun, time.thread_time() - clock))
        return batch


def now(device: torch.device) -> Spent:
    """What both clocks say, on a GPU when it has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Spent.now()


def turn(cells: Sequence[Cell], groups: Sequence[Sequence[int]], study: Path, first: int, steps: int) -> Turn:
    """Trains groups of cells, each in a loop of its own, for some steps."""
    whole, loading = Spent(), Spent()
    for group in groups:
        here = fresh(cells[group[0]], study)
        learners, made = [cells[n].learner for n in group], []
        device = learners[0].device
        begun = now(device)
        loader = prepared(Timed(**vars(here.loader), made=made), device)
        loop(staged(loader.batches(first, first + steps), device), learners, [], first)
        whole = whole.plus(now(device).since(begun))
        for spent in made:
            loading = loading.plus(spent)
        problems = [learner.stopped for learner in learners if learner.stopped is not None]
        if problems:
            raise problems[0]
    return Turn(whole, loading)


def measured(study: Path, names: Sequence[str], steps: int, repeats: int, device: str) -> dict[str, Turn]:
    """The best turn of each way, by processor time, and of either the best time on the wall."""
    torch.set_num_threads(1)
    splits = Splits()
    cells = [cell_of(study, name, device, splits) for name in names]
    alone, together = [[n] for n in range(len(cells))], [list(range(len(cells)))]
    turns: dict[str, list[Turn]] = {"separate": [], "cohort": []}
    turn(cells, together, study, 0, 1)  # the first step of a process takes longer
    for repeat in range(repeats):
        for way, groups in (("separate", alone), ("cohort", together))[:: 1 - 2 * (repeat % 2)]:
            turns[way].append(turn(cells, groups, study, 1 + repeat * steps, steps))
    return {way: best(found) for way, found in turns.items()}


def best(turns: Sequence[Turn]) -> Turn:
    """The least of both clocks, each for itself."""
    whole, loading = [t.whole for t in turns], [t.loading for t in turns]
    return Turn(*(Spent(min(s.seconds for s in part), min(s.cpu_seconds for s in part)) for part in (whole, loading)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?", default=Path("studies/voc_mini.yaml"))
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    names = options.methods.split(",")
    shares = [names[n :: options.workers] for n in range(options.workers)]
    work = [(options.study, share, options.steps, options.repeats, options.device) for share in shares]
    if options.workers == 1:
        found = [measured(*work[0])]
    else:
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            found = pool.starmap(measured, work)
    print(f"{options.study}: {len(names)} methods, {options.steps} steps, {options.workers} worker(s)")
    print("way       CPU s   of it batches   wall s")
    for way in ("separate", "cohort"):
        cpu = sum(f[way].whole.cpu_seconds for f in found)
        loading = sum(f[way].loading.cpu_seconds for f in found)
        print(f"{way:8} {cpu:6.2f} {loading:15.2f} {max(f[way].whole.seconds for f in found):8.2f}")
    ratios = [sum(f["cohort"].whole.cpu_seconds for f in found) / sum(f["separate"].whole.cpu_seconds for f in found)]
    ratios += [max(f["cohort"].whole.seconds for f in found) / max(f["separate"].whole.seconds for f in found)]
    print(f"cohort / separate: {ratios[0]:.3f} of the processor, {ratios[1]:.3f} on the wall")


if __name__ == "__main__":
    main()
