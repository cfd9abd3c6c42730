"""Studies on a machine without their data: `plan` shows all of them, `run` ends with 2 and says how to get it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from assignbench.cli import main
from assignbench.commands.costs import _about
from assignbench.config.words import plain_number
from assignbench.study.reading import read_study

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.yaml"))


def check(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [d for d in read_study(study).spec.data if d.kind != "shapes"]
    out = tmp_path / "runs"
    assert main(["plan", str(study), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.count("not there: ") >= len(sets) and told.count(" in an epoch (") >= len(sets)
    assert ("`assignbench data get" in told) == bool(sets)
    assert "left: about " in told and "disk: about " in told
    if not sets:
        return
    assert main(["run", str(study), "--out", str(out)]) == 2
    problem = capsys.readouterr().err
    assert "`assignbench data get" in problem and problem.count("\n") <= 4
    assert not out.exists()


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(tmp_path / "data"))


def test_a_study_without_its_data(tmp_path, capsys) -> None:
    check(next(s for s in STUDIES if s.stem == "bccd"), tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda s: s.stem)
def test_every_study_without_its_data(study, tmp_path, capsys) -> None:
    check(study, tmp_path, capsys)


def test_a_disk_that_is_too_small_is_warned_of(tiny_study, tmp_path, capsys, monkeypatch) -> None:
    for free, warned in ((1000, True), (10**15, False)):
        monkeypatch.setattr("assignbench.commands.room.free", lambda folder, free=free: free)
        assert main(["plan", str(tiny_study), "--out", str(tmp_path / "runs")]) == 0
        told = capsys.readouterr().out
        assert ("warning: " in told) == warned == ("1 kB are free; make room, name another --out" in told)


@given(st.floats(1e-9, 1e7), st.sampled_from(["hours", "GPU hours"]))
def test_a_time_is_told_plainly_and_never_as_nothing(hours, unit) -> None:
    told = _about(hours, unit)
    found = re.fullmatch(r"(about|<) ([\d,]+(?:\.\d)?) (minutes|hours|GPU hours)", told)
    assert found is not None
    number = float(found[2].replace(",", "")) / (60 if found[3] == "minutes" else 1)
    assert number > 0
    if found[1] == "<":
        assert hours < number
    else:
        assert number == pytest.approx(hours, rel=0.06, abs=0.0501)  # half of the last digit


@given(st.floats(0, 1e12))
def test_a_number_is_told_plainly(value) -> None:
    told = plain_number(value)
    assert re.fullmatch(r"\d[\d,]*(\.\d+)?", told)
    assert float(told.replace(",", "")) == pytest.approx(value, rel=0.006, abs=1e-6)


def test_hours_are_those_of_the_images_and_the_speed(tmp_path, capsys) -> None:
    """Two trainings of 90,000 steps of 16 images: twice LTM's 5.02 hours on eight GPUs."""
    study = tmp_path / "two.yaml"
    study.write_text(
        "study: two\nanswers: what it costs\ncost: see plan\nexpect: nothing\ndetectors: [retinanet-resnet50]\n"
        "methods: [iou, mutual_guidance]\n"
        "data: {name: coco2017, size: {short: 800, long: 1333}, augment: {ssd: false}}\n"
        "seeds: 1\nschedule: {steps: 90000, batch_size: 16, lr: 0.01}\n"
    )
    assert main(["plan", str(study), "--out", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr().out
    assert "left: about 80 GPU hours of a V100, one training at a time (cost table)" in told
    assert told.count("about 40 hours at 9.96 images/s") == 2
    assert "data set coco2017: 118,287 images in an epoch (as known)" in told
    assert "`assignbench data get coco2017` downloads it. (20 GB)" in told
