"""Where the time of a step goes: its parts are the whole, and nothing is written."""

from __future__ import annotations

import pytest
import torch

from assignbench.cli import main
from assignbench.engine.profile import PARTS, profiled
from assignbench.engine.staging import prepared, staged
from tests.engine.cells import tiny
from tests.engine.test_loop import cell


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "batch_size": 2}])
def test_parts_of_a_step_are_the_step(changes) -> None:
    found = profiled(cell(tiny("iou", **changes)), 2)
    assert tuple(found.parts) == PARTS and found.images == 4
    assert all(spent.seconds > 0 for spent in found.parts.values())
    assert found.whole.seconds == pytest.approx(sum(s.seconds for s in found.parts.values()))


def test_the_command_prints_a_line_for_each_method_and_writes_nothing(tiny_study, tmp_path, capsys) -> None:
    assert main(["run", str(tiny_study), "--profile", "--device", "cpu", "--out", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr().out
    assert all(part in told for part in PARTS)
    assert told.count("retinanet-slim/iou/shapes") == told.count("retinanet-slim/mutual_guidance/shapes") == 1
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_batches_for_the_processor_go_as_they_are() -> None:
    loader = cell(tiny("iou")).loader
    batches = list(loader.batches(0, 3))
    assert all(a is b for a, b in zip(staged(batches, torch.device("cpu")), batches, strict=True))
    assert prepared(loader, torch.device("cpu")) is loader
    assert prepared(loader, torch.device("cuda")).workers > 0


@pytest.mark.parametrize("more", [["--launcher", "slurm"], ["--nproc", "2"], ["--cohort", "4"], ["--fresh"]])
def test_what_a_profile_would_pass_over_is_refused(tiny_study, tmp_path, capsys, more) -> None:
    assert main(["run", str(tiny_study), "--profile", *more, "--out", str(tmp_path / "runs")]) == 2
    told = " ".join("".join(capsys.readouterr()).split())
    assert f"--profile, {' '.join(more)}: steps are measured in this process" in told
    assert not (tmp_path / "runs").exists()
