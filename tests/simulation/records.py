"""Generated results as the record of a study that lies in memory: the analyses cannot tell it from one on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord
from assignbench.config import CellConfig
from assignbench.records import CellRecord
from tests.analysis.planted import config_of, method_of
from tests.simulation.detections import candidates, detections, drawn, found_by, latents, mixed
from tests.simulation.worlds import Method, World, layout_of

BASE = "base"
Detectors = Mapping[str, Mapping[str, Method]]  # what each method does on each detector


@dataclass(frozen=True, eq=False)
class MemoryCell(CellRecord):
    """A finished cell whose tables were never written."""

    made: CellConfig | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def config(self) -> CellConfig:
        assert self.made is not None
        return self.made

    @property
    def measurable(self) -> bool:
        return True

    @property
    def state(self) -> str:
        return "done"

    @property
    def summary(self) -> dict[str, Any]:
        return {}

    def holds(self, name: str) -> bool:
        return name in self.tables

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name].copy(deep=False) if name in self.tables else pd.DataFrame()


@lru_cache(maxsize=1000)
def _config(method: str, seed: int, detector: str) -> CellConfig:
    return config_of(method_of(method), seed, detector, "generated")


def simulated(
    world: World, detectors: Detectors, rng: np.random.Generator, claims: Sequence[Mapping[str, str]] = ()
) -> StudyRecord:
    """A study of a world: one draw of test images, and every method trained on every detector with every seed.

    The first method of a detector is what the others are compared with.
    """
    layout = layout_of(world, rng)
    common = latents(world, layout, rng)
    shared = {"images": layout.image_table(), "objects": layout.objects()}
    classes = [f"class{k}" for k in range(len(world.classes))]
    cells, opened = [], {}
    for detector, methods in detectors.items():
        for name, method in methods.items():
            suits = latents(world, layout, rng)
            for seed, quality in enumerate(drawn(world, rng, world.seeds)):
                latent = mixed(world, common, suits, latents(world, layout, rng))
                found = found_by(method, world, layout, latent, quality)
                tables = {**shared, "detections": detections(found, layout)}
                if method.order is not None:
                    tables["candidates"] = candidates(method.order, world, layout, quality, rng)
                cell = MemoryCell(
                    Path(f"{detector}-{name}-seed{seed}"), made=_config(name, seed, detector), tables=tables
                )
                cells.append(cell)
                opened[cell.id] = CellData(cell, {"classes": classes})
    names = list(dict.fromkeys(n for methods in detectors.values() for n in methods))
    baselines = {n: "" if n == names[0] else names[0] for n in names}
    about = {"study": "generated", "baselines": baselines, "claims": list(claims)}
    return StudyRecord(Path("generated"), about, tuple(cells), (), opened)
