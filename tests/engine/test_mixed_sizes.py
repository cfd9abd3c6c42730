"""A cell whose training draws sizes, so that most of its batches are padded: trained, visited, measured."""

import numpy as np
import pytest

from assignbench.engine.run import run_cell
from assignbench.records import CellRecord, read_lines
from tests.engine.cells import place, tiny


@pytest.mark.parametrize(("method", "detector"), [("mutual_guidance", "retinanet-slim"), ("musu", "fcos-slim")])
def test_a_cell_of_drawn_sizes_is_trained_and_measured(method, detector, tmp_path) -> None:
    config = tiny(method, detector)
    size = {"short": {"from": 33, "to": 64}, "long": 96}
    data = type(config.data).model_validate({**config.data.model_dump(), "size": size})
    folder = place(config.model_copy(update={"data": data}), tmp_path / "cell")
    assert run_cell(folder, "cpu") == "done", CellRecord(folder).status
    cell = CellRecord(folder)
    assert cell.trained.data.size == data.size and cell.environment["image_size"] == [64, 96]
    assert all(np.isfinite(line["loss"]) for line in read_lines(folder / "metrics.jsonl"))
    given = cell.table("assignments")
    originals = cell.table("objects").area
    assert given.positives_box.sum() > 0 and given.network_area.max() <= originals.max() * 4
    boxes = cell.table("detections")
    images = cell.table("images").set_index("image_id").loc[boxes.image_id]
    assert len(boxes) and (boxes.x2.to_numpy() <= images.width.to_numpy() + 1e-3).all()
    assert (boxes.y2.to_numpy() <= images.height.to_numpy() + 1e-3).all()
