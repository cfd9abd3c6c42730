"""The weights files of a study, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assignbench.commands.costs import remedy
from assignbench.config.detector import FROM_TORCHVISION
from assignbench.errors import InputError
from assignbench.study.grid import Cell
from assignbench.study.reading import Study


def check_study_weights(study: Study, cells: Sequence[Cell]) -> int:
    """Reads every weights file that the cells start from, and says how many there are. Those of torchvision are
    downloaded where they are missing.

    Raises InputError, with the line of the study, for one that is not of its detector's backbone. Loads torch.
    """
    from assignbench.detectors.backbones import check_weights, fetch

    files = {c.config.detector.label: (c.config.detector.spec.backbone, c.paths.weights) for c in cells}
    named = {label: found for label, found in files.items() if found[1]}
    for place, entry in enumerate(study.spec.detectors):
        if entry.shown in named:
            backbone, path = named[entry.shown]
            try:
                if entry.weights == FROM_TORCHVISION:
                    fetch(backbone.name, Path(path))
                check_weights(backbone, Path(path))
            except InputError as problem:
                told = f"{problem}{'' if Path(path).exists() else remedy(Path(path))}"
                raise InputError(f"{study.where('detectors', place, 'weights')}: {told}") from None
    return len(named)
