"""The pictures that a study names, looked for where its data is, before anything is trained."""

from __future__ import annotations

from assignbench.config.data import DataSpec
from assignbench.config.pictured import Pictured
from assignbench.data.base import DetectionData
from assignbench.errors import InputError
from assignbench.study.reading import Study


def wrong_pictures(study: Study, spec: DataSpec, train: DetectionData, test: DetectionData) -> list[str]:
    """What is wrong with the pictures that a study names of a data set, one line each with its place. Loads torch."""
    from assignbench.engine.pictured import check_named

    wrong = []
    for place, entry in enumerate(study.spec.pictures):
        if entry.data not in ("", spec.name):
            continue
        try:
            check_named(train, test, spec, [Pictured(image=entry.image, object=entry.object)])
        except InputError as problem:
            wrong.append(f"{study.where('pictures', place)}: {str(problem).removeprefix('pictures: ')}")
    return wrong
