"""A cell's configuration: everything that makes it that cell, parsed once, written once, and its id."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from assignbench.config.base import Config
from assignbench.config.data import DataSpec, Split
from assignbench.config.detector import DetectorConfig
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.config.pictured import MOST_PICTURES, Pictured
from assignbench.config.recipe import Schedule

FORMAT = 4  # raised when records of older runs can no longer be read


# What no training reads: names, the test split, and how a trained network is read.
_NOT_TRAINED_ON = {
    "method": ("name", "preset", "ranking", "floor_on", "nms", "voting"),
    "detector": ("name", "label"),
    "data": ("name", "test", "test_images", "val", "val_images"),
}
# Entries that this format did not have from its start, with the value that says the same as their absence: they count
# only where they have another one, so that the ids of older cells stay what they are.
_LATER: tuple[tuple[str, str, Any], ...] = (
    ("schedule", "average", None),
    ("schedule", "lr_end_share", None),
    ("evaluation", "split", "test"),
)
# What a cell does not read that is measured on a split.
_UNREAD = {"test": ("val", "val_images"), "val": ("test", "test_images")}


class LocalPaths(Config):
    """Where things lie on this machine: data root, weights file, scene cache. Never part of a cell's identity.

    `training`: the id of the cell beside this one whose training it takes; empty for a cell that is trained itself.
    `processes` is how many train the cell together; with a `meeting`, HOST:PORT, they wait there for it (torchrun's
    store), else the cell's own process starts the others. `at_once` is how many cells or cohorts the run may train here
    at the same time: with the processes of each, they part the memory for decoded images.
    """

    root: str = ""
    weights: str = ""
    cache: str = ""
    training: str = Field("", pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*)?$", max_length=255)
    processes: int = Field(1, ge=1, le=1024)
    meeting: str = Field("", pattern=r"^([^\s@]+:[0-9]{1,5})?$", max_length=300)
    at_once: int = Field(1, ge=1, le=100_000)


LARGEST_SEED = 2**32 - 1


class CellConfig(Config):
    """detector x method x data set x seed, with schedule and evaluation: the unit that is trained and cached."""

    format: int = FORMAT
    seed: int = Field(ge=0, le=LARGEST_SEED)
    detector: DetectorConfig
    method: MethodConfig
    data: DataSpec
    schedule: Schedule
    evaluation: Evaluation = Evaluation()
    probe_images: int = Field(8, ge=0, le=1000)
    pictures: tuple[Pictured, ...] = Field((), max_length=MOST_PICTURES)

    @model_validator(mode="after")
    def _decided(self) -> CellConfig:
        if self.schedule.amp == "auto":
            raise ValueError("schedule.amp is auto, which a study decides for all its cells; name none, bf16 or fp16")
        return self

    @property
    def slug(self) -> str:
        """Detector, method, data set and seed, readable."""
        return f"{self.detector.label}/{self.method.name}/{self.data.name}/seed{self.seed}"

    @property
    def id(self) -> str:
        """The readable slug and 8 hex digits of what makes two cells the same."""
        return id_of(self.slug, self.model_dump(mode="json"))

    @property
    def splits(self) -> tuple[Split, Split]:
        """The split that it learns from, and the one that it is measured on."""
        return "train", self.evaluation.split

    def identity(self) -> dict[str, Any]:
        """What makes two cells the same."""
        return _counted(self.model_dump(mode="json"))

    def training(self) -> dict[str, Any]:
        """What the training reads: the identity without names, the test split, and how a trained network is read.

        Cells that have this in common, and the same data and weights on disk, end with the same weights and the same
        records of training.
        """
        content = self.identity()
        del content["evaluation"]
        for part, names in _NOT_TRAINED_ON.items():
            for name in names:
                content[part].pop(name, None)
        return content

    @property
    def training_id(self) -> str:
        """16 hex digits of what the training reads: the same for cells that share one training."""
        return hashlib.sha256(json.dumps(self.training(), sort_keys=True).encode()).hexdigest()[:16]


def id_of(slug: str, content: Mapping[str, Any]) -> str:
    """The id of the cell whose config.json holds `content`, also one with fewer entries of an earlier version."""
    text = json.dumps(_counted(content), sort_keys=True)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", slug) + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def is_id(name: str) -> bool:
    """Whether a folder's name has the shape of a cell's id."""
    return bool(re.search(r"-seed[0-9]+-[0-9a-f]{8}$", name))


def _counted(content: Mapping[str, Any]) -> dict[str, Any]:
    """All of a config.json that makes numbers: not where files lie, how many threads prepare batches, titles, and what
    is shown of it.
    """
    counted = {part: dict(v) if isinstance(v, Mapping) else v for part, v in content.items() if part != "pictures"}
    for part, names in (("data", ("root", "title", "obtain")), ("schedule", ("loader_workers", "checkpoint_every"))):
        for name in names:
            counted[part].pop(name, None)
    for part, name, absent in _LATER:
        if counted[part].get(name, absent) == absent:
            counted[part].pop(name, None)
    for name in _UNREAD[counted["evaluation"].get("split", "test")]:
        counted["data"].pop(name, None)
    return counted
