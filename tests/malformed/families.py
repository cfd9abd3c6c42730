"""The families of cases by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.malformed import data_coco, data_csv, data_images, data_voc, hostile, hostile_records, records, results, studies, study_shapes
from tests.malformed.harness import Case

FAMILIES: dict[str, Callable[[], Iterable[Case]]] = {
    "study values": studies.values,
    "study keys": study_shapes.keys,
    "study structure": study_shapes.structure,
    "study names": study_shapes.names,
    "study compositions": study_shapes.compositions,
    "options": study_shapes.options,
    "voc": data_voc.cases,
    "coco": data_coco.cases,
    "csv": data_csv.cases,
    "images": data_images.cases,
    "analyze": results.cases,
    "records": records.cases,
    "hostile": hostile.cases,
    "hostile records": hostile_records.cases,
    "weights": hostile.weights,
    "sound studies": study_shapes.unusual,
}
