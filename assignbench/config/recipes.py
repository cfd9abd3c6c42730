"""Named recipes: how the papers trained and tested, as entries of a study. One table; a study's own lie over it.

A recipe says nothing of methods (their losses, NMS and initialisation are the presets') nor of networks, and nothing of
`pixels` where they depend on the file of weights that a network starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assignbench.config.detector import SMALL_BACKBONES
from assignbench.config.evaluation import Evaluation
from assignbench.config.network import DetectorSpec
from assignbench.config.recipe import Schedule
from assignbench.errors import InputError, nearest


@dataclass(frozen=True)
class Recipe:
    """Entries of a study's `schedule`, `evaluation` and data sets, and where they come from.

    `printed` says what stands in the paper, `released` what its code or the toolbox adds; what neither says is at the
    defaults of a study.
    """

    name: str
    about: str
    printed: str
    released: str
    schedule: Mapping[str, Any]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Schedule.model_validate(dict(self.schedule))
        Evaluation.model_validate(dict(self.evaluation))


_LR = 0.01
_THIRD = _LR / 3
_SGD: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": _LR,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 16,
    "warmup_steps": 500,
    "clip_grad": None,
    "amp": "none",
}
# maskrcnn-benchmark's: biases learn twice as fast. (It decays the weights of norms, which a study cannot say alone.)
_BENCHMARK = {**_SGD, "bias_lr": 2.0, "decay": "step"}
_CONSTANT = {"warmup_shape": "constant", "warmup_from": _THIRD}
_LINEAR = {"warmup_shape": "linear", "warmup_from": _THIRD}
# MMDetection's: FCOS as its authors' but clipped; RetinaNet and RPN decay everything and warm up from a thousandth.
_MM_FCOS = {**_BENCHMARK, **_CONSTANT, "clip_grad": 35.0}
_MM_ANCHORS = {**_SGD, "decay_norm_bias": True, "warmup_from": _LR / 1000, "decay": "step"}
_MM_PROPOSALS = {**_MM_ANCHORS, "lr": 2 * _LR, "warmup_from": 2 * _LR / 1000}

_X1: dict[str, Any] = {"steps": 90_000, "milestones": [60_000, 80_000]}
_X1_5: dict[str, Any] = {"steps": 135_000, "milestones": [90_000, 120_000]}
_X2: dict[str, Any] = {"steps": 180_000, "milestones": [120_000, 160_000]}
_E12: dict[str, Any] = {"epochs": 12, "milestones": {"epochs": [8, 11]}}
_E19: dict[str, Any] = {"epochs": 19, "milestones": {"epochs": [16, 18]}}
_E24: dict[str, Any] = {"epochs": 24, "milestones": {"epochs": [18, 22]}}

_COCO: dict[str, Any] = {"floor": 0.05, "pre_nms": 1000, "pre_nms_per": "level", "max_detections": 100}
_PROPOSALS: dict[str, Any] = {"floor": 0.0, "pre_nms": 1000, "pre_nms_per": "level", "max_detections": 1000}
_FLIP: dict[str, Any] = {"augment": {"flip": 0.5}}
_ONE_SCALE = {"size": {"short": 800, "long": 1333}, **_FLIP}
_RANGE = {"size": {"short": {"from": 640, "to": 800}, "long": 1333}, **_FLIP}
_LIST = {"size": {"short": [640, 672, 704, 736, 768, 800], "long": 1333}, **_FLIP}

_MUTUAL_GUIDANCE: dict[str, Any] = {
    **_SGD,
    "weight_decay": 5e-4,
    "batch_size": 32,
    "warmup_from": 1e-6,
    "decay": "cosine",
    "lr_end": 1e-6,
}
_EVERYTHING: dict[str, Any] = {"floor": 0.005, "pre_nms": 1_000_000, "max_detections": 300}
_SSD: dict[str, Any] = {
    "size": 320,
    "augment": {"ssd": True},
    "pixels": {"mean": [104, 117, 123], "std": [1, 1, 1], "order": "bgr"},
}

# Ours, for studies that write no schedule: what docs/decisions.md (First steps) says was tried.
# Rates stay high and the weights are averaged: benchmarks/averaging.py has what that does.
_AVERAGED: dict[str, Any] = {"lr_end_share": 0.3, "ema": 0.99}
_LIGHT: dict[str, Any] = {"steps": 3500, "batch_size": 8, "lr": 8.0e-3, **_AVERAGED}
_LIGHT_PRETRAINED: dict[str, Any] = {"steps": 3000, "batch_size": 8, "lr": 2.0e-3, "backbone_lr": 0.15, **_AVERAGED}
_FULL: dict[str, Any] = {
    **{key: value for key, value in _SGD.items() if key not in ("warmup_steps", "clip_grad", "amp")},
    "epochs": 12,
    "warmup": 0.05,
    "decay": "step",
}
_OURS = "nothing, it is ours"

_MLC = "lr falls to a tenth after two epochs; mutual labeling from epoch 12 on (assigner: {start: {epochs: 12}})"
_MM = "MMDetection's settings of the detector, to which the paper refers"
_MUSU = "SGD .01, .9, 1e-4, 16 images, 500 updates of warm-up, /10 twice; short side 800, long <= 1333, flips"
_LTM = "SGD .01, .9, 1e-4, 16 images, /10 twice; short side 800, long <= 1333, flips"
_PAA = "SGD .01, .9, 1e-4, 16 images, 500 updates of warm-up, /10 twice"
_MG = "320 x 320 px; SSD's augmentation; the rest as the released code has it"
_MG_CODE = "250 or 140 epochs, 32 images, warm-up from 1e-6, one cosine to 1e-6, pixels BGR - (104, 117, 123)"

_TABLE = (
    Recipe(
        "light",
        "for small networks that start at random; what a study of them has that writes no schedule",
        _OURS,
        "what the quick start had until 0.6 (8 images at 8e-3, a cosine), but a cosine to 30 % and averaged weights",
        _LIGHT,
    ),
    Recipe(
        "light_pretrained",
        "for small networks with pretrained weights; what a study of them has that writes no schedule",
        _OURS,
        "the rates of the small studies on real images, but a cosine to 30 % and averaged weights",
        _LIGHT_PRETRAINED,
    ),
    Recipe(
        "full_12e",
        "for full-size networks, 12 epochs of any data; what a study of them has that writes no schedule",
        _OURS,
        "SGD .01, .9, 1e-4 and 16 images as the papers have them; warm-up and steps as shares, so that any length goes",
        _FULL,
    ),
    Recipe(
        "mutual_guidance_voc",
        "Mutual Guidance on VOC 2007 + 2012, 250 epochs",
        _MG,
        _MG_CODE,
        {**_MUTUAL_GUIDANCE, "epochs": 250},
        _EVERYTHING,
        _SSD,
    ),
    Recipe(
        "mutual_guidance_coco",
        "Mutual Guidance on COCO, 140 epochs; crowd regions train, sides of 6 px or less do not",
        _MG,
        _MG_CODE,
        {**_MUTUAL_GUIDANCE, "epochs": 140},
        _EVERYTHING,
        {**_SSD, "crowd": "train", "min_side": 6},
    ),
    Recipe("mlc_19e", "MLC's ablations on FCOS, 19 epochs", _MLC, _MM, {**_MM_FCOS, **_E19}, _COCO, _ONE_SCALE),
    Recipe("mlc_24e", "MLC's final models on FCOS, 24 epochs", _MLC, _MM, {**_MM_FCOS, **_E24}, _COCO, _ONE_SCALE),
    Recipe(
        "mlc_retinanet_19e",
        "MLC's ablations on RetinaNet, 19 epochs",
        _MLC,
        _MM,
        {**_MM_ANCHORS, **_E19},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "mlc_retinanet_24e",
        "MLC's final models on RetinaNet, 24 epochs",
        _MLC,
        _MM,
        {**_MM_ANCHORS, **_E24},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "mlc_rpn_19e",
        "MLC's ablations on RPN, 19 epochs, 1000 proposals",
        _MLC,
        _MM,
        {**_MM_PROPOSALS, **_E19},
        _PROPOSALS,
        _ONE_SCALE,
    ),
    Recipe(
        "musu_90k",
        "MuSu's ablations",
        _MUSU,
        "MMDetection's FCOS: constant warm-up, clipping",
        {**_MM_FCOS, **_X1},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "musu_180k",
        "MuSu's final models, short side 640-800",
        _MUSU,
        "MMDetection's FCOS: constant warm-up, clipping",
        {**_MM_FCOS, **_X2},
        _COCO,
        _RANGE,
    ),
    Recipe(
        "ltm_90k",
        "LTM, one scale",
        _LTM,
        "FreeAnchor's: linear warm-up from a third, biases x 2",
        {**_BENCHMARK, **_LINEAR, **_X1},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "ltm_180k",
        "LTM's final models, short side drawn from 640, 672, ..., 800",
        _LTM,
        "FreeAnchor's: linear warm-up from a third, biases x 2",
        {**_BENCHMARK, **_LINEAR, **_X2},
        _COCO,
        _LIST,
    ),
    Recipe(
        "ltm_sku110k",
        "LTM on SKU-110K, where nothing of the recipe is printed: as ltm_90k, 300 detections of an image",
        "nothing",
        "FreeAnchor's: linear warm-up from a third, biases x 2",
        {**_BENCHMARK, **_LINEAR, **_X1},
        {**_COCO, "max_detections": 300},
        _ONE_SCALE,
    ),
    Recipe(
        "paa_135k",
        "PAA's ablations",
        _PAA,
        "constant warm-up at a third, biases x 2",
        {**_BENCHMARK, **_CONSTANT, **_X1_5},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "paa_180k",
        "PAA's final models, short side 640-800",
        _PAA,
        "constant warm-up at a third, biases x 2",
        {**_BENCHMARK, **_CONSTANT, **_X2},
        _COCO,
        _RANGE,
    ),
    Recipe(
        "fcos_1x",
        "FCOS, 90,000 updates",
        "SGD .01, 1e-4, 16 images, /10 twice",
        "constant warm-up at a third, biases x 2",
        {**_BENCHMARK, **_CONSTANT, **_X1},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "atss_1x",
        "ATSS, 90,000 updates",
        "as FCOS",
        "constant warm-up at a third, biases x 2",
        {**_BENCHMARK, **_CONSTANT, **_X1},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "freeanchor_1x",
        "FreeAnchor, 90,000 updates",
        "SGD .01, .9, 1e-4, 16 images, /10 twice",
        "linear warm-up from a third, biases x 2",
        {**_BENCHMARK, **_LINEAR, **_X1},
        _COCO,
        _ONE_SCALE,
    ),
    Recipe(
        "retinanet_1x",
        "RetinaNet of MMDetection, 12 epochs",
        "SGD .01, .9, 1e-4, 16 images",
        "MMDetection's: linear warm-up from a thousandth, /10 after epochs 8 and 11",
        {**_MM_ANCHORS, **_E12},
        _COCO,
        _ONE_SCALE,
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _TABLE}


def default_recipe(spec: DetectorSpec, *, weights: bool) -> str:
    """The recipe of a detector whose study says nothing of its training."""
    if spec.backbone.name not in SMALL_BACKBONES:
        return "full_12e"
    return "light_pretrained" if weights else "light"


def recipe_of(name: str) -> Recipe:
    """The recipe of that name. Raises InputError with the nearest one."""
    if name not in RECIPES:
        raise InputError(f"unknown recipe '{name}'{nearest(name, list(RECIPES))}")
    return RECIPES[name]
