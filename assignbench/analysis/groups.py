"""AP on parts of the data: crowds, slender and small objects, and what is built into the scenes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis, three_numbers
from assignbench.analysis.intervals import fitted_line, over_seeds, with_verdicts
from assignbench.analysis.pairs import gains, with_gains
from assignbench.analysis.result import Result
from assignbench.analysis.trends import FACTORS, factor_grouping, trend_rows
from assignbench.measure.coco import AREAS
from assignbench.measure.groups import CROWDING, ELONGATION, IMAGE_CROWDING, PER_IMAGE, Grouping
from assignbench.measure.matching import average_precision, match

GROUP_RULE = (
    "Objects outside a group are left out (neither missed nor matched at a cost), detections matched to them too; an "
    "unmatched detection counts with the group's share of the objects of its class as its weight, so that groups which "
    "differ in size alone have the same AP. "
)
UNITS = {name: "AP" for name in ("AP", "AP50", "AP75", "gain")} | {"relative_gain": "share"}


def group_table(study: StudyRecord, grouping: Grouping) -> pd.DataFrame:
    """One row per cell and group: objects, mean of the column in the group, AP, AP50, AP75."""
    rows = []
    for cell in study.data():
        if grouping.column not in cell.objects:
            continue
        place = grouping.place(cell.objects[grouping.column])
        for number, name in enumerate(grouping.names):
            inside = place == number
            if (inside & ~cell.overlaps.left_out).any():
                middle = float(cell.objects[grouping.column][inside].mean())
                numbers = cell.once((grouping, number), partial(cell.group_numbers, inside))
                rows.append({**cell.keys, "group": name, "middle": middle, **numbers})
    return pd.DataFrame(rows)


def image_group_table(study: StudyRecord, grouping: Grouping) -> pd.DataFrame:
    """The same for whole images, which belong to the group of their objects' common value."""
    rows = []
    for cell in study.data():
        place = pd.Series(grouping.place(cell.objects[grouping.column]), index=cell.objects.image_id)
        of_image = place.groupby(level=0).max()
        for number, name in enumerate(grouping.names):
            members = set(of_image[of_image == number].index)
            if not members:
                continue
            weight = np.isin(cell.overlaps.images, list(members)).astype(float)[None]
            row = {**cell.keys, "group": name, "images": len(members)}
            rows.append({**row, **three_numbers(average_precision(cell.matches, weight)[0])})
    return pd.DataFrame(rows)


@analysis(
    "crowdedness",
    title="Crowded objects",
    question="Does a method help more where objects overlap?",
    definition=(
        "Crowdedness of an object: its largest IoU with any other object of its image; sparse [0, 0.2), medium "
        "[0.2, 0.5), dense [0.5, 1]. Of an image: the maximum over its objects. " + GROUP_RULE + "Image groups are "
        "evaluated on their images alone. gain: paired difference in AP to the baseline; relative gain: over its AP."
    ),
    paper="LTM, Table 2 and Fig. 5",
)
def crowdedness(study: StudyRecord) -> list[Result]:
    """AP by crowdedness of the object, of the image, and by objects per image."""
    tables: tuple[tuple[str, str, Callable[[StudyRecord, Grouping], pd.DataFrame], Grouping], ...] = (
        ("crowdedness", "By crowdedness of the object", group_table, CROWDING),
        ("crowdedness.image", "By crowdedness of the image", image_group_table, IMAGE_CROWDING),
        ("crowdedness.per_image", "By objects per image", image_group_table, PER_IMAGE),
    )
    return [Result(key, caption, with_gains(make(study, by), study), UNITS) for key, caption, make, by in tables]


@analysis(
    "aspect_ratio",
    title="Slender objects",
    question="Does a method help more where objects are slender?",
    definition=(
        "Aspect ratio: max(w/h, h/w). " + GROUP_RULE + "By category: gain in AP (mean over seeds) against the "
        "category's mean aspect ratio; a line through the categories with the 95 % interval of its slope over them."
    ),
    paper="LTM, Figs. 7 and 8",
)
def aspect_ratio(study: StudyRecord) -> list[Result]:
    """AP by aspect ratio of the object; per category gain and mean aspect ratio; the fitted lines."""
    categories = category_gains(study)
    lines = []
    if len(categories):
        for key, group in categories.groupby(["data", "detector", "method", "baseline"], sort=False):
            line = fitted_line(group.aspect_ratio.tolist(), group.gain.tolist())
            row = dict(zip(("data", "detector", "method", "baseline"), key, strict=True))
            half = np.nan if line.half is None else line.half
            rows = {"intercept": line.intercept, "slope": line.slope, "slope_half": half, "categories": line.n}
            lines.append({**row, **rows})
    of_lines = {"intercept": "AP", "slope": "AP"}
    return [
        Result(
            "aspect_ratio", "By aspect ratio of the object", with_gains(group_table(study, ELONGATION), study), UNITS
        ),
        Result("aspect_ratio.categories", "By category", categories, {"AP": "AP", "gain": "AP"}),
        Result("aspect_ratio.lines", "Lines through the categories", pd.DataFrame(lines), of_lines),
    ]


def category_gains(study: StudyRecord) -> pd.DataFrame:
    """data, detector, method, baseline, category, objects, aspect_ratio, AP, gain: mean over seeds.

    Nothing if the detector knows no classes.
    """
    rows = []
    for cell in study.data():
        if cell.agnostic:
            continue
        by_class = cell.precision().mean(axis=0)
        grouped = cell.objects.groupby("label")
        mean, count = grouped.aspect_ratio.mean(), grouped.size()
        for label, name in enumerate(cell.classes):
            if np.isfinite(by_class[label]):
                row = {**cell.keys, "category": name, "objects": int(count[label])}
                rows.append({**row, "aspect_ratio": float(mean[label]), "AP": float(by_class[label])})
    gained = gains(pd.DataFrame(rows), study)
    if gained.empty:
        return pd.DataFrame()
    keys = ["data", "detector", "method", "baseline", "category"]
    return gained.groupby(keys, sort=False, as_index=False)[["objects", "aspect_ratio", "AP", "gain"]].mean()


@analysis(
    "size",
    title="Small and large objects",
    question="Does a method help more on small or on large objects?",
    definition=(
        "COCO's areas (small below 32 x 32 px, large from 96 x 96 px on, in pixels of the original image) or those of "
        "the study's `areas`; unmatched detections outside a range are ignored, as COCO does. AR at the detections "
        "per image and class of the study's `max_dets`. n/a: no object of that size."
    ),
)
def size(study: StudyRecord) -> list[Result]:
    """AP by area of the object, and AR by number of detections."""
    ranges = {k: (float(a), float(b)) for k, (a, b) in (study.about.get("areas") or {}).items()}
    ranges = ranges or {"small": AREAS["s"], "medium": AREAS["m"], "large": AREAS["l"]}
    limits = tuple(study.about.get("max_dets") or (1, 10, 100))
    rows, recalls = [], []
    for cell in study.data():
        rows += _by_area(cell, ranges)
        recalls.append({**cell.keys, **{f"AR{k}": cell.recall(k) for k in limits}})
    recall_table = over_seeds(pd.DataFrame(recalls)) if recalls else pd.DataFrame()
    return [
        Result("size", "By area of the object", with_gains(pd.DataFrame(rows), study), UNITS),
        Result(
            "size.recall",
            "Recall by detections per image and class",
            recall_table,
            {f"AR{k}": "share" for k in limits},
        ),
    ]


def _by_area(cell: CellData, ranges: dict[str, tuple[float, float]]) -> list[dict[str, object]]:
    o = cell.overlaps
    rows: list[dict[str, object]] = []
    for name, area in ranges.items():
        inside = (o.object_area >= area[0]) & (o.object_area <= area[1]) & ~o.left_out
        found = average_precision(match(o, area=area, max_detections=cell.most))[0]
        rows.append({**cell.keys, "group": name, "objects": int(inside.sum()), **three_numbers(found)})
    return rows


@analysis(
    "factors",
    title="Dose and response",
    question="Does a method's gain grow with what makes a scene hard?",
    definition=(
        "Objects are cut into up to four groups of equal size by a factor that the scenes control (or that the boxes "
        "show). " + GROUP_RULE + "Slope: of the paired gain in AP against the group's mean factor, fitted for each "
        "seed with the groups' numbers of objects as weights. Its 95 % interval speaks for other seeds and other test "
        "images: half = t·√(s²/n over seeds + variance over images by jackknife over 20 folds of them), with "
        "Welch-Satterthwaite's degrees of freedom. Verdicts are corrected (Holm) over all slopes of the table."
    ),
    paper="LTM, section 4.2",
)
def factors(study: StudyRecord) -> list[Result]:
    """The slopes; and gain by factor and group over seeds."""
    slopes = [t for t in (trend_rows(study, name) for name in FACTORS) if len(t)]
    if not slopes:
        return []
    parts = [p for p in (factor_gains(study, name) for name in FACTORS) if len(p)]
    keys = ["data", "detector", "method", "baseline", "pair", "factor", "group", "seed"]
    by_group = over_seeds(pd.concat(parts, ignore_index=True)[[*keys, "middle", "objects", "AP", "gain"]])
    table = with_verdicts(pd.concat(slopes, ignore_index=True), "slope")
    return [
        Result("factors", "Slope of the gain", table, {"slope": "AP", "half": "AP"}),
        Result("factors.groups", "Gain by group", by_group, {"AP": "AP", "gain": "AP"}),
    ]


def factor_gains(study: StudyRecord, factor: str) -> pd.DataFrame:
    """One row per cell and quantile group of a factor: middle, AP, gain over the baseline; empty if it never varies."""
    kept: list[pd.DataFrame] = []
    for name in dict.fromkeys(c.keys["data"] for c in study.data()):
        grouping = factor_grouping(study, name, factor)
        if grouping is not None:
            table = group_table(study, grouping)
            kept.append(table[table.data == name])
    if not kept:
        return pd.DataFrame()
    return gains(pd.concat(kept, ignore_index=True), study).assign(factor=factor)
