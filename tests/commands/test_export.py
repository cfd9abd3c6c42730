"""`assignbench export`: what it writes fits its annotations, gives the cell's numbers, and needs no AssignBench."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.numpy import save_file

from assignbench.cli import main
from assignbench.commands import analyze as analyze_command, export as export_command
from assignbench.config.evaluation import Evaluation
from assignbench.data.catalog import load
from assignbench.engine.run import run_cell
from assignbench.measure.coco import COCO_NAMES, coco_ground_truth, coco_results
from assignbench.records import CellRecord, read_json, write_json
from assignbench.records.files import digest_of
from assignbench.records.identity import read_inputs, write_inputs
from tests.engine.cells import place, tiny
from tests.measure.reference import coco_evaluate
from tests.report.written import CLASSES, METHODS, SIDE, write_study

IDS = {"disc": 90, "bar": 3, "cross": 17}  # of the annotation file, in another order than the classes
Alter = Callable[[Path], None]


def edit(path: Path, **changes: Any) -> None:
    """A JSON file with other entries."""
    write_json(path, {**read_json(path), **changes})


def written(folder: Path, *alterations: Alter) -> Path:
    """A finished cell, altered before it was finished."""

    def alter(cell: Path) -> None:
        weights = {"detector.head.cls.bias": np.arange(3, dtype=np.float32), "criterion.mean": np.zeros(2, np.float32)}
        (cell / "checkpoint").mkdir()
        save_file(weights, cell / "checkpoint" / "weights.safetensors")
        for one in alterations:
            one(cell)

    write_study(folder, seeds=1, images=12, methods={"iou": METHODS["iou"]}, alter=alter)
    (cell,) = (p.parent for p in folder.glob("*/config.json"))
    return cell.rename(cell.with_name(CellRecord(cell).own_id))  # of the configuration that it has now


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Alter:
    """An alteration of one table."""

    def alter(cell: Path) -> None:
        change(pd.read_parquet(cell / f"{name}.parquet")).to_parquet(cell / f"{name}.parquet", index=False)

    return alter


def as_coco(cell: Path) -> None:
    """The cell becomes one of COCO data, whose file lies beside the study and has other ids."""
    data = {**read_json(cell / "config.json")["data"], "kind": "coco"}
    data |= {"train": [["train.json", "train"]], "test": [["ann/test.json", "test"]]}
    edit(cell / "config.json", data=data)
    root = cell.parent.parent / "data"
    (root / "ann").mkdir(parents=True)
    record = CellRecord(cell)
    truth = coco_ground_truth(record.table("images"), record.table("objects"), CLASSES)
    for image in truth["images"]:
        image["file_name"] = f"{image['id']}.png"
    for entry in truth["annotations"]:
        entry["category_id"] = IDS[CLASSES[entry["category_id"] - 1]]
    truth["categories"] = [{"id": number, "name": name} for name, number in IDS.items()]
    (root / "ann" / "test.json").write_text(json.dumps(truth))
    write_json(cell / "local.json", {"root": str(root), "weights": "", "cache": ""})
    listing = {"test annotations": {"ann/test.json": digest_of(root / "ann" / "test.json")}}
    from assignbench.config.inputs import file_sets

    inputs = read_inputs(cell).model_copy(update={"files": file_sets(listing)})  # type: ignore[arg-type]
    write_inputs(cell, inputs, listing)  # type: ignore[arg-type]


def kind(name: str) -> Alter:
    """The cell becomes one of another kind of data."""
    return lambda cell: edit(
        cell / "config.json", data={**read_json(cell / "config.json")["data"], "kind": name, "test": [["a", "b"]]}
    )


def one_class(cell: Path) -> None:
    """The detector sees one class alone; the objects keep theirs."""
    edit(cell / "environment.json", class_agnostic=True)
    table("detections", lambda t: t.assign(label=0))(cell)


def some(column: str, every: int) -> Alter:
    """Every so many objects are marked."""
    return table("objects", lambda t: t.assign(**{column: np.arange(len(t)) % every == 0}))


def numbers_of(cell: Path) -> dict[str, float]:
    """The twelve numbers as a cell's evaluation computes them."""
    record = CellRecord(cell)
    about, objects = record.environment, record.table("objects")
    agnostic = about["class_agnostic"]
    judged = objects.assign(label=0) if agnostic else objects
    truth = coco_ground_truth(record.table("images"), judged, ["object"] if agnostic else about["classes"])
    return coco_evaluate(truth, coco_results(record.table("detections")))


def analyzed(truth: Path, detections: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `analyze` makes of a result file: the summary of its cell."""
    monkeypatch.setattr(analyze_command, "build_report", lambda folder, tell=None, say=None: folder / "report")
    arguments = ["analyze", "--gt", str(truth), "--predictions", str(detections), "--out", str(folder)]
    assert main(arguments) == 0
    (path,) = folder.glob("analyze-*/imported-*/summary.json")
    return read_json(path)


def export(cell: Path, out: Path, *more: str) -> int:
    return main(["export", str(cell), "--out", str(out), *more])


OTHER_KINDS: dict[str, tuple[Alter, ...]] = {
    "shapes": (),
    "voc": (kind("voc"), some("difficult", 5)),
    "csv": (kind("csv"), some("crowd", 7)),
    "one class": (one_class,),
    "one class of coco": (as_coco, one_class),
    "nothing found": (table("detections", lambda t: t.iloc[:0]),),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_other_data_come_with_the_annotations_that_they_fit(name, tmp_path, monkeypatch, capsys) -> None:
    cell, out = written(tmp_path / "study", *OTHER_KINDS[name]), tmp_path / "out"
    assert export(cell, out) == 0
    assert sorted(p.name for p in out.iterdir()) == ["annotations.json", "detections.json", "weights.safetensors"]
    told = capsys.readouterr().out
    assert f"they fit: {out / 'annotations.json'}" in told
    assert ("pycocotools by itself counts them" in told) == (name == "voc")
    found = analyzed(out / "annotations.json", out / "detections.json", tmp_path / "runs", monkeypatch)
    for key, value in numbers_of(cell).items():
        if key in COCO_NAMES:
            assert found[key] == pytest.approx(value, abs=1e-9), key
    categories = json.loads((out / "annotations.json").read_text())["categories"]
    names = ["object"] if "one class" in name else CLASSES
    assert categories == [{"id": n, "name": c} for n, c in enumerate(names, start=1)]
    assert found["AP"] == 0 if name == "nothing found" else 0.2 < found["AP"] < 0.95


def test_coco_data_keep_the_ids_of_their_file(tmp_path, monkeypatch, capsys) -> None:
    cell, out = written(tmp_path / "study", as_coco), tmp_path / "out"
    truth = tmp_path / "data" / "ann" / "test.json"
    assert export(cell, out) == 0
    told = capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["detections.json", "weights.safetensors"]
    assert f"they fit: {truth}" in told and "note:" not in told
    rows, table = json.loads((out / "detections.json").read_text()), CellRecord(cell).table("detections")
    assert [r["category_id"] for r in rows] == [IDS[CLASSES[label]] for label in table.label]
    assert [r["image_id"] for r in rows] == table.image_id.tolist()
    expected = numbers_of(cell)
    found = analyzed(truth, out / "detections.json", tmp_path / "runs", monkeypatch)
    for key in COCO_NAMES:
        assert found[key] == pytest.approx(expected[key], abs=1e-9), key
    official = COCO(str(truth))
    judge = COCOeval(official, official.loadRes(str(out / "detections.json")), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    wanted = [-1 if expected[key] is None else expected[key] for key in COCO_NAMES]
    assert judge.stats == pytest.approx(wanted, abs=1e-12)


def test_the_annotation_file_of_coco_data_must_be_the_one_that_was_used(tmp_path, capsys) -> None:
    cell, truth = written(tmp_path / "study", as_coco), tmp_path / "data" / "ann" / "test.json"
    moved = shutil.move(tmp_path / "data", tmp_path / "moved")
    assert export(cell, tmp_path / "out") == 2
    assert str(truth) in capsys.readouterr().err
    assert export(cell, tmp_path / "out", "--root", str(moved)) == 0
    content = json.loads((moved / "ann" / "test.json").read_text())
    content["annotations"].pop()
    (moved / "ann" / "test.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert export(cell, tmp_path / "again", "--root", str(moved)) == 2
    assert "has changed since" in capsys.readouterr().err and not (tmp_path / "again").exists()


def test_what_the_file_holds_beyond_the_cell_is_noted(tmp_path, capsys) -> None:
    cell = written(tmp_path / "study", as_coco, table("images", lambda t: t.iloc[1:]))
    assert export(cell, tmp_path / "out") == 0
    assert "test.json holds 1 images left out of the test split" in capsys.readouterr().out


def test_the_weights_are_readable_without_assignbench(tmp_path) -> None:
    cell, out = written(tmp_path / "study"), tmp_path / "out"
    assert export(cell, out) == 0
    content = (out / "weights.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])
    about = head.pop("__metadata__")
    assert set(head) == {"head.cls.bias", "criterion.mean"}
    first, last = head["head.cls.bias"]["data_offsets"]
    values = np.frombuffer(content[8 + size :][first:last], np.float32)
    assert values.tolist() == [0, 1, 2]
    config = CellRecord(cell).trained
    assert json.loads(about["classes"]) == CLASSES and about["cell"] == cell.name and about["format"] == "pt"
    assert json.loads(about["detector"]) == config.detector.model_dump(mode="json")
    assert json.loads(about["method"]) == config.method.model_dump(mode="json")
    assert json.loads(about["data"])["size"] == SIDE and "root" not in json.loads(about["data"])
    assert json.loads(about["class_agnostic"]) is False


SPOILT: dict[str, tuple[tuple[Alter, ...], str]] = {
    "label": ((table("detections", lambda t: t.assign(label=7)),), "labels of no class"),
    "number": ((table("detections", lambda t: t.assign(score=np.inf)),), "not finite"),
    "column": ((table("detections", lambda t: t.drop(columns="score")),), "score"),
    "classes": ((lambda cell: edit(cell / "environment.json", classes=7),), "environment.json"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_records_are_refused(name, tmp_path, capsys) -> None:
    alterations, told = SPOILT[name]
    assert export(written(tmp_path / "study", *alterations), tmp_path / "out") == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_only_finished_cells_are_exported_and_nothing_of_others_is_replaced(tmp_path, capsys, monkeypatch) -> None:
    cell, out = written(tmp_path / "study"), tmp_path / "out"
    assert export(tmp_path / "nowhere", out) == 2
    assert export(cell, cell) == 2
    assert "holds other files" in capsys.readouterr().err
    assert export(cell, out, "--images", "list.json") == 2
    assert "--images needs --root" in capsys.readouterr().err
    for more in (["--root", str(tmp_path)], ["--device", "cpu"]):
        assert export(cell, out, *more) == 2
        assert f"{more[0]} does nothing" in capsys.readouterr().err
    assert export(cell, out) == 0
    before = (out / "detections.json").read_bytes()

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(export_command, "write_bytes", full)
        assert export(cell, out) == 1 and export(cell, tmp_path / "new") == 1
    assert (out / "detections.json").read_bytes() == before and not (tmp_path / "new").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "study"]
    assert export(cell, out) == 0  # its own files are written again
    (cell / "detections.parquet").write_bytes(b"")
    capsys.readouterr()
    assert export(cell, out) == 2
    assert "damaged" in capsys.readouterr().err
    (cell / "manifest.json").unlink()
    write_json(cell / "status.json", {"state": "running"})
    assert export(cell, out) == 2
    assert "only finished cells" in capsys.readouterr().err


def test_a_link_stays_a_link_and_the_current_folder_where_it_is(tmp_path, capsys, monkeypatch) -> None:
    cell = written(tmp_path / "study")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert export(cell, tmp_path / "link") == 0
    assert (tmp_path / "link").is_symlink() and len(list((tmp_path / "there").iterdir())) == 3
    with monkeypatch.context() as moved:
        moved.chdir(tmp_path / "here")
        assert export(cell, Path()) == 2
    assert "is the current folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A cell that was trained for two steps and detects much."""
    config = tiny("iou", steps=2, probe_visits=0).model_copy(
        update={"evaluation": Evaluation(floor=0.001, max_detections=20), "probe_images": 0}
    )
    folder = place(config, tmp_path_factory.mktemp("trained") / config.id)
    assert run_cell(folder, "cpu") == "done", CellRecord(folder).reason
    return folder


def test_images_without_annotations_get_their_detections(trained, tmp_path, capsys) -> None:
    """The pictures of the test split as a list of their own: the detections are those of the cell's evaluation."""
    record = CellRecord(trained)
    data = load(record.trained.data, "test", Path())
    (tmp_path / "pictures").mkdir()
    content: dict[str, Any] = {"images": [], "categories": []}
    for place_of, image in enumerate(data.images):
        Image.fromarray(data.read(place_of)).save(tmp_path / "pictures" / f"{image.id}.png")
        size = {"width": image.width, "height": image.height}
        content["images"].append({"id": image.id, "file_name": f"{image.id}.png", **size})
    ids = {name: 40 - 7 * n for n, name in enumerate(data.classes)}
    content["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    listed, more = tmp_path / "image_info.json", ["--root", str(tmp_path / "pictures"), "--device", "cpu"]
    listed.write_text(json.dumps(content))
    assert export(trained, tmp_path / "out", "--images", str(listed), *more) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["detections.json", "weights.safetensors"]
    rows, expected = json.loads((tmp_path / "out" / "detections.json").read_text()), record.table("detections")
    assert len(rows) == len(expected) > 20
    assert [r["image_id"] for r in rows] == expected.image_id.tolist()
    assert [r["category_id"] for r in rows] == [ids[data.classes[label]] for label in expected.label]
    boxes = expected[["x1", "y1", "x2", "y2"]].to_numpy(float, copy=True)
    boxes[:, 2:] -= boxes[:, :2]
    np.testing.assert_allclose([r["bbox"] for r in rows], boxes, atol=1e-4)
    np.testing.assert_allclose([r["score"] for r in rows], expected.score, atol=1e-6)
    # What is missing is told, all at once and before anything is detected.
    (tmp_path / "pictures" / f"{data.images[3].id}.png").unlink()
    capsys.readouterr()
    assert export(trained, tmp_path / "gone", "--images", str(listed), *more) == 2
    assert "image file is missing" in capsys.readouterr().err
    content["categories"].pop()
    listed.write_text(json.dumps({**content, "images": content["images"][:2]}))
    assert export(trained, tmp_path / "gone", "--images", str(listed), *more) == 2
    assert f"has no category '{data.classes[-1]}'" in capsys.readouterr().err
    listed.write_text("[]")
    assert export(trained, tmp_path / "gone", "--images", str(listed), *more) == 2
    assert "has no list 'images'" in capsys.readouterr().err and not (tmp_path / "gone").exists()
