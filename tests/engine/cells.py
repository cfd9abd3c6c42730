"""Cells of the engine's tests, described directly: no study file and no grid between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.data import DataSpec
from assignbench.config.detector import DETECTORS, DetectorConfig, resolve as resolve_detector
from assignbench.config.recipe import Schedule
from assignbench.errors import InputError
from assignbench.methods import PRESETS, check, resolve
from assignbench.records import write_config, write_json

SCENES = DataSpec.model_validate(
    {
        "name": "shapes",
        "kind": "shapes",
        "size": 64,
        "factors": {"image_size": 64, "max_size": 40},
        "augment": {"flip": 0.5, "flip_vertical": 0.5},
        "train_images": 24,
        "test_images": 10,
    }
)
SCHEDULE = Schedule(steps=8, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=4, probe_visits=2)


def tiny(
    method: str = "iou",
    detector: str = "retinanet-slim",
    *,
    parts: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    seed: int = 0,
    weights: str = "",
    **schedule: Any,
) -> CellConfig:
    """A cell of eight steps on 24 small scenes: `parts` override the method's, `spec` the detector's."""
    return CellConfig(
        seed=seed,
        detector=DetectorConfig(name=detector, label=detector, spec=resolve_detector(detector, spec), weights=weights),
        method=resolve(method, parts),
        data=SCENES,
        schedule=Schedule.model_validate({**SCHEDULE.model_dump(), **schedule}),
        probe_images=2,
    )


def place(config: CellConfig, folder: Path, local: LocalPaths | None = None) -> Path:
    """Writes a cell's folder as the launcher does."""
    write_config(folder, config)
    write_json(folder / "local.json", (local or LocalPaths()).model_dump(mode="json"))
    return folder


def detector_for(name: str) -> str:
    """The first small detector that a preset works on."""
    for detector in ("retinanet-slim", "fcos-slim", "rpn-slim", "retinanet1-slim"):
        try:
            check(PRESETS[name].method, DETECTORS[detector])
        except InputError:
            continue
        return detector
    raise AssertionError(f"preset '{name}' works on no small detector")


# A preset of every criterion, and those whose losses are divided by something else than positives.
BY_CRITERION = [*{p.method.criterion.name: p.name for p in reversed(PRESETS.values())}.values(), "rpn", "paa_mmdet"]
