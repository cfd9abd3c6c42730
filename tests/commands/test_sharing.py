"""`run`, `plan`, `status` and the report of a study whose cells share trainings."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from assignbench.cli import main
from assignbench.commands import run as run_command
from assignbench.config import formats
from assignbench.engine import detect
from assignbench.engine.scored import Scored
from assignbench.records import CellRecord, finish, read_json, write_json
from assignbench.records.files import digest_of
from tests.faults.cases import same

METHODS = "methods: [iou, {name: soft, preset: iou, nms: {kind: soft}}, mutual_guidance]"
DIVERGES = ["--set", "schedule.lr=1.0e30", "--set", "schedule.clip_grad=1.0e30", "--set", "schedule.amp=none"]


@pytest.fixture
def study(tiny_study, monkeypatch, in_process) -> Path:
    """Three cells, two of which share a training; they run in this process."""
    tiny_study.write_text(tiny_study.read_text().replace("methods: [iou, mutual_guidance]", METHODS))
    monkeypatch.setattr(run_command, "build_report", lambda folder, tell=None, say=None: folder / "report")
    monkeypatch.chdir(tiny_study.parent)
    return tiny_study


def run(study: Path, *more: str, out: str = "runs") -> int:
    return main(["run", str(study), "--out", out, *more])


def cells(out: str = "runs") -> dict[str, CellRecord]:
    found = [CellRecord(p.parent) for p in Path(out).glob("tiny/*/config.json")]
    return {r.trained.method.name: r for r in found}


def weights(record: CellRecord) -> bytes:
    return (record.folder / "checkpoint" / "weights.safetensors").read_bytes()


def test_a_study_with_one_training_for_two_cells(study, capsys) -> None:
    assert main(["plan", str(study)]) == 0
    told = capsys.readouterr().out
    assert "3 cells, 2 trainings" in told
    assert told.count("takes the training of retinanet-slim-iou-shapes-seed0-") == 1
    assert run(study) == 0
    assert "3 cells, 2 trainings, 0 done before" in capsys.readouterr().out
    found = cells()
    assert {n: r.state for n, r in found.items()} == dict.fromkeys(("iou", "soft", "mutual_guidance"), "done")
    assert found["soft"].training["cell"] == found["iou"].id
    assert not found["iou"].training and not found["mutual_guidance"].training
    # Alone, into another folder, the cell is trained itself, and no number is another one.
    assert run(study, "--only", "soft", "--quiet", out="alone") == 0
    assert not cells("alone")["soft"].training
    same(cells("alone")["soft"].folder, found["soft"].folder)
    # Then the others take what is there; what is finished stays.
    assert run(study, "--only", "*iou*", "--quiet", out="alone") == 0
    assert cells("alone")["iou"].training["cell"] == found["soft"].id
    same(found["iou"].folder, cells("alone")["iou"].folder)
    # Another reading of the whole study takes the finished trainings.
    assert run(study, "--set", "evaluation.floor=0.02", "--quiet") == 0
    new = {r.trained.method.name: r for r in (CellRecord(p.parent) for p in Path("runs/tiny").glob("*/training.json"))
           if r.trained.evaluation.floor == 0.02}  # fmt: skip
    assert {n: r.training["cell"] for n, r in new.items()} == {
        "iou": found["iou"].id,
        "soft": found["iou"].id,
        "mutual_guidance": found["mutual_guidance"].id,
    }
    # `--fresh` trains again what it is asked for.
    assert run(study, "--only", "soft", "--fresh", "--quiet") == 0
    assert not CellRecord(found["soft"].folder).training and CellRecord(found["soft"].folder).state == "done"
    same(found["soft"].folder, cells("alone")["soft"].folder)


def test_a_training_that_was_done_again_to_other_weights_makes_the_others_stale(study, capsys) -> None:
    assert run(study, "--only", "*iou*", "--quiet") == 0 and run(study, "--only", "soft", "--quiet") == 0
    trained, reading = cells()["iou"], cells()["soft"]
    assert reading.training["cell"] == trained.id
    content = bytearray(weights(trained))
    content[-1] ^= 1
    path = trained.folder / "checkpoint" / "weights.safetensors"
    path.write_bytes(content)
    (about,) = path.parent.glob("step-*.json")
    told = read_json(about)
    told["files"][path.name]["sha256"] = digest_of(path)
    write_json(about, told)
    finish(trained.folder)  # as a training on another device would leave it
    capsys.readouterr()
    assert main(["status", str(study), "--only", "soft"]) == 0
    told = capsys.readouterr().out
    assert "STALE" in told and f"its training, that of {trained.id}, was done again and has other weights" in told
    assert run(study, "--only", "[is]o*", "--quiet") == 0  # it takes the new one
    assert cells()["soft"].training["weights"] == digest_of(trained.folder / "checkpoint" / "weights.safetensors")
    assert weights(cells()["soft"]) == bytes(content)


def test_what_makes_a_training_stale_makes_all_stale_that_took_it(study, capsys, monkeypatch) -> None:
    assert run(study, "--only", "[is]o*", "--quiet") == 0
    monkeypatch.setitem(formats.FORMATS, "augmentation", 2)
    capsys.readouterr()
    assert main(["status", str(study), "--only", "[is]o*"]) == 0
    assert capsys.readouterr().out.count("STALE    ") == 2
    assert main(["plan", str(study), "--only", "[is]o*"]) == 0
    assert "takes the training of retinanet-slim-iou" in capsys.readouterr().out
    assert run(study, "--only", "[is]o*", "--quiet") == 0
    assert len(list(Path("runs/tiny/stale").iterdir())) == 2
    found = cells()
    assert found["soft"].state == "done" and found["soft"].training["cell"] == found["iou"].id
    capsys.readouterr()
    assert main(["status", str(study), "--only", "[is]o*"]) == 0
    assert "STALE" not in capsys.readouterr().out


def test_a_training_that_diverges_is_told_by_all(study, capsys) -> None:
    assert run(study, *DIVERGES, "--only", "*iou*") == 1
    capsys.readouterr()
    assert run(study, *DIVERGES, "--only", "[is]o*") == 1
    told = capsys.readouterr().out
    found = cells()
    assert {n: r.state for n, r in found.items()} == {"iou": "diverged", "soft": "diverged"}
    assert f"its training is that of {found['iou'].id}, which diverged: step" in found["soft"].reason
    assert told.count("not finite") == 2


def test_the_report_says_who_shares_a_training(study, monkeypatch) -> None:
    from assignbench.report import build_report

    study.write_text(re.sub("analyses: .*", "analyses: [cost]", study.read_text()))
    assert run(study, "--quiet") == 0
    build_report(Path("runs/tiny"))
    page = Path("runs/tiny/report/report.md").read_text().replace("\\", "")
    found = cells()
    assert "3 cells, 2 trainings" in page and f"{found['soft'].id} took that of {found['iou'].id}" in page
    assert "| shared" in page and "| own" in page


def test_a_reading_that_fails_costs_neither_the_others_nor_the_training(study, capsys, monkeypatch) -> None:
    """The cell that is trained for both finds no memory for its test images; a smaller batch takes what was trained."""
    whole = detect.thin_out

    def full(before: Scored, *given: Any) -> Scored:
        if len(before) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(before, *given)

    study.write_text(study.read_text().replace("[iou, {", "[{name: iou, evaluation: {batch: 4}}, {"))
    monkeypatch.setattr(detect, "thin_out", full)
    one = ("--only", "[is]o*", "--set", "evaluation.batch=1")
    assert run(study, *one) == 1
    found = cells()
    assert {n: r.state for n, r in found.items()} == {"iou": "failed", "soft": "done"}
    assert "a smaller evaluation.batch" in found["iou"].reason
    assert found["soft"].training["cell"] == found["iou"].id
    study.write_text(study.read_text().replace("batch: 4", "batch: 2"))
    monkeypatch.setattr(detect, "thin_out", whole)
    shutil.rmtree(found["soft"].folder)
    capsys.readouterr()
    assert main(["plan", str(study), *one]) == 0
    assert capsys.readouterr().out.count(f"takes the training of {found['iou'].id}") == 2
    assert run(study, *one) == 0
    taken = [CellRecord(p.parent) for p in Path("runs/tiny").glob("*/training.json")]
    assert len(taken) == 2 and {r.training["cell"] for r in taken} == {found["iou"].id}
    assert {weights(r) for r in taken} == {weights(found["iou"])}
