"""Seconds that the quick start takes to AP 40, with and without bf16 in the processor.

python -m benchmarks.quickstart [--epochs 5,7,9] [--isa native,AVX512_CORE,AVX2] [--methods iou] [--goal 0.4]

Trains a method's cell of studies/quickstart.yaml anew for each number of epochs, since the schedule's rate falls over
all of them, and prints what it cost with its evaluation but without a report: seconds on the wall and of processors,
precision, AP and AP50. An instruction set that oneDNN is kept to stands in for a processor that has no more. With
`--methods all` it is the study itself, all cells side by side and its report: what `make run` does once it is set up.
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
from dataclasses import dataclass
from pathlib import Path

STUDY = Path(__file__).parents[1] / "studies" / "quickstart.yaml"


@dataclass(frozen=True)
class Run:
    """What one run took, and its cells' summaries by method."""

    seconds: float
    cpu_seconds: float
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
        begun, before = time.perf_counter(), _spent()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds, cpu_seconds = time.perf_counter() - begun, _spent() - before
        cells = [p.parent for p in Path(folder).glob("*/*/summary.json")]
        found = {_json(c / "config.json")["method"]["name"]: _json(c / "summary.json") for c in cells}
        precision = _json(Path(folder) / "quickstart" / "study.json").get("precision", "")
    return Run(seconds, cpu_seconds, precision, found)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _json(path: Path) -> dict:
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="5,7,9")
    parser.add_argument("--isa", default="native,AVX512_CORE,AVX2")
    parser.add_argument("--methods", default="iou")
    parser.add_argument("--goal", type=float, default=0.4, help="AP")
    options = parser.parse_args()
    print("instructions     epochs  precision   wall s    CPU s  method             AP   AP50")
    for isa in options.isa.split(","):
        reached = ""
        for epochs in options.epochs.split(","):
            done = run(options.methods, epochs, isa)
            for method, summary in done.found.items():
                spent = f"{done.precision:9} {done.seconds:8.0f} {done.cpu_seconds:8.0f}"
                numbers = f"{100 * summary['AP']:6.1f} {100 * summary['AP50']:6.1f}"
                print(f"{isa:16} {epochs:>6}  {spent}  {method:15} {numbers}", flush=True)
            if not reached and all(summary["AP"] >= options.goal for summary in done.found.values()):
                reached = f"AP {100 * options.goal:.0f} after {done.seconds:.0f} s ({done.cpu_seconds:.0f} s of CPU)"
        print(f"{isa}: {reached or 'never there'}", flush=True)


if __name__ == "__main__":
    main()
