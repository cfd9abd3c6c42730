"""A cell's configuration: everything that makes it that cell, parsed once, written once, and its id."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from assignbench.config.base import Config
from assignbench.config.data import DataSpec
from assignbench.config.detector import DetectorConfig
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.config.recipe import Schedule

FORMAT = 3  # raised when records of older runs can no longer be read


class LocalPaths(Config):
    """Where things lie on this machine: data root, weights file, scene cache. Never part of a cell's identity."""

    root: str = ""
    weights: str = ""
    cache: str = ""


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
        return id_of(self.slug, self.model_dump(mode="json"))


def id_of(slug: str, content: Mapping[str, Any]) -> str:
    """The id of the cell whose config.json holds `content`, also one that an earlier version wrote with fewer entries.

    All counts but where files lie, how many threads prepare batches, and titles.
    """
    counted = {part: dict(v) if isinstance(v, Mapping) else v for part, v in content.items()}
    for part, names in (("data", ("root", "title", "obtain")), ("schedule", ("loader_workers", "checkpoint_every"))):
        for name in names:
            counted[part].pop(name, None)
    text = json.dumps(counted, sort_keys=True)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", slug) + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def is_id(name: str) -> bool:
    """Whether a folder's name has the shape of a cell's id."""
    return bool(re.search(r"-seed[0-9]+-[0-9a-f]{8}$", name))
