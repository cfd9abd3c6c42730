"""What can be said against a study without its methods, and so without torch: names, parts, sizes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assignbench.config import detector as detectors
from assignbench.config.base import Config
from assignbench.config.detector import DetectorConfig
from assignbench.config.evaluation import Evaluation
from assignbench.config.images import AspectSize
from assignbench.config.method import CoderConfig, HeadInit, Nms, Voting
from assignbench.config.recipe import Schedule
from assignbench.config.words import complaints, shown
from assignbench.errors import InputError, nearest
from assignbench.study.places import Place, Study
from assignbench.study.spec import DataEntry, DetectorEntry, MethodEntry, changed

MOST_CELLS = 10_000
COCO_DETECTIONS = 100  # of an image and class, which COCO's AP and AR count
MOST_BYTES = 255  # of a file's name
_PARTS: dict[str, type[Config]] = {"nms": Nms, "voting": Voting, "head_init": HeadInit, "coder": CoderConfig}


def check(study: Study) -> None:
    """Raises InputError, with the place, for what is wrong with a study whatever its methods are."""
    spec = study.spec
    _check_distinct(study)
    for place, entry in enumerate(spec.detectors):
        if ":" not in entry.name:  # nothing of the user's own is imported here, since also `status` reads studies
            detector_of(study, place, entry)
    _check_names(study)  # after the detectors: where one of them has a wrong name, who refers to another is right
    _check_paths(study)
    for data in spec.data:
        for detector in spec.detectors:
            for changing in _changing(study, data, detector):
                _check_size(study, data, detector, changing)
    _check_parts(study, ("method_defaults",), spec.method_defaults)
    for place, method in enumerate(spec.methods):
        _check_parts(study, ("methods", place), method.overrides())
        evaluation_of(study, place, method)
    for count in spec.max_dets[-1:]:
        check_recall(study, count, [m.name for m in spec.methods], study.where("max_dets"))
    _check_pictures(study)
    _check_val(study)
    places = sum(belongs(d, m, data) for d in spec.detectors for data in spec.data for m in spec.methods)
    if not places:
        raise InputError(f"{study.path}: no cell is left: no method goes with a detector and a data set of the study")
    if places * len(spec.seeds) > MOST_CELLS:
        raise InputError(
            f"{study.where('methods')}: the study has {places * len(spec.seeds)} cells (detectors x methods x data x "
            f"seeds); {MOST_CELLS} are the most; make several studies of it"
        )


def _changing(study: Study, data: DataEntry, detector: DetectorEntry) -> list[MethodEntry | None]:
    """Whose changes the schedules of a detector's cells on a data set have: each method's that makes some, and None
    where a method makes none.
    """
    found: list[MethodEntry | None] = []
    for method in (m for m in study.spec.methods if belongs(detector, m, data)):
        if method.schedule:
            found.append(method)
        elif None not in found:
            found.append(None)
    return found


def _check_size(study: Study, data: DataEntry, detector: DetectorEntry, method: MethodEntry | None) -> None:
    """What depends on how many images there are; known without reading any for embedded scenes alone."""
    schedule = schedule_of(study, data, detector, method)
    if data.kind != "shapes":
        return
    own = () if method is None else method.schedule
    written = {*data.schedule, *detector.schedule, *own, *study.spec.schedule.model_fields_set}
    images = schedule.update_size
    if {"batch_size", "accumulate"} & written and images > data.train_images:
        where, of = scheduled_at(study, data, detector, "batch_size", method), f" (accumulate: {schedule.accumulate})"
        told = f"{where} is {schedule.batch_size}{of if schedule.accumulate > 1 else ''}"
        raise InputError(f"{told}, but data set '{data.name}' has train_images: {data.train_images}")
    name, _, late = schedule.unreached(schedule.epoch_steps(data.train_images)).partition(": ")
    if late:
        raise InputError(f"{scheduled_at(study, data, detector, name, method)}: on data set '{data.name}': {late}")


def scheduled_at(
    study: Study, data: DataEntry, detector: DetectorEntry, name: str, method: MethodEntry | None = None
) -> str:
    """Where an entry of their cells' schedule stands: with the method, with the detector, with the data set, or in the
    study's own.
    """
    if method is not None and name in method.schedule:
        return study.where("methods", study.spec.methods.index(method), "schedule", name)
    for part, place, entry in (
        ("detectors", study.spec.detectors.index(detector), detector),
        ("data", study.spec.data.index(data), data),
    ):
        if name in entry.schedule:
            return study.where(part, place, "schedule", name)
    return study.where("schedule", name)


def belongs(detector: DetectorEntry, method: MethodEntry, data: DataEntry) -> bool:
    """Whether neither the method nor the data set is kept to other detectors or methods."""
    allowed = not method.detectors or _is_among(detector, method.detectors)
    allowed = allowed and (not data.detectors or _is_among(detector, data.detectors))
    return allowed and (not data.methods or method.name in data.methods)


def _is_among(detector: DetectorEntry, names: list[str]) -> bool:
    return bool(detector.called & set(names))


def detector_of(study: Study, place: int, entry: DetectorEntry) -> DetectorConfig:
    """The detector that an entry describes. Raises InputError for what is unknown, and imports what is named as
    `module:function`.
    """
    try:
        spec = detectors.resolve(entry.name, entry.spec)
    except InputError as problem:
        raise study.refused(problem, ("detectors", place), below=("spec",)) from None
    name = spec.backbone.name
    if entry.weights == detectors.FROM_TORCHVISION and name not in detectors.PUBLISHED:
        raise InputError(
            f"{study.where('detectors', place, 'weights')} is torchvision, which has no weights of {name}; name a "
            "file, or leave weights out"
        )
    misspelt = get_close_matches(entry.weights.lower(), [detectors.FROM_TORCHVISION], cutoff=0.8)
    if misspelt and entry.weights != detectors.FROM_TORCHVISION:
        where = study.where("detectors", place, "weights")
        told = f"did you mean '{detectors.FROM_TORCHVISION}'? A file is written with its ending, e.g. .pth"
        raise InputError(f"{where} is '{entry.weights}'; {told}")
    return DetectorConfig(name=entry.name, label=entry.shown, spec=spec, weights=Path(entry.weights).name)


def schedule_of(study: Study, data: DataEntry, detector: DetectorEntry, method: MethodEntry | None = None) -> Schedule:
    """The schedule of the study with the data set's changes over it, the detector's over both, and a method's last.

    Raises InputError for what is wrong, and for what would do nothing.
    """
    schedule = study.spec.schedule
    asked = [
        ("data", study.spec.data.index(data), f"data set '{data.name}'", data.schedule),
        ("detectors", study.spec.detectors.index(detector), f"detector '{detector.shown}'", detector.schedule),
    ]
    if method is not None:
        asked += [("methods", study.spec.methods.index(method), f"method '{method.name}'", method.schedule)]
    for part, place, what, change in asked:
        try:
            schedule = changed(schedule, change)
        except ValidationError as problem:
            where = study.where(part, place, "schedule")
            raise InputError(f"{where} of {what}: {complaints(problem, Schedule)}") from None
    for name, needed in schedule.idle().items():
        where = scheduled_at(study, data, detector, name, method)
        raise InputError(f"{where} does nothing without {needed}; set that, or leave {name} out")
    return schedule.model_copy(update={"amp": study.precision}) if schedule.amp == "auto" else schedule


def evaluation_of(study: Study, place: int, method: MethodEntry) -> Evaluation:
    """The evaluation of a method's cells. Raises InputError for what is wrong with its own entries."""
    if not method.evaluation:
        return study.spec.evaluation
    if "split" in method.evaluation:
        why = "all methods of a study are measured on one split; write it under the study's own evaluation"
        raise InputError(f"{study.where('methods', place, 'evaluation', 'split')}: {why}")
    try:
        return Evaluation.model_validate({**study.spec.evaluation.model_dump(), **method.evaluation})
    except ValidationError as problem:
        told = InputError(complaints(problem, Evaluation, at="evaluation"), ("evaluation", *problem.errors()[0]["loc"]))
        raise study.refused(told, ("methods", place)) from None


def _check_seeds(study: Study, tuned: Sequence[int]) -> None:
    """What is chosen with a seed looks better with it than with others: no verdict may rest on it."""
    both = sorted(set(tuned) & set(study.spec.seeds))
    if both:
        told = "the study's verdicts rest on it, so nothing may be chosen with it; name another one"
        raise InputError(f"{study.where('tune', 'seeds')}: seed {both[0]} is one of the study's seeds: {told}")
    if len(set(tuned)) < len(tuned):
        raise InputError(f"{study.where('tune', 'seeds')}: a seed is there twice; keep one of them")


def _check_val(study: Study) -> None:
    """What is measured on the validation split needs one; a sweep also needs seeds of its own."""
    if study.spec.tune is not None:
        _check_seeds(study, study.spec.tune.seeds)
        _check_there(study, ("tune",))
    if study.spec.evaluation.split == "val":
        _check_there(study, ("evaluation", "split"))


def _check_there(study: Study, place: Place) -> None:
    for at, data in enumerate(study.spec.data):
        if data.kind != "shapes" and not data.val:
            raise InputError(
                f"{study.where(*place)} needs a validation split, and data set '{data.name}' has none; "
                f"name one under {study.where('data', at, 'val').rpartition(': ')[2]}, as train and test are"
            )


def check_recall(study: Study, count: int, methods: Sequence[str], where: str) -> None:
    """Raises InputError where AR at `count` detections would be AR at fewer under its name, as no more are kept.

    COCO's own AR100 keeps its name whatever the limit is.
    """
    for place, method in enumerate(study.spec.methods):
        kept = evaluation_of(study, place, method).max_detections
        if method.name in methods and count > max(COCO_DETECTIONS, kept):
            raise InputError(
                f"{where}: AR{count} cannot be measured: of method '{method.name}' {kept} detections of an image are "
                f"kept; set evaluation: {{max_detections: {count}}}, or ask for fewer"
            )


def _check_pictures(study: Study) -> None:
    """Every picture is of a data set that the study has; where it has several, the picture names its own."""
    names = [d.name for d in study.spec.data]
    for place, picture in enumerate(study.spec.pictures):
        if picture.data and picture.data not in names:
            raise InputError(
                f"{study.where('pictures', place, 'data')}: no data set '{picture.data}'{nearest(picture.data, names)}"
            )
        if not picture.data and len(names) > 1:
            raise InputError(
                f"{study.where('pictures', place)}: image '{picture.image}' names no data set, and the study has "
                f"{len(names)}; add data: one of {', '.join(names)}"
            )


def check_sizes(study: Study, detectors: Sequence[DetectorConfig]) -> None:
    """Raises InputError for a detector whose priors hang on the image's size, on images of sizes of their own."""
    spec = study.spec
    for entry, detector in zip(spec.detectors, detectors, strict=True):
        for place, data in enumerate(spec.data):
            mixed = detector.spec.one_size and isinstance(data.data_set().size, AspectSize)
            if mixed and any(belongs(entry, method, data) for method in spec.methods):
                raise InputError(
                    f"{study.where('data', place, 'size')} keeps the aspect of images, but the anchors of detector "
                    f"'{entry.shown}' are clamped to the image, so that all images need one size; set size to one "
                    "side, e.g. size: 320, or spec: {priors: {clamp: false}} of the detector"
                )


def _check_distinct(study: Study) -> None:
    """Names stand in names of files, where `+` becomes `-` and where some systems do not tell case apart."""
    spec = study.spec
    for key, what, names in (
        ("methods", "methods", [m.name for m in spec.methods]),
        ("detectors", "detectors", [d.shown for d in spec.detectors]),
        ("data", "data sets", [d.name for d in spec.data]),
        ("seeds", "seeds", [str(s) for s in spec.seeds]),
        ("analyses", "analyses", spec.analyses),
        ("max_dets", "max_dets", [str(n) for n in spec.max_dets]),
        ("areas", "areas", list(spec.areas)),
        ("presets", "presets", list(spec.presets)),
    ):
        first: dict[str, str] = {}
        for place, name in enumerate(names):
            file = name.casefold().replace("+", "-")
            same = first.get(file)
            first[file] = name
            if same is None:
                continue
            where = study.where(key, name if key in ("areas", "presets") else place)
            if same == name:
                raise InputError(f"{where}: two {what} are called '{name}'; give one another name or a label")
            raise InputError(
                f"{where}: two {what} are called '{same}' and '{name}', which make one file name; rename one"
            )
    if spec.max_dets != sorted(spec.max_dets):
        raise InputError(f"{study.where('max_dets')}: must rise, got {spec.max_dets}")
    for name, (low, high) in spec.areas.items():
        if low >= high:
            where = study.where("areas", name)
            raise InputError(f"{where}: needs two areas in rising order, got {low:g} and {high:g}")


def _check_names(study: Study) -> None:
    """Every detector and method that an entry names must be in the study."""
    spec = study.spec
    known = list(dict.fromkeys(name for d in spec.detectors for name in (d.shown, d.name, *d.stands_for)))
    methods = [m.name for m in spec.methods]
    sets = [d.name for d in spec.data]
    asked = [("data", i, "detectors", "detector", d.detectors, known) for i, d in enumerate(spec.data)]
    asked += [("data", i, "methods", "method", d.methods, methods) for i, d in enumerate(spec.data)]
    asked += [("methods", i, "detectors", "detector", m.detectors, known) for i, m in enumerate(spec.methods)]
    asked += [("claims", i, "data", "data set", c.data, sets) for i, c in enumerate(spec.claims)]
    for part, place, key, kind, names, there in asked:
        for at, name in enumerate(names):
            if name not in there:
                raise InputError(f"{study.where(part, place, key, at)}: no {kind} '{name}'{nearest(name, there)}")


def _check_paths(study: Study) -> None:
    """A path may begin with ~ or ~user; there must be such a user, and no name may be longer than file systems take."""
    written = [("data", i, "root", d.root) for i, d in enumerate(study.spec.data)]
    written += [("detectors", i, "weights", d.weights) for i, d in enumerate(study.spec.detectors)]
    for part, place, key, path in written:
        if any(len(name.encode()) > MOST_BYTES for name in Path(os.path.expandvars(path)).parts):
            told = f"is {shown(path)}: a name in it is longer than {MOST_BYTES} bytes"
            raise InputError(f"{study.where(part, place, key)} {told}; no file is called so")
        try:
            Path(path).expanduser()
        except RuntimeError as problem:
            raise InputError(f"{study.where(part, place, key)} is '{path}': {problem}; write the whole path") from None


def _check_parts(study: Study, place: tuple[str | int, ...], given: Mapping[str, Any]) -> None:
    """The entries of a method that are no assigner and no criterion."""
    for key, model in _PARTS.items():
        value = given.get(key)
        if value is None:
            continue
        try:
            model.model_validate(value if isinstance(value, Mapping) else {"iou": value})
        except ValidationError as problem:
            told = InputError(complaints(problem, model, at=key), (key, *problem.errors()[0]["loc"]))
            raise study.refused(told, place) from None
