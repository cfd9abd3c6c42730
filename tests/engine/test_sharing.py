"""A cell that takes another one's training ends with the records that it would have had alone, to the last bit."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import pytest
import torch

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.evaluation import Evaluation
from assignbench.engine.run import run_cell
from assignbench.engine.stopping import Wish
from assignbench.records import CellRecord, finish, read_json, write_json
from assignbench.records.files import digest_of
from tests.engine.cells import place, tiny
from tests.faults.cases import same

TRAINED = tiny("iou")
READ = tiny("iou", parts={"nms": {"kind": "soft", "sigma": 0.3}}).model_copy(
    update={"evaluation": Evaluation(floor=0.005, pre_nms=300, max_detections=40, batch=3)}
)
WEIGHTS = Path("checkpoint") / "weights.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of the cell that was trained, in a study's folder of its own."""
    folder = place(TRAINED, tmp_path_factory.mktemp("trained") / TRAINED.id)
    assert run_cell(folder, "cpu") == "done", CellRecord(folder).reason
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The cell that differs in NMS and evaluation, trained itself."""
    folder = place(READ, tmp_path_factory.mktemp("alone") / READ.id)
    assert run_cell(folder, "cpu") == "done", CellRecord(folder).reason
    return folder


@pytest.fixture
def source(trained, tmp_path) -> Path:
    """A copy of the trained cell's folder."""
    return Path(shutil.copytree(trained, tmp_path / "study" / trained.name))


def borrower(source: Path, config: CellConfig = READ) -> Path:
    """The folder of a cell that is to take the training of the cell beside it."""
    return place(config, source.parent / config.id, LocalPaths(training=source.name))


def test_a_taken_training_gives_the_records_of_an_own_one(source, alone) -> None:
    assert TRAINED.training_id == READ.training_id and TRAINED.id != READ.id
    folder = borrower(source)
    assert run_cell(folder, "cpu") == "done", CellRecord(folder).reason
    same(alone, folder)
    about, theirs = CellRecord(folder).training, CellRecord(source).summary
    assert about["cell"] == TRAINED.id and about["weights"] == digest_of(source / WEIGHTS)
    assert CellRecord(folder).summary["train_seconds"] == theirs["train_seconds"]
    assert CellRecord(folder).summary["peak_memory_mib"] >= theirs["peak_memory_mib"] == about["peak_memory_mib"]
    assert CellRecord(alone).training == CellRecord(source).training == {}
    assert "training.json" in read_json(folder / "manifest.json")["files"]
    one, two = CellRecord(source).table("detections"), CellRecord(folder).table("detections")
    assert len(one) != len(two) or not one.equals(two), "the reading makes no difference here"
    # Copies: what happens to one cell afterwards does not touch the other one.
    (source / WEIGHTS).write_bytes(b"damaged")
    assert CellRecord(source, thorough=True).state == "damaged"
    assert CellRecord(folder, thorough=True).state == "done"


@pytest.mark.parametrize("name", ["detect.thin_out", "cost.speed"])
def test_a_training_whose_evaluation_failed_is_taken(tmp_path, alone, monkeypatch, name) -> None:
    """Without memory for the test images a cell fails, says what helps there, and lends its training."""

    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    folder = place(TRAINED, tmp_path / "study" / TRAINED.id)
    with monkeypatch.context() as patched:
        patched.setattr(f"assignbench.engine.{name}", full)
        assert run_cell(folder, "cpu") == "failed"
    reason = CellRecord(folder).reason
    assert "the memory of the GPU is used up" in reason and "a smaller evaluation.batch" in reason
    assert "schedule.batch_size" not in reason and CellRecord(folder).lends
    reading = borrower(folder)
    assert run_cell(reading, "cpu") == "done", CellRecord(reading).reason
    same(alone, reading)
    about = CellRecord(reading).training
    assert about["cell"] == TRAINED.id and about["train_seconds"] > 0 and "peak_memory_mib" not in about


def test_notes_on_the_training_stay_with_it(source) -> None:
    write_json(source / "status.json", {"state": "done", "notes": ["a checkpoint was damaged"]})
    folder = borrower(source)
    assert run_cell(folder, "cpu") == "done"
    assert f"of its training, {TRAINED.id}: a checkpoint was damaged" in CellRecord(folder).reason


def test_it_stands_without_the_other_cell_afterwards(source, alone) -> None:
    folder = borrower(source)
    assert run_cell(folder, "cpu") == "done"
    shutil.rmtree(source)
    (folder / "objects.parquet").unlink()
    place(READ, folder)  # a launcher that knows of no other cell
    assert run_cell(folder, "cpu") == "done"
    assert CellRecord(folder).training["cell"] == TRAINED.id
    same(alone, folder)


def test_a_copy_that_was_damaged_is_taken_again_or_trained_anew(source, alone) -> None:
    folder = borrower(source)
    assert run_cell(folder, "cpu") == "done"
    (folder / WEIGHTS).write_bytes(b"damaged")
    assert run_cell(folder, "cpu") == "done"
    same(alone, folder)
    (folder / WEIGHTS).write_bytes(b"damaged")
    place(READ, folder)
    assert run_cell(folder, "cpu") == "done"
    assert CellRecord(folder).training == {} and "trained anew" in CellRecord(folder).reason
    same(alone, folder)


def test_a_training_of_its_own_that_was_stopped_gives_way(source, alone) -> None:
    folder, steps = place(READ, source.parent / READ.id), count()
    assert run_cell(folder, "cpu", Wish(lambda: next(steps) < 5)) == "pending"
    assert list((folder / "checkpoint").glob("step-*.json"))
    borrower(source)
    assert run_cell(folder, "cpu") == "done"
    same(alone, folder)


def test_a_cell_gets_its_own_training_back(source, trained) -> None:
    folder = borrower(source)
    assert run_cell(folder, "cpu") == "done"
    shutil.rmtree(source)
    place(TRAINED, source, LocalPaths(training=folder.name))
    assert run_cell(source, "cpu") == "done"
    assert CellRecord(source).training == {}
    same(trained, source)


def edited(source: Path, name: str, **changes: object) -> None:
    """A file of a finished cell with other entries, which its manifest knows."""
    write_json(source / name, {**read_json(source / name), **changes})
    finish(source)


def refused(source: Path, config: CellConfig = READ) -> str:
    """Why a cell that is to take a training has failed; nothing of the training is there."""
    folder = borrower(source, config)
    assert run_cell(folder, "cpu") == "failed"
    assert not (folder / "checkpoint").exists() and not (folder / "training.json").exists()
    return CellRecord(folder).reason


def test_a_training_that_is_damaged_is_not_taken(source) -> None:
    content = bytearray((source / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (source / WEIGHTS).write_bytes(content)
    assert "this cell is damaged" in refused(source)


def test_a_training_that_is_not_there_is_not_taken(source) -> None:
    shutil.rmtree(source)
    assert "no such folder" in refused(source)


def test_a_training_of_another_configuration_is_not_taken(source) -> None:
    other = READ.model_copy(update={"probe_images": 1})
    assert "whose configuration is another one" in refused(source, other)


def test_a_training_of_other_inputs_is_not_taken(source) -> None:
    formats = read_json(source / "inputs.json")["formats"]
    edited(source, "inputs.json", formats={**formats, "evaluation": 0})
    folder = borrower(source)
    assert run_cell(folder, "cpu") == "done"  # the evaluation is its own
    shutil.rmtree(folder)
    edited(source, "inputs.json", formats={**formats, "optimiser": 0})
    assert "made from other inputs: optimiser" in refused(source)


@pytest.mark.parametrize("part", ["files", "records"])
def test_a_checkpoint_that_names_other_files_is_not_taken(source, part) -> None:
    (about,) = (source / "checkpoint").glob("step-*.json")
    entry = read_json(about)["files"]["weights.safetensors"]
    outside = {"files": "../checkpoint/weights.safetensors", "records": f"../{source.name}/{WEIGHTS}"}[part]
    edited(source, f"checkpoint/{about.name}", **{part: {**read_json(about)[part], outside: entry}})
    assert "names files outside of its cell" in refused(source)
