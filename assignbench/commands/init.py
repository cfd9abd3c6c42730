"""`assignbench init`: from somebody's annotations to a study that runs."""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

import yaml
from rich.console import Console

from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.config.detector import FROM_TORCHVISION, SMALL_BACKBONES, resolve
from assignbench.config.network import DetectorSpec
from assignbench.config.recipes import RECIPES, default_recipe
from assignbench.config.words import plain_number
from assignbench.data.base import DetectionData, grouped
from assignbench.data.catalog import load
from assignbench.data.layout import Layout, absolute, coco_layout, voc_layout
from assignbench.data.profile import profile
from assignbench.errors import InputError
from assignbench.records import write_text
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study

METHODS = {"anchor": ["iou", "atss_plain", "mutual_guidance"], "point": ["fcos_plain", "fcos_center", "simota"]}
# Those of the quick start: a small network that learns for minutes gets further with them.
SMALL_LOSSES = {"focal_alpha": 0.5, "focal_gamma": 1.5, "box": "giou", "box_weight": 2.0}
SEEDS = 3


def initialise(options: argparse.Namespace, console: Console) -> int:
    """Writes a study on a COCO file or a VOC folder, after reading all of its data and checking the study.

    Raises InputError, with nothing left behind, for data that cannot be read and for a file that is there already.
    """
    spec = resolve(options.detector)
    name = _name(options)
    path: Path = options.study or Path(f"{name}.yaml")
    if os.path.lexists(path):
        raise InputError(f"{path}: is there already, and nothing is replaced; name another file with --study")
    if options.weights and options.weights != FROM_TORCHVISION and not absolute(Path(options.weights)).is_file():
        raise InputError(f"--weights {options.weights}: no such file; name one, or {FROM_TORCHVISION}")
    layout = _layout(options, path.parent, name)
    written: list[Path] = []
    try:
        for file, content in layout.files.items():
            written.append(file)
            write_text(file, json.dumps(content))
        entry = _data(name, layout, spec)
        told, images, skipped = _looked_at(entry)
        written.append(path)
        write_text(path, _text(options, spec, entry, images, skipped))
        _check(path)
    except BaseException as problem:
        for file in written:
            file.unlink(missing_ok=True)
        if isinstance(problem, InputError):
            raise InputError(_of_given(str(problem), options, path, layout)) from None
        raise
    for line in (*layout.told, *told):
        console.print(line, markup=False)
    beginning = f"{options.weights}" if options.weights else "random, since no --weights are named"
    console.print(f"detector {options.detector}, backbone: {beginning}", markup=False)
    console.print(f"study: {path}\nnext: assignbench plan {path}, then assignbench run {path}", markup=False)
    return 0


def _of_given(told: str, options: argparse.Namespace, study: Path, layout: Layout) -> str:
    """What is wrong in the words of what was given: the files that it was found in are not there any more."""
    found = re.fullmatch(rf"{re.escape(str(study))}(?:: line \d+)?: (.*)", told, re.DOTALL)
    if found is not None:
        option = f"--methods {options.methods:.200}" if options.methods else "no study was written"
        return f"{option}: {found[1]}"
    source = absolute(options.coco or options.voc)
    for file in layout.files:
        part = f"({file.stem.rpartition('_')[2]} part)"
        told = told.replace(str(file), f"{source} {part}").replace(file.name, f"{source.name} {part}")
    return told if str(source) in told else f"{source}: {told}"


def _name(options: argparse.Namespace) -> str:
    """What study and data set are called: as asked, or after the folder of the data."""
    if options.name:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", options.name):
            raise InputError(f"--name {options.name:.80}: write up to 50 of a-z, 0-9, _ and -, a letter or digit first")
        return str(options.name)
    given = absolute(options.voc or options.coco.parent)
    dull = ("annotations", "train", "labels", "vocdevkit", "images")
    folder = next((p for p in (given, *given.parents) if p.name.lower() not in dull), given)
    found = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")[:40] or "mine"
    return f"my_{found}" if found in CATALOG else found


def _layout(options: argparse.Namespace, beside: Path, name: str) -> Layout:
    if options.voc is not None:
        others = [o for o in ("images", "test", "test_images") if getattr(options, o) is not None]
        if others:
            raise InputError(f"--{others[0].replace('_', '-')} goes with --coco; a VOC folder has its lists of images")
        return voc_layout(options.voc, beside=absolute(beside), name=name)
    return coco_layout(
        options.coco,
        testing=options.test,
        pictures=options.images,
        test_pictures=options.test_images,
        beside=absolute(beside),
        name=name,
    )


def _data(name: str, layout: Layout, spec: DetectorSpec) -> DataSpec:
    """The data set's entry; small networks see squares of 256 px, others the papers' sizes."""
    size: object = {"short": 800, "long": 1333}
    if spec.backbone.name in SMALL_BACKBONES:
        size = 256
    elif spec.one_size:
        size = 320
    content = {"name": name, "kind": layout.kind, "root": str(layout.root), "size": size}
    return DataSpec.model_validate({**content, "train": layout.train, "test": layout.test, "on_bad": "skip"})


def _looked_at(data: DataSpec) -> tuple[list[str], int, int]:
    """What the splits hold, in lines; how many images are trained on; how many problems would be left out.

    Raises InputError for what cannot be read at all, and where most of it would be left out.
    """
    lines, images, skipped = [], 0, 0
    for split in ("train", "test"):
        found = load(data, split, Path(data.root))
        about = profile(found, data.size).lines()
        lines += [f"{split}: {about[0]}", *(f"  {line}" for line in about[1:])]
        lines += [f"  warning: {note}" for note in found.notes]
        lines += [f"  problem: {problem}" for problem in found.skipped[:3]]
        _check_most(found)
        skipped += len(found.skipped)
        images = len(found) if split == "train" else images
        if not found.annotated:
            raise InputError(f"{found.sources[0]}: has no annotations, so nothing can be measured on it; name another")
    if skipped:
        lines.append(
            f"{skipped} problem(s) are left out (on_bad: skip in the study); `assignbench doctor` counts each kind"
        )
    return lines, images, skipped


def _check_most(found: DetectionData) -> None:
    """Raises InputError where more images of a split, or more of its objects, would be left out than kept: then it is
    the files that are wrong, and not some entries of them.
    """
    images = sum(p.image_lost for p in found.skipped)
    objects, kept = len(found.skipped) - images, sum(len(i.boxes) for i in found.images)
    for lost, there, what in ((images, len(found), "images"), (objects, kept, "objects")):
        if lost > there:
            told = "\n  ".join((*found.notes, *grouped(found.skipped)))
            raise InputError(f"{found.sources[0]}: {lost} of {lost + there} {what} would be left out\n  {told}")


def _text(options: argparse.Namespace, spec: DetectorSpec, data: DataSpec, images: int, skipped: int) -> str:
    """The study's file."""
    weights = str(options.weights or "")
    if weights and weights != FROM_TORCHVISION:
        weights = str(absolute(Path(weights)))
    recipe = RECIPES[default_recipe(spec, weights=bool(weights))]
    schedule = {**recipe.schedule, "batch_size": min(int(recipe.schedule["batch_size"]), images)}
    epochs = schedule.get("epochs", schedule.get("steps", 0) * schedule["batch_size"] / images)
    methods = options.methods.split(",") if options.methods else METHODS[spec.priors.kind]
    detector: object = {"name": options.detector, "weights": weights} if weights else options.detector
    lines = [
        "# Written by `assignbench init`; every line may be changed. `assignbench plan` says what it would do.",
        f"study: {data.name}",
        f"detectors: {_flow([detector])}",
    ]
    if not weights:
        lines.append("# backbone: random. A pretrained one learns more from few images: {name: ..., weights: FILE}")
    lines.append(f"methods: {_flow(methods)}")
    if spec.backbone.name in SMALL_BACKBONES and not options.methods:
        lines += ["method_defaults:  # the same losses for all of them", f"  criterion: {_flow(SMALL_LOSSES)}"]
    lines += ["data:", *(f"  {key}: {_flow(value)}" for key, value in _entry(data).items())]
    if skipped:
        lines.append(f"  on_bad: skip  # {skipped} problem(s) of the annotations are left out and counted")
    lines += [
        f"seeds: {options.seeds or SEEDS}  # with fewer than three, no difference is called real",
        f"schedule: {_flow(schedule)}  # {plain_number(epochs)} epochs of {images:,} images",
    ]
    return "\n".join(lines) + "\n"


def _entry(data: DataSpec) -> dict[str, object]:
    held = data.model_dump(mode="json")
    return {key: held[key] for key in ("name", "kind", "root", "train", "test", "size")}


def _flow(value: object) -> str:
    """A value as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _check(path: Path) -> None:
    """Reads the study as `plan` does. Raises InputError, e.g. for methods that do not work on the detector."""
    from assignbench import methods

    cells_of(read_study(path), methods)
