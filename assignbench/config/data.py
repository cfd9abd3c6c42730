"""What a data set is: kind, splits, image size, augmentation; and what an embedded scene is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from assignbench.config.base import Config, merge
from assignbench.config.folders import located
from assignbench.config.images import AspectSize, ImageSize, Pixels
from assignbench.config.recipe import laid_over

Split = Literal["train", "val", "test"]
SIZE_WORDS = {"size": "image_size", "image_size": "size"}  # each with the one that it replaces


class Augment(Config):
    """How a training image is changed.

    `flip`, `flip_vertical`: chances. `zoom`: the visible region is 1/(1 ± zoom) of the image. `colour`: brightness,
    contrast and saturation change by factors 1 ± colour. `ssd`: the crop, expand and photometric chain of SSD and
    RFBNet as Mutual Guidance uses it, instead of zoom and colour.
    """

    flip: float = Field(0.5, ge=0, le=1)
    flip_vertical: float = Field(0.0, ge=0, le=1)
    zoom: float = Field(0.0, ge=0, lt=1)
    colour: float = Field(0.0, ge=0, lt=1)
    ssd: bool = False

    @model_validator(mode="after")
    def _one_chain(self) -> Augment:
        if self.ssd and (self.zoom or self.colour):
            raise ValueError("ssd brings its own crops and colours; leave zoom and colour out, or set ssd: false")
        return self


def data_over(base: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's entry over what stands below it, key by key; its `schedule` as schedules are laid over each other.

    Whichever of `size` and its older word `image_size` the entry has, it replaces the other one below.
    """
    replaced = {other for word, other in SIZE_WORDS.items() if word in entry}
    found = {**merge({key: value for key, value in base.items() if key not in replaced}, entry)}
    below, change = base.get("schedule"), entry.get("schedule")
    if isinstance(below, dict) and isinstance(change, dict):
        found["schedule"] = laid_over(below, change)
    return found


class SceneFactors(Config):
    """What a scene is made of; lengths in px.

    `crowding` is the chance that an object is placed over another one (IoU .25-.55 with it), `elongated` the
    chance of an elongation of 3-4.5, `acentric` the chance of a lollipop or hammer, `occluders` the most bars drawn
    over objects, `contrast` the least colour distance between an object and the mean of its ground (0-255).
    """

    image_size: int = Field(128, ge=32, le=2048)
    min_objects: int = Field(1, ge=1, le=200)
    max_objects: int = Field(7, ge=1, le=200)
    min_size: float = Field(12.0, ge=6, le=2048)
    max_size: float = Field(90.0, ge=6, le=2048)
    crowding: float = Field(0.24, ge=0, le=1)
    elongated: float = Field(0.3, ge=0, le=1)
    acentric: float = Field(0.25, ge=0, le=1)
    occluders: int = Field(1, ge=0, le=100)
    contrast: int = Field(80, ge=0, le=255)

    @model_validator(mode="after")
    def _ordered(self) -> SceneFactors:
        if self.min_objects > self.max_objects:
            raise ValueError(f"needs min_objects <= max_objects, got {self.min_objects} and {self.max_objects}")
        if not self.min_size < self.max_size <= self.image_size:
            raise ValueError(f"needs min_size < max_size <= image_size, got {self.min_size} and {self.max_size}")
        return self


class DataSpec(Config):
    """A data set as a study sees it. `root` is a name below the data folder, or a path (`config.folders`)."""

    name: str
    kind: Literal["shapes", "voc", "coco", "csv"]
    title: str = ""
    obtain: str = ""  # how to get the data, printed when it is missing
    root: str = ""
    # voc: pairs (folder under root, image set), joined · coco, csv: (annotation file, image folder) · shapes: unused
    train: list[tuple[str, str]] = []
    test: list[tuple[str, str]] = []
    # What settings are chosen on (`evaluation.split: val`), so that the test split stays unseen until the end.
    val: list[tuple[str, str]] = []
    # The class names; empty: those of the training split. coco: those that are used, by name.
    classes: list[str] = []
    # shapes: how many scenes of each split
    train_images: int = Field(2000, ge=1, le=50_000)
    test_images: int = Field(250, ge=1, le=50_000)
    val_images: int = Field(250, ge=1, le=50_000)
    scenes_seed: int = Field(0, ge=0, le=2**32 - 1)
    factors: SceneFactors = SceneFactors()
    # A side to which images are stretched, or sides that keep their aspect.
    size: ImageSize = 256
    pixels: Pixels = Pixels()
    use_difficult: bool = True
    # coco: whether crowd regions are objects of the training
    crowd: Literal["drop", "train"] = "drop"
    # Objects of the training have both sides longer than this, in px of the original.
    min_side: float = Field(0.0, ge=0, le=1000)
    on_bad: Literal["error", "skip"] = "error"
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _stretched_crops(self) -> Self:
        if self.augment.ssd and isinstance(self.size, AspectSize):
            raise ValueError(
                "augment.ssd draws crops of any aspect for stretched images; set ssd: false, or one side as size"
            )
        return self

    def pairs(self, split: Split) -> list[tuple[str, str]]:
        """What names a split in files; empty where the data set has no such split."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    def where(self, study_folder: Path) -> Path:
        """The data root on this machine (`config.folders.located`)."""
        return located(self.root, study_folder)
