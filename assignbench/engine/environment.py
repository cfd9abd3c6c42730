"""Where and on what a cell ran."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from assignbench.config.cell import LocalPaths
from assignbench.config.images import nominal_hw
from assignbench.data.kept import kept_facts
from assignbench.data.overlap import overlap_notes
from assignbench.engine.cell import Cell
from assignbench.engine.inputs import known_hashes
from assignbench.records import read_json
from assignbench.records.files import digest_of


def environment(cell: Cell) -> dict[str, Any]:
    """Versions, device, data fingerprints, classes, priors: what environment.json holds."""
    hw, detector = nominal_hw(cell.config.data.size), cell.learner.detector
    device = cell.learner.device
    priors = detector.priors(hw, device)
    local = LocalPaths.model_validate(read_json(cell.folder / "local.json"))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "processes": local.processes,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision").partition("+")[0],  # to import it would take a second
        "data": _data_of(cell, Path(local.cache) if local.cache else None),
        "classes": list(cell.train.classes),
        "parameters": sum(p.numel() for p in detector.parameters()),
        "class_agnostic": detector.class_agnostic,
        "priors": {
            "kind": priors.kind,
            "level_sizes": list(priors.level_sizes),
            "strides": [float(priors.strides[i]) for i in priors.level_starts()],
            "anchors_per_location": priors.anchors_per_location,
        },
        "image_size": list(hw),
    }


def _data_of(cell: Cell, cache: Path | None) -> dict[str, Any]:
    """What is known of both splits. Of files that nobody has changed since, it is what was found the last time."""
    measured = cell.config.evaluation.split

    def found() -> dict[str, Any]:
        notes = overlap_notes(cell.train, cell.test, digest_of, measured, known_hashes(cell))
        return {
            split: {
                "split": data.split,
                "images": len(data),
                "objects": int(data.counts().sum()),
                "fingerprint": data.fingerprint(),
                "annotated": data.annotated,
                "skipped": [str(p) for p in data.skipped],
                "notes": notes if split == "test" else [],
            }
            for split, data in (("train", cell.train), ("test", cell.test))
        }

    files = read_json(cell.folder / "inputs.json").get("files", {})
    told = [measured, cell.config.data.model_dump(mode="json"), files]
    return kept_facts(cache if files else None, len(cell.train) + len(cell.test), told, found)


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
