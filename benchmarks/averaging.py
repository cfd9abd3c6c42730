"""What averaging the weights does to AP and to how far the seeds lie apart, on embedded scenes or a study's data set.

python -m benchmarks.averaging [--seeds 8] [--method iou] [--steps 3500] [--side 128] [--out runs/averaging.csv]
python -m benchmarks.averaging --study studies/crowd_and_slender.yaml --data cplid --steps 280

The second trains as that study would, but for the number of updates. One training per seed gives every row: averages
watch a training and do not change it, so that all of them are made of the same updates and measured on the same images.
Rows are the last weights, exponential means (`ema`) and plain means of the last updates (`average`). A rate that stays
high is trained, too, since one that falls to nothing calms the last weights by itself. Numbers of finished seeds are
kept in the CSV after each one; a second call goes on from there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from assignbench import methods
from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.data import DataSpec
from assignbench.config.detector import DetectorConfig, resolve as resolve_detector
from assignbench.config.recipe import Schedule
from assignbench.engine.averaging import Average, Exponential, Rule, Tail
from assignbench.engine.cell import Cell, build_cell
from assignbench.methods import resolve
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from benchmarks.networks import summary_of

NET, LAST = "retinanet-slim", "last"
SHAPES, RATE = "shapes", 8.0e-3  # the scenes' own data set and rate
COLUMNS = ["method", "data", "steps", "side", "rate", "seed", "weights", "AP"]
RATES = {"cosine to 1 %": None, "cosine to 30 %": 0.3}  # the last rate as a share of the first
CRITERION = {"focal_alpha": 0.5, "focal_gamma": 1.5, "box": "giou", "box_weight": 2.0}


def rules(steps: int) -> dict[str, Rule]:
    """The means that are taken of a run, by the name of their row."""
    return {
        "ema 0.95": Exponential(0.95),
        "ema 0.99": Exponential(0.99),
        "average of the last 10 %": Tail(steps // 10, steps),
        "average of the last 25 %": Tail(steps // 4, steps),
    }


def cell_of(options: argparse.Namespace, seed: int, rate: str) -> Cell:
    """A detector on the data that the options name, ready to be trained."""
    if options.study is not None:
        return _cell_of_study(options, seed, rate)
    schedule = {"steps": options.steps, "batch_size": 8, "lr": RATE, "probe_visits": 0, **_ending(rate)}
    config = CellConfig(
        seed=seed,
        detector=DetectorConfig(name=NET, label=NET, spec=resolve_detector(NET, None)),
        method=resolve(options.method, {"criterion": CRITERION}),
        data=_scenes(options.side),
        schedule=Schedule.model_validate(schedule),
        probe_images=0,
    )
    return build_cell(Path(), config, LocalPaths(cache="runs/.cache"), "cpu")


def _cell_of_study(options: argparse.Namespace, seed: int, rate: str) -> Cell:
    """The cell that a study has of a method and a data set, with another seed, length and last rate."""
    study = read_study(options.study)
    wanted = (options.data, options.method)
    config, paths = next(
        (c.config, c.paths) for c in cells_of(study, methods) if (c.config.data.name, c.config.method.name) == wanted
    )
    schedule = {**config.schedule.model_dump(), "epochs": None, "steps": options.steps, "probe_visits": 0}
    schedule |= _ending(rate)
    new = {"seed": seed, "schedule": Schedule.model_validate(schedule), "probe_images": 0}
    return build_cell(Path(), config.model_copy(update=new), paths, "cpu")


def _ending(rate: str) -> dict[str, float | None]:
    """What a schedule says of its last rate."""
    share = RATES[rate]
    return {} if share is None else {"lr_end": None, "lr_end_share": share}


def _scenes(side: int) -> DataSpec:
    factors = {"image_size": side, "max_size": min(90.0, 0.7 * side)}
    flips = {"flip": 0.5, "flip_vertical": 0.5}
    content = {"name": "shapes", "kind": "shapes", "size": side, "factors": factors, "augment": flips}
    return DataSpec.model_validate(content)


def trained(cell: Cell) -> dict[str, dict[str, torch.Tensor]]:
    """The weights that each row of the table stands for, of one training."""
    learner = cell.learner
    means = {name: Average(learner.model, rule) for name, rule in rules(learner.steps).items()}
    learner.detector.train()
    for step, batch in enumerate(cell.loader.batches(0, learner.steps)):
        learner.learn([batch], step)
        learner.step(step)
        for mean in means.values():
            mean.update()
    last = {name: value.detach().clone() for name, value in learner.model.state_dict().items()}
    return {LAST: last, **{name: mean.mean for name, mean in means.items()}}


def measured(cell: Cell, weights: dict[str, torch.Tensor]) -> float:
    """AP on the test images, in points."""
    learner, config, data = cell.learner, cell.config, cell.test
    learner.model.load_state_dict(weights)
    return 100 * float(summary_of(learner, config, data)["AP"])


def table(rows: pd.DataFrame) -> str:
    """Per rate and row the mean AP, the difference to the last weights of the first rate (paired over seeds, half-width
    of 95 %), the deviation of the seeds, and its ratio to theirs with p of Pitman and Morgan (H0: equal).
    """
    keys = [(rate, name) for rate in RATES for name in (LAST, *rules(1))]
    wide = rows.pivot(index="seed", columns=["rate", "weights"], values="AP").reindex(columns=keys).dropna()
    lines = [
        f"| rate | weights | seeds | AP | to {LAST}, {keys[0][0]} | seed deviation | ratio | p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base, n = wide[keys[0]].to_numpy(), len(wide)
    for rate, name in keys:
        ap = wide[rate, name].to_numpy()
        gain, ratio, p = "–", "–", "–"
        if (rate, name) != keys[0] and n > 2:
            half = stats.t.ppf(0.975, n - 1) * (ap - base).std(ddof=1) / np.sqrt(n)
            gain, ratio = f"{(ap - base).mean():+.2f} ± {half:.2f}", f"{ap.std(ddof=1) / base.std(ddof=1):.2f}"
            # Sums and differences are correlated if and only if the variances differ.
            p = f"{stats.pearsonr(ap + base, ap - base)[1]:.2f}"
        deviation = f"{ap.std(ddof=1):.2f}" if n > 1 else "–"
        lines.append(f"| {rate} | {name} | {n} | {ap.mean():.1f} | {gain} | {deviation} | {ratio} | {p} |")
    return "\n".join(lines)


def mine(rows: pd.DataFrame, options: argparse.Namespace) -> pd.DataFrame:
    """The numbers of trainings of this method, data, length and size."""
    keys = {"method": options.method, "data": options.data, "steps": options.steps, "side": options.side}
    return rows[np.logical_and.reduce([rows[name] == value for name, value in keys.items()])]


def main() -> None:
    """Trains the seeds that lack while the budget lasts, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="seeds of each rate")
    parser.add_argument("--method", default="iou", help="a method that goes with retinanet-slim")
    parser.add_argument("--steps", type=int, default=3500, help="updates of a training (the recipe light's)")
    parser.add_argument("--side", type=int, default=128, help="side of the scenes, px")
    parser.add_argument("--study", type=Path, help="a study whose cells are trained instead")
    parser.add_argument("--data", default=SHAPES, metavar="NAME", help="its data set")
    parser.add_argument("--budget", type=float, default=1e9, metavar="SECONDS", help="no seed is begun after it")
    parser.add_argument("--out", type=Path, default=Path("runs/averaging.csv"), help="where the numbers are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.read_csv(options.out) if options.out.is_file() else pd.DataFrame(columns=COLUMNS)
    begun = time.monotonic()
    for seed in range(options.seeds):
        for rate in RATES:
            if (
                (mine(rows, options).rate == rate) & (mine(rows, options).seed == seed)
            ).any() or time.monotonic() - begun > options.budget:
                continue
            cell = cell_of(options, seed, rate)
            keys = (options.method, options.data, options.steps, options.side, rate, seed)
            found = [(*keys, name, measured(cell, weights)) for name, weights in trained(cell).items()]
            new = pd.DataFrame(found, columns=COLUMNS)
            rows = pd.concat([rows, new], ignore_index=True) if len(rows) else new
            options.out.parent.mkdir(parents=True, exist_ok=True)
            rows.to_csv(options.out, index=False)
            sys.stderr.write(f"{time.monotonic() - begun:.0f} s: {rate}, seed {seed}\n")
    sys.stdout.write(table(mine(rows, options)) + "\n")


if __name__ == "__main__":
    main()
