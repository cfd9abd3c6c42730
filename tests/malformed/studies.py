"""Studies with one thing wrong: every field with every wrong value, names, compositions, options and YAML itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.malformed.fields import (
    Field,
    Place,
    Raw,
    choice,
    flag,
    listing,
    mapping,
    number,
    renderings,
    text,
    whole,
    wrong,
)
from tests.malformed.harness import Case, Need

SOUND: dict[str, Any] = {
    "study": "corpus",
    "title": "A sound study",
    "answers": "nothing",
    "cost": "nothing",
    "expect": "nothing",
    "detectors": [
        {"name": "retinanet-slim", "label": "slim", "spec": {"head": {"depth": 1, "norm": "bn"}, "neck": {"width": 32}}}
    ],
    "methods": [
        "iou",
        {
            "name": "guided",
            "preset": "mutual_guidance",
            "baseline": "iou",
            "detectors": ["slim"],
            "assigner": {"name": "mutual_guidance", "sigma": 2.5, "positive": 0.6, "forced": True},
            "criterion": {"focal_alpha": 0.3, "focal_gamma": 1.5, "box": "giou", "box_weight": 2.0},
            "nms": {"kind": "standard", "iou": 0.6},
            "head_init": {"prior_prob": 0.02, "zero_box": True, "box_bias": 0.1},
            "coder": {"stds": [0.1, 0.2]},
        },
        {
            "name": "with_quality",
            "preset": "paa",
            "quality": "iou",
            "ranking": "sqrt(cls*quality)",
            "floor_on": "ranking",
            "voting": {"sigma": 0.03, "by": "score"},
            "head_init": {"quality_prob": 0.4},
        },
    ],
    "data": {
        "name": "shapes",
        "title": "scenes",
        "size": {"short": [32, 64], "long": 128},
        "pixels": {"mean": [102.9, 115.9, 122.7], "std": [1.0, 1.0, 1.0], "order": "bgr"},
        "min_side": 2,
        "train_images": 24,
        "test_images": 10,
        "scenes_seed": 1,
        "factors": {"image_size": 64, "max_size": 40, "min_size": 12, "crowding": 0.3, "occluders": 1, "contrast": 80},
        "augment": {"flip": 0.5, "zoom": 0.1, "colour": 0.1},
    },
    "seeds": [0, 1],
    "schedule": {
        "steps": 8,
        "batch_size": 4,
        "optimizer": "sgd",
        "lr": 0.001,
        "backbone_lr": 0.5,
        "weight_decay": 0.0001,
        "momentum": 0.8,
        "warmup": 0.1,
        "decay": "step",
        "milestones": [0.5, 0.8],
        "clip_grad": 5.0,
        "amp": "none",
        "threads": 1,
        "loader_workers": 0,
        "log_every": 2,
        "checkpoint_every": 4,
        "probe_visits": 2,
    },
    "evaluation": {
        "floor": 0.02,
        "pre_nms": 500,
        "pre_nms_per": "image",
        "max_detections": 50,
        "batch": 4,
        "test_scales": [64, 96],
        "test_flip": False,
        "fuse": "voting",
        "candidates": 20,
    },
    "probe_images": 2,
    "pictures": [{"image": "3", "object": 0, "data": "shapes"}],
    "analyses": ["averages"],
    "claims": [{"claim": "guided > iou on AP", "paper": "none", "published": "+1.0", "data": ["shapes"]}],
    "areas": {"tiny": [0, 256], "rest": [256, 100000]},
    "max_dets": [1, 10],
    "presets": {"short": {"schedule": {"steps": 4}}},
}

_M, _Q = ("methods", 1), ("methods", 2)
FIELDS: tuple[Field, ...] = (
    text("study"),
    text("title"),
    text("answers"),
    text("cost"),
    text("expect"),
    text("published"),
    listing("detectors"),
    text("detectors", 0, "name"),
    text("detectors", 0, "label"),
    text("detectors", 0, "weights"),
    mapping("detectors", 0, "spec"),
    mapping("detectors", 0, "spec", "head", empty=True),
    whole("detectors", 0, "spec", "head", "depth", low=0, high=8),
    choice("detectors", 0, "spec", "head", "norm", options=("none", "bn", "gn")),
    whole("detectors", 0, "spec", "neck", "width", low=1),
    listing("methods"),
    text(*_M, "name"),
    text(*_M, "preset"),
    text(*_M, "baseline"),
    listing(*_M, "detectors"),
    mapping(*_M, "assigner", also=(str,)),
    text(*_M, "assigner", "name"),
    number(*_M, "assigner", "sigma", low=1, open="low"),
    number(*_M, "assigner", "positive", low=0, high=1, open="low"),
    flag(*_M, "assigner", "forced"),
    mapping(*_M, "criterion", also=(str,)),
    number(*_M, "criterion", "focal_alpha", low=0, high=1),
    number(*_M, "criterion", "focal_gamma", low=0),
    choice(*_M, "criterion", "box", options=("giou", "iou", "smooth_l1")),
    number(*_M, "criterion", "box_weight", low=0),
    mapping(*_M, "nms", also=(int,)),
    number(*_M, "nms", "iou", low=0, high=1, open="low high"),
    choice(*_M, "nms", "kind", options=("standard", "soft", "none")),
    mapping(*_M, "head_init"),
    number(*_M, "head_init", "prior_prob", low=0, high=1, open="low high"),
    flag(*_M, "head_init", "zero_box"),
    number(*_M, "head_init", "box_bias"),
    mapping(*_M, "coder"),
    listing(*_M, "coder", "stds"),
    number(*_M, "coder", "stds", 0, low=0, open="low"),
    choice(*_Q, "quality", options=("iou", "centerness"), empty=True),
    choice(*_Q, "ranking", options=("cls*quality", "quality")),
    choice(*_Q, "floor_on", options=("cls", "ranking")),
    mapping(*_Q, "voting", empty=True),
    number(*_Q, "voting", "sigma", low=0, open="low"),
    choice(*_Q, "voting", "by", options=("score", "closeness")),
    number(*_Q, "head_init", "quality_prob", low=0, high=1, open="low high"),
    mapping("data", also=(str, list)),
    text("data", "name"),
    choice("data", "kind", options=("shapes", "voc", "coco")),
    text("data", "title"),
    text("data", "root"),
    listing("data", "train"),
    listing("data", "classes"),
    mapping("data", "size", also=(int,)),
    listing("data", "size", "short", also=(int, dict)),
    whole("data", "size", "short", 1, low=32, high=2048),
    whole("data", "size", "long", low=32, high=4096),
    mapping("data", "pixels"),
    listing("data", "pixels", "mean"),
    number("data", "pixels", "mean", 0, low=0, high=255),
    number("data", "pixels", "std", 2, low=1, high=255),
    choice("data", "pixels", "order", options=("rgb", "bgr")),
    choice("data", "crowd", options=("drop", "train")),
    number("data", "min_side", low=0, high=1000),
    whole("data", "train_images", low=1),
    whole("data", "test_images", low=1),
    whole("data", "scenes_seed", low=0),
    mapping("data", "factors"),
    whole("data", "factors", "image_size", low=32, high=2048),
    number("data", "factors", "max_size"),
    number("data", "factors", "crowding", low=0, high=1),
    whole("data", "factors", "occluders", low=0),
    whole("data", "factors", "contrast", low=0, high=255),
    mapping("data", "augment"),
    number("data", "augment", "flip", low=0, high=1),
    number("data", "augment", "zoom", low=0, high=1, open="high"),
    flag("data", "augment", "ssd"),
    choice("data", "on_bad", options=("error", "skip")),
    listing("seeds", also=(int,)),
    whole("seeds", 1, low=0),
    mapping("schedule"),
    whole("schedule", "steps", low=1),
    whole("schedule", "batch_size", low=1),
    choice("schedule", "optimizer", options=("sgd", "adamw")),
    number("schedule", "lr", low=0, open="low"),
    number("schedule", "backbone_lr", low=0),
    number("schedule", "weight_decay", low=0),
    number("schedule", "momentum", low=0, high=1, open="high"),
    number("schedule", "warmup", low=0, high=1, open="high"),
    choice("schedule", "decay", options=("step", "cosine")),
    listing("schedule", "milestones"),
    number("schedule", "milestones", 1, high=1, open="high"),
    number("schedule", "clip_grad", low=0, open="low", empty=True),
    choice("schedule", "amp", options=("none", "bf16", "fp16")),
    whole("schedule", "accumulate", low=1, high=1024),
    number("schedule", "bias_lr", low=0, high=100),
    flag("schedule", "decay_norm_bias"),
    whole("schedule", "warmup_steps", low=1, empty=True),
    choice("schedule", "warmup_shape", options=("linear", "constant")),
    number("schedule", "warmup_from", low=0, empty=True),
    number("schedule", "lr_end", low=0, empty=True),
    number("schedule", "lr_end_share", low=0, high=1, empty=True),
    number("schedule", "ema", low=0, high=1, open="low high", empty=True),
    flag("schedule", "compile"),
    flag("schedule", "deterministic"),
    text("recipe"),
    whole("schedule", "threads", low=1),
    whole("schedule", "loader_workers", low=0),
    whole("schedule", "log_every", low=1),
    whole("schedule", "checkpoint_every", low=1),
    whole("schedule", "probe_visits", low=0),
    mapping("evaluation"),
    number("evaluation", "floor", low=0, high=1, open="high"),
    whole("evaluation", "pre_nms", low=1),
    listing("evaluation", "test_scales"),
    whole("evaluation", "test_scales", 0, low=32, high=2048),
    flag("evaluation", "test_flip"),
    choice("evaluation", "fuse", options=("nms", "voting")),
    whole("evaluation", "candidates", low=1),
    choice("evaluation", "pre_nms_per", options=("image", "level")),
    whole("evaluation", "max_detections", low=1),
    whole("evaluation", "batch", low=1),
    whole("probe_images", low=0),
    listing("pictures"),
    mapping("pictures", 0),
    text("pictures", 0, "image"),
    whole("pictures", 0, "object", low=0, empty=True),
    text("pictures", 0, "data"),
    listing("analyses"),
    text("analyses", 0),
    listing("claims"),
    mapping("claims", 0),
    text("claims", 0, "claim"),
    text("claims", 0, "paper"),
    text("claims", 0, "published"),
    listing("claims", 0, "data"),
    mapping("areas"),
    listing("areas", "tiny"),
    number("areas", "tiny", 0, low=0),
    number("areas", "rest", 1),
    listing("max_dets"),
    whole("max_dets", 1, low=1),
    mapping("presets"),
    mapping("presets", "short"),
    whole("presets", "short", "schedule", "steps", low=1, empty=True),
)
# An empty list or mapping means "all of them" or "nothing changed" there, and an empty text "none".
_EMPTY_IS_FINE = {("detectors", 0, "label"), ("detectors", 0, "weights"), ("recipe",)}


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def written(content: dict[str, Any], place: Place = ()) -> tuple[str, int]:
    """The YAML of a study and the line on which the deepest known part of a place begins."""
    raws: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Raw):
            raws.append(str(value))
            return f"RAW{len(raws) - 1}RAW"
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list) else value

    class Plain(_DUMPER):
        """No anchors where a value stands twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    made = yaml.dump(plain(content), Dumper=Plain, sort_keys=False, width=200)
    line = _line(yaml.compose(made, Loader=_LOADER), place)
    return re.sub(r"RAW(\d+)RAW", lambda m: raws[int(m[1])], made), line


def _line(node: yaml.Node | None, place: Place) -> int:
    line = 1 if node is None else node.start_mark.line + 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(step)]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def put(content: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """A copy of a study with one value replaced or added."""
    changed = deepcopy(content)
    target: Any = changed
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return changed


def plan(folder: Path, text: str | bytes, *options: str) -> list[str]:
    """Writes a study file; the command that plans it."""
    path = folder / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ["plan", "study.yaml", *options]


def case(
    name: str, text: str | bytes, *needs: Need, options: Sequence[str] = (), family: str = "study", **more: Any
) -> Case:
    """A study that `plan` must refuse."""
    return Case(family, name, lambda folder: plan(folder, text, *options), needs, **more)


TEXT = written(SOUND)[0]
SHORT = ("--preset", "short")


def said(place: Place) -> Need:
    """The key that an error must name."""
    keys = [p for p in place if isinstance(p, str)]
    return keys[-1]


def values() -> Iterator[Case]:
    """Every field with every value that it may not have."""
    for field in FIELDS:
        for name, value in wrong(field):
            if isinstance(value, str) and not value and field.place in _EMPTY_IS_FINE:
                continue
            base = SOUND
            if field.place == ("schedule", "steps") and value is None:
                continue  # then neither steps nor epochs is named, which is a case of its own
            made, line = written(put(base, field.place, value), field.place)
            needs: list[Need] = ["study.yaml", said(field.place), renderings(value)]
            needs.append((f"line {line}:", f"line {line},", f"line {line} "))
            options = ("--preset", "short") if field.place[:1] == ("presets",) else ()
            yield case(f"{'.'.join(map(str, field.place))} is {name}", made, *needs, options=options)


def cases() -> list[Case]:
    """Wrong values of every field."""
    return list(values())
