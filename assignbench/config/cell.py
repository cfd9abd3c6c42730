"""A cell's configuration: everything that makes it that cell, parsed once, written once, and its id."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from pydantic import Field

from assignbench.config.base import Config
from assignbench.config.data import DataSpec
from assignbench.config.detector import DetectorConfig
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.config.recipe import Schedule

FORMAT = 3  # raised when records of older runs can no longer be read


# What no training reads: names, the test split, and how a trained network is read.
_NOT_TRAINED_ON = {
    "method": ("name", "preset", "ranking", "floor_on", "nms", "voting"),
    "detector": ("name", "label"),
    "data": ("name", "test", "test_images"),
}


class LocalPaths(Config):
    """Where things lie on this machine: data root, weights file, scene cache. Never part of a cell's identity.

    `training`: the id of the cell beside this one whose training it takes; empty for a cell that is trained itself.
    """

    root: str = ""
    weights: str = ""
    cache: str = ""
    training: str = Field("", pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*)?$", max_length=255)


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

    @property
    def slug(self) -> str:
        """Detector, method, data set and seed, readable."""
        return f"{self.detector.label}/{self.method.name}/{self.data.name}/seed{self.seed}"

    @property
    def id(self) -> str:
        """The readable slug and 8 hex digits of what makes two cells the same."""
        text = json.dumps(self.identity(), sort_keys=True)
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", self.slug) + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]

    def identity(self) -> dict[str, Any]:
        """All but where files lie, how many threads prepare batches, and titles."""
        content = self.model_dump(mode="json")
        for part, names in (
            ("data", ("root", "title", "obtain")),
            ("schedule", ("loader_workers", "checkpoint_every")),
        ):
            for name in names:
                content[part].pop(name, None)
        return content

    def training(self) -> dict[str, Any]:
        """What the training reads: the identity without names, the test split, and how a trained network is read.

        Cells that have this in common, and the same data and weights on disk, end with the same weights and the same
        records of training.
        """
        content = self.identity()
        del content["evaluation"]
        for part, names in _NOT_TRAINED_ON.items():
            for name in names:
                del content[part][name]
        return content

    @property
    def training_id(self) -> str:
        """16 hex digits of what the training reads: the same for cells that share one training."""
        return hashlib.sha256(json.dumps(self.training(), sort_keys=True).encode()).hexdigest()[:16]
