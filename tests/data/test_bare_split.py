"""A test split whose annotations nobody has (COCO's test-dev): it is loaded and detected on, and never measured."""

import json

import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.base import read_study_record
from assignbench.cli import main
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.errors import InputError
from assignbench.records import CellRecord
from assignbench.report.opening import data_notes

STUDY = """\
study: bare
answers: nothing
cost: seconds
expect: nothing
detectors: [retinanet-slim]
methods: [iou]
data: {name: mine, kind: coco, root: ROOT, train: [[instances.json, images]], test: [[info.json, images]],
       size: {short: 64, long: 96}}
schedule: {steps: 2, batch_size: 2, checkpoint_every: 2, probe_visits: 1}
probe_images: 1
"""


@pytest.fixture
def bare_folder(coco_folder):
    """The COCO folder with a file beside it that has images and categories alone."""
    content = json.loads((coco_folder / "instances.json").read_text())
    del content["annotations"]
    (coco_folder / "info.json").write_text(json.dumps(content))
    return coco_folder


def spec(folder, train="instances.json", test="info.json") -> DataSpec:
    pairs = {"train": [(train, "images")], "test": [(test, "images")]}
    return DataSpec(name="mine", kind="coco", root=str(folder), **pairs)


def test_a_bare_file_is_a_test_split(bare_folder) -> None:
    found = load(spec(bare_folder), "test", bare_folder)
    assert not found.annotated and len(found) == 3 and found.classes == ("car", "kite")
    assert load(spec(bare_folder), "train", bare_folder).annotated
    assert load(spec(bare_folder, test="instances.json"), "test", bare_folder).annotated


def test_nothing_is_trained_on_a_bare_file(bare_folder) -> None:
    with pytest.raises(InputError, match=r"info\.json: has no list 'annotations'"):
        load(spec(bare_folder, train="info.json"), "train", bare_folder)


@pytest.mark.parametrize("annotations", [[], 3, None])
def test_a_list_that_is_there_is_read_as_ever(bare_folder, annotations) -> None:
    content = json.loads((bare_folder / "info.json").read_text())
    (bare_folder / "info.json").write_text(json.dumps({**content, "annotations": annotations}))
    with pytest.raises(InputError, match="no list 'annotations'" if annotations != [] else "no object in the 3 images"):
        load(spec(bare_folder), "test", bare_folder)


def test_a_cell_on_a_bare_split_is_detected_on_and_measured_by_nothing(
    bare_folder, tmp_path, capsys, in_process
) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text(STUDY.replace("ROOT", str(bare_folder)))
    assert main(["run", str(path), "--out", str(tmp_path / "runs"), "--quiet"]) == 0, capsys.readouterr()
    (folder,) = (tmp_path / "runs" / "bare").glob("retinanet-slim-*")
    cell = CellRecord(folder)
    assert cell.state == "done" and not cell.measurable
    assert cell.summary["AP"] is None and len(cell.table("detections")) > 0 and not len(cell.table("objects"))
    study = read_study_record(tmp_path / "runs" / "bare")
    assert study.cells and not study.done
    training, testing = ANALYSES["cost"].run(study)  # costs need no annotations
    assert training.frame.AP.isna().all() and training.frame.train_s.gt(0).all()
    assert testing.frame.fps.gt(0).all() and set(testing.frame.pareto) == {""}
    assert any("no annotations" in note and "export" in note for note in data_notes(study))
    assert "not measurable here" in (tmp_path / "runs" / "bare" / "report" / "report.md").read_text()
    capsys.readouterr()
    # Its detections are exported by the ids of the file without annotations, which its server knows.
    assert main(["export", str(folder), "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    sent = json.loads((tmp_path / "out" / "detections.json").read_text())
    asked = json.loads((bare_folder / "info.json").read_text())
    assert len(sent) == len(cell.table("detections"))
    assert {s["image_id"] for s in sent} <= {i["id"] for i in asked["images"]}
    assert {s["category_id"] for s in sent} <= {c["id"] for c in asked["categories"]}
    capsys.readouterr()
    assert main(["compare", str(folder), str(folder), "--out", str(tmp_path / "compared")]) == 2
    assert "has no annotations, so nothing can be compared" in capsys.readouterr().err
