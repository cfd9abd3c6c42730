"""Every file of a cell's folder: its columns or keys with type, unit and meaning.

`store.write_table(path, table, schema)` checks a table against its schema before it is written. The page
docs/records.md is made of this file: `python -m assignbench.records.schema` writes it anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

from assignbench.records.columns import Column, TableSchema
from assignbench.records.page import render

NO_HEAD = "where the method has no quality head"

_IMAGE = Column("image_id", "int", "Id of the image, as its data set gives it.")
_OBJECT = Column("object_id", "int", "Id of the annotation; it is unique in its split.")
_LABEL = Column("label", "int", "Class, counted from 0 in the order of `classes` in environment.json.")
_PRIOR = Column("prior", "int", "Place of the prior among all priors: by level, then row, column and anchor.")
_LEVEL = Column("level", "int", "Feature level of the prior, 0 for the finest.")
_EPOCH = Column("epoch", "int", "How many times the training split has been gone through, rounded down.")


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
    "Per test object every prediction with IoU 0.1 or more to it, and every candidate; never cut by score.",
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
        _EPOCH,
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
    "A visit to the probe images after step n: per object the priors assigned to it and the ones that overlap it most. "
    "Boxes are in pixels of the network's input.",
    (
        _EPOCH,
        Column("progress", "float", "Share of the training that is done, between 0 and 1."),
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
        *_corners("Prior", "prior_"),
        *_corners("Predicted box"),
    ),
    optional=True,
)

PROBE_OBJECTS = TableSchema(
    "probe_objects",
    "probes/objects-{n}.parquet",
    "One row per probe object of the visit after step n, with what the assigner itself told of it (its diagnostics).",
    (
        _EPOCH,
        Column("progress", "float", "Share of the training that is done, between 0 and 1."),
        _IMAGE,
        _OBJECT,
        Column("object", "int", "Place of the object among those of its image."),
        _LABEL,
        Column("network_area", "float", "Area of the box in the network's input.", "px²", True),
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

INPUTS = TableSchema(
    "inputs",
    "inputs.json",
    "What made the cell's numbers beside config.json, as it was when training began. Where one of these differs now, "
    "the cell is stale: `assignbench run` trains it anew. Imported cells have none.",
    (
        Column("files", "object", "Per group of input_files.parquet the number of files and one hash over all."),
        Column("weights", "object", "Hash of the pretrained weights by the file's name, empty without."),
        Column("sources", "object", "Per assigner or criterion of your own the hashes of its source files."),
        Column("formats", "object", "Per component of AssignBench the making of it (config/formats.py)."),
    ),
    optional=True,
)

METRICS = TableSchema(
    "metrics",
    "metrics.jsonl",
    "One line per logged training step.",
    (
        Column("step", "int", "Training step, counted from 0."),
        _EPOCH,
        Column("loss", "float", "The whole loss: the sum of the terms."),
        Column("loss_{term}", "float", "A term of the loss; which ones there are, the criterion says."),
        Column("grad_norm", "float", "Norm of the gradient before it was clipped."),
        Column("lr", "float", "Learning rate of the head."),
        Column("images_per_second", "float", "Training speed since the line before.", "1/s"),
        Column("assign_ms", "float", "Time of the assigner in this step (CPU only).", "ms", True),
        Column("criterion_ms", "float", "Time of the losses in this step (CPU only).", "ms", True),
    ),
    optional=True,
)

STATUS = TableSchema(
    "status",
    "status.json",
    "Where a cell stands.",
    (
        Column("state", "text", "One of pending, running, done, failed and diverged."),
        Column("step", "int", "Training steps done.", "", True),
        Column("steps", "int", "Training steps of the whole run.", "", True),
        Column("phase", "text", "What it does while it runs: training or evaluating.", "", True),
        Column("pid", "int", "Process that trains it.", "", True),
        Column("host", "text", "Machine that trains it.", "", True),
        Column("heartbeat", "float", "When the process last wrote.", "s since 1970", True),
        Column("reason", "text", "Why it failed or diverged.", "", True),
    ),
)

ENVIRONMENT = TableSchema(
    "environment",
    "environment.json",
    "Where and on what a cell ran. An imported cell has `classes` and `class_agnostic` alone.",
    (
        Column("classes", "list", "Names of the classes; a label is a place in this list."),
        Column("class_agnostic", "bool", "Whether the detector sees one class only; the records keep the true labels."),
        Column("date", "text", "Day on which it ran.", "", True),
        Column("device", "text", "Kind of device: cpu or cuda.", "", True),
        Column("device_name", "text", "Name of processor or GPU.", "", True),
        Column("threads", "int", "Threads of the training process.", "", True),
        Column("python", "text", "Version of Python.", "", True),
        Column("torch", "text", "Version of torch.", "", True),
        Column("torchvision", "text", "Version of torchvision.", "", True),
        Column("data", "object", "Per split: its name, images, objects, fingerprint, and what was skipped.", "", True),
        Column("parameters", "int", "Parameters of the detector.", "", True),
        Column("priors", "object", "Kind, priors per level, strides, and priors per location.", "", True),
        Column("image_size", "int", "Side of the network's input.", "px", True),
    ),
)

_NO_OBJECT = "where no object counts"
SUMMARY = TableSchema(
    "summary",
    "summary.json",
    "Numbers of a finished cell. AP and AR are shares, not per cent; definitions.md says how each is computed.",
    (
        Column("AP", "float", "COCO's AP over IoU 0.50:0.05:0.95.", missing=_NO_OBJECT),
        *(Column(f"AP{t}", "float", f"COCO's AP at IoU 0.{t}.", missing=_NO_OBJECT) for t in (50, 75)),
        *(
            Column(f"{measure}{size}", "float", f"{measure} over {told} objects.", missing=_NO_OBJECT)
            for measure in ("AP", "AR")
            for size, told in (("s", "small (area below 32²)"), ("m", "medium"), ("l", "large (area from 96² on)"))
        ),
        *(
            Column(f"AR{n}", "float", f"COCO's AR with {n} detections per image.", missing=_NO_OBJECT)
            for n in (1, 10, 100)
        ),
        Column("per_class", "object", "AP by the name of the class, null for one without objects."),
        Column("AP07", "float", "VOC data: 11-point AP, mean of ten IoU thresholds.", "", True),
        *(Column(f"AP07_{t}", "float", f"VOC data: 11-point AP at IoU 0.{t}.", "", True) for t in (50, 75)),
        Column("AP50_area", "float", "VOC data: AP at IoU 0.5 by the area under the curve.", "", True),
        Column("train_seconds", "float", "Seconds of training, earlier tries counted in.", "s", True),
        Column(
            "images_per_second",
            "float",
            "Median training speed.",
            "1/s",
            optional=True,
            missing="where fewer than two steps were logged",
        ),
        Column("gflops", "float", "Multiply-adds of one forward pass.", "1e9", True),
        Column(
            "peak_memory_mib", "float", "Peak memory: allocated on the GPU, or resident in the process.", "MiB", True
        ),
        Column("parameters", "int", "Parameters of the detector.", "", True),
        Column("forward_ms_per_image", "float", "Time of the network per test image.", "ms", True),
        Column("postprocess_ms_per_image", "float", "Time of ranking, NMS and voting per test image.", "ms", True),
    ),
)

LOCAL = TableSchema(
    "local",
    "local.json",
    "Where things lie on the machine that trains. It is no part of the cell's identity.",
    (
        Column("root", "text", "Folder of the data."),
        Column("weights", "text", "File of pretrained weights, or empty."),
        Column("cache", "text", "Folder of cached scenes, or empty."),
    ),
    optional=True,
)

DIVERGED = TableSchema(
    "diverged",
    "diverged.json",
    "What was known when a loss stopped being finite.",
    (
        Column("step", "int", "Training step."),
        Column("losses", "object", "The terms of the loss."),
        Column("grad_norm", "float", "Norm of the gradient."),
        Column("image_ids", "list", "The images of the batch."),
    ),
    optional=True,
)

STUDY = TableSchema(
    "study",
    "../study.json",
    "What was asked. It lies beside the cells' folders.",
    (
        Column("study", "text", "Name of the study."),
        Column("title", "text", "Title of its report.", "", True),
        Column("answers", "text", "The question that it answers."),
        Column("expect", "text", "What is expected.", "", True),
        Column("cost", "text", "What it costs to run.", "", True),
        Column("version", "text", "Version of AssignBench that wrote it."),
        Column("cells", "list", "Ids of its cells in the study's order."),
        Column("baselines", "object", "Per method its baseline's name, empty for none.", "", True),
        Column("analyses", "list", "Names of the analyses, empty for all.", "", True),
        Column("claims", "list", "The claims that get a verdict.", "", True),
        Column("areas", "object", "Ranges of area by name, in px².", "", True),
        Column("max_dets", "list", "Detections per image for recall, empty for 1, 10 and 100.", "", True),
        Column("published", "object", "Published numbers.", "", True, missing="where the study names none"),
        Column("notes", "list", "What was left out while reading.", "", True),
        Column("imported", "bool", "Whether the cells are predictions that were read from files.", "", True),
        Column("stale", "list", "Cells made from other inputs than those of now: reasons and ids.", "", True),
        Column("accepted", "list", "Stale cells that --accept-stale kept: reasons and ids.", "", True),
        Column("unchecked", "list", "Inputs that could not be compared, such as data that is not there.", "", True),
    ),
)

TABLES = (
    *(IMAGES, OBJECTS, DETECTIONS, PRE_NMS, CANDIDATES),
    *(ASSIGNMENTS, PROBES, PROBE_OBJECTS, FORMULAS, INPUT_FILES),
)
DOCUMENTS = (METRICS, STATUS, INPUTS, ENVIRONMENT, SUMMARY, LOCAL, DIVERGED, STUDY)
SCHEMAS: dict[str, TableSchema] = {s.name: s for s in (*TABLES, *DOCUMENTS)}

# Files without columns; "*" stands for anything.
OTHER_FILES = {
    "config.json": "The cell's configuration, described below.",
    "log.txt": "What the training process printed.",
    "error.txt": "The traceback of a failed cell.",
    "probes/*.png": "The probe images as the network sees them, by image id.",
    "examples/*.png": "The first test images, by image id, for the report's pictures.",
    "assignments/part-*.parquet": "Rows of assignments.parquet, written at each checkpoint.",
    "checkpoint/*": "Weights as safetensors, and the state of training.",
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "records.md"


def page() -> str:
    """The text of docs/records.md."""
    return render(TABLES, DOCUMENTS, OTHER_FILES)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
