"""Cells of one process end as each would alone, whatever becomes of the others; what a device did is found later."""

from __future__ import annotations

import os
import time
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from assignbench.config.cell import CellConfig
from assignbench.config.method import Part
from assignbench.data.base import DetectionData
from assignbench.engine import cohort, run
from assignbench.engine.cohort import _check_alike
from assignbench.engine.loop import loop
from assignbench.engine.outcome import Suspected
from assignbench.engine.run import run_cell, run_cells
from assignbench.engine.stopping import Stopped, Wish
from assignbench.methods import PRESETS
from assignbench.records import CellRecord, finish, read_json
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, EXIT_STOPPED, holder_of, take
from tests.engine.cells import detector_for, place, tiny
from tests.engine.test_loop import bits, cell, equal
from tests.faults.cases import same

CELLS = {
    "iou": tiny("iou"),
    "paa": tiny("paa", ema=0.9, optimizer="sgd", log_every=3),
    "mutual_guidance": tiny("mutual_guidance", amp="none", lr=2e-3, checkpoint_every=3),
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, Path]:
    """Every cell, trained in a process of its own."""
    folders = {n: place(c, tmp_path_factory.mktemp(n) / c.id) for n, c in CELLS.items()}
    for folder in folders.values():
        assert run_cell(folder, "cpu") == "done", CellRecord(folder).reason
        assert CellRecord(folder).summary["cohort"] == 1
    return folders


def placed(folder: Path, *names: str) -> list[Path]:
    return [place(CELLS[n], folder / CELLS[n].id) for n in names]


def own(config: CellConfig, name: str, **parameters: object) -> CellConfig:
    """A cell with one of the assigners of own_assigners.py."""
    part = Part(name=f"tests.engine.own_assigners:{name}", parameters=parameters)
    return config.model_copy(update={"method": config.method.model_copy(update={"assigner": part})})


def stopping(after: int) -> Wish:
    """The wish to stop that comes when it was asked for so many times."""
    asked = count()
    return Wish(lambda: next(asked) < after)


def drawn_group(rng: np.random.Generator) -> list[CellConfig]:
    """Cells of one detector and seed with methods and schedules as they come; what makes the batches is alike."""
    first = str(rng.choice(sorted(PRESETS)))
    detector = detector_for(first)
    others = [n for n in sorted(PRESETS) if detector_for(n) == detector]
    names = [first, *(str(n) for n in rng.choice(others, min(2, len(others)), replace=False))]
    accumulate = int(rng.choice([1, 2]))
    return [
        tiny(
            name,
            detector,
            seed=3,
            accumulate=accumulate,
            batch_size=4 // accumulate,
            amp=str(rng.choice(["none", "bf16", "fp16"])),
            optimizer=str(rng.choice(["adamw", "sgd"])),
            ema=[None, 0.5][int(rng.integers(2))],
            clip_grad=[None, 1.0][int(rng.integers(2))],
            lr=float(rng.choice([1e-4, 1e-3])),
        )
        for name in names
    ]


@pytest.mark.parametrize("draw", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 12))])
def test_any_learners_end_as_each_would_alone(draw) -> None:
    """Also one that joins in later, as a resumed one does."""
    rng = np.random.default_rng(draw)
    configs = drawn_group(rng)
    together, firsts = [cell(c) for c in configs], [int(rng.integers(2)) for _ in configs]
    loop(together[0].loader.batches(min(firsts), 3), [c.learner for c in together], [], firsts)
    for config, first, mine in zip(configs, firsts, together, strict=True):
        single = cell(config)
        loop(single.loader.batches(first, 3), [single.learner], [], first)
        assert mine.learner.stopped is None and equal(bits(mine.learner), bits(single.learner)), config.method.name
        assert mine.learner.meter.spent.seconds > 0


def test_a_cohort_leaves_the_records_of_its_cells(alone, tmp_path) -> None:
    folders = placed(tmp_path, "paa", "mutual_guidance")
    assert run_cells(folders, "cpu") == ["done", "done"]
    for name, folder in zip(("paa", "mutual_guidance"), folders, strict=True):
        same(alone[name], folder)
        summary = CellRecord(folder).summary
        assert summary["cohort"] == 2 and summary["train_seconds"] > 0
        assert sum(CellRecord(folder).metrics().seconds) <= summary["train_seconds"]


def test_cells_that_fail_and_diverge_leave_the_others_alone(alone, tmp_path) -> None:
    config = tiny("iou")
    wrong = [
        place(own(config, "Raises", error="exit"), tmp_path / "exit"),
        place(tiny("atss", lr=1e30, clip_grad=1e30, amp="none"), tmp_path / "diverges"),
        place(own(config, "NotThere"), tmp_path / "unknown"),
    ]
    (good,) = placed(tmp_path, "iou")
    assert run_cells([wrong[0], good, *wrong[1:]], "cpu") == ["failed", "done", "diverged", "failed"]
    same(alone["iou"], good)
    reasons = [CellRecord(folder).reason for folder in wrong]
    assert "SystemExit: 0" in reasons[0] and "own_assigners.py:" in reasons[0]
    assert "not finite" in reasons[1] and "NotThere" in reasons[2]
    assert "in fail" in (wrong[0] / "error.txt").read_text()


def test_a_stopped_cohort_goes_on_in_any_company(alone, tmp_path) -> None:
    """One of two goes on beside a cell that begins, where its first try stopped."""
    first, other = placed(tmp_path, "iou", "paa")
    assert run_cells([first, other], "cpu", stopping(2 + 5)) == ["pending", "pending"]
    assert CellRecord(first).reason == CellRecord(other).reason == "stopped; resumes at step 6"
    (begins,) = placed(tmp_path, "mutual_guidance")
    assert run_cells([first, begins], "cpu", stopping(2 + 3)) == ["pending", "pending"]
    assert [CellRecord(f).reason for f in (first, begins)] == [
        "stopped; resumes at step 6",
        "stopped; resumes at step 4",
    ]
    assert run_cells([begins, first], "cpu") == ["done", "done"]
    same(alone["iou"], first)
    same(alone["mutual_guidance"], begins)
    assert CellRecord(other).state == "pending"


def test_a_cell_without_room_is_begun_again_after_the_others(alone, tmp_path, monkeypatch) -> None:
    """Until it has been trained the decoded images are kept."""
    names, companies = ("iou", "mutual_guidance"), []
    monkeypatch.setattr(DetectionData, "release", lambda data: companies.append([]))

    def full(stream, learners, *given) -> None:
        companies.append([learner.name for learner in learners])
        if len(learners) > 1:
            whole = learners[-1].learn
            learners[-1].learn = lambda batches, step: exhausted() if step == 4 else whole(batches, step)
        loop(stream, learners, *given)

    def exhausted() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(cohort, "loop", full)
    folders = placed(tmp_path, *names)
    assert run_cells(folders, "cpu") == ["done", "done"]
    assert [len(c) for c in companies] == [2, 1, 0]
    for name, folder in zip(names, folders, strict=True):
        same(alone[name], folder)


def test_nobody_finds_room_but_alone(tmp_path, monkeypatch) -> None:
    """Of three that all fail together, each has its turn, and one that fails alone has failed."""
    companies = []

    def full(stream, learners, *given) -> None:
        companies.append(len(learners))
        for learner in learners:
            learner.stopped = torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cohort, "loop", full)
    folders = placed(tmp_path, *CELLS)
    assert run_cells(folders, "cpu") == ["failed"] * 3
    assert companies == [3, 1, 1, 1]
    assert all("the memory of the GPU is used up" in CellRecord(f).reason for f in folders)


@pytest.mark.parametrize("why", ["crowded", "suspected"])
def test_a_wish_to_stop_ends_also_what_was_to_be_begun_again(tmp_path, monkeypatch, why) -> None:
    """It comes when one of two was put off: no further round is begun for that one."""
    problem = torch.OutOfMemoryError("CUDA out of memory") if why == "crowded" else Suspected("not finite")
    rounds: list[int] = []
    wish = Wish(lambda: not rounds)

    def put_off(stream, learners, *given) -> None:
        rounds.append(len(learners))
        learners[1].stopped = problem
        raise Stopped

    monkeypatch.setattr(cohort, "loop", put_off)
    folders = placed(tmp_path, "iou", "paa")
    assert run_cells(folders, "cpu", wish) == ["pending", "pending"]
    assert rounds == [2]
    assert all(CellRecord(f).reason.startswith("stopped; resumes at step") for f in folders)


@pytest.mark.parametrize(("short", "begun"), [(1, 3), (9, 3)], ids=["once", "always"])
def test_no_memory_to_build_a_cell_in(alone, tmp_path, monkeypatch, short, begun) -> None:
    """Beside another one it is begun again; alone it fails."""
    folders, tries, real = placed(tmp_path, "iou", "mutual_guidance"), list[Path](), cohort.prepare

    def full(folder, *given):
        tries.append(folder)
        if folder == folders[1] and tries.count(folder) <= short:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return real(folder, *given)

    monkeypatch.setattr(cohort, "prepare", full)
    states = run_cells(folders, "cpu")
    assert states == ["done", "done" if short == 1 else "failed"] and len(tries) == begun
    same(alone["iou"], folders[0])
    if short == 1:
        same(alone["mutual_guidance"], folders[1])
    else:
        assert "the memory of the GPU is used up" in CellRecord(folders[1]).reason


def test_no_memory_to_build_in_after_none_to_train_in(tmp_path, monkeypatch) -> None:
    """A cell that was put off and then finds no memory alone either has failed; it is not begun for ever."""
    folders, tries, real = placed(tmp_path, "iou", "paa"), list[Path](), cohort.prepare

    def full(folder, *given):
        tries.append(folder)
        if folder == folders[1] and tries.count(folder) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory: somebody else has the GPU now")
        return real(folder, *given)

    def crowded(stream, learners, *given) -> None:
        learners[1].stopped = torch.OutOfMemoryError("CUDA out of memory")
        loop(stream, learners, *given)

    monkeypatch.setattr(cohort, "prepare", full)
    monkeypatch.setattr(cohort, "loop", crowded)
    assert run_cells(folders, "cpu") == ["done", "failed"] and len(tries) == 3


def test_an_error_of_the_batches_is_everyones(tmp_path, monkeypatch) -> None:
    def broken(self, step, part=0):
        raise ValueError("image 7 cannot be read")

    monkeypatch.setattr("assignbench.data.stream.TrainLoader.load", broken)
    folders = placed(tmp_path, "iou", "paa")
    assert run_cells(folders, "cpu") == ["failed", "failed"]
    assert all("image 7 cannot be read" in CellRecord(f).reason for f in folders)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"batch_size": 2}, {"steps": 9}])
def test_cells_of_other_batches_are_no_cohort(changes) -> None:
    with pytest.raises(ValueError, match="does not see the batches"):
        _check_alike([cell(tiny("iou")), cell(tiny("iou", **changes))])


@pytest.mark.parametrize("draw", range(4))
def test_the_step_that_was_not_finite_is_found_by_doing_it_again(draw, tmp_path, monkeypatch) -> None:
    """On a device that is read now and then only, wherever logs, checkpoints and probe visits lie."""
    monkeypatch.setattr(run, "works_behind", lambda device: True)
    rng = np.random.default_rng(draw)
    every = {name: int(rng.integers(1, 7)) for name in ("log_every", "checkpoint_every")}
    config, at = tiny("iou", **every, probe_visits=int(rng.integers(3))), int(rng.integers(8))
    folder = place(own(config, "Spoils", at=at / 8), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "diverged"
    record = CellRecord(folder)
    told = read_json(folder / "diverged.json")
    assert told["step"] == at and record.reason.startswith(f"step {at}: not finite")
    assert tuple(told["image_ids"]) == cell(config).loader.load(at).image_ids
    lines = record.metrics()
    assert lines.empty or (np.isfinite(lines.loss).all() and lines.step.max() < at and lines.step.is_unique)


def test_what_was_not_finite_once_is_told_and_trained_over(alone, tmp_path, monkeypatch) -> None:
    """And the cell beside it is trained once."""
    monkeypatch.setattr(run, "works_behind", lambda device: True)
    marker = tmp_path / "spoilt"
    folder = place(own(CELLS["iou"], "Spoils", at=5 / 8, marker=str(marker)), tmp_path / "cell")
    (other,) = placed(tmp_path, "mutual_guidance")
    assert run_cells([folder, other], "cpu") == ["done", "done"] and marker.exists()
    same(alone["mutual_guidance"], other)
    reason = CellRecord(folder).reason
    assert "not finite within 6 steps, but all were when they were done again" in reason
    assert equal(*(load_file(f / "checkpoint" / "weights.safetensors") for f in (alone["iou"], folder)))


@pytest.mark.parametrize(
    ("ends", "taken", "code"),
    [
        (("done", "done"), False, 0),
        (("done", "done"), True, EXIT_CLAIMED),
        (("done", "failed"), False, EXIT_FAILED),
        (("failed", "diverged"), True, EXIT_CLAIMED),
        (("done", "pending"), True, EXIT_STOPPED),
    ],
)
def test_a_process_leaves_out_what_others_have_and_have_done(tmp_path, monkeypatch, ends, taken, code) -> None:
    """Of four cells another process has one, or nobody, and another one was done meanwhile."""
    first, done, claimed, last = folders = [place(CELLS["iou"], tmp_path / name) for name in "abcd"]
    finish(done)
    seen: list[list[Path]] = []

    def pretended(mine, *given) -> list[str]:
        seen.append(list(mine))
        assert all(holder_of(folder).mine for folder in mine)
        return [*ends, *(["done"] if not taken else [])]

    monkeypatch.setattr(run, "run_cells", pretended)
    monkeypatch.setattr(run.Wish, "listen", lambda wish: None)
    other = get_context("fork").Process(target=lambda: (take(claimed), time.sleep(60)))
    if taken:
        other.start()
        while holder_of(claimed) is None:
            time.sleep(0.01)
    try:
        assert run.main([*map(str, folders), "cpu", str(os.getppid())]) == code
    finally:
        if taken:
            other.kill()
    assert seen == [[first, last] if taken else [first, claimed, last]]
    assert [holder_of(f) for f in (first, done, last)] == [None] * 3
