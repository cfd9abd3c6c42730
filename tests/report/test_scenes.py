"""What pictures show: objects by their marks, regions inside the image, enlargement, heat maps, courses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import read_study_record
from assignbench.records import finish, read_json, write_json
from assignbench.report.courses import moving, still
from assignbench.report.drawing import CELLS, corners, heat_of_boxes
from assignbench.report.hues import looks
from assignbench.report.samples import assignment_pictures, detection_pictures, example_files, lost_and_gained
from assignbench.report.scenes import (
    DPI,
    ENLARGED,
    LARGE,
    MOST_METHODS,
    SMALL,
    first_seed,
    panel_side,
    region_of,
    scenes,
    shown_objects,
)
from tests.report.written import METHODS, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three methods, one seed."""
    return read_study_record(write_study(tmp_path_factory.mktemp("s"), seeds=1, images=8))


def test_the_marked_objects_are_shown_with_their_boxes_and_classes(study) -> None:
    (scene,) = scenes(study)
    assert [o.why for o in scene.objects] == ["crowded", "slender", "small", "large"]
    assert all(o.annotated and o.name in ("disc", "bar", "cross") for o in scene.objects)
    crowded = scene.objects[0]
    assert crowded.title == f"crowded: {crowded.name}, image {crowded.image_id}" and crowded.others
    assert scene.pixels(crowded.image_id).ndim == 3 and not scene.note
    assert scene.boxes.startswith(" The dashed box is the object")


def marked(cell, change) -> None:
    """Writes the last table of probe objects anew."""
    path = sorted((cell.folder / "probes").glob("objects-*.parquet"))[-1]
    change(pd.read_parquet(path)).to_parquet(path)


def test_named_objects_come_first_and_old_records_show_the_largest(tmp_path) -> None:
    study = read_study_record(write_study(tmp_path, seeds=1, images=6, methods={"iou": METHODS["iou"]}))
    (cell,) = study.done
    wanted = 0

    def name(table: pd.DataFrame) -> pd.DataFrame:
        nonlocal wanted
        wanted = int(table[table.shown == ""].object_id.iloc[0])
        return table.assign(shown=np.where(table.object_id == wanted, "named", table.shown))

    marked(cell, name)
    first = shown_objects(cell)[0]
    assert first.object_id == wanted and first.why == "" and first.title == f"{first.name}, image {first.image_id}"
    marked(cell, lambda table: table.drop(columns=["shown", "extra", "x1", "y1", "x2", "y2"]))
    (old,) = shown_objects(cell)
    assert not old.annotated
    (scene,) = scenes(study)
    assert "hold no annotated boxes" in scene.boxes and "dashed" not in scene.boxes


def test_more_methods_than_there_is_room_for_are_named(tmp_path) -> None:
    methods = {f"iou_{k}": METHODS["iou"].model_copy(update={"name": f"iou_{k}"}) for k in range(MOST_METHODS + 2)}
    study = read_study_record(write_study(tmp_path, seeds=1, images=4, methods=methods))
    (scene,) = scenes(study)
    assert len(scene.drawn) == MOST_METHODS and scene.note.endswith(f"iou_{MOST_METHODS}, iou_{MOST_METHODS + 1}.")


@pytest.mark.parametrize("seed", range(20))
def test_a_region_holds_its_object_and_lies_in_the_image(seed) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(40, 400, 2)
    corner = rng.uniform(0, [width - 5, height - 5])
    box = (*corner, *(corner + rng.uniform(2, [width - corner[0], height - corner[1]])))
    x1, y1, x2, y2 = region_of(box, height, width)
    assert 0 <= x1 <= box[0] and box[2] <= x2 <= width and 0 <= y1 <= box[1] and box[3] <= y2 <= height


def test_small_scenes_are_enlarged_threefold() -> None:
    for side in (20, 60, 100, 128):
        inches = panel_side([(0, 0, side, side)])
        assert inches * DPI / side >= ENLARGED - 1e-9 and SMALL <= inches <= LARGE
    assert panel_side([(0, 0, 900, 700)]) == LARGE and panel_side([]) == SMALL


def test_heat_of_boxes_by_hand() -> None:
    """Two boxes over a square of 64 px: the left half once, the top half twice as much."""
    heat = heat_of_boxes(np.array([[0, 0, 32, 64], [0, 0, 64, 32.0]]), np.array([1.0, 2.0]), (0, 0, 64, 64))
    assert heat.shape == (CELLS, CELLS)
    assert (heat[0, 0], heat[0, -1], heat[-1, 0], heat[-1, -1]) == (3.0, 2.0, 1.0, 0.0)
    assert heat_of_boxes(np.zeros((0, 4)), np.zeros(0), (0, 0, 10, 5)).shape == (CELLS // 2, CELLS)
    assert corners(np.array([[1, 2, 3, 4.0]])).tolist() == [[[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]]


def course(values: dict[str, list[float]]) -> pd.DataFrame:
    keys = {"data": "d", "detector": "x", "curve": "box"}
    return pd.DataFrame(
        [
            {**keys, "method": m, "progress": i / 2, "churn": v}
            for m, all_of in values.items()
            for i, v in enumerate(all_of)
        ]
    )


def test_a_curve_that_stays_becomes_a_sentence() -> None:
    table = course({"still": [0.25, 0.25, 0.25], "moves": [0.1, 0.2, 0.3], "zero": [0.0, 0.0, 0.0]})
    assert set(moving(table, "churn").method) == {"moves"}
    told = still(table, ["still", "moves", "zero"], "churn", "per cent", 100)
    assert told == " Not drawn, since they stay where they are: at 25 per cent still (box); at 0 per cent zero (box)."
    assert still(course({"moves": [0, 1]}), ["moves"], "churn", "") == ""


@pytest.mark.parametrize("seed", range(20))
def test_a_curve_is_drawn_or_told_of_and_never_both(seed) -> None:
    """Each curve by itself, wherever the others of its method move; a sentence names no method twice."""
    rng = np.random.default_rng(seed)
    tables, still_ones = [], set()
    for detector in ("x", "y"):
        for curve in ("cls", "box"):
            moves = {m: bool(rng.random() < 0.5) for m in ("a", "b", "c")}
            values = {m: [0.5, 0.5 + 0.2 * moves[m], 0.5] for m in moves}
            tables.append(course(values).assign(curve=curve, detector=detector))
            still_ones |= {(detector, m, curve) for m in moves if not moves[m]}
    table = pd.concat(tables, ignore_index=True)
    drawn = set(moving(table, "churn")[["detector", "method", "curve"]].itertuples(index=False, name=None))
    everything = set(table[["detector", "method", "curve"]].itertuples(index=False, name=None))
    assert drawn == everything - still_ones
    told = still(table, ["a", "b", "c"], "churn", "per cent", 100)
    assert bool(told) == bool(still_ones) and told.count("at 50 per cent") == bool(still_ones)
    if all({(d, m, c) for d in ("x", "y")} <= still_ones for _, m, c in still_ones):
        assert " on d" not in told  # the same at every place


def test_each_method_is_compared_with_its_baseline_once(study) -> None:
    with looks(study.methods):
        names = [d.name for d in lost_and_gained(study)]
        assert names == ["gained-paa-scenes-slim", "gained-mutual_guidance-scenes-slim"]  # none is claimed of: the last
        assert [d.name for d in assignment_pictures(study)] == [*names, "assignment-scenes-slim"]
        drawn = detection_pictures(study)
    assert drawn[0].name == "detections-scenes-slim"
    assert all(d.photo_of == "scenes" and (d.figure is not None or d.told) for d in drawn)


def test_example_images_are_the_named_and_the_telling_ones(tmp_path) -> None:
    folder = write_study(tmp_path, seeds=1, images=8, methods={"iou": METHODS["iou"]})
    write_json(folder / "study.json", {**read_json(folder / "study.json"), "pictures": [{"image": "3", "data": ""}]})
    study = read_study_record(folder)
    ((cell,),) = first_seed(study).values()
    files = example_files(study, cell)
    assert files[0].stem == "3" and len({f.stem for f in files}) == len(files)


def test_nothing_sure_becomes_a_sentence(tmp_path) -> None:
    study = read_study_record(write_study(tmp_path, seeds=1, images=6))
    for cell in study.done:
        path = cell.folder / "detections.parquet"
        table = pd.read_parquet(path)
        table.assign(score=table.score * 0.5).to_parquet(path)
        finish(cell.folder, step=100, steps=100)
    drawn = [d for d in detection_pictures(read_study_record(study.folder)) if d.name.startswith("confident")]
    assert drawn and all(d.figure is None and "above a score of 0.7" in d.told for d in drawn)
