"""Numbers that the papers print, in per cent, by table."""

from __future__ import annotations

from dataclasses import dataclass, field

from assignbench.study.spec import StudySpec


@dataclass(frozen=True)
class Published:
    """One table of a paper: `rows[detector, method] = {metric: per cent}`; `metric_names` maps to our summaries.

    `setting` says on what the numbers were measured; ours are put beside them, never subtracted, unless the data set
    of the study is `data`.
    """

    name: str
    source: str
    setting: str
    data: str
    metric_names: dict[str, str]
    rows: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)


_MG_METHODS = ("iou", "localize_to_classify", "classify_to_localize", "mutual_guidance")
_MG_TABLE1 = {
    "fssd-resnet18": ((50.3, 75.5, 53.7), (51.8, 76.1, 55.9), (51.0, 76.1, 54.3), (52.1, 76.2, 55.9)),
    "fssd-vgg16": ((54.1, 80.1, 58.3), (56.0, 80.3, 60.6), (54.4, 79.9, 58.5), (56.2, 80.4, 61.4)),
    "mg-retinanet-resnet18": ((51.1, 75.8, 54.8), (53.4, 76.5, 57.2), (51.9, 75.9, 55.8), (53.5, 76.9, 57.4)),
    "mg-retinanet-vgg16": ((55.2, 80.2, 59.6), (57.4, 81.1, 62.6), (56.2, 80.1, 61.7), (57.7, 81.1, 62.9)),
    "rfbnet-vgg16": ((55.6, 80.9, 59.6), (57.2, 80.9, 61.6), (55.9, 80.8, 60.2), (57.9, 81.5, 62.6)),
}

PUBLISHED: dict[str, Published] = {
    "mutual_guidance_table1": Published(
        name="mutual_guidance_table1",
        source="Zhang et al., Mutual Guidance, ACCV 2020, Table 1",
        setting="VOC 07+12 trainval, VOC 2007 test, 320 px; AP is VOC2007's 11-point AP over ten thresholds",
        data="voc0712",
        metric_names={"AP": "AP07", "AP50": "AP07_50", "AP75": "AP07_75"},
        rows={
            (detector, method): dict(zip(("AP", "AP50", "AP75"), values, strict=True))
            for detector, by_method in _MG_TABLE1.items()
            for method, values in zip(_MG_METHODS, by_method, strict=True)
        },
    )
}


def printed_rows(spec: StudySpec) -> dict[str, dict[int, str]]:
    """Which cell of a study ("detector/method") is which printed row: by table, in the order of the rows."""
    found = {
        table: {row: cell for cell, rows in cells.items() for row in rows}
        for table, cells in (spec.tables or {}).items()
    }
    return {table: dict(sorted(rows.items())) for table, rows in found.items()}
