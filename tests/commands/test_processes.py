"""How many processes train each cell: `--nproc` and torchrun, and what does not go together."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from assignbench import methods
from assignbench.cli import main
from assignbench.commands.processes import Processes, processes_of
from assignbench.config.cluster import Cluster
from assignbench.errors import InputError
from assignbench.launch.torchrun import Crew, crew
from assignbench.records import read_cells, read_json
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from tests.forked import peers_forked
from tests.in_process import trained_here

VARIABLES = {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "MASTER_ADDR": "node7", "MASTER_PORT": "29500"}


def options(**changes: object) -> Namespace:
    return Namespace(**{"nproc": 1, "workers": None, "cohort": "auto", "launcher": "local", **changes})


@pytest.fixture
def cells(tiny_study):
    return cells_of(read_study(tiny_study), methods)


@pytest.fixture
def launched(monkeypatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def alone(monkeypatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_number_is_the_options_or_torchruns(cells, request) -> None:
    assert processes_of(options(), cells, "cpu", Cluster()) == Processes() and crew() is None
    assert processes_of(options(nproc=4, workers=2), cells, "cpu", Cluster()) == Processes(4)
    request.getfixturevalue("launched")
    assert crew() == Crew(0, 3, 0, "node7", 29500)
    assert processes_of(options(), cells, "cpu", Cluster()) == Processes(3, "node7:29500")
    assert Processes(3, "node7:29500").local() == {"processes": 3, "meeting": "node7:29500"}


@pytest.mark.parametrize(
    ("changes", "device", "told"),
    [
        ({"nproc": 5}, "cpu", "--nproc 5: each needs an image of every batch, .* hold 4; name at most 4"),
        ({"nproc": 2, "cohort": "3"}, "cpu", "--nproc 2, --cohort 3: .* one by one; leave out one"),
        ({"nproc": 2}, "cuda", "--nproc 2: each process needs a GPU, and here are"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, device, told, cells, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match=told):
        processes_of(options(**changes), cells, device, Cluster())


@pytest.mark.parametrize("changes", [{"nproc": 2}, {"workers": 1}])
def test_under_torchrun_nobody_else_says_how_many(changes, cells, launched) -> None:
    with pytest.raises(InputError, match=r"torchrun has started 3 processes, .* leave out --"):
        processes_of(options(**changes), cells, "cpu", Cluster())


def test_processes_of_a_clusters_job(cells, launched, monkeypatch) -> None:
    apart = options(launcher="slurm", nproc=4)
    with pytest.raises(InputError, match="leave out --launcher"):
        processes_of(options(launcher="slurm"), cells, "cpu", Cluster())
    monkeypatch.delenv("RANK")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)  # of this machine, which is not asked
    assert {processes_of(apart, cells, "cuda", Cluster(gpus=gpus)) for gpus in (None, 4, 8)} == {Processes(4)}
    with pytest.raises(InputError, match=r"cells ask for 2 \(cluster.gpus\); write 4 there"):
        processes_of(apart, cells, "cuda", Cluster(gpus=2))


@pytest.mark.parametrize(("name", "value"), [("RANK", "first"), ("MASTER_PORT", "1e3"), ("WORLD_SIZE", "two")])
def test_variables_that_are_no_numbers_are_told(name, value, launched, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name}={value}.*unset RANK"):
        crew()


def test_a_process_alone_is_no_crew(launched, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert crew() is None
    monkeypatch.setenv("WORLD_SIZE", "")
    assert crew() is None


@pytest.mark.slow
def test_a_study_of_two_processes_each(tiny_study, tmp_path) -> None:
    runs = tmp_path / "runs"
    arguments = ["run", str(tiny_study), "--nproc", "2", "--out", str(runs), "--quiet"]
    assert main([*arguments, "--only", "iou"]) == 0
    with trained_here(), peers_forked():  # a start of processes is like the other
        assert main(arguments) == 0
    _finished(runs)


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_all_cells(tiny_study, tmp_path) -> None:
    """Two processes are given one command; a second time there is nothing left to do."""
    runs, root = tmp_path / "runs", Path(__file__).resolve().parents[2]
    study = ["-m", "assignbench", "run", str(tiny_study), "--out", str(runs), "--quiet", "--device", "cpu"]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        done = subprocess.run(
            [*start, *study], check=False, env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        _finished(runs)


def _finished(runs: Path) -> None:
    records = read_cells(runs / "tiny")
    assert [r.state for r in records] == ["done", "done"]
    assert {read_json(r.folder / "environment.json")["processes"] for r in records} == {2}
