"""Results of finished cells are worked out while others train, where a core is idle, and the report is the same."""

from __future__ import annotations

import shutil
import threading
from argparse import Namespace

import pytest

from assignbench.analysis import prepared
from assignbench.cli import main
from assignbench.commands import ahead, run
from assignbench.commands.ahead import Ahead
from assignbench.commands.launchers import trained_here
from assignbench.config.cluster import OwnCluster
from assignbench.launch.progress import Progress
from assignbench.report import build_report, prepare_report
from tests.report.written import write_study

RUNNING = [Progress("a", "training", 1, 9, 1.0, None), Progress("b", "training", 1, 9, 1.0, None)]


@pytest.mark.parametrize(
    ("running", "ended", "cores", "starts"),
    [
        (RUNNING, 1, 2, False),  # no core is idle
        (RUNNING, 1, 3, True),
        (RUNNING[:1], 1, 2, True),
        (RUNNING[:1], 0, 2, False),  # nothing has ended
        ([], 2, 2, False),  # nothing to wait for: the report comes at once
        (RUNNING, 1, None, True),  # on other machines, so that all cores here are idle
        ([], 2, None, False),
    ],
)
def test_only_idle_cores_are_used(tmp_path, monkeypatch, running, ended, cores, starts) -> None:
    called = []
    monkeypatch.setattr(ahead, "prepare_report", called.append)
    watching = Ahead(tmp_path, cores)
    for _ in range(3):
        watching.watch(running, ended)
        watching.wait()
    assert called == [tmp_path] * starts


@pytest.mark.parametrize(
    ("launcher", "address", "environment", "here"),
    [
        ("local", "", "", True),
        ("slurm", "", "", False),
        ("ray", "", "", True),  # one that starts on this machine
        ("ray", "10.0.0.1:6379", "", False),
        ("ray", "", "10.0.0.1:6379", False),
    ],
)
def test_cores_are_idle_where_cells_are_trained_elsewhere(launcher, address, environment, here, monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", environment)
    assert trained_here(Namespace(launcher=launcher), OwnCluster(address=address)) is here


def test_cells_of_a_cluster_are_prepared_while_others_train(tiny_study, tmp_path, monkeypatch) -> None:
    called, given = [], []
    monkeypatch.setattr(ahead, "prepare_report", called.append)

    def run_apart(options, device, cluster, folder, jobs, watch, tell) -> None:
        given.append(folder)
        for ended in (0, 1):
            watch(RUNNING, ended)

    monkeypatch.setattr(run, "run_apart", run_apart)
    main(["run", str(tiny_study), "--out", str(tmp_path), "--seeds", "1", "--launcher", "slurm", "--quiet"])
    assert called == given and len(given) == 1


def test_one_thread_at_a_time_and_no_failure_is_seen(tmp_path, monkeypatch) -> None:
    begun, go = [], threading.Event()

    def prepare(folder) -> None:
        begun.append(folder)
        assert go.wait(60)
        raise RuntimeError("broken")

    monkeypatch.setattr(ahead, "prepare_report", prepare)
    watching = Ahead(tmp_path, 2)
    for ended in (1, 2, 3):
        watching.watch(RUNNING[:1], ended)
    assert begun == [tmp_path]
    go.set()
    watching.wait()
    watching.watch(RUNNING[:1], 3)
    watching.wait()
    assert begun == [tmp_path] * 2


def test_the_report_is_the_same_and_works_nothing_out_again(tmp_path, monkeypatch) -> None:
    study = write_study(tmp_path / "one", seeds=1, images=6, analyses=["averages", "crowdedness", "nms"])
    other = shutil.copytree(study, tmp_path / "two" / study.name)
    done = []
    real = prepared.prepare_cell
    monkeypatch.setattr(prepared, "prepare_cell", lambda s, c, n: (done.append(c.cell.id), real(s, c, n)))
    prepare_report(study)
    assert len(done) == len(set(done)) == 3
    pages = [build_report(folder).read_bytes() for folder in (study, other)]
    assert pages[0] == pages[1] and len(done) == 6
