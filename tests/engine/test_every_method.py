"""Every preset trains, evaluates and leaves its records on the detectors that it is meant for."""

import pytest

from assignbench.assigners import ASSIGNERS
from assignbench.engine.run import run_cell
from assignbench.methods import PRESETS
from assignbench.records import CellRecord
from assignbench.records.check import problems_of
from tests.engine.cells import detector_for, place, tiny


@pytest.mark.parametrize("name", list(PRESETS))
def test_preset_trains(name, tmp_path) -> None:
    folder = place(tiny(name, detector_for(name), steps=6), tmp_path / "cell")
    state = run_cell(folder, "cpu")
    assert state == "done", (folder / "error.txt").read_text() if state == "failed" else CellRecord(folder).status
    record = CellRecord(folder)
    assert problems_of(folder) == []
    table = record.table("assignments")
    assert len(table) and (table.positives_cls >= 0).all()
    levels = [c for c in table if c.startswith("level") and c.endswith("_box")]
    assert (table[levels].sum(axis=1) == table.positives_box).all()
    assert record.summary["AP"] is not None
    lines = record.metrics()
    terms = [c for c in lines if c.startswith("loss_")]
    assert terms and lines[terms].sum(axis=1).to_numpy() == pytest.approx(lines.loss.to_numpy(), rel=1e-4)


def test_every_registered_assigner_has_a_preset() -> None:
    assert set(ASSIGNERS) == {p.method.assigner.name for p in PRESETS.values()}
