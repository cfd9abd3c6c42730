"""A cell that fails says where, why and what to do; a checkpoint that does not fit is refused, not half loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from assignbench.config.cell import LocalPaths
from assignbench.config.method import Part
from assignbench.engine import checkpoint
from assignbench.engine.cell import build_cell
from assignbench.engine.hooks import idle
from assignbench.engine.run import run_cell
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json, write_json
from tests.engine import own_assigners
from tests.engine.cells import place, tiny

FILE = own_assigners.__file__


def line_of(text: str) -> int:
    return 1 + next(i for i, line in enumerate(Path(FILE).read_text().splitlines()) if text in line)


def with_assigner(name: str, **parameters: str):
    """The tiny cell with an assigner of the user's own."""
    config = tiny("iou")
    part = Part(name=f"tests.engine.own_assigners:{name}", parameters=parameters)
    return config.model_copy(update={"method": config.method.model_copy(update={"assigner": part})})


@pytest.mark.parametrize(
    ("error", "line", "cause", "remedy"),
    [
        ("value", "three is not four", "ValueError: three is not four", "mend that line"),
        ("memory", "raise MemoryError", "MemoryError", "smaller schedule.batch_size"),
        ("torch memory", "torch.empty(", "RuntimeError", "smaller schedule.batch_size"),
        ("disk", "raise OSError", "No space left on device: '/somewhere/file'", "the disk is full: make room"),
        ("exit", "sys.exit(0)", "SystemExit: 0", "mend that line"),
    ],
)
def test_an_error_in_the_users_own_assigner(tmp_path, error, line, cause, remedy) -> None:
    folder = place(with_assigner("Raises", error=error), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "failed"
    reason = CellRecord(folder).reason
    assert f"{FILE}:{line_of(line)} (in fail)" in reason
    assert cause in reason and remedy in reason and "goes on from its last checkpoint" in reason
    assert "Traceback" in (folder / "error.txt").read_text()


def test_an_assigner_that_gives_nothing(tmp_path, monkeypatch) -> None:
    folder = place(with_assigner("Nothing"), tmp_path / "cell")
    monkeypatch.setattr(idle, "IDLE_STEPS", 3)
    assert run_cell(folder, "cpu") == "done"
    reason = CellRecord(folder).reason
    assert reason.startswith("until step 2, for 3 steps in a row, assigner Nothing") and f"{FILE}:" in reason
    assert "orphan: best_prior" in reason and reason.count("steps in a row") == 1


def test_a_shorter_training_without_any_positive_says_so_at_its_end(tmp_path) -> None:
    folder = place(with_assigner("Nothing"), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "done"
    assert CellRecord(folder).reason.startswith("until step 7, for 8 steps in a row")


def learner_of(config, folder: Path):
    return build_cell(folder, config, LocalPaths(), "cpu").learner


def test_two_generations_are_kept_and_the_older_one_is_taken(tmp_path) -> None:
    learner = learner_of(tiny(), tmp_path)
    for step in (2, 4, 6):
        with torch.no_grad():
            next(learner.model.parameters()).fill_(step)
        checkpoint.save(tmp_path, step, learner, 10.0 * step)
    folder = tmp_path / checkpoint.FOLDER
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        name.format(step) for step in (4, 6) for name in
        ("step-0000000{}.json", "training-0000000{}.pt", "weights-0000000{}.safetensors")
    )  # fmt: skip
    for spoilt, step in (("", 6), ("weights-00000006.safetensors", 4), ("step-00000004.json", 0)):
        if spoilt:
            (folder / spoilt).write_bytes(b"{")
        found = checkpoint.restore(tmp_path, learner)
        assert (found.step, found.seconds) == (step, 10.0 * step)
        assert bool(found.warnings) == bool(spoilt) and (not spoilt or spoilt in " ".join(found.warnings))
        if step:
            assert float(next(learner.model.parameters()).detach().flatten()[0]) == step


@pytest.mark.parametrize("content", ["[]", '{"step": "x"}', '{"step": 6, "seconds": 1, "files": [], "records": {}}',
    '{"step": 6, "seconds": 1, "files": {"a": 1}, "records": {}}', '{"step": 6, "seconds": 1, "files": {"gone": {"bytes": 1}}, "records": {}}'])  # fmt: skip  # noqa: E501
def test_a_broken_generation_is_passed_over(tmp_path, content) -> None:
    learner = learner_of(tiny(), tmp_path)
    (tmp_path / checkpoint.FOLDER).mkdir()
    (tmp_path / checkpoint.FOLDER / "step-00000006.json").write_text(content)
    found = checkpoint.restore(tmp_path, learner)
    assert found.step == 0 and found.warnings[-1] == "trained anew"


def test_a_checkpoint_of_another_network_is_refused(tmp_path) -> None:
    checkpoint.save(tmp_path, 2, learner_of(tiny(), tmp_path), 1.0)
    with pytest.raises(InputError, match=r"step-00000002\.json: the checkpoint does not fit the network.*--fresh"):
        checkpoint.restore(tmp_path, learner_of(tiny("iou", parts={"quality": "iou"}), tmp_path))


def test_a_checkpoint_of_another_cell_is_passed_over(tmp_path) -> None:
    """Another seed's weights fit the network; one that names no cell (0.3.0) is taken."""
    cell, other = (place(tiny(seed=seed), tmp_path / str(seed)) for seed in (0, 1))
    learner = learner_of(tiny(), tmp_path / "any")
    checkpoint.save(other, 2, learner, 1.0)
    shutil.copytree(other / checkpoint.FOLDER, cell / checkpoint.FOLDER)
    found = checkpoint.restore(cell, learner)
    assert found.step == 0 and "step-00000002.json is that of another cell, " in found.warnings[0]
    path = cell / checkpoint.FOLDER / "step-00000002.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "cell"})
    assert checkpoint.restore(cell, learner).step == 2


def test_records_that_a_checkpoint_goes_on_with_must_be_whole(tmp_path) -> None:
    """Lines that were added after the checkpoint go; a line that changed before it spoils the checkpoint."""
    learner = learner_of(tiny(), tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 0}\n')
    checkpoint.save(tmp_path, 2, learner, 1.0)
    with metrics.open("a") as file:
        file.write('{"step": 2}\n{"st')
    assert checkpoint.restore(tmp_path, learner).step == 2
    assert metrics.read_text() == '{"step": 0}\n'
    metrics.write_text('{"step": 9}\n')
    found = checkpoint.restore(tmp_path, learner)
    assert found.step == 0 and "metrics.jsonl is damaged" in found.warnings[0] and metrics.read_text() == ""


def test_a_retry_forgets_the_reason_of_the_first_try(tmp_path) -> None:
    folder = place(with_assigner("Raises"), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "failed"
    place(tiny("iou"), folder)
    assert run_cell(folder, "cpu") == "done"
    assert CellRecord(folder).reason == "" and "reason" not in read_json(folder / "status.json")
    assert not (folder / "error.txt").exists()
