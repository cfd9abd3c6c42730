"""Fixtures: shared data where it is at hand, tiny data sets that the tests make themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from assignbench.report import page, saving
from tests.in_process import trained_here

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDEN = SHARED / "golden"
SUBSET = ROOT / "tests" / "golden"  # the vectors of our own making, for a clone without ../shared

torch.set_num_threads(1)
# No limit of time, since machines are busy; the same examples in every run, so that a failure can be looked at.
settings.register_profile("assignbench", deadline=None, derandomize=True, database=None)
settings.load_profile("assignbench")


def golden(pattern: str) -> list[object]:
    """The golden files of a family, of ../shared or of the clone's subset; or one skipped case that says why."""
    found = sorted(GOLDEN.glob(pattern)) or sorted(SUBSET.glob(pattern))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no golden vectors at ../shared/golden/{pattern}"))]
    return [pytest.param(path, id=path.stem) for path in found]


@pytest.fixture
def in_process() -> Iterator[None]:
    """`assignbench run` trains its cells in this process."""
    with trained_here():
        yield


@pytest.fixture(scope="module")
def figures_of_pages() -> Iterator[None]:
    """Figures are saved as a page shows them; the kinds for print, which other tests look at, take half of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "DRAWING", (".svg",))
        patch.setattr(saving, "PHOTO", (".jpg",))
        yield


@pytest.fixture(scope="module")
def words_of_pages() -> Iterator[None]:
    """Pages without figures, which take most of their time: for tests that look at the words alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page.Target, "drawn", lambda self, key, draw: [])
        yield


@pytest.fixture
def shared_data() -> Path:
    """../shared/data, or a skip."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no ../shared/data")
    return SHARED / "data"


XML = """<annotation><size><width>{w}</width><height>{h}</height><depth>3</depth></size>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>
<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"""


@pytest.fixture
def voc_folder(tmp_path: Path) -> Path:
    """A VOC folder of the test's own to break."""
    return write_voc(tmp_path)


def write_voc(folder: Path) -> Path:
    """A VOC folder with four images of 64x48 px and one square each."""
    base = folder / "devkit" / "VOC2007"
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (base / part).mkdir(parents=True)
    names = [f"{i:06d}" for i in range(1, 5)]
    rng = np.random.default_rng(0)
    for i, name in enumerate(names):
        pixels = rng.integers(0, 90, (48, 64, 3)).astype(np.uint8)
        pixels[10:30, 8 + i : 28 + i] = 230
        Image.fromarray(pixels).save(base / "JPEGImages" / f"{name}.jpg", quality=95)
        write_voc_xml(base, name, [("cat" if i % 2 else "dog", 9 + i, 11, 28 + i, 30)])
    (base / "ImageSets/Main/train.txt").write_text("\n".join(names[:3]) + "\n")
    (base / "ImageSets/Main/test.txt").write_text(names[3] + "\n")
    return base.parent


def write_voc_xml(
    base: Path, name: str, objects: list[tuple[str, int, int, int, int]], size: tuple[int, int] = (64, 48)
) -> None:
    """One annotation file; boxes are 1-based inclusive pixels."""
    parts = [OBJECT.format(name=n, difficult=0, x1=a, y1=b, x2=c, y2=d) for n, a, b, c, d in objects]
    text = XML.format(w=size[0], h=size[1], objects="".join(parts))
    (base / "Annotations" / f"{name}.xml").write_text(text)


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """A COCO folder: three images, sparse category ids, one crowd region, one image without objects."""
    root = tmp_path / "coco"
    (root / "images").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(np.full((40, 50, 3), 60 * i, np.uint8)).save(root / "images" / f"{i}.png")
    box = {"iscrowd": 0, "area": 100.0}
    content = {
        "images": [{"id": 10 + i, "file_name": f"{i}.png", "width": 50, "height": 40} for i in range(3)],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 90, "bbox": [5, 5, 10, 10], **box},
            {"id": 2, "image_id": 11, "category_id": 3, "bbox": [0, 0, 20, 30], **box},
            {"id": 3, "image_id": 11, "category_id": 3, "bbox": [1, 1, 48, 38], "iscrowd": 1, "area": 1800.0},
        ],
        "categories": [{"id": 90, "name": "kite"}, {"id": 3, "name": "car"}],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return root


WHOLE = """\
study: tiny
answers: whether a study runs
cost: seconds
expect: nothing
detectors: [retinanet-slim]
methods: [iou, mutual_guidance]
method_defaults:
  criterion: {box: giou, box_weight: 2.0}
data: {name: shapes, image_size: 64, factors: {image_size: 64, max_size: 40}, train_images: 24, test_images: 10}
seeds: 1
schedule: {steps: 8, batch_size: 4, lr: 1.0e-3, log_every: 2, checkpoint_every: 4, probe_visits: 2}
probe_images: 2
"""
# Whose report takes seconds: for tests that look at something else.
STUDY = WHOLE + "analyses: [averages, differences, claims]\n"


@pytest.fixture
def tiny_study(tmp_path: Path) -> Path:
    """A study that trains two methods for eight steps."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    return path
