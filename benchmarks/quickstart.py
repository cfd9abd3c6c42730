"""Seconds that the quick start takes to AP 40, with and without bf16 in the processor.

python -m benchmarks.quickstart [--epochs 5,7,9] [--isa native,AVX512_CORE,AVX2] [--methods iou] [--repeats 1]

Trains a method's cell of studies/quickstart.yaml anew for each number of epochs, since the schedule's rate falls over
all of them, and prints what it cost with its evaluation but without a report: seconds on the wall and of processors,
precision, AP and AP50. An instruction set that oneDNN is kept to stands in for a processor that has no more; the sets
take turns, and the least of the repeats is printed with its ratio to that of the first of them. With `--methods all`
it is the study itself, all cells side by side and its report: what `make run` does once it is set up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assignbench.engine.meter import Spent

STUDY = Path(__file__).parents[1] / "studies" / "quickstart.yaml"


@dataclass(frozen=True)
class Run:
    """What one run took, in all its processes, and its cells' summaries by method."""

    spent: Spent
    precision: str
    found: dict[str, dict[str, float]]


def run(methods: str, epochs: str, isa: str) -> Run:
    """The study, or its cells of one method, in a folder of its own. Raises CalledProcessError where a cell fails."""
    environment = {**os.environ, **({} if isa == "native" else {"ONEDNN_MAX_CPU_ISA": isa})}
    with tempfile.TemporaryDirectory() as folder:
        sets = ["--set", f"schedule.epochs={epochs}"]
        if methods != "all":
            sets += ["--only", methods, "--set", "analyses=[averages]"]
        command = [sys.executable, "-m", "assignbench", "run", str(STUDY), "--out", folder, "--quiet", *sets]
        begun = _now()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        spent = _now().since(begun)
        cells = [p.parent for p in Path(folder).glob("*/*/summary.json")]
        found = {_json(c / "config.json")["method"]["name"]: _json(c / "summary.json") for c in cells}
        precision = _json(Path(folder) / "quickstart" / "study.json").get("precision", "")
    return Run(spent, precision, found)


def show(isa: str, epochs: str, done: Run) -> None:
    """Prints a line for each of its methods."""
    for method, summary in done.found.items():
        spent = f"{done.precision:9} {done.spent.seconds:8.0f} {done.spent.cpu_seconds:8.0f}"
        numbers = f"{100 * summary['AP']:6.1f} {100 * summary['AP50']:6.1f}"
        print(f"{isa:16} {epochs:>6}  {spent}  {method:15} {numbers}", flush=True)


def least(runs: Sequence[Run]) -> Spent:
    """The least of both clocks, each for itself."""
    return Spent(min(r.spent.seconds for r in runs), min(r.spent.cpu_seconds for r in runs))


def _now() -> Spent:
    """The clock, and what the processes took that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(time.perf_counter(), used.ru_utime + used.ru_stime)


def _json(path: Path) -> dict:
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="5,7,9")
    parser.add_argument("--isa", default="native,AVX512_CORE,AVX2")
    parser.add_argument("--methods", default="iou")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--goal", type=float, default=0.4, help="AP")
    options = parser.parse_args()
    sets = options.isa.split(",")
    reached: dict[str, str] = {}
    print("instructions     epochs  precision   wall s    CPU s  method             AP   AP50")
    for epochs in options.epochs.split(","):
        runs: dict[str, list[Run]] = {isa: [] for isa in sets}
        for repeat in range(options.repeats):
            for isa in sets[:: 1 - 2 * (repeat % 2)]:
                runs[isa].append(run(options.methods, epochs, isa))
                show(isa, epochs, runs[isa][-1])
        first = least(runs[sets[0]])
        for isa in sets:
            took = least(runs[isa])
            spent = f"{took.seconds:.0f} s ({took.cpu_seconds:.0f} s of CPU)"
            ratios = f"{took.seconds / first.seconds:.2f} and {took.cpu_seconds / first.cpu_seconds:.2f} of {sets[0]}"
            print(f"{isa}, {epochs} epochs: {spent}, {ratios}", flush=True)
            if all(summary["AP"] >= options.goal for one in runs[isa] for summary in one.found.values()):
                reached.setdefault(isa, f"AP {100 * options.goal:.0f} after {spent}")
    for isa in sets:
        print(f"{isa}: {reached.get(isa, 'never there')}")


if __name__ == "__main__":
    main()
