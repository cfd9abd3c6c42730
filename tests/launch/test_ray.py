"""Cells and cohorts as tasks of Ray on a cluster of two nodes on this machine: a node is lost in the middle."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assignbench.cli import main
from assignbench.commands import run as run_command
from assignbench.launch.ray import RayTasks
from assignbench.records import CellRecord
from assignbench.records.claim import holder_of
from tests.conftest import ROOT
from tests.faults.cases import same, write_study
from tests.in_process import trained_here

HERE = {"node_ip_address": "127.0.0.1"}
ray = pytest.importorskip("ray", reason="ray is not installed (pip install .[ray])")


@pytest.fixture
def cluster(monkeypatch) -> Iterator[Any]:
    """A head without room for cells, and two nodes that take one each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "300000")  # machines are busy
    monkeypatch.setenv("RAY_worker_niceness", "0")  # the other tests would leave its processes next to nothing
    monkeypatch.setenv("RAY_ADDRESS", "")
    # Where Ray runs on several machines it takes a machine's own address for 127.0.0.1, and nobody answers there.
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
    found = Cluster()
    try:
        try:
            found.add_node(num_cpus=0, include_dashboard=False, **HERE)
            for _ in range(2):
                found.add_node(num_cpus=1, **HERE)
        except Exception as problem:  # of whatever kind: no shared memory, no free port, too slow
            pytest.skip(f"no local cluster of Ray starts here: {problem!r:.300}")
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def study(tmp_path, cluster, monkeypatch) -> Path:
    path = write_study(tmp_path, steps=60)
    (tmp_path / "cluster.yaml").write_text(f'address: "{cluster.address}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_command, "build_report", lambda folder, tell=None, say=None: folder / "report")
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The run folder of the study on this machine."""
    folder = tmp_path_factory.mktemp("alone")
    options = ["--out", str(folder), "--quiet", "--workers", "1", "--set", "analyses=[averages]"]
    with trained_here():
        assert main(["run", str(write_study(folder, steps=60)), *options]) == 0
    return folder / "tiny"


def cells() -> list[Path]:
    return sorted(p.parent for p in Path("runs").glob("tiny/*/config.json"))


def worker_of(slug: str) -> int:
    """The process of Ray that carries out the task of a cell or of those beside it, by its title."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(f"ray::{slug}".encode()):
                return int(process.name)
        except OSError:  # it has just ended
            continue
    raise AssertionError(f"no process trains {slug}")


def parent_of(pid: int) -> int:
    """The process that a process was started by."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def lose(cluster: Any, leader: str, told: list[str], over: threading.Event) -> None:
    """When a cell has written a checkpoint, its node and all that runs there are gone at once; `leader` is the first
    cell of its task where that may be another one. Nothing happens once the run is `over`."""

    def trained() -> Path | None:
        return next((c for c in cells() if len(list((c / "checkpoint").glob("step-*.json"))) >= 2), None)

    while (folder := trained()) is None:
        if over.wait(0.005):
            return
    worker = worker_of(leader or CellRecord(folder).config.slug)
    keeper = parent_of(worker)
    node = next(n for n in cluster.worker_nodes if n.all_processes["raylet"][0].process.pid == keeper)
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    cluster.remove_node(node, allow_graceful=False)
    for pid in (worker, *map(int, children)):  # on one machine they outlive their node, the first for a moment
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    told.append(folder.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shared", "cohort"),
    [(True, "off"), (False, "off"), (False, "2")],
    ids=["shared folder", "folders of their own", "a cohort in folders of its own"],
)
def test_a_lost_node_costs_no_cell(study, alone, cluster, monkeypatch, shared, cohort) -> None:
    if not shared:
        monkeypatch.setattr(RayTasks, "__init__", _unmarked(RayTasks.__init__))
    told: list[str] = []
    leader = "retinanet-slim/iou/shapes/seed0" if cohort == "2" else ""
    over = threading.Event()
    thread = threading.Thread(target=lose, args=(cluster, leader, told, over))
    thread.start()
    options = ["--quiet", "--launcher", "ray", "--cluster", "cluster.yaml", "--cohort", cohort]
    try:
        code = main(["run", str(study), "--out", "runs", *options])
    finally:
        over.set()
        thread.join()
    assert code == 0
    assert len(told) == 1, "the cells were trained before a node could be lost"
    for folder in cells():
        record = CellRecord(folder)
        assert holder_of(folder) is None
        assert record.summary["cohort"] == (1 if cohort == "off" else 2)
        if folder.name in told or cohort == "2":
            assert "its machine was lost at step" in record.reason
        same(alone / folder.name, folder)
    assert not list(Path("runs/tiny").glob(".launch.*"))


def _unmarked(real: Callable[..., None]) -> Callable[..., None]:
    """As if no node saw the run folder."""

    def init(self: RayTasks, *given: Any) -> None:
        real(self, *given)
        self._marker.unlink()

    return init
