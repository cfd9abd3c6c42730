"""Costs, orphans and churn of a cell by hand, and what may not be compared."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.base import CellData
from assignbench.analysis.measures import measured, replicated, why_untestable
from assignbench.analysis.training_measures import TRAINING_MEASURES
from assignbench.records import CellRecord, finish, write_table
from assignbench.records.schema import ASSIGNMENTS, PROBES
from tests.analysis.planted import boxes_table, filled, objects_table, study_of, write_cell

COSTS = {"train_seconds": 7200.0, "fps": 12.5, "parameters": 32_070_000, "gflops": 205.3}
COSTS |= {"train_cpu_seconds": 7000.0, "fps_cpu_share": 0.99}


def trained(folder, method: str = "iou", seed: int = 0, *, device: str = "cpu", **costs: object) -> CellData:
    """A cell whose two objects got (2, 0) and (0, 0) positives by task, whose positives change at the last visit."""
    objects = objects_table([(i, 0, 0.0, 0, 10, 10) for i in range(2)])
    found = boxes_table([(0, 0, 0.0, 0, 10, 10, 0.9)], "score")
    about = {"device": device}
    cell = write_cell(folder, method, seed, objects, found, summary={**COSTS, **costs}, environment=about)
    given = pd.DataFrame({"object_id": [1, 2], "positives_cls": [2, 0], "positives_box": [0, 0]})
    write_table(cell / "assignments.parquet", filled(given, ASSIGNMENTS))
    visits = {0: (0.0, [1, 2], [1]), 1: (0.4, [1, 2], [1]), 2: (1.0, [2, 3], [1])}
    for step, (progress, cls, box) in visits.items():
        table = pd.DataFrame({"object_id": 1, "prior": [1, 2, 3], "progress": progress})
        table = table.assign(positive_cls=table.prior.isin(cls), positive_box=table.prior.isin(box))
        write_table(cell / f"probes/visit-{step:08d}.parquet", filled(table, PROBES))
    finish(cell)
    return CellData(CellRecord(cell))


def test_by_hand(tmp_path) -> None:
    """Half of the classification's positives are new at the only visit of the second half, none of the box's."""
    cell = trained(tmp_path)
    wanted = {"train_hours": 2.0, "fps": 12.5, "parameters": 32_070_000, "gflops": 205.3}
    wanted |= {"orphans_cls": 0.5, "orphans_box": 1.0, "orphans": 0.75, "churn_cls": 0.5, "churn_box": 0.0}
    wanted |= {"churn": 0.25}
    assert {name: measured(cell, name) for name in TRAINING_MEASURES} == pytest.approx(wanted)
    assert all(np.isnan(replicated(cell, name)).all() for name in TRAINING_MEASURES)  # no matter of test images


def test_they_are_what_the_tables_say(tmp_path) -> None:
    cell = trained(tmp_path)
    study = study_of(tmp_path, ("iou",))
    study.about["least_objects"] = 1
    churn = ANALYSES["churn"].run(study)[0].frame.set_index("task").churn
    assert [measured(cell, f"churn_{task}") for task in churn.index] == pytest.approx(churn.tolist())
    orphans = ANALYSES["orphans"].run(study)[0].frame
    told = [np.average(orphans[name], weights=orphans.objects) for name in ("orphans_cls", "orphans_box")]
    assert [measured(cell, "orphans_cls"), measured(cell, "orphans_box")] == pytest.approx(told)


def test_orphans_of_few_objects_have_no_number_and_places_keep_their_order(tmp_path) -> None:
    """Two objects are told of, not averaged; methods stand in the study's order."""
    for method in ("zeta", "alpha"):
        for seed in (0, 1):
            trained(tmp_path, method, seed)
    study = study_of(tmp_path, ("zeta", "alpha"))
    result = ANALYSES["orphans"].run(study)[0]
    frame = result.frame
    assert frame.method.tolist() == ["zeta", "alpha"] and frame.objects.tolist() == [4, 4] and (frame.n == 2).all()
    assert frame[["orphans_cls", "orphans_box", "positives_cls", "disagreement"]].isna().all(axis=None)
    assert result.notes[0].startswith("These sampled objects, all seeds together")
    assert result.notes[1].startswith("No number from fewer than 30 sampled objects (0-16 px of ")
    assert result.notes[1].endswith(": 4).")
    study.about["least_objects"] = 4
    enough = ANALYSES["orphans"].run(study)[0]
    assert enough.frame.orphans_cls.tolist() == [0.5, 0.5] and len(enough.notes) == 1


@pytest.mark.parametrize(
    ("other", "measure", "why"),
    [
        ({}, "train_hours", ""),
        ({}, "fps", ""),
        ({"device": "cuda"}, "train_hours", "ran on 2 kinds of machines"),
        ({"device": "cuda"}, "parameters", ""),
        ({"train_cpu_seconds": 3500.0}, "train_hours", "CPU shares of its cells lie between 49 and 97 per cent"),
        ({"train_cpu_seconds": 3500.0}, "fps", ""),
        ({"fps_cpu_share": 0.5}, "fps", "CPU shares of its cells lie between 50 and 99 per cent"),
        ({"fps_cpu_share": None}, "fps", "the processor time of some cells was not recorded"),
    ],
)
def test_times_of_unlike_machines_or_beside_other_load_are_not_compared(tmp_path, other, measure, why) -> None:
    cells = [trained(tmp_path, "iou"), trained(tmp_path, "mlc", **other)]
    found = why_untestable(cells, measure)
    assert why in found and bool(why) == bool(found)
