"""Where and on what a cell ran."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from assignbench.config.images import nominal_hw
from assignbench.data.overlap import overlap_notes
from assignbench.engine.cell import Cell
from assignbench.records.files import digest_of


def environment(cell: Cell) -> dict[str, Any]:
    """Versions, device, data fingerprints, classes, priors: what environment.json holds."""
    import torchvision

    hw, detector = nominal_hw(cell.config.data.size), cell.learner.detector
    device, measured = cell.learner.device, cell.config.evaluation.split
    priors = detector.priors(hw, device)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "data": {
            split: {
                "split": data.split,
                "images": len(data),
                "objects": int(sum(len(i.labels) for i in data.images)),
                "fingerprint": data.fingerprint(),
                "annotated": data.annotated,
                "skipped": [str(p) for p in data.skipped],
                "notes": overlap_notes(cell.train, cell.test, digest_of, measured) if split == "test" else [],
            }
            for split, data in (("train", cell.train), ("test", cell.test))
        },
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


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
