"""Image by image: where two methods find different objects, which is where to look."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.estimates import Floats
from assignbench.analysis.pairs import pairs_of
from assignbench.analysis.result import Result
from assignbench.measure.matching import Ints

MOST = 4  # images of a pair in each direction
UNITS = {"found": "share", "found_by_baseline": "share", "difference": "share"}


def image_scores(cell: CellData) -> Floats:
    """For every image [I] the share of its objects found by its best n detections (n objects), mean over thresholds.

    NaN for images without a countable object.
    """
    return cell.keep("image scores", lambda: _image_scores(cell))


def _image_scores(cell: CellData) -> Floats:
    o, matches = cell.overlaps, cell.matches
    counted = np.bincount(o.object_image[~o.left_out], minlength=len(o.images))
    order = np.lexsort((-o.score, o.image))
    image = o.image[order]
    start = np.searchsorted(image, np.arange(len(o.images)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - start[image]
    right = (matches.found >= 0) & ~matches.ignored & (rank < counted[o.image])[:, None]
    hits = np.zeros(len(o.images))
    np.add.at(hits, o.image, right.mean(axis=1))
    return np.asarray(np.divide(hits, counted, out=np.full(len(hits), np.nan), where=counted > 0))


def image_ids(cell: CellData) -> Ints:
    """The ids [I] of the test images, in the order of their scores."""
    return cell.keep("image ids", lambda: cell.overlaps.images)


def image_differences(first: CellData, second: CellData) -> pd.DataFrame:
    """image_id, name, first, second, difference (second minus first), the images with objects only."""
    a, b = image_scores(first), image_scores(second)
    table = pd.DataFrame({"image_id": image_ids(first), "first": a, "second": b, "difference": b - a})
    return table.dropna().merge(first.images[["image_id", "name"]], on="image_id")


def ends(table: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """The images that gain most and those that lose most, each once; none where nothing differs."""
    differing = table[table.difference != 0]
    both = [differing[differing.difference > 0].nlargest(most, "difference")]
    both.append(differing[differing.difference < 0].nsmallest(most, "difference")[::-1])
    return pd.concat(both)


@analysis(
    "images",
    title="Images where methods differ most",
    question="On which test images does a method find more than its baseline, and on which less?",
    definition=(
        "found: the share of an image's objects that its best n detections find (n objects), mean over IoU "
        f"0.50:0.05:0.95, mean over the seeds that both have. Up to {MOST} images in each direction, the ends of what "
        "lies between them: no difference on a single image is tested. `assignbench compare` shows any two cells."
    ),
)
def images(study: StudyRecord) -> Result:
    """One row per pair and image at the ends."""
    parts = []
    for pair in pairs_of(study):
        if not pair.seeds:
            continue
        by_seed = [image_differences(pair.theirs[s], pair.ours[s]) for s in pair.seeds]
        mean = pd.concat(by_seed).groupby(["image_id", "name"], sort=True, as_index=False).mean(numeric_only=True)
        chosen = ends(mean).rename(columns={"first": "found_by_baseline", "second": "found"})
        keys = {k: v for k, v in pair.keys.items() if k != "pair"}
        parts.append(chosen.assign(**keys, n=len(pair.seeds)))
    columns = ["data", "detector", "method", "baseline", "image_id", "name", *UNITS, "n"]
    frame = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return Result("images", "Images at both ends", frame, UNITS, answer=_answer(frame))


def _answer(frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    told: list[str] = []
    for what, row in (("gain", frame.loc[frame.difference.idxmax()]), ("loss", frame.loc[frame.difference.idxmin()])):
        if (row.difference > 0) == (what == "gain"):
            share = f"{100 * row.difference:+.0f} per cent of its objects"
            told.append(f"largest {what} {'is ' * (not told)}that of {row.method} in {row['name']} ({share})")
    return f"The {', the '.join(told)}."
