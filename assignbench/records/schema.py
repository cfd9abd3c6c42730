"""Every file of a cell's folder: its columns or keys with type, unit and meaning.

`store.write_table(path, table, schema)` checks a table against its schema before it is written. The page
docs/records.md is made of this file: `python -m assignbench.records.schema` writes it anew.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from assignbench.records.columns import Column, TableSchema
from assignbench.records.documents import DOCUMENTS, EPOCH
from assignbench.records.page import render

NO_HEAD = "where the method has no quality head"

_IMAGE = Column("image_id", "int", "Id of the image, as its data set gives it.")
_OBJECT = Column("object_id", "int", "Id of the annotation; it is unique in its split.")
_LABEL = Column("label", "int", "Class, counted from 0 in the order of `classes` in environment.json.")
_PRIOR = Column(
    "prior",
    "int",
    "Place of the prior among all priors of its view of the image: by level, then row, column and anchor.",
)
_LEVEL = Column("level", "int", "Feature level of the prior, 0 for the finest.")
_EXTRA = Column(
    "extra",
    "bool",
    "Whether the image is probed only because the study's `pictures` name it: it is shown, and no number counts it.",
    optional=True,
)
_PROGRESS = Column("progress", "float", "Share of the training that is done, between 0 and 1.")


def _corners(meaning: str, prefix: str = "") -> tuple[Column, ...]:
    sides = {"x1": "left edge", "y1": "top edge", "x2": "right edge", "y2": "bottom edge"}
    return tuple(Column(prefix + n, "float", f"{meaning}: {side}.", "px") for n, side in sides.items())


def _scores(quality_missing: str = "") -> tuple[Column, ...]:
    without = "" if quality_missing else " It is 1 without a quality head."
    return (
        Column("cls_score", "float", "Score of the class, after the sigmoid, between 0 and 1."),
        Column("quality_score", "float", f"What the quality head says.{without}", missing=quality_missing),
    )


IMAGES = TableSchema(
    "images",
    "images.parquet",
    "The images of the test split, also those without objects.",
    (
        _IMAGE,
        Column("name", "text", "File name, or the scene's number."),
        Column("width", "int", "Width of the original image.", "px"),
        Column("height", "int", "Height of the original image.", "px"),
    ),
)

OBJECTS = TableSchema(
    "objects",
    "objects.parquet",
    "One row per annotated object of the test split. Boxes are in pixels of the original image. A cell whose "
    "predictions were imported has none of the columns that need the detector.",
    (
        _IMAGE,
        _OBJECT,
        _LABEL,
        *_corners("Annotated box"),
        Column("area", "float", "Area as annotated (COCO: of the mask), in the original image.", "px²"),
        Column("aspect_ratio", "float", "Longer side of the box over its shorter one, at least 1."),
        Column("crowdedness", "float", "Largest IoU with any other object of the image."),
        Column("image_crowdedness", "float", "Largest crowdedness of the image's objects."),
        Column("objects_in_image", "int", "How many objects the image has."),
        Column("crowd", "bool", "Whether the annotation marks a crowd region, which is never counted."),
        Column("difficult", "bool", "Whether the annotation says difficult: neither missed nor matched at a cost."),
        Column(
            "never_found",
            "bool",
            "Imported: whether the annotation's id is 0. pycocotools keeps matches by id and reads 0 as none, so that "
            "nothing finds this object.",
            "",
            True,
        ),
        Column(
            "acentricity", "float", "Embedded scenes: how far the shape's mass lies off its box's centre.", "", True
        ),
        Column("occlusion", "float", "Embedded scenes: share of the shape that others hide.", "", True),
        Column("contrast", "float", "Embedded scenes: colour distance between shape and ground.", "0-255", True),
        Column("num_candidates", "int", "How many candidates (in_jk) the object has.", "", True),
        Column(
            "spearman",
            "float",
            "Rank correlation between ranking score and IoU over the object's candidates.",
            optional=True,
            missing="where there are fewer than two candidates, or one side is constant",
        ),
        Column(
            "spearman_cls",
            "float",
            "The same with the class score alone.",
            optional=True,
            missing="where there are fewer than two candidates, or one side is constant",
        ),
        Column("left_out", "int", "Predictions with IoU 0.1 or more that candidates.parquet leaves out.", "", True),
        Column("close_left_out", "int", "Those of them with IoU 0.5 or more.", "", True),
        Column("best_iou_before", "float", "Largest IoU with a box of its class before NMS, 0 without one.", "", True),
        Column("best_iou_after", "float", "Largest IoU with a box of its class after NMS, 0 without one.", "", True),
    ),
)

DETECTIONS = TableSchema(
    "detections",
    "detections.parquet",
    "The boxes after NMS (and voting), in pixels of the original image: what AP is computed from.",
    (
        _IMAGE,
        _LABEL,
        Column("score", "float", "The final score, by which AP ranks; it is COCO's `score`."),
        *_scores(),
        Column(_PRIOR.name, "int", _PRIOR.meaning, optional=True),
        *_corners("Detected box"),
    ),
)

PRE_NMS = TableSchema(
    "pre_nms",
    "pre_nms.parquet",
    "The boxes above the score floor before NMS, in pixels of the original image.",
    (
        _IMAGE,
        _LABEL,
        Column("ranking_score", "float", "What NMS sorts by: the method's ranking score."),
        *_scores(),
        Column(_PRIOR.name, "int", _PRIOR.meaning, optional=True),
        *_corners("Predicted box"),
    ),
    optional=True,
)

CANDIDATES = TableSchema(
    "candidates",
    "candidates.parquet",
    "Per test object every candidate, and of the predictions with IoU 0.1 or more to it the `evaluation.candidates` "
    "best by IoU and the `evaluation.candidates` best by ranking score, in the first view of the image; the others are "
    "counted in objects.parquet.",
    (
        _IMAGE,
        _OBJECT,
        _PRIOR,
        _LEVEL,
        Column("in_jk", "bool", "Whether the prior is one of the object's candidates J_k (see definitions.md)."),
        Column("ranking_score", "float", "The method's ranking score for the object's class."),
        *_scores(),
        Column("iou", "float", "IoU of the predicted box with the object."),
    ),
    optional=True,
)

ASSIGNMENTS = TableSchema(
    "assignments",
    "assignments.parquet",
    "One row per object of the training batches that were logged: what the assigner gave it. While a cell trains, the "
    "rows lie in parts under assignments/.",
    (
        Column("step", "int", "Training step, counted from 0."),
        EPOCH,
        _IMAGE,
        _OBJECT,
        _LABEL,
        Column("network_area", "float", "Area of the box as the network saw it, after augmentation.", "px²"),
        Column("positives_cls", "int", "Priors that learn to classify the object."),
        Column("positives_box", "int", "Priors that learn its box."),
        Column("positives_both", "int", "Priors that learn both."),
        Column("level{n}_cls", "int", "Of positives_cls, those of feature level n."),
        Column("level{n}_box", "int", "Of positives_box, those of feature level n.", "", True),
        Column("weight_cls", "float", "Mean weight of positives_cls, 0 without one."),
        Column("weight_box", "float", "Mean weight of positives_box, 0 without one.", "", True),
    ),
    optional=True,
)

PROBES = TableSchema(
    "probes",
    "probes/visit-{n}.parquet",
    "A visit to the probe images after step n: per object the priors assigned to it or judged for it, and "
    "the ones that overlap it most. "
    "Boxes are in pixels of the network's input.",
    (
        EPOCH,
        _PROGRESS,
        _IMAGE,
        _OBJECT,
        Column("object", "int", "Place of the object among those of its image."),
        _LABEL,
        _PRIOR,
        _LEVEL,
        *_scores(NO_HEAD),
        Column("iou", "float", "IoU of the current prediction with the object."),
        Column("prior_iou", "float", "IoU of the prior itself with the object."),
        Column("positive_cls", "bool", "Whether the prior learns to classify the object."),
        Column("positive_box", "bool", "Whether the prior learns the object's box."),
        Column("ignored_cls", "bool", "Whether the prior is left out of the classification loss."),
        Column("weight_cls", "float", "Weight of the prior in the classification loss."),
        Column("weight_box", "float", "Weight of the prior in the box loss."),
        Column(
            "loss_cls", "float", "Focal loss of the object's class at this prior, the same formula for all methods."
        ),
        Column("loss_box", "float", "GIoU loss of the prediction, the same formula for all methods."),
        Column("candidate", "bool", "Whether the rule judged the prior for the object (PAA).", "", True),
        Column(
            "rule_loss",
            "float",
            "What the rule judged it by, lower is better (PAA: Eq. 3).",
            optional=True,
            missing="where the assigner says nothing of the prior",
        ),
        *_corners("Prior", "prior_"),
        *_corners("Predicted box"),
        _EXTRA,
    ),
    optional=True,
)

PROBE_OBJECTS = TableSchema(
    "probe_objects",
    "probes/objects-{n}.parquet",
    "One row per probe object of the visit after step n, with what the assigner itself told of it (its diagnostics).",
    (
        EPOCH,
        _PROGRESS,
        _IMAGE,
        _OBJECT,
        Column("object", "int", "Place of the object among those of its image."),
        _LABEL,
        Column("network_area", "float", "Area of the box in the network's input.", "px²", True),
        *(replace(c, optional=True) for c in _corners("Annotated box in the network's input")),
        _EXTRA,
        Column(
            "shown",
            "text",
            "Why the report shows the object: named (by the study's `pictures`), crowded, slender, small or large; "
            "empty for the others.",
            optional=True,
        ),
        Column(
            "{diagnostic}",
            "number",
            "A diagnostic of the assigner with one value per object, or the n-th of several (`name_0`, `name_1`, ...). "
            "PAA gives mixture_weight, mixture_mean and mixture_variance.",
            optional=True,
            missing="where the assigner has none for the object",
        ),
    ),
    optional=True,
)

GRIDS = TableSchema(
    "grids",
    "probes/grid-{n}.parquet",
    "After the last step: every prior of the feature level on which a shown probe object is learned (the level with "
    "most of its positives for classification), at most 20,000 of an object.",
    (
        _IMAGE,
        _OBJECT,
        _PRIOR,
        _LEVEL,
        Column("x", "float", "Point of the prior in the network's input, from the left.", "px"),
        Column("y", "float", "The same from the top.", "px"),
        Column("stride", "float", "Distance between two points of the level.", "px"),
        *_scores(NO_HEAD),
        Column("iou", "float", "IoU of the prediction with the object."),
        Column("positive_cls", "bool", "Whether the prior learns to classify the object."),
        Column("positive_box", "bool", "Whether the prior learns the object's box."),
    ),
    optional=True,
)

BOX_SHAPES = TableSchema(
    "box_shapes",
    "probes/shapes-{n}.parquet",
    "After step n, per feature level and prior of a location: the box that the detector predicts where all features "
    "are zero, which the bias of its box layer alone decides, in strides around the prior's point (MuSu, Fig. 3). "
    "Missing for a head of your own without one bias per prior.",
    (
        _PROGRESS,
        _LEVEL,
        Column("anchor", "int", "Place of the prior among those of its location."),
        Column("stride", "float", "Distance between two points of the level.", "px"),
        *(replace(c, unit="strides") for c in _corners("Box around the point")),
    ),
    optional=True,
)

FORMULAS = TableSchema(
    "formulas",
    "formulas.parquet",
    "Points of the curves or surfaces by which a paper pictures its rule, computed by the code that trains.",
    (
        Column("formula", "text", "Which formula, for instance amplified_iou."),
        Column("curve", "text", "Which curve of it."),
        Column("x", "float", "First argument."),
        Column("y", "float", "Second argument.", missing="where the formula has one argument"),
        Column("value", "float", "Value of the formula."),
    ),
    optional=True,
)

INPUT_FILES = TableSchema(
    "input_files",
    "input_files.parquet",
    "Every file of the data set that the cell was made from; empty for embedded scenes.",
    (
        Column("group", "text", "Split and kind: train or test, annotations or images."),
        Column("file", "text", "Path below the data root."),
        Column("sha256", "text", "Hash of the content; empty for a file that was not there and was left out."),
    ),
    optional=True,
)

TABLES = (
    *(IMAGES, OBJECTS, DETECTIONS, PRE_NMS, CANDIDATES),
    *(ASSIGNMENTS, PROBES, PROBE_OBJECTS, GRIDS, BOX_SHAPES, FORMULAS, INPUT_FILES),
)
SCHEMAS: dict[str, TableSchema] = {s.name: s for s in (*TABLES, *DOCUMENTS)}

# Files without columns; "*" stands for anything.
OTHER_FILES = {
    "config.json": "The cell's configuration, described below.",
    "log.txt": "What the training process printed.",
    "error.txt": "The traceback of a failed cell.",
    "probes/*.png": "The probe images as the network sees them, by image id.",
    "examples/*.png": "Test images for pictures, by image id: those that the study names, and a few others.",
    "assignments/part-*.parquet": "Rows of assignments.parquet, written at each checkpoint.",
    "cache/*": "What reports worked out from these records, and the hashes of the files; free to be removed.",
    "tensorboard/*": "Metrics for TensorBoard, where it is installed; nothing reads them back.",
    "checkpoint/*": "Weights as safetensors; two generations of the state of training, each with its checksums.",
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "records.md"


def page() -> str:
    """The text of docs/records.md."""
    return render(TABLES, DOCUMENTS, OTHER_FILES)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
