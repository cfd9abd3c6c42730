"""Every file that a real run leaves fits its schema: tables, JSON lines, JSON; also of imported predictions."""

import json
from pathlib import Path

import pytest

from assignbench.cli import main
from assignbench.records import read_json
from assignbench.records.check import problems_of
from assignbench.records.documents import STUDY
from assignbench.records.schema import TABLES
from tests.conftest import write_voc
from tests.in_process import trained_here

STUDY_FILE = """
study: records
answers: Do the records of every kind of method fit their schema?
cost: seconds
expect: that they do
detectors: [retinanet1-slim, fcos-slim]
methods:
  - {name: mutual_guidance, detectors: [retinanet1-slim]}
  - {name: paa_voting, detectors: [retinanet1-slim]}
  - {name: ltm, detectors: [retinanet1-slim]}
  - {name: musu, detectors: [fcos-slim]}
data:
  - {name: shapes, train_images: 12, test_images: 4}
  - {name: squares, kind: voc, methods: [ltm], root: devkit, train: [[VOC2007, train]], test: [[VOC2007, test]],
     classes: [cat, dog], image_size: 64}
seeds: 1
schedule: {steps: 4, log_every: 2, checkpoint_every: 2, batch_size: 3}
probe_images: 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A study's run folder with one cell per kind of method and one on a data set in files."""
    place = tmp_path_factory.mktemp("run")
    path = place / "records.yaml"
    path.write_text(STUDY_FILE)
    write_voc(place)
    with trained_here():
        assert main(["run", str(path), "--out", str(place / "runs"), "--quiet", "--set", "analyses=[averages]"]) == 0
    return place / "runs" / "records"


def test_every_file_of_a_run_fits(folder) -> None:
    cells = [p.parent for p in sorted(folder.glob("*/config.json"))]
    assert len(cells) == 5
    assert {c.name: problems_of(c) for c in cells} == {c.name: [] for c in cells}
    STUDY.mapping(read_json(folder / "study.json"), "study.json")


@pytest.mark.parametrize("schema", TABLES, ids=lambda s: s.name)
def test_a_run_writes_every_table(folder, schema) -> None:
    assert list(folder.glob("*/" + schema.file.replace("{n}", "*"))), f"no cell wrote {schema.file}"


def test_imported_predictions_fit(tmp_path) -> None:
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 10]}
    truth = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in (7, 8)],
        "annotations": [{"id": 1, "area": 100, "iscrowd": 0, **box}],
        "categories": [{"id": 3, "name": "car"}],
    }
    names = {"truth": truth, "ours": [{**box, "score": 0.9}], "before": [{**box, "cls_score": 0.5, "iou_score": 0.4}]}
    for name, content in names.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    paths = {name: str(tmp_path / f"{name}.json") for name in names}
    given = ["--gt", paths["truth"], "--predictions", paths["ours"], "--candidates", paths["before"]]
    assert main(["analyze", *given, "--out", str(tmp_path / "runs")]) == 0
    (config,) = (tmp_path / "runs").glob("*/*/config.json")
    assert problems_of(config.parent) == []
    STUDY.mapping(read_json(config.parent.parent / "study.json"), "study.json")
