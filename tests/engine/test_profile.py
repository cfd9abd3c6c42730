"""Where the time of a step goes: its parts are the whole, and nothing is written."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch

from assignbench.cli import main
from assignbench.engine import profile
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


def test_batches_take_the_way_of_a_training(monkeypatch) -> None:
    """What is prepared and sent is what is learnt from; without a GPU here, its parts are asked for by name."""
    built, learnt = cell(tiny("iou")), []
    built.loader.load(0)
    prepare = Mock(side_effect=lambda loader, device: replace(loader, seed=loader.seed + 1))
    send = Mock(side_effect=lambda batches, device: iter([replace(b, epoch=7) for b in batches]))
    monkeypatch.setattr(profile, "prepared", prepare)
    monkeypatch.setattr(profile, "staged", send)
    monkeypatch.setattr(profile, "PARTS", profile.GPU_PARTS)
    learn = built.learner.learn
    monkeypatch.setattr(built.learner, "learn", lambda batches, step: learnt.extend(batches) or learn(batches, step))
    found = profile.profiled(built, 2)
    assert tuple(found.parts) == ("batch", "send", *PARTS[1:])
    assert prepare.call_count == 1 and send.call_count == len(learnt) == profile.WARM_UP + 2
    wanted = replace(built.loader, seed=1)
    assert all(b.epoch == 7 and b.image_ids == wanted.load(i).image_ids for i, b in enumerate(learnt))


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
