"""What the study names to be shown is probed or kept, and what pictures need is recorded, in bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from assignbench.coders import coder_for
from assignbench.config.cell import LocalPaths
from assignbench.config.pictured import Pictured
from assignbench.contract import Context
from assignbench.engine import grids
from assignbench.engine.cell import build_cell
from assignbench.engine.grids import grid_table, shape_table
from assignbench.engine.pictured import EXAMPLES, check_named, example_images, probe_set
from assignbench.engine.run import run_cell
from assignbench.errors import InputError
from assignbench.records import CellRecord
from assignbench.records.check import problems_of
from tests.engine.cells import place, tiny


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """An untrained cell with three priors at a point."""
    config = tiny("musu", "fcos-slim", spec={"priors": {"per_location": 3}})
    return build_cell(tmp_path_factory.mktemp("cell"), config, LocalPaths(), "cpu")


def test_a_named_image_is_probed_beside_the_others_and_its_object_is_shown(cell) -> None:
    standard = probe_set(cell.train, cell.config.data, 2)
    probed = {i for b in standard.batches for i in b.image_ids}
    assert not standard.extra and set(standard.shown.values()) <= {"crowded", "slender", "small", "large"}
    other = next(i for i, r in enumerate(cell.train.images) if r.id not in probed and len(r.ids) > 1)
    record = cell.train.images[other]
    named = probe_set(cell.train, cell.config.data, 2, [Pictured(image=record.name, object=1)])
    assert named.extra == {record.id} and named.shown == {int(record.ids[1]): "named"}
    assert {i for b in named.batches for i in b.image_ids} == probed | {record.id}
    largest = probe_set(cell.train, cell.config.data, 2, [Pictured(image=str(record.id))])
    (shown,) = largest.shown
    sides = record.boxes[:, 2:] - record.boxes[:, :2]
    assert shown == record.ids[sides.prod(axis=1).argmax()]


def test_an_image_or_object_that_is_not_there_is_refused(cell) -> None:
    data, first = cell.config.data, cell.train.images[0]
    check_named(cell.train, cell.test, data, [Pictured(image=first.name)])
    with pytest.raises(InputError, match=r"pictures: no image 'nowhere' in shapes.*name one by file name or id"):
        check_named(cell.train, cell.test, data, [Pictured(image="nowhere")])
    with pytest.raises(InputError, match=rf"'{first.name}' \(train\) has {len(first.ids)} object.*no object 99"):
        check_named(cell.train, cell.test, data, [Pictured(image=first.name, object=99)])


def test_an_object_that_a_test_image_lacks_is_refused(cell) -> None:
    """One that the training split has is looked up there, as it is probed."""
    data, last = cell.config.data, len(cell.test) - 1
    alone = replace(cell.train, images=cell.train.images[:1])
    record, count = cell.test.images[last], len(cell.test.images[last].ids)
    for number in range(count):
        check_named(alone, cell.test, data, [Pictured(image=record.name, object=number)])
    for number in (count, count + 7):
        with pytest.raises(InputError, match=rf"\(test\) has {count} object.*no object {number}"):
            check_named(alone, cell.test, data, [Pictured(image=record.name, object=number)])


def test_named_test_images_are_kept_first_and_telling_ones_follow(cell) -> None:
    kept = example_images(cell.test)
    assert len(kept) == min(EXAMPLES, len(cell.test)) and len(set(kept)) == len(kept)
    last = len(cell.test) - 1
    with_named = example_images(cell.test, [Pictured(image=cell.test.images[last].name)])
    assert with_named[0] == last and len(with_named) <= EXAMPLES + 1


def test_a_grid_holds_every_prior_of_the_level_inside_the_image(cell) -> None:
    probed = probe_set(cell.train, cell.config.data, 3)
    args = (cell.learner.detector, cell.learner.method, probed.batches, Context())
    table = grid_table(*args, probed.shown)
    assert set(table.object_id) == set(probed.shown)
    for _, mine in table.groupby("object_id"):
        stride = mine.stride.iloc[0]
        assert len(mine) == 3 * (64 // stride) ** 2  # of 64 px images
        assert mine.prior.is_unique and mine.level.nunique() == 1


def test_a_grid_is_bounded_and_keeps_what_is_nearest(cell, monkeypatch) -> None:
    probed = probe_set(cell.train, cell.config.data, 3)
    args = (cell.learner.detector, cell.learner.method, probed.batches, Context())
    whole = grid_table(*args, probed.shown)
    monkeypatch.setattr(grids, "MOST_PRIORS", 12)
    cut = grid_table(*args, probed.shown)
    boxes = {
        int(i): box
        for batch in probed.batches
        for i, box in zip(batch.object_ids.flatten(), batch.objects.boxes.flatten(0, 1), strict=True)
    }
    for number, mine in cut.groupby("object_id"):
        box = boxes[int(number)]
        middle = ((box[:2] + box[2:]) / 2).numpy()

        def away(table: pd.DataFrame, middle=middle) -> np.ndarray:
            return np.sort(np.hypot(table.x - middle[0], table.y - middle[1]))

        expected = whole[whole.object_id == number]
        assert len(mine) == min(12, len(expected))
        assert away(mine) == pytest.approx(away(expected)[: len(mine)], abs=1e-3)


@pytest.mark.parametrize("name", ["retinanet-slim", "fcos-slim", "fssd-slim", "rpn-slim", "mg-retinanet-slim"])
def test_shapes_are_what_the_box_layer_says_of_features_that_are_zero(name) -> None:
    """Predicted by the detector itself, with all weights of the box layers zero, in the middle of the level."""
    config = tiny("rpn" if name.startswith("rpn") else "fcos" if name.startswith("fcos") else "iou", name)
    detector = build_cell(None, config, LocalPaths(), "cpu").learner.detector
    with torch.no_grad():
        for layer in detector.head.box_layers:
            layer.weight.zero_()
            layer.bias.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    hw = (128, 128)
    table = shape_table(detector, hw, Context(progress=0.5))
    detector.eval()
    with torch.no_grad():
        priors, predictions = detector(torch.zeros(1, 3, *hw))
    count, starts = priors.anchors_per_location, priors.level_starts()
    assert len(table) == count * len(starts) and set(table.progress) == {0.5}
    for level, mine in table.groupby("level"):
        middle = priors.level_sizes[level] // count // 2 * count + starts[level]
        where = torch.arange(middle, middle + count)
        expected = (predictions.boxes[0, where] - priors.points[where].repeat(1, 2)) / priors.strides[where, None]
        assert mine[["x1", "y1", "x2", "y2"]].to_numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert coder_for(priors) is not None


def test_a_head_of_other_layers_has_no_shapes(cell) -> None:
    detector = cell.learner.detector
    layer = detector.head.box
    detector.head.box = torch.nn.Conv2d(layer.in_channels, 5, 3, padding=1)
    try:
        assert shape_table(detector, (64, 64), Context()).empty
    finally:
        detector.head.box = layer


def test_pictures_change_neither_the_cell_nor_what_analyses_read(cell, tmp_path) -> None:
    """Another image is probed and marked; id, training and all that is counted stay."""
    config = tiny("iou", steps=4)
    plain = CellRecord(place(config, tmp_path / "plain"))
    standard = probe_set(cell.train, config.data, config.probe_images)
    probed = {i for b in standard.batches for i in b.image_ids}
    other = next(r for r in cell.train.images if r.id not in probed and len(r.ids))
    shown = config.model_copy(update={"pictures": (Pictured(image=str(other.id)), Pictured(image="3"))})
    assert shown.id == config.id and shown.training_id == config.training_id
    with_pictures = CellRecord(place(shown, tmp_path / "shown"))
    assert run_cell(plain.folder, "cpu") == run_cell(with_pictures.folder, "cpu") == "done"
    assert problems_of(with_pictures.folder) == []
    pairs = zip(plain.probe_visits(), with_pictures.probe_visits(), strict=True)
    for before, after in pairs:
        table = pd.read_parquet(after)
        assert set(table[table.extra].image_id) == {other.id, 3} - probed  # scene 3 is in both splits
        pd.testing.assert_frame_equal(pd.read_parquet(before), table[~table.extra].reset_index(drop=True))
    assert (with_pictures.folder / "probes" / f"{other.id}.png").is_file()
    assert (with_pictures.folder / "examples" / "3.png").is_file()
    assert plain.table("detections").equals(with_pictures.table("detections"))
