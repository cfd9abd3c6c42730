"""What doctor says about a study: profile, pairs, claims, published rows, weights and room, all problems at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from assignbench.cli import main
from assignbench.commands import room


def test_doctor_tells_everything_about_a_sound_study(tiny_study, tmp_path, capsys) -> None:
    sets = ["--set", "tables={mutual_guidance_table1: {retinanet-slim/iou: [1]}}"]
    code = main(["doctor", str(tiny_study), "--out", str(tmp_path / "runs"), *sets])
    told = capsys.readouterr()
    assert code == 0, told.err
    for text in ("train: ", "median side", "below 8 px", "crowded", "classes: ", "claims: 0"):
        assert text in told.out
    assert "  iou: compared with nothing\n" in told.out
    assert "Mutual Guidance, Table 1 (mutual_guidance_table1): 1 of 20 rows of its authors are cells" in told.out
    assert "not subtracted from ours: ours is of shapes" in told.out and "disk: about" in told.out
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


COCO = """\
study: late
answers: what is never reached
cost: nothing
expect: nothing
detectors:
  - {{name: retinanet-slim, schedule: {{milestones: {late}}}}}
  - retinanet1-slim
methods: [iou, {{name: mlc, detectors: [retinanet1-slim], assigner: {{start: {{epochs: {start}}}}}}}]
data:
  name: mine
  kind: coco
  root: {root}
  train: [[instances.json, images]]
  test: [[instances.json, images]]
schedule: {{steps: 9, batch_size: 1, decay: step, milestones: [8]}}
"""


@pytest.mark.parametrize(
    ("late", "start", "told"),
    [
        ("{epochs: [2]}", 2, []),
        (
            "{epochs: [3]}",
            2,
            ["line 6: detectors.0.schedule.milestones: on data set 'mine': 3 epochs is never reached"],
        ),
        ("{epochs: [2]}", 3, ["line 8: methods.1: on data set 'mine': assigner.start: 3 epochs is never reached"]),
        ("{epochs: [4]}", 5, ["4 epochs is never reached", "5 epochs is never reached"]),
    ],
)
def test_every_schedule_of_a_data_set_is_looked_at(coco_folder, tmp_path, capsys, late, start, told) -> None:
    """Three images, nine updates: what the detectors' own schedules and each method name must come."""
    path = tmp_path / "study.yaml"
    path.write_text(COCO.format(late=late, start=start, root=coco_folder))
    code = main(["doctor", str(path), "--out", str(tmp_path / "runs")])
    found = capsys.readouterr().err
    assert code == (2 if told else 0), found
    assert all(text in found for text in told) and found.count("never reached") == len(told)
