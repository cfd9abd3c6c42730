"""Cost: processor time stands beside the time that passed, and the front only where the shares of both agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from assignbench.analysis import ANALYSES, Result, read_study_record
from assignbench.analysis.cost import OF_MEANS
from assignbench.analysis.verdicts import NOT_COMPARED
from assignbench.records import read_json, write_json
from assignbench.report.tables import result_table
from tests.report.written import write_study


def cost_of(folder: Path, shares: dict[str, float | None]) -> Result:
    """The analysis of a study whose cells had these CPU shares, by method; None: not recorded, as before 0.3."""

    def alter(cell: Path) -> None:
        summary = read_json(cell / "summary.json")
        share = shares[read_json(cell / "config.json")["method"]["name"]]
        if share is None:
            del summary["train_cpu_seconds"]
        else:
            summary["train_cpu_seconds"] = share * summary["train_seconds"]
        write_json(cell / "summary.json", summary)

    write_study(folder, seeds=1, images=4, alter=alter)
    return ANALYSES["cost"].run(read_study_record(folder))[0]


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"iou": 0.98, "mutual_guidance": 0.90, "paa": 0.95}, ""),
        ({"iou": 0.98, "mutual_guidance": 0.87, "paa": 0.95}, "between 87 and 98 per cent"),
        ({"iou": 3.9, "mutual_guidance": 3.6, "paa": 3.8}, ""),  # four threads
        ({"iou": 0.98, "mutual_guidance": None, "paa": 0.95}, "was not recorded"),
    ],
)
def test_the_front_is_drawn_only_where_shares_agree(tmp_path, shares, told) -> None:
    result = cost_of(tmp_path, shares)
    table = result.frame.set_index("method")
    if told:
        assert set(table.pareto) == {NOT_COMPARED}
        assert "No Pareto front for slim on scenes" in result.notes[0] and told in " ".join(result.notes)
        printed = result_table(result)
        assert sum("Pareto" in said for said in printed.said) == 1 and "pareto" not in printed.header
    else:
        assert (
            set(table.pareto) <= {"yes", ""}
            and "yes" in set(table.pareto)
            and [n for n in result.notes if "Pareto" in n] == [OF_MEANS]
        )
    for method, share in shares.items():
        if share is not None:
            assert table.cpu_share[method] == pytest.approx(share)
            assert table.train_cpu_s[method] == pytest.approx(share * table.train_s[method])
    assert (table.assign_ms == 3.0).all() and (table.assign_cpu_ms == 2.9).all()


def altered(folder: Path, changes: dict[str, dict[str, object]]) -> list[Result]:
    """The analysis of a study in which summary.json of a method's cells is changed."""

    def alter(cell: Path) -> None:
        name = read_json(cell / "config.json")["method"]["name"]
        write_json(cell / "summary.json", {**read_json(cell / "summary.json"), **changes.get(name, {})})

    write_study(folder, seeds=1, images=4, alter=alter)
    return ANALYSES["cost"].run(read_study_record(folder))


def test_a_test_image_has_its_own_table_and_front(tmp_path) -> None:
    changes = {m: {"AP": ap} for m, ap in (("iou", 0.5), ("mutual_guidance", 0.6), ("paa", 0.4))}
    training, testing = altered(tmp_path, changes)
    assert (training.key, testing.key) == ("cost", "cost.test")
    table = testing.frame.set_index("method")
    assert table.pareto.to_dict() == {"iou": "yes", "mutual_guidance": "yes", "paa": ""}
    assert table.fps.to_dict() == {"iou": 50.0, "mutual_guidance": 40.0, "paa": 40.0}
    assert (table.parameters_M == 0.3).all() and (table.trained_M == 0.299).all()
    assert testing.notes == (
        OF_MEANS,
        "gflops at 96 x 96 px on scenes (height x width).",
    )
    hours = training.frame.set_index("method")
    assert (hours.train_h == hours.train_s / 3600).all()
    assert training.folded == ("assign_cpu_ms", "criterion_cpu_ms", "train_h")  # it took minutes


def test_what_was_measured_beside_other_load_is_named(tmp_path) -> None:
    training, testing = altered(tmp_path, {"paa": {"fps_cpu_share": 0.5}, "iou": {"train_cpu_seconds": 20.0}})
    assert "Measured beside other load: iou (slim, scenes)." in training.notes
    assert "Measured beside other load: paa (slim, scenes)." in testing.notes
    assert set(testing.frame.pareto) == {NOT_COMPARED}


def test_cells_without_a_speed_have_no_front(tmp_path) -> None:
    gone = {"fps": None, "fps_cpu_share": None}
    testing = altered(tmp_path, {m: gone for m in ("iou", "mutual_guidance", "paa")})[1]
    assert testing.frame.fps.isna().all() and set(testing.frame.pareto) == {NOT_COMPARED}
