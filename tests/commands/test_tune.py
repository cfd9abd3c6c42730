"""`tune` from the study file to the report: what it trains and chooses, and what `run` takes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from assignbench.cli import main
from assignbench.records import CellRecord, read_about, read_cells, read_json

SWEEP = "tune: {sweep: {schedule.lr: [1.0e-3, 3.0e-3]}}\n"


@pytest.fixture
def swept(tiny_study, monkeypatch, in_process) -> Path:
    """A study of two methods with a sweep over two rates, as the current folder's."""
    tiny_study.write_text(tiny_study.read_text().replace("test_images: 10", "test_images: 10, val_images: 6") + SWEEP)
    monkeypatch.chdir(tiny_study.parent)
    return tiny_study


def test_a_sweep_is_trained_on_val_and_its_choice_taken_and_told(swept, capsys) -> None:
    assert main(["run", swept.name, "--quiet"]) == 2
    assert "nothing has been chosen yet; `assignbench tune" in capsys.readouterr().err
    assert main(["plan", swept.name]) == 0
    assert "sweep: 2 settings for each method, 4 cells; " in capsys.readouterr().out.replace("\n", " ")
    assert not Path("runs").exists()

    assert main(["tune", swept.name, "--quiet", "--only", "*iou*"]) == 1
    assert "2 of 4 cells of the sweep are not done, so nothing was chosen" in capsys.readouterr().out
    assert main(["tune", swept.name, "--quiet"]) == 0
    told = capsys.readouterr().out
    records = read_cells(Path("runs/tiny-tune"))
    assert len(records) == 4 and {r.trained.seed for r in records} == {1000}
    assert {r.environment["data"]["test"]["images"] for r in records} == {6}
    for method in ("iou", "mutual_guidance"):
        ap = {r.trained.schedule.lr: r.summary["AP"] for r in records if r.trained.method.name == method}
        best = max(sorted(ap), key=lambda lr: ap[lr])
        assert f"{method} takes schedule.lr {best}" in told
        assert read_json(Path("runs/tiny-tune/tuned.json"))["chosen"][method] == {"schedule.lr": best}

    # A choice in which the methods differ, so that the page has something to say of it.
    path = Path("runs/tiny-tune/tuned.json")
    content = json.loads(path.read_text())
    content["chosen"] = {"iou": {"schedule.lr": 1.0e-3}, "mutual_guidance": {"schedule.lr": 3.0e-3}}
    path.write_text(json.dumps(content))
    assert main(["run", swept.name, "--quiet"]) == 0
    capsys.readouterr()
    found = {c.trained.method.name: c.trained for c in map(CellRecord, Path("runs/tiny").glob("*-seed0-*"))}
    assert {m: c.schedule.lr for m, c in found.items()} == {"iou": 1.0e-3, "mutual_guidance": 3.0e-3}
    assert {c.evaluation.split for c in found.values()} == {"test"}
    assert read_about(Path("runs/tiny"))["tuned"]["chosen"] == content["chosen"]
    page = Path("runs/tiny/report/report.md").read_text()
    assert "Tuned alike: 2 settings for each method, AP in per cent on the validation split, with seed 1000" in page
    assert "UNFAIR" not in page and "schedule.lr, which a sweep that was the same for each method chose" in page
    assert "took an end of the sweep; a wider one may find more" in page
    assert main(["report", swept.name]) == 0
    assert read_about(Path("runs/tiny"))["tuned"]["chosen"] == content["chosen"]

    capsys.readouterr()
    path.write_text(json.dumps({**content, "chosen": {"iou": {"schedule.lr": 1.0e-3}, "other": {}}}))
    assert main(["run", swept.name, "--quiet"]) == 2
    assert "`assignbench tune` writes it anew" in capsys.readouterr().err


def test_a_study_without_a_sweep_is_told_how_to_write_one(tiny_study, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tiny_study.parent)
    assert main(["tune", tiny_study.name]) == 2
    told = capsys.readouterr().err
    assert "names no sweep; write one under `tune`" in told
    assert yaml.safe_load(told.partition("e.g. ")[2]) == {"tune": {"sweep": {"schedule.lr": [4e-3, 8e-3, 1.6e-2]}}}


def test_what_is_measured_on_val_says_so(tiny_study, monkeypatch, in_process) -> None:
    monkeypatch.chdir(tiny_study.parent)
    changes = ["--set", "evaluation.split=val", "--set", "data.val_images=6", "--set", "methods=[iou]"]
    assert main(["run", tiny_study.name, "--quiet", *changes]) == 0
    page = Path("runs/tiny/report/report.md").read_text()
    assert "Measured on the validation split" in page and ", val split: COCO AP" in page
    assert ", test split" not in page
