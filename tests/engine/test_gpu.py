"""What needs a GPU: steps that do not wait, batches that arrive whole, a cohort and its replay on the device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assignbench.config.cell import LocalPaths
from assignbench.engine.cell import build_cell
from assignbench.engine.detect import detect, views_of
from assignbench.engine.evaluate import tables_of
from assignbench.engine.hooks import Guard, Idle
from assignbench.engine.loop import loop
from assignbench.engine.profile import GPU_PARTS, profiled
from assignbench.engine.run import run_cells
from assignbench.engine.staging import staged
from assignbench.methods import PRESETS
from assignbench.records import CellRecord, read_json
from tests.engine.cells import BY_CRITERION, detector_for, place, tiny
from tests.engine.test_cohort import own
from tests.engine.test_waiting import EXEMPT, mixed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
CUDA = torch.device("cuda")


def test_batches_arrive_whole() -> None:
    loader = build_cell(Path(), tiny("iou"), LocalPaths(), "cpu").loader
    whole = list(loader.batches(0, 6))
    for sent, batch in zip(staged(loader.batches(0, 6), CUDA), whole, strict=True):
        assert torch.equal(sent.images.cpu(), batch.images) and sent.images.is_cuda
        assert torch.equal(sent.placed.boxes.cpu(), batch.objects.boxes)
        assert sent.objects.boxes.device.type == "cpu"


@pytest.mark.parametrize("name", sorted(set(PRESETS) - EXEMPT))
def test_no_step_waits(name, tmp_path) -> None:
    built = build_cell(tmp_path, tiny(name, detector_for(name), log_every=100), LocalPaths(), "cuda")
    learner = built.learner
    hooks = [Guard(learner, tmp_path, lazily=True), Idle(learner, lambda sentence: None)]
    batches = list(staged(built.loader.batches(0, 4), CUDA))
    loop(batches[:2], [learner], [])  # priors, kernels and the optimiser's state are made once
    learner.detector.train()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, batch in enumerate(batches[2:], start=2):
            outcome, update = learner.learn([batch], step)
            for hook in hooks:
                hook.before_update(outcome, update)
            learner.step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert learner.stopped is None


@pytest.mark.parametrize("name", sorted({"atss", "fcos", *BY_CRITERION} - EXEMPT))
def test_no_step_waits_for_images_of_several_sizes(name, tmp_path) -> None:
    """Each step has sizes that were never seen before."""
    built = build_cell(tmp_path, tiny(name, detector_for(name), log_every=100), LocalPaths(), "cuda")
    learner, seed = built.learner, 10 * sum(name.encode())
    drawn = [mixed(batch, seed + step) for step, batch in enumerate(built.loader.batches(0, 4))]
    batches = list(staged(drawn, CUDA))
    loop(batches[:2], [learner], [])
    learner.detector.train()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, batch in enumerate(batches[2:], start=2):
            learner.learn([batch], step)
            learner.step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_test_split_is_read_as_on_the_host(tmp_path) -> None:
    """Batches that are read and sent ahead, and what is fetched of them, whole."""
    built = build_cell(tmp_path, tiny("atss", "retinanet-slim"), LocalPaths(), "cuda")
    evaluation, found = built.config.evaluation, {}
    for device in (CUDA, torch.device("cpu")):
        detector = built.learner.detector.to(device).eval()
        views = views_of(built.test, built.config.data, evaluation, 2, device)
        batches = [tables_of(detect(detector, built.config.method, v, evaluation), v[0], built.config.method,
                             evaluation, detector) for v in views]  # fmt: skip
        found[device.type] = {name: sum(len(t[name]) for t in batches) for name in batches[0]}
    assert found["cuda"]["counts"] == found["cpu"]["counts"] > 0
    assert found["cuda"]["candidates"] == pytest.approx(found["cpu"]["candidates"], rel=0.02)


def test_a_profile_sends_its_batches(tmp_path) -> None:
    found = profiled(build_cell(tmp_path, tiny("iou"), LocalPaths(), "cuda"), 2)
    assert tuple(found.parts) == GPU_PARTS and found.parts["send"].seconds > 0


def test_a_cohort_ends_and_finds_what_was_not_finite(tmp_path) -> None:
    config = tiny("iou")
    folders = [
        place(config, tmp_path / config.id),
        place(own(config, "Spoils", at=5 / 8), tmp_path / "spoils"),
        place(tiny("paa"), tmp_path / tiny("paa").id),
    ]
    assert run_cells(folders, "cuda") == ["done", "diverged", "done"], [CellRecord(f).reason for f in folders]
    assert read_json(folders[1] / "diverged.json")["step"] == 5
    alone = place(config, tmp_path / "alone")
    assert run_cells([alone], "cuda") == ["done"]
    lines = [CellRecord(f).metrics().loss for f in (alone, folders[0])]
    assert abs(lines[0] - lines[1]).max() < 1e-3
