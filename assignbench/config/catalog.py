"""Data sets that a study can name; its own entries may change any field."""

from __future__ import annotations

from typing import Any

_VOC_CLASSES = [
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
]
_CELLS = {"flip": 0.5, "flip_vertical": 0.5, "zoom": 0.25, "colour": 0.2}
_PHOTOS = {"flip": 0.5, "zoom": 0.25, "colour": 0.2}

CATALOG: dict[str, dict[str, Any]] = {
    "shapes": {
        "kind": "shapes",
        "title": "embedded scenes: eight shapes, crowded and slender ones among them",
        "size": 128,
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
        "classes": _VOC_CLASSES,
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
        "classes": _VOC_CLASSES,
        "size": 320,
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
        "size": 320,
        "augment": {"ssd": True},
    },
    # COCO's server knows the annotations of test-dev: what it wants is written by `assignbench export`.
    "coco_testdev": {
        "kind": "coco",
        "title": "COCO 2017, train2017 and test-dev2017, whose annotations are not public",
        "root": "coco",
        "obtain": "As coco2017, with test2017 and image_info_test2017 from cocodataset.org.",
        "train": [("annotations/instances_train2017.json", "train2017")],
        "test": [("annotations/image_info_test-dev2017.json", "test2017")],
        "size": 320,
        "augment": {"ssd": True},
    },
    "sku110k": {
        "kind": "csv",
        "title": "SKU-110K, shelves of goods: one class, about 150 boxes an image",
        "root": "SKU110K_fixed",
        "obtain": "Download SKU110K_fixed from github.com/eg4000/SKU110K_CVPR19 and unpack it.",
        "train": [("annotations/annotations_train.csv", "images")],
        "test": [("annotations/annotations_test.csv", "images")],
        "size": {"short": 800, "long": 1333},
        "augment": {"flip": 0.5},
    },
}
