"""What tasks ask of Ray is looked for on a machine alone before any of them waits for it; Ray is a stand-in here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from assignbench import methods
from assignbench.config.cluster import OwnCluster
from assignbench.errors import InputError
from assignbench.launch.base import Job
from assignbench.launch.ray import RayTasks
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study


@pytest.fixture
def ray(monkeypatch) -> MagicMock:
    """A Ray on this machine with two cores, a GPU and 4 GiB."""
    found = MagicMock(name="ray")
    found.is_initialized.return_value = True
    found.cluster_resources.return_value = {"CPU": 2.0, "GPU": 1.0, "memory": 4 * 2**30}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("ray", "ray.util", "ray.util.scheduling_strategies"):
        monkeypatch.setitem(sys.modules, name, found)
    return found


def jobs(study: Path, folder: Path, processes: int = 1, sets: tuple[str, ...] = ()) -> list[Job]:
    cells = cells_of(read_study(study, sets=list(sets)), methods)
    paths = [c.paths.model_copy(update={"processes": processes}) for c in cells]
    return [Job(folder / c.id, c.config, p) for c, p in zip(cells, paths, strict=True)]


@pytest.mark.parametrize(
    ("cluster", "processes", "sets", "device", "told"),
    [
        ({}, 1, ("schedule.loader_workers=4",), "cpu", "5 CPU (schedule.threads and schedule.loader_workers)"),
        ({}, 4, (), "cpu", "4 CPU (schedule.threads and schedule.loader_workers, times --nproc 4)"),
        ({"cpus": 3}, 1, (), "cpu", "3 CPU (cluster.cpus)"),
        ({"memory_gb": 64}, 1, (), "cpu", "64 GiB of memory (cluster.memory_gb), this machine has 4"),
        ({"gpus": 2}, 1, (), "cuda", "2 GPU (cluster.gpus)"),
        ({"cpus": 1}, 2, (), "cuda", "2 GPU (--device cuda, times --nproc 2)"),
    ],
)
def test_what_this_machine_has_not_is_refused(
    ray, tiny_study, tmp_path, cluster, processes, sets, device, told
) -> None:
    with pytest.raises(InputError) as problem:
        RayTasks(device, OwnCluster(**cluster), tmp_path, jobs(tiny_study, tmp_path, processes, sets))
    assert told in str(problem.value) and "cluster.address" in str(problem.value)
    ray.shutdown.assert_called_once()
    RayTasks(device, OwnCluster(**cluster, address="head:1"), tmp_path, jobs(tiny_study, tmp_path, processes, sets))


def test_a_cohort_is_one_task_that_asks_for_what_a_cell_does(ray, tiny_study, tmp_path) -> None:
    one, two = jobs(tiny_study, tmp_path)
    tasks = RayTasks("cuda", OwnCluster(gpus=0.5), tmp_path, [])
    tasks.submit(replace(one, beside=(two,)))
    asked = ray.remote.return_value.options.call_args.kwargs
    assert (asked["num_cpus"], asked["num_gpus"], asked["name"]) == (1, 0.5, f"{one.name} and 1 beside it")
    errand = ray.remote.return_value.options.return_value.remote.call_args.args[0]
    assert errand.folders == (str(one.folder), str(two.folder)) and len(errand.local) == 2


def test_what_fits_is_asked_for(ray, tiny_study, tmp_path) -> None:
    (job, *_) = todo = jobs(tiny_study, tmp_path, 2)
    RayTasks("cpu", OwnCluster(memory_gb=4, gpus=0.5), tmp_path, todo).submit(job)
    asked = ray.remote.return_value.options.call_args.kwargs
    assert {k: asked[k] for k in ("num_cpus", "num_gpus", "memory")} == {
        "num_cpus": 2,
        "num_gpus": 0.5,
        "memory": 4 * 2**30,
    }
    RayTasks("cuda", OwnCluster(cpus=1), tmp_path, todo[:0]).submit(jobs(tiny_study, tmp_path)[0])
    asked = ray.remote.return_value.options.call_args.kwargs
    assert (asked["num_cpus"], asked["num_gpus"], "memory" in asked) == (1, 1.0, False)
