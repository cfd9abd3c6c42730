"""The pictures that a study names are looked for by doctor and run where the data is, before anything trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from assignbench.cli import main
from assignbench.commands.pictured import wrong_pictures
from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.study.reading import read_study

STUDY = """\
study: pictured
detectors: [retinanet-slim]
methods: [iou]
data:
  name: mine
  kind: coco
  root: {root}
  train: [[train.json, images]]
  test: [[test.json, images]]
  size: 64
schedule: {{steps: 2, batch_size: 2, probe_visits: 1}}
probe_images: 1
analyses: [averages]
pictures: {pictures}
"""


@pytest.fixture
def folder(coco_folder) -> Path:
    """Images 0.png and 1.png to train on (one object each that is taught), 2.png with two objects to test on."""
    content = json.loads((coco_folder / "instances.json").read_text())
    box = {"category_id": 3, "iscrowd": 0, "area": 100.0}
    extra = [{"id": 7 + i, "image_id": 12, "bbox": [2 + 20 * i, 5, 10, 10], **box} for i in range(2)]
    for split, own in (("train", (10, 11)), ("test", (12,))):
        part = {
            "images": [i for i in content["images"] if i["id"] in own],
            "annotations": [a for a in (*content["annotations"], *extra) if a["image_id"] in own],
            "categories": content["categories"],
        }
        (coco_folder / f"{split}.json").write_text(json.dumps(part))
    return coco_folder


def written(folder: Path, path: Path, *pictures: dict[str, object]) -> Path:
    path.write_text(
        STUDY.format(
            root=folder, pictures=yaml.safe_dump(list(pictures), default_flow_style=True, width=10_000).strip()
        )
    )
    return path


WRONG = [
    ({"image": "gone.png"}, "no image 'gone.png' in "),
    ({"image": "1.jpg"}, "did you mean '1.png'?"),
    ({"image": "0", "object": 1}, "has 1 object that training uses, so there is no object 1; they are counted from 0"),
    ({"image": "2.png", "object": 2}, "has 2 objects that training uses, so there is no object 2"),
]


@pytest.mark.parametrize("command", ["doctor", "run"])
def test_what_is_wrong_is_said_before_anything_trains(folder, tmp_path, capsys, command) -> None:
    study = written(folder, tmp_path / "study.yaml", *(picture for picture, _ in WRONG))
    assert main(["plan", str(study), "--out", str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    assert main([command, str(study), "--out", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    lines = told.strip().splitlines()
    assert len(lines) == len(WRONG)
    for place, (line, (_, said)) in enumerate(zip(lines, WRONG, strict=True)):
        assert f"{study}: line 14: pictures.{place}: " in line and said in line
    assert not (tmp_path / "runs").exists()


def test_scenes_are_looked_through_too(tiny_study, tmp_path, capsys) -> None:
    sets = ["--set", "pictures=[{image: scene99999}]", "--out", str(tmp_path / "runs")]
    for command in ("doctor", "run"):
        assert main([command, str(tiny_study), *sets]) == 2
        assert "--set pictures=" in (told := capsys.readouterr().err) and "no image 'scene99999'" in told
    assert not list((tmp_path / "runs").glob("*/*/config.json"))


def test_probe_images_are_named_by_id_name_and_stem(folder, tmp_path, capsys, in_process) -> None:
    study = written(folder, tmp_path / "study.yaml", {"image": "1.png"}, {"image": "2.png", "object": 1})
    assert main(["doctor", str(study), "--out", str(tmp_path / "runs")]) == 0
    assert main(["run", str(study), "--out", str(tmp_path / "runs"), "--quiet"]) == 0
    cell = str(next((tmp_path / "runs").glob("*/*/config.json")).parent)
    picture = ["--picture", str(tmp_path / "a.png")]
    for wanted in ("1.png", "1", "11"):
        capsys.readouterr()
        assert main(["show", "maps", cell, "--image", wanted, *picture]) == 0
        assert "training image 11, object 0" in capsys.readouterr().out
    assert main(["show", "detections", cell, "--image", "2", *picture]) == 0
    assert "test image 12 (2.png): objects" in capsys.readouterr().out
    for wanted, said in (("2.png", "is a test image"), ("nowhere", "11 (1.png)")):
        assert main(["show", "scores", cell, "--image", wanted, *picture]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
    (folder / "train.json").unlink()  # ids are in the records; names are in the data alone
    assert main(["show", "maps", cell, "--image", "11", *picture]) == 0
    assert main(["show", "maps", cell, "--image", "1.png", *picture]) == 2


def split_of(counts: list[int], first: int, split: str) -> DetectionData:
    """Images with so many objects of 10 px, called after their ids, which start at `first`."""
    images = []
    for place, count in enumerate(counts):
        boxes = np.tile(np.array([[0.0, 0, 10, 10]], np.float32), (count, 1))
        none = np.zeros(count, np.bool_)
        ids = np.arange(count, dtype=np.int64) + 100 * place
        number = first + place
        labels = np.zeros(count, np.int64)
        about = (boxes, labels, none, none.copy(), np.full(count, 100, np.float32), ids)
        images.append(ImageRecord(number, f"{number}.png", 64, 64, *about))
    return DetectionData("mine", split, ("a",), images, lambda index: np.zeros((64, 64, 3), np.uint8))


COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(COUNTS, COUNTS, st.integers(0, 12), st.none() | st.integers(0, 6))
def test_exactly_what_is_not_there_is_refused(folder, tmp_path, train, test, image, wanted) -> None:
    """A training image needs the object, or any; a test image the object alone if one is named."""
    entry = {"image": f"{image}.png"} | ({} if wanted is None else {"object": wanted})
    study = read_study(written(folder, tmp_path / "study.yaml", entry))
    spec: DataSpec = study.spec.data[0]
    splits = split_of(train, 0, "train"), split_of(test, len(train), "test")
    counts = [*train, *test]
    there = image < len(counts)
    sound = there and (counts[image] > (wanted or 0) or (wanted is None and image >= len(train)))
    assert (wrong_pictures(study, spec, *splits) == []) == sound
