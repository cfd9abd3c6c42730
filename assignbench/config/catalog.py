"""Data sets that a study can name; its own entries may change any field. Roots are names below the data folder."""

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
        "obtain": "`assignbench data get bccd` downloads it.",
        "train": [("BCCD", "trainval")],
        "test": [("BCCD", "test")],
        "classes": ["RBC", "WBC", "Platelets"],
        "augment": _CELLS,
    },
    "cplid": {
        "kind": "voc",
        "title": "insulators from the air (CPLID), slender",
        "root": "cplid-insulators",
        "obtain": "`assignbench data get cplid` downloads it.",
        "train": [("VOCdevkit/VOC2007", "trainval")],
        "test": [("VOCdevkit/VOC2007", "test")],
        "classes": ["insulator"],
        "augment": _PHOTOS,
    },
    "voc_mini": {
        "kind": "voc",
        "title": "1600 + 600 images of VOC2007 test, split by us (not comparable with published VOC numbers)",
        "root": "voc-mini",
        "obtain": (
            "It was selected for this project and is not published: --data voc2007 runs the study on data that "
            "`assignbench data get voc2007` downloads."
        ),
        "train": [("VOCdevkit/VOC2007", "trainval")],
        "test": [("VOCdevkit/VOC2007", "test")],
        "classes": _VOC_CLASSES,
        "augment": _PHOTOS,
    },
    "voc0712": {
        "kind": "voc",
        "title": "PASCAL VOC 2007+2012 trainval, tested on 2007 test",
        "root": "VOCdevkit",
        "obtain": "`assignbench data get voc0712` downloads it.",
        "train": [("VOC2007", "trainval"), ("VOC2012", "trainval")],
        "test": [("VOC2007", "test")],
        "classes": _VOC_CLASSES,
        "size": 320,
        "augment": {"ssd": True},
    },
    "voc2007": {
        "kind": "voc",
        "title": "PASCAL VOC 2007 trainval, tested on 2007 test",
        "root": "VOCdevkit",
        "obtain": "`assignbench data get voc2007` downloads it.",
        "train": [("VOC2007", "trainval")],
        "test": [("VOC2007", "test")],
        "classes": _VOC_CLASSES,
        "augment": _PHOTOS,
    },
    "voc2012": {
        "kind": "voc",
        "title": "PASCAL VOC 2012 train, tested on 2012 val",
        "root": "VOCdevkit",
        "obtain": "`assignbench data get voc2012` downloads it.",
        "train": [("VOC2012", "train")],
        "test": [("VOC2012", "val")],
        "classes": _VOC_CLASSES,
        "augment": _PHOTOS,
    },
    "pennfudan": {
        "kind": "coco",
        "title": "pedestrians (Penn-Fudan): 170 images, every fourth for testing (the split is ours)",
        "root": "pennfudan",
        "obtain": "`assignbench data get pennfudan` downloads it.",
        "train": [("annotations/train.json", "PNGImages")],
        "test": [("annotations/test.json", "PNGImages")],
        "augment": _PHOTOS,
    },
    "coco_mini": {
        "kind": "coco",
        "title": "343 + 328 images of COCO 2017 at reduced size",
        "root": "coco-mini",
        "obtain": (
            "It was selected for this project and is not published: --data coco2017 runs the study on data that "
            "`assignbench data get coco2017` downloads."
        ),
        "train": [("annotations/instances_train2017.json", "train2017")],
        "test": [("annotations/instances_val2017.json", "val2017")],
        "augment": _PHOTOS,
    },
    "coco2017": {
        "kind": "coco",
        "title": "COCO 2017, train2017 and val2017",
        "root": "coco",
        "obtain": "`assignbench data get coco2017` downloads it.",
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
        "obtain": "`assignbench data get coco2017 coco_testdev` downloads it.",
        "train": [("annotations/instances_train2017.json", "train2017")],
        "test": [("annotations/image_info_test-dev2017.json", "test2017")],
        "size": 320,
        "augment": {"ssd": True},
    },
    "sku110k": {
        "kind": "csv",
        "title": "SKU-110K, shelves of goods: one class, about 150 boxes an image",
        "root": "SKU110K_fixed",
        "obtain": "`assignbench data get sku110k` downloads it.",
        "train": [("annotations/annotations_train.csv", "images")],
        "test": [("annotations/annotations_test.csv", "images")],
        "size": {"short": 800, "long": 1333},
        "augment": {"flip": 0.5},
    },
}

# Images of the training and of the test split, where the data set itself is not there to be counted.
IMAGES: dict[str, tuple[int, int]] = {
    "bccd": (292, 72),
    "cplid": (450, 150),
    "voc_mini": (1600, 600),
    "voc0712": (16_551, 4952),
    "voc2007": (5011, 4952),
    "voc2012": (5717, 5823),
    "pennfudan": (127, 43),
    "coco_mini": (343, 328),
    "coco2017": (118_287, 5000),
    "coco_testdev": (118_287, 20_288),
    "sku110k": (8219, 2936),
}
