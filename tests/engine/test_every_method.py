"""Every preset trains, evaluates and leaves its records on the detectors that it is meant for."""

import pytest
import torch

from assignbench.assigners import ASSIGNERS
from assignbench.engine.trainer import run_cell
from assignbench.methods import PRESETS
from assignbench.records import CellRecord
from assignbench.study.grid import cells_of
from assignbench.study.spec import read_study
from tests.engine.test_training import place

POINTS = {
    "fcos",
    "fcos_plain",
    "fcos_center",
    "musu",
    "musu_p",
    "musu_q",
    "musu_hard",
    "mlc_fcos",
    "ltm_af",
    "autoassign",
}


@pytest.mark.parametrize("name", list(PRESETS))
def test_preset_trains(name, tiny_study, tmp_path) -> None:
    detector = "fcos-slim" if name in POINTS else "rpn-slim" if "rpn" in name else "retinanet-slim"
    sets = [f"methods=[{name}]", f"detectors=[{detector}]", "schedule.steps=6", "method_defaults={}"]
    folder = place(cells_of(read_study(tiny_study, sets=sets))[0], tmp_path / "cell")
    state = run_cell(folder, "cpu")
    assert state == "done", (folder / "error.txt").read_text() if state == "failed" else CellRecord(folder).status
    record = CellRecord(folder)
    table = record.table("assignments")
    assert (table.positives_cls >= 0).all() and len(table)
    assert record.summary["AP"] is not None


def test_musu_starts_from_squares_and_several_anchors_from_drawn_shapes(tiny_study) -> None:
    from assignbench.engine.trainer import build_detector, method_of

    sets = ["methods=[musu]", "detectors=[{name: fcos-slim, parameters: {per_location: 3}}]", "method_defaults={}"]
    cell = cells_of(read_study(tiny_study, sets=sets))[0]
    detector = build_detector(cell.config["detector"], method_of(cell.config["method"]), 8, 0).eval()
    with torch.no_grad():
        priors, predictions = detector(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    sides = (predictions.boxes[0, :, 2:] - predictions.boxes[0, :, :2]) / priors.strides[:, None]
    scale, ratio = sides.prod(-1).sqrt() / 2, sides[:, 0] / sides[:, 1]
    assert ((scale >= 1) & (scale <= 2)).all() and ((ratio >= 0.5) & (ratio <= 2)).all()
    assert len(torch.unique(scale[:3].round(decimals=3))) == 3
    torch.testing.assert_close(scale[:3], scale[3:6])


def test_every_registered_assigner_has_a_preset() -> None:
    assert set(ASSIGNERS) == {m.assigner.name for m in PRESETS.values()}


def test_rpn_learns_one_class_and_the_records_keep_the_true_labels(tiny_study, tmp_path) -> None:
    sets = ["methods=[rpn]", "detectors=[rpn-slim]", "schedule.steps=6", "method_defaults={}"]
    folder = place(cells_of(read_study(tiny_study, sets=sets))[0], tmp_path / "cell")
    assert run_cell(folder, "cpu") == "done"
    record = CellRecord(folder)
    assert record.environment["class_agnostic"] is True
    assert record.table("objects").label.nunique() > 1
    assert set(record.table("detections").label) <= {0}
    assert list(record.summary["per_class"]) == ["object"]
    assert 0 <= record.summary["AR100"] <= 1
