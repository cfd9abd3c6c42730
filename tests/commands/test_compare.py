"""`assignbench compare` of two cells: the report's group rule, what it writes, and cells that cannot be compared."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from assignbench.analysis import ANALYSES, CellData, read_study_record
from assignbench.analysis.groups import group_table
from assignbench.cli import main
from assignbench.commands.compare import group_differences, image_differences
from assignbench.measure.groups import CROWDING, ELONGATION
from assignbench.records import CellRecord, write_json
from tests.report.written import SIDE, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Three methods, one seed."""
    return write_study(tmp_path_factory.mktemp("compared"), seeds=1, images=10)


@pytest.fixture
def cells(study) -> tuple[CellData, CellData]:
    """iou and mutual_guidance."""
    first, second, _ = read_study_record(study).data()
    return first, second


def test_its_groups_are_the_report_s(tmp_path) -> None:
    """One rule: AP of every group equals what the report's tables say of those that hold enough."""
    record = read_study_record(write_study(tmp_path, seeds=1, images=60, least_objects=5))
    table, compared = group_differences(*record.data()[:2]), set()
    for by, grouping in (("crowdedness", CROWDING), ("aspect ratio", ELONGATION)):
        whole = group_table(record, grouping).set_index(["method", "group"])
        told = whole.AP
        mine = table[table.by == by].set_index("group")
        assert len(mine) > 1
        for side, method in (("AP_first", "iou"), ("AP_second", "mutual_guidance")):
            for group, value in mine[side].items():
                if np.isfinite(told[method, group]):
                    compared.add((by, group))
                    assert value == pytest.approx(told[method, group], abs=1e-12)
        for group, row in mine[np.isfinite(mine.low)].iterrows():
            gained = whole.loc[("mutual_guidance", group)]
            assert (row.high - row.low) / 2 == pytest.approx(gained.gain_half, abs=1e-12)
            assert (row.high + row.low) / 2 == pytest.approx(gained.gain, abs=1e-12)
    sizes = ANALYSES["size"].run(record)[0].frame.set_index(["method", "group"]).AP
    areas = table[table.by == "area"].set_index("group")
    assert len(areas) > 1
    for group, row in areas.iterrows():  # COCO's rule in both
        if np.isfinite(sizes["iou", group]):
            compared.add(("area", group))
            assert row.AP_first == pytest.approx(sizes["iou", group], abs=1e-12)
            assert row.AP_second == pytest.approx(sizes["mutual_guidance", group], abs=1e-12)
    assert len({by for by, _ in compared}) == 3 and len(compared) > 5
    whole = table[table.by == "all"].iloc[0]
    averages = ANALYSES["averages"].run(record)[0].frame.query("metric == 'AP'").set_index("method")["mean"]
    assert whole.AP_first == pytest.approx(averages["iou"], abs=1e-9)
    assert whole.AP_second == pytest.approx(averages["mutual_guidance"], abs=1e-9)
    assert (table.difference - (table.AP_second - table.AP_first)).abs().max() < 1e-12
    told = np.isfinite(table.low)
    assert (table.low <= table.high)[told].all() and told[table.by == "all"].all() and 0 < told.sum() < len(told)


def test_a_cell_does_not_differ_from_itself(cells) -> None:
    table = group_differences(cells[0], cells[0])
    assert (table.difference == 0).all()
    assert table[["low", "high"]].isin([0.0, np.nan]).all(axis=None)
    assert (image_differences(cells[0], cells[0]).difference == 0).all()


def test_what_it_writes(cells, tmp_path, capsys) -> None:
    folders = [str(c.cell.folder) for c in cells]
    assert main(["compare", *folders, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "compare.md").read_text()
    assert text.strip() in capsys.readouterr().out.replace("\r", "")
    assert "share of the objects of its class" in text and "| crowdedness | sparse |" in text
    assert set(pd.read_parquet(tmp_path / "out" / "images.parquet").columns) == {
        *("image_id", "name", "first", "second", "difference")
    }
    with Image.open(tmp_path / "out" / "compare.jpg") as sheet:
        assert sheet.width > 300


def test_pictures_come_from_the_named_folder(cells, tmp_path, capsys) -> None:
    folders = [str(c.cell.folder) for c in cells]
    arguments = ["compare", *folders, "--out", str(tmp_path / "out"), "--images", str(tmp_path)]
    assert main(arguments) == 2
    assert "no picture" in capsys.readouterr().err
    for image in range(10):
        Image.fromarray(np.full((SIDE, SIDE, 3), 20 * image, np.uint8)).save(tmp_path / f"{image}.png")
    assert main(arguments) == 0


def test_cells_that_cannot_be_compared(study, cells, tmp_path, capsys) -> None:
    other = write_study(tmp_path / "other", seeds=1, images=6)
    cell = next(p.parent for p in other.glob("*/config.json"))
    assert main(["compare", str(cells[0].cell.folder), str(cell), "--out", str(tmp_path)]) == 2
    assert "different images" in capsys.readouterr().err
    write_json(cell / "status.json", {"state": "failed", "reason": "no luck"})
    assert main(["compare", str(cell), str(cell), "--out", str(tmp_path)]) == 2
    assert "damaged: status.json says 'failed'" in capsys.readouterr().err
    (cell / "manifest.json").unlink()
    assert main(["compare", str(cell), str(cell), "--out", str(tmp_path)]) == 2
    assert "this cell is failed: no luck" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "no"), str(cell), "--out", str(tmp_path)]) == 2
    assert "no such folder" in capsys.readouterr().err
    same = str(cells[0].cell.folder)
    assert main(["compare", same, f"{same}/.", "--out", str(tmp_path)]) == 2
    assert "is compared with itself" in capsys.readouterr().err
    (tmp_path / "taken").write_text("a file")
    pair = [str(c.cell.folder) for c in cells[:2]]
    for more in (
        ["--out", str(tmp_path / "taken")],
        ["--out", pair[0]],
        ["--images", str(tmp_path / "gone"), "--out", str(tmp_path / "o")],
    ):
        assert main(["compare", *pair, *more]) == 2
        assert more[1] in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    assert CellRecord(cells[0].cell.folder).state == "done"
