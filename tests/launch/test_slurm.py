"""Cells and cohorts as jobs of a real Slurm on this machine: submitted, preempted, requeued, finished, left alone.

`scripts/local_slurm.sh` starts it; the tests skip where its programs or submitit are missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from assignbench.cli import main
from assignbench.launch.queue import ask_slurm, job_of
from assignbench.records import CellRecord
from assignbench.records.claim import holder_of
from tests.conftest import ROOT
from tests.faults.cases import await_that, same, write_study
from tests.in_process import trained_here

SCRIPT = ROOT / "scripts" / "local_slurm.sh"
CLUSTER = "partition: low\nhours: 1\nnotice_seconds: 10\n"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    """A Slurm of one node, which the environment of this process names; or a skip that says what is missing."""
    pytest.importorskip("submitit", reason="submitit is not installed (pip install .[slurm])")
    place = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path is short
    begun = subprocess.run(["bash", SCRIPT, "start", place], capture_output=True, text=True, check=False)
    if begun.returncode:
        stop(place)
        pytest.skip(f"no Slurm on this machine: {begun.stderr.strip()[-300:]}")
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(place / "slurm.conf")
    yield place
    os.environ.pop("SLURM_CONF")
    if before is not None:
        os.environ["SLURM_CONF"] = before
    stop(place)


def stop(place: Path) -> None:
    subprocess.run(["bash", SCRIPT, "stop", place], check=True)
    shutil.rmtree(place, ignore_errors=True)


def test_only_its_own_processes_are_stopped(tmp_path) -> None:
    """The number of a daemon that is gone may have gone to another process."""
    daemon = tmp_path / "slurmd"
    shutil.copy(shutil.which("sleep") or "", daemon)
    began = {name: subprocess.Popen([path, "60"]) for name, path in (("slurmd", daemon), ("munged", "sleep"))}
    try:
        for name, process in began.items():
            (tmp_path / f"{name}.pid").write_text(f"{process.pid}\n")
        (tmp_path / "slurmctld.pid").write_text("4194305\n")
        stopping = subprocess.Popen(["bash", SCRIPT, "stop", tmp_path])
        assert began["slurmd"].wait(60) == -signal.SIGTERM
        assert stopping.wait(60) == 0 and began["munged"].poll() is None
        assert not list(tmp_path.glob("*.pid"))
    finally:
        for process in began.values():
            process.kill()
            process.wait()


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    path = write_study(tmp_path, steps=60)
    path.write_text(path.read_text() + "analyses: [averages]\n")
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The run folder of the study on this machine."""
    folder = tmp_path_factory.mktemp("alone")
    options = ["--out", str(folder), "--quiet", "--workers", "1", "--set", "analyses=[averages]"]
    with trained_here():
        assert main(["run", str(write_study(folder, steps=60)), *options]) == 0
    return folder / "tiny"


def begin(study: Path, told: Path, cohort: str = "auto") -> subprocess.Popen[bytes]:
    """`assignbench run --launcher slurm` in a process of its own."""
    options = ["--out", "runs", "--quiet", "--launcher", "slurm", "--cluster", "cluster.yaml", "--cohort", cohort]
    command = [sys.executable, "-m", "assignbench", "run", str(study), *options]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else it is ignored there if it is here, as under nohup
    with told.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def cells(out: str = "runs") -> list[Path]:
    return sorted(p.parent for p in Path(out).glob("tiny/*/config.json"))


def steps() -> list[int]:
    return [int(CellRecord(c).status.get("step", 0)) for c in cells()]


@pytest.mark.slow
@pytest.mark.parametrize(("cohort", "starts"), [("auto", [1, 2]), ("2", [2])], ids=["cells", "a cohort"])
def test_preempted_cells_go_on_and_end_as_on_this_machine(
    slurm, study, alone, tmp_path, capsys, cohort, starts
) -> None:
    run = begin(study, tmp_path / "told.txt", cohort)
    await_that(lambda: any(step >= 3 for step in steps()))
    urgent = ["sbatch", "--partition=high", f"--output={tmp_path}/high.txt", "--wrap=sleep 4"]
    assert b"Submitted" in subprocess.run(urgent, capture_output=True, check=True).stdout
    await_that(lambda: any("stopped; resumes at step" in CellRecord(c).reason for c in cells()))
    capsys.readouterr()
    assert main(["status", str(study), "--out", "runs"]) == 0
    assert "Slurm job" in capsys.readouterr().out
    assert run.wait(600) == 0, (tmp_path / "told.txt").read_text()
    begun = [p.read_text().count("Starting with") for p in Path("runs/tiny/.slurm").glob("*_log.out")]
    assert sorted(begun) == starts
    assert len(cells()) == 2
    for folder in cells():
        assert CellRecord(folder).summary["cohort"] == len(cells()) // len(starts)
        assert holder_of(folder) is None
        same(alone / folder.name, folder)


@pytest.mark.slow
def test_an_interrupted_run_leaves_its_jobs_and_the_next_one_follows_them(slurm, study, tmp_path, capsys) -> None:
    run = begin(study, tmp_path / "told.txt")
    await_that(lambda: any(step >= 3 for step in steps()))
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    numbers = [job_of(c) for c in cells()]
    assert f"scancel {numbers[0].partition('_')[0]}" in (tmp_path / "told.txt").read_text()
    states = ask_slurm()
    assert states is not None and sum(not states[n].ended for n in numbers) >= 1
    assert main(["status", str(study), "--out", "runs"]) == 0
    assert f"Slurm job {numbers[1]}" in capsys.readouterr().out
    again = begin(study, tmp_path / "again.txt")
    assert again.wait(600) == 0, (tmp_path / "again.txt").read_text()
    assert [job_of(c) for c in cells()] == numbers
    assert [CellRecord(c).state for c in cells()] == ["done", "done"]
