"""Named data sets, and how a specification becomes the two splits of a cell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from assignbench.data.augment import Augment
from assignbench.data.base import DetectionData
from assignbench.data.checks import missing_root
from assignbench.data.coco import read_coco
from assignbench.data.shapes import SceneFactors, read_shapes
from assignbench.data.voc import VOC_CLASSES, read_voc
from assignbench.errors import InputError


class DataSpec(BaseModel):
    """A data set as a study sees it. `root` may use ~ and environment variables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["shapes", "voc", "coco"]
    title: str = ""
    obtain: str = ""  # how to get the data, printed when it is missing
    root: str = ""
    # voc: pairs (folder under root, image set), joined · coco: (annotation file, image folder) · shapes: unused
    train: list[tuple[str, str]] = []
    test: list[tuple[str, str]] = []
    classes: list[str] = []
    # shapes: how many scenes of each split
    train_images: int = Field(2000, ge=1)
    test_images: int = Field(250, ge=1)
    scenes_seed: int = 0
    factors: SceneFactors = SceneFactors()
    image_size: int = Field(256, ge=32, le=2048)
    use_difficult: bool = True
    on_bad: Literal["error", "skip"] = "error"
    augment: Augment = Augment()

    def where(self, study_folder: Path) -> Path:
        """The data root: as written if absolute, else under ASSIGNBENCH_DATA if it is there, else by the study file."""
        written = Path(os.path.expandvars(self.root)).expanduser()
        if written.is_absolute():
            return written
        shared = os.environ.get("ASSIGNBENCH_DATA")
        if shared:
            for candidate in (Path(shared).expanduser() / written, Path(shared).expanduser() / written.name):
                if candidate.is_dir():
                    return candidate
        return Path(os.path.normpath(study_folder / written))


def load(spec: DataSpec, split: Literal["train", "test"], root: Path, cache: Path | None = None) -> DetectionData:
    """One split of a data set. Raises InputError for everything that the user has to mend."""
    if spec.kind == "shapes":
        count = spec.train_images if split == "train" else spec.test_images
        return read_shapes(split, count, spec.factors, seed=spec.scenes_seed, cache=cache)
    if not root.is_dir():
        raise missing_root(root, f"data set '{spec.name}'", spec.obtain)
    parts = spec.train if split == "train" else spec.test
    if not parts:
        raise InputError(f"data set '{spec.name}': names no {split} split; set data.{split}")
    if spec.kind == "voc":
        classes = spec.classes or list(VOC_CLASSES)
        return read_voc(root, parts, classes, name=spec.name, on_bad=spec.on_bad)
    if len(parts) != 1:
        raise InputError(f"data set '{spec.name}': coco needs one (annotations, folder) pair for {split}")
    annotations, folder = parts[0]
    return read_coco(root, annotations, folder, name=spec.name, classes=spec.classes or None, on_bad=spec.on_bad)


_CELLS = {"flip": 0.5, "flip_vertical": 0.5, "zoom": 0.25, "colour": 0.2}
_PHOTOS = {"flip": 0.5, "zoom": 0.25, "colour": 0.2}

CATALOG: dict[str, dict[str, Any]] = {
    "shapes": {
        "kind": "shapes",
        "title": "embedded scenes: eight shapes, crowded and slender ones among them",
        "image_size": 128,
        "augment": {"flip": 0.5, "flip_vertical": 0.5},
    },
    "bccd": {
        "kind": "voc",
        "title": "blood cells (BCCD), crowded",
        "root": "bccd-cells",
        "train": [("BCCD", "trainval")],
        "test": [("BCCD", "test")],
        "classes": ["RBC", "WBC", "Platelets"],
        "augment": _CELLS,
    },
    "cplid": {
        "kind": "voc",
        "title": "insulators from the air (CPLID), slender",
        "root": "cplid-insulators",
        "train": [("VOCdevkit/VOC2007", "trainval")],
        "test": [("VOCdevkit/VOC2007", "test")],
        "classes": ["insulator"],
        "augment": _PHOTOS,
    },
    "voc_mini": {
        "kind": "voc",
        "title": "1600 + 600 images of VOC2007 test, split by us (not comparable with published VOC numbers)",
        "root": "voc-mini",
        "train": [("VOCdevkit/VOC2007", "trainval")],
        "test": [("VOCdevkit/VOC2007", "test")],
        "augment": _PHOTOS,
    },
    "voc0712": {
        "kind": "voc",
        "title": "PASCAL VOC 2007+2012 trainval, tested on 2007 test",
        "root": "VOCdevkit",
        "obtain": (
            "Download VOCtrainval_06-Nov-2007.tar, VOCtest_06-Nov-2007.tar and VOCtrainval_11-May-2012.tar from the "
            "PASCAL VOC site (host.robots.ox.ac.uk/pascal/VOC) and unpack all three; they make one VOCdevkit folder."
        ),
        "train": [("VOC2007", "trainval"), ("VOC2012", "trainval")],
        "test": [("VOC2007", "test")],
        "image_size": 320,
        "augment": {"ssd": True},
    },
    "coco_mini": {
        "kind": "coco",
        "title": "343 + 328 images of COCO 2017 at reduced size",
        "root": "coco-mini",
        "train": [("annotations/instances_train2017.json", "train2017")],
        "test": [("annotations/instances_val2017.json", "val2017")],
        "augment": _PHOTOS,
    },
    "coco2017": {
        "kind": "coco",
        "title": "COCO 2017, train2017 and val2017",
        "root": "coco",
        "obtain": "Download train2017, val2017 and annotations_trainval2017 from cocodataset.org, unpack together.",
        "train": [("annotations/instances_train2017.json", "train2017")],
        "test": [("annotations/instances_val2017.json", "val2017")],
        "image_size": 320,
        "augment": {"ssd": True},
    },
}
