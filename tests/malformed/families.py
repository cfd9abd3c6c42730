"""The families of cases by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.malformed import (
    data_coco,
    data_csv,
    data_images,
    data_voc,
    hostile,
    hostile_records,
    records_content,
    records_inside,
    results_contradictions,
    results_files,
    studies,
    study_names,
    study_options,
    study_shapes,
)
from tests.malformed.harness import Case

FAMILIES: dict[str, Callable[[], Iterable[Case]]] = {
    "study values": studies.values,
    "study keys": study_shapes.keys,
    "study structure": study_shapes.structure,
    "study names": study_names.names,
    "study compositions": study_names.compositions,
    "options": study_options.options,
    "voc": data_voc.cases,
    "coco": data_coco.cases,
    "csv": data_csv.cases,
    "images": data_images.cases,
    "analyze": results_files.cases,
    "analyze together": results_contradictions.cases,
    "records": records_content.cases,
    "records inside": records_inside.cases,
    "hostile": hostile.cases,
    "hostile records": hostile_records.cases,
    "weights": hostile.weights,
    "sound studies": study_options.unusual,
}
