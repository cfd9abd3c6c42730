"""Cost: processor time stands beside the time that passed, and the front only where the shares of both agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from assignbench.analysis import ANALYSES, Result, read_study_record
from assignbench.analysis.cost import NOT_COMPARED
from assignbench.records import read_json, write_json
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
    (result,) = ANALYSES["cost"].run(read_study_record(folder))
    return result


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
        assert "no Pareto front for slim on scenes" in result.caption and told in result.caption
    else:
        assert set(table.pareto) <= {"yes", ""} and "yes" in set(table.pareto) and "no Pareto" not in result.caption
    for method, share in shares.items():
        if share is not None:
            assert table.cpu_share[method] == pytest.approx(share)
            assert table.train_cpu_s[method] == pytest.approx(share * table.train_s[method])
    assert (table.assign_ms == 3.0).all() and (table.assign_cpu_ms == 2.9).all()
