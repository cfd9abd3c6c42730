"""The weights files of a study, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assignbench.commands.costs import remedy
from assignbench.config.detector import FROM_TORCHVISION, PUBLISHED
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


def check_frozen(study: Study, cells: Sequence[Cell]) -> None:
    """Raises InputError for a detector that holds still what was never trained: stages or norms of a backbone that
    starts from no weights.
    """
    frozen = {c.config.detector.label: c.config.detector for c in cells if c.config.detector.frozen_at_random}
    for place, entry in enumerate(study.spec.detectors):
        if entry.shown in frozen:
            detector = frozen[entry.shown]
            name = detector.spec.backbone.name
            source = f"{FROM_TORCHVISION} or a file" if name in PUBLISHED else f"a file of {name}'s ImageNet weights"
            told = (
                f"detector '{entry.shown}' has {detector.frozen_at_random}, but names no weights, so that these would"
            )
            where = study.where("detectors", place, "spec", "backbone")
            raise InputError(
                f"{where}: {told} stay as they were drawn at random; name its weights ({source}), or set "
                "spec: {backbone: {frozen_stages: 0, frozen_norm: none}}"
            )


def absent_weights(study: Study, cells: Sequence[Cell]) -> list[str]:
    """What is said of weights files that the user has to bring and that are not there, a line for each."""
    files = {c.config.detector.label: Path(c.paths.weights) for c in cells if c.paths.weights}
    told: dict[Path, str] = {}
    for place, entry in enumerate(study.spec.detectors):
        path = files.get(entry.shown)
        if path is not None and entry.weights != FROM_TORCHVISION and not path.exists():
            where = study.where("detectors", place, "weights")
            told.setdefault(path, f"{where}: no weights file {path}; put it there{remedy(path)}")
    return list(told.values())
