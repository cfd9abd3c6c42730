"""AP on parts of the data: crowds, slender and small objects, and what is built into the scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.categories import LEAST_CATEGORIES, category_trends, class_means, population_of
from assignbench.analysis.estimates import Estimate
from assignbench.analysis.pairs import KEYS, gains, over_pairs, pairs_of
from assignbench.analysis.parts import (
    INTERVALS,
    area_groups,
    image_groups,
    measured_table,
    object_groups,
    part_table,
    ranges_of,
    recalls_of,
)
from assignbench.analysis.places import named_places
from assignbench.analysis.power import ends_of, resolved_told, smallest_values_told
from assignbench.analysis.result import Result
from assignbench.analysis.trends import FACTORS, GROUP_IMAGES, LEAST_BASE, LEAST_RANGE, trends, unit_of_gain
from assignbench.analysis.verdicts import HIGHER, LOWER, with_verdicts
from assignbench.config.evaluation import LEAST_OBJECTS
from assignbench.measure.groups import CROWDING, ELONGATION, IMAGE_CROWDING, PER_IMAGE, Grouping

GROUP_RULE = (
    "Objects outside a group are left out (neither missed nor matched at a cost), detections matched to them too; an "
    "unmatched detection counts with the group's share of the objects of its class as its weight, so that groups which "
    "differ in size alone have the same AP. "
)
UNITS = {name: "AP" for name in ("AP", "AP50", "AP75", "gain")} | {"relative_gain": "share"}
UNITS |= {"middle": "of the factor", "objects": "objects", "images": "images", "gain_n": "seeds"}
CATEGORY_UNITS = {"objects": "objects", "aspect_ratio": "w:h", "AP": "AP", "gain": "AP"}
LINE_UNITS = {"intercept": "AP", "slope": "AP", "categories": "categories"}


def units_of(table: pd.DataFrame) -> dict[str, str]:
    """Of the columns that a table of groups has."""
    return {name: unit for name, unit in UNITS.items() if name in table}


def group_table(study: StudyRecord, grouping: Grouping) -> pd.DataFrame:
    """One row per method and group of objects (`parts.part_table`), with the mean of the column in the group."""
    return part_table(study, partial(object_groups, grouping))


def image_group_table(study: StudyRecord, grouping: Grouping) -> pd.DataFrame:
    """The same for whole images."""
    return part_table(study, partial(image_groups, grouping))


@analysis(
    "crowdedness",
    title="Crowded objects",
    question="Does a method help more where objects overlap?",
    definition=(
        "Crowdedness of an object: its largest IoU with any other object of its image; sparse [0, 0.2), medium "
        "[0.2, 0.5), dense [0.5, 1]. Of an image: the maximum over its objects. " + GROUP_RULE + "Image groups are "
        "evaluated on their images alone. gain: paired difference in AP to the baseline; relative gain: over its "
        f"AP, where that is {100 * LEAST_BASE:g} points or more. " + INTERVALS
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
    return [result for key, caption, make, by in tables for result in results_of(key, caption, make(study, by))]


def results_of(key: str, caption: str, table: pd.DataFrame) -> list[Result]:
    """A table of parts in print, and the p values behind its verdicts."""
    shown = table.drop(columns=[c for c in ("p", "p_holm", "estimate") if c in table])
    told = resolved_told(table.estimate, "AP") if "estimate" in table else ""
    results = [Result(key, caption, shown, units_of(shown), notes=(*_suppressed(shown), *filter(None, (told,))))]
    if "p" in table and table.p.notna().any():
        behind = table[table.p.notna()]
        kept = ["data", "detector", "method", "baseline", "group", "n", "p", "p_holm"]
        results.append(Result(f"{key}.p", f"The p values: {caption.lower()}", behind[kept], {}, "appendix"))
    return results


def _suppressed(table: pd.DataFrame) -> tuple[str, ...]:
    """Why a gain stands there and no relative one."""
    if "relative_gain" not in table or not (table.gain.notna() & table.relative_gain.isna()).any():
        return ()
    return (f"relative gain n/a: the baseline's AP there is below {100 * LEAST_BASE:g} points.",)


@analysis(
    "aspect_ratio",
    title="Slender objects",
    question="Does a method help more where objects are slender?",
    definition=(
        "Aspect ratio: max(w/h, h/w). " + GROUP_RULE + "By category: gain in AP (mean over seeds) against the "
        f"category's mean aspect ratio; a line through the categories that {GROUP_IMAGES} images hold, where there are "
        f"{LEAST_CATEGORIES} of them, with the 95 % interval of its slope for other seeds, images and categories. "
        + INTERVALS
    ),
    paper="LTM, Figs. 7 and 8",
)
def aspect_ratio(study: StudyRecord) -> list[Result]:
    """AP by aspect ratio of the object; per category gain and mean aspect ratio; the fitted lines."""
    categories, told = category_gains(study), category_trends(pairs_of(study), "aspect_ratio")
    lines = [
        {**pair.keys, "intercept": sample.line.intercept, "slope": estimate.mean, "slope_half": estimate.half}
        | {"categories": len(sample.names), "n": estimate.n, "population": population_of(estimate)}
        for pair, sample, estimate in told
        if not sample.untestable
    ]
    without = [f"No line for {p.method} on {p.detector}, {p.data}: {s.untestable}." for p, s, _ in told if s.untestable]
    return [
        *results_of("aspect_ratio", "By aspect ratio of the object", group_table(study, ELONGATION)),
        Result("aspect_ratio.categories", "By category", categories, CATEGORY_UNITS),
        Result(
            "aspect_ratio.lines", "Lines through the categories", pd.DataFrame(lines), LINE_UNITS, notes=tuple(without)
        ),
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
        held = class_means(cell, "aspect_ratio")
        for label, name in enumerate(cell.classes):
            if np.isfinite(by_class[label]):
                row = {**cell.keys, "category": name, "objects": int(held.objects[label])}
                rows.append({**row, "aspect_ratio": float(held.means[label]), "AP": float(by_class[label])})
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
        "per image and class of the study's `max_dets`. n/a: no object of that size. " + INTERVALS
    ),
)
def size(study: StudyRecord) -> list[Result]:
    """AP by area of the object, and AR by number of detections."""
    names = recalls_of(study)
    table = part_table(study, partial(area_groups, ranges_of(study)))
    recall = {name: "share" for name in names}
    return [
        *results_of("size", "By area of the object", table),
        Result("size.recall", "Recall by detections per image and class", measured_table(study, names), recall),
    ]


@analysis(
    "factors",
    title="Dose and response",
    question="Does a method's gain grow with what makes a scene hard?",
    definition=(
        "Objects are cut by a factor that the scenes control (or that the boxes show) into LTM's groups where it has "
        "some and into up to four of equal size otherwise; groups of fewer objects than the study's `least_objects` "
        f"({LEAST_OBJECTS} unless it says so) or in fewer than {GROUP_IMAGES} images are left out (equal ones are "
        "fewer where they would be so small). " + GROUP_RULE + "Images are cut by their number of objects and their "
        "crowdedness: a group's AP is that of its images, its gain relative to the baseline's AP. Slope: of the paired "
        "gain against the group's mean factor, fitted for each seed, a group weighing as many as it has images. "
        "Its 95 % interval speaks for other seeds and other test images, as that of a difference "
        "does. Verdicts are corrected (Holm) over all slopes of the table; none is given where the outer groups lie "
        f"less than {LEAST_RANGE} units of the factor apart. Below the table: of every resolved slope the gains by "
        "group that make it, and where one goes against it."
    ),
    paper="LTM, section 4.2",
)
def factors(study: StudyRecord) -> list[Result]:
    """The slopes; and the gain by factor and group."""
    slopes, groups, tested = [], [], []
    for factor in FACTORS:
        found = trends(pairs_of(study), factor)
        tested += [(factor, e) for e in ends_of([e for _, sample, e in found if not sample.untestable])]
        for pair, sample, estimate in found:
            row = {**pair.keys, "factor": factor, "slope": 100 * estimate.mean, "half": 100 * estimate.half}
            row |= {"unit": f"{unit_of_gain(factor)} per unit", "n": estimate.n, "p": estimate.p}
            row |= {"population": estimate.population if estimate.n else ""}
            slopes.append({**row, "by_group": sample.detail or "–", "untestable": sample.untestable})
        groups += gains_by_group(study, factor)
    if not slopes:
        return []
    table = with_verdicts(pd.DataFrame(slopes), "slope").rename(columns={"untestable": "reason"})
    shown = [*KEYS, "factor", "slope", "half", "unit", "n", "population", "verdict", "by_group", "reason"]
    return [
        Result("factors", "Slope of the gain", table[shown], notes=(*_smallest_slopes(tested), *gains_behind(table))),
        Result("factors.p", "The p values of the slopes", table[[*KEYS, "factor", "n", "p", "p_holm"]], {}, "appendix"),
        Result("factors.groups", "Gain by group", pd.DataFrame(groups), {"middle": "of the factor"}),
    ]


def gains_behind(table: pd.DataFrame) -> list[str]:
    """The gains that make each resolved slope, which its number hides: one may fall below zero while it grows."""
    clear = table[table.verdict.isin([HIGHER, LOWER])].assign(
        where=lambda t: named_places(t, table), of=lambda t: t.factor.map(unit_of_gain)
    )
    return [
        f"{r.factor.replace('_', ' ')}, {r.method} to {r.baseline}{f' at {place}' if (place := r.where) else ''}: "
        f"{r.by_group} ({r.of})."
        for r in clear.itertuples()
    ]


def _smallest_slopes(tested: Sequence[tuple[str, Estimate]]) -> tuple[str, ...]:
    """Which slopes such a study resolves, of the estimates over each factor."""
    rows = [{"detectable": 100 * e.detectable, "unit": f"{unit_of_gain(f)} per unit of {f}"} for f, e in tested]
    return smallest_values_told(pd.DataFrame(rows)) if rows else ()


def gains_by_group(study: StudyRecord, factor: str) -> list[dict[str, object]]:
    """One row per pair and group of a factor with a trend: its mean factor, objects, gain and interval."""
    told = [(p, s) for p, s, _ in trends(pairs_of(study), factor) if not s.untestable]
    most = max((len(s.groups.names) for _, s in told), default=0)
    rows: list[dict[str, object]] = []
    for number in range(most):
        here = [(p, s) for p, s in told if number < len(s.groups.names)]
        found = over_pairs([p for p, _ in here], [s.of_group(number) for _, s in here])
        for (pair, sample), estimate in zip(here, found, strict=True):
            g = sample.groups
            row = {**pair.keys, "factor": factor, "group": g.names[number], "middle": float(g.middles[number])}
            row |= {"objects": int(g.objects[number]), "gain": 100 * estimate.mean, "gain_half": 100 * estimate.half}
            rows.append({**row, "unit": unit_of_gain(factor), "n": estimate.n, "population": estimate.population})
    return rows
