"""AP on parts of the data: crowds, slender and small objects, and what is built into the scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.statistics import fitted_line, gains, over_seeds, slope
from assignbench.measure.matching import AREAS, average_precision, average_recall, match, mean_over_classes

CROWD_EDGES, CROWD_NAMES = (0.0, 0.2, 0.5), ("sparse", "medium", "dense")
ELONGATION_EDGES = (1.0, 1.5, 2.5, 4.0)
COUNT_EDGES = (1, 4, 8, 16, 32)
FACTORS = ("crowdedness", "aspect_ratio", "acentricity", "occlusion", "contrast", "objects_in_image")
FACTOR_BINS = 4
GROUP_RULE = (
    "Objects outside a group are ignored (neither missed nor matched at a cost), detections matched to them too; "
    "unmatched detections count as false positives in every group. "
)


@dataclass(frozen=True)
class Grouping:
    """Half-open bins [edge, next edge) of a column of the object table, the last one open."""

    column: str
    edges: tuple[float, ...]
    names: tuple[str, ...]

    def place(self, values: pd.Series) -> npt.NDArray[np.int64]:
        """The bin of every value (-1 below the first edge). Values are rounded to 1e-6: a float32 half is a half."""
        rounded = values.to_numpy(np.float64).round(6)
        return np.asarray(np.searchsorted(np.asarray(self.edges), rounded, side="right") - 1)


def named(column: str, edges: Sequence[float], unit: str = "") -> Grouping:
    """Bins that are called after their edges."""
    pairs = list(pairwise(edges))
    names = [f"{a:g}-{b:g}{unit}" for a, b in pairs] + [f"{edges[-1]:g}{unit} and more"]
    return Grouping(column, tuple(edges), tuple(names))


CROWDING = Grouping("crowdedness", CROWD_EDGES, CROWD_NAMES)
IMAGE_CROWDING = Grouping("image_crowdedness", CROWD_EDGES, CROWD_NAMES)
ELONGATION = named("aspect_ratio", ELONGATION_EDGES)
PER_IMAGE = named("objects_in_image", COUNT_EDGES)


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
        matches = match(cell.overlaps)
        for number, name in enumerate(grouping.names):
            members = set(of_image[of_image == number].index)
            if not members:
                continue
            weight = np.isin(cell.overlaps.images, list(members)).astype(float)[None]
            found = average_precision(matches, weight)[0]
            mean = {"AP": found, "AP50": found[[0]], "AP75": found[[5]]}
            row = {**cell.keys, "group": name, "images": len(members)}
            rows.append({**row, **{k: float(mean_over_classes(v)) for k, v in mean.items()}})
    return pd.DataFrame(rows)


def with_gains(table: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """The table over seeds, with the paired gain in AP over the baseline and the relative gain."""
    if table.empty:
        return table
    mean = over_seeds(table)
    gained = gains(table, study)
    if gained.empty:
        return mean
    gained["relative_gain"] = np.where(gained.baseline > 0, gained.gain / gained.baseline, np.nan)
    keys = ["data", "detector", "method", "group"]
    extra = over_seeds(gained[[*keys, "seed", "gain", "relative_gain"]]).drop(columns="n")
    return mean.merge(extra, on=keys, how="left")


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
def crowdedness(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """AP by crowdedness of the object, of the image, and by objects per image."""
    return {
        "By crowdedness of the object": with_gains(group_table(study, CROWDING), study),
        "By crowdedness of the image": with_gains(image_group_table(study, IMAGE_CROWDING), study),
        "By objects per image": with_gains(image_group_table(study, PER_IMAGE), study),
    }


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
def aspect_ratio(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """AP by aspect ratio of the object; per category gain and mean aspect ratio; the fitted lines."""
    categories = category_gains(study)
    lines = []
    if len(categories):
        for key, group in categories.groupby(["data", "detector", "method"], sort=False):
            line = fitted_line(group.aspect_ratio.tolist(), group.gain.tolist())
            row = dict(zip(("data", "detector", "method"), key, strict=True))
            half = np.nan if line.half is None else line.half
            rows = {"intercept": line.intercept, "slope": line.slope, "slope_half": half, "categories": line.n}
            lines.append({**row, **rows})
    return {
        "By aspect ratio of the object": with_gains(group_table(study, ELONGATION), study),
        "By category": categories,
        "Lines through the categories": pd.DataFrame(lines),
    }


def category_gains(study: StudyRecord) -> pd.DataFrame:
    """data, detector, method, category, objects, aspect_ratio, AP, gain: mean over seeds. Nothing if class-agnostic."""
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
    if not rows:
        return pd.DataFrame()
    gained = gains(pd.DataFrame(rows), study)
    if gained.empty:
        return gained
    keys = ["data", "detector", "method", "category"]
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
def size(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """AP by area of the object, and AR by number of detections."""
    ranges = {k: (float(a), float(b)) for k, (a, b) in (study.about.get("areas") or {}).items()}
    ranges = ranges or {"small": AREAS["s"], "medium": AREAS["m"], "large": AREAS["l"]}
    limits = tuple(study.about.get("max_dets") or (1, 10, 100))
    rows, recalls = [], []
    for cell in study.data():
        o = cell.overlaps
        for name, area in ranges.items():
            inside = (o.object_area >= area[0]) & (o.object_area <= area[1]) & ~o.left_out
            found = average_precision(match(o, area=area))[0]
            mean = {"AP": found, "AP50": found[[0]], "AP75": found[[5]]}
            row = {**cell.keys, "group": name, "objects": int(inside.sum())}
            rows.append({**row, **{k: float(mean_over_classes(v)) for k, v in mean.items()}})
        whole = match(o, max_detections=max(limits))
        recall = {f"AR{k}": float(mean_over_classes(average_recall(whole.first(k))[0])) for k in limits}
        recalls.append({**cell.keys, **recall})
    return {
        "By area of the object": with_gains(pd.DataFrame(rows), study),
        "Recall by detections per image and class": over_seeds(pd.DataFrame(recalls)) if recalls else pd.DataFrame(),
    }


@analysis(
    "factors",
    title="Dose and response",
    question="Does a method's gain grow with what makes a scene hard?",
    definition=(
        "Objects are cut into up to four groups of equal size by a factor that the scenes control (or that the boxes "
        "show). " + GROUP_RULE + "Slope: of the paired gain in AP against the group's mean factor, fitted for each "
        "seed, with the 95 % Student-t interval over seeds."
    ),
    paper="LTM, section 4.2",
)
def factors(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """Gain by factor and group, per cell; and the slopes over seeds."""
    parts = [factor_gains(study, name) for name in FACTORS]
    table = pd.concat([p for p in parts if len(p)], ignore_index=True) if any(len(p) for p in parts) else pd.DataFrame()
    if table.empty:
        return {}
    slopes = over_seeds(slopes_of(table, by=["factor"]))
    keys = ["data", "detector", "method", "factor", "group", "seed", "middle", "objects", "AP", "gain"]
    return {"Slope of the gain": slopes, "Gain by group": over_seeds(table[keys])}


def factor_gains(study: StudyRecord, factor: str) -> pd.DataFrame:
    """One row per cell and quantile group of a factor: middle, AP, gain over the baseline; empty if it never varies."""
    kept: list[pd.DataFrame] = []
    for name in dict.fromkeys(c.keys["data"] for c in study.data()):
        grouping = quantile_groups(next(c for c in study.data() if c.keys["data"] == name), factor)
        if grouping is not None:
            table = group_table(study, grouping)
            kept.append(table[table.data == name])
    if not kept:
        return pd.DataFrame()
    table = gains(pd.concat(kept, ignore_index=True), study)
    return table.assign(factor=factor) if len(table) else table


def quantile_groups(cell: CellData, factor: str) -> Grouping | None:
    """Up to `FACTOR_BINS` groups of equal size; None if the column is missing or constant.

    A value that many objects share (crowdedness 0) makes one group of its own.
    """
    if factor not in cell.objects:
        return None
    values = cell.objects[factor].to_numpy(np.float64).round(6)
    values = values[np.isfinite(values)]
    edges = np.unique(np.quantile(values, np.arange(FACTOR_BINS) / FACTOR_BINS)) if len(values) else np.zeros(0)
    if len(values) and len(edges) == 1 and values.max() > edges[0]:
        edges = np.r_[edges, values[values > edges[0]].min()]  # most share the smallest value
    return named(factor, edges.tolist()) if len(edges) > 1 else None


def slopes_of(table: pd.DataFrame, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """The slope of the gain over a factor's groups, one row per cell (and per column of `by`): columns ..., slope."""
    keys = ["data", "detector", "method", *by, "seed"]
    rows = []
    for key, group in table.groupby(keys, sort=False) if len(table) else []:
        value = slope(group.middle.tolist(), group.gain.tolist())
        rows.append({**dict(zip(keys, key, strict=True)), "slope": value})
    return pd.DataFrame(rows, columns=[*keys, "slope"])
