"""What doctor says about a study: profile, pairs, claims, published rows, weights and room, all problems at once."""

from __future__ import annotations

from pathlib import Path

from assignbench.cli import main
from assignbench.commands import room


def test_doctor_tells_everything_about_a_sound_study(tiny_study, tmp_path, capsys) -> None:
    sets = ["--set", "published=mutual_guidance_table1"]
    code = main(["doctor", str(tiny_study), "--out", str(tmp_path / "runs"), *sets])
    told = capsys.readouterr()
    assert code == 0, told.err
    for text in ("train: ", "median side", "below 8 px", "crowded", "classes: ", "claims: 0", "published rows: 0 of"):
        assert text in told.out
    assert "  iou: compared with nothing\n" in told.out
    assert "measured on voc0712" in told.out and "disk: about" in told.out
    assert not (tmp_path / "runs").exists()


def test_doctor_tells_all_that_is_wrong_at_once(tiny_study, tmp_path, capsys, monkeypatch) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_text("no weights")
    monkeypatch.setattr(room, "free", lambda folder: 1000)
    study = tmp_path / "study.yaml"
    study.write_text(_with_weights(tiny_study.read_text(), weights))
    code = main(["doctor", str(study), "--out", str(tmp_path / "runs")])
    told = capsys.readouterr().err
    assert code == 2 and "weights.pth" in told and "1 kB are free" in told


def _with_weights(text: str, path: Path) -> str:
    """The study with a detector that starts from a file."""
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("detectors:"))
    return "\n".join([*lines[:place], f"detectors: [{{name: retinanet-slim, weights: {path}}}]", *lines[place + 1 :]])


def test_sizes_are_told_for_people() -> None:
    assert [room.told(n) for n in (999, 1000, 2.5e6, 4e9, 3e12)] == ["999 bytes", "1 kB", "2 MB", "4 GB", "3.0 TB"]
