"""The picture that stands first: priors that a method gives to an object and its baseline does not, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from assignbench.analysis import StudyRecord
from assignbench.analysis.probes import last_visit, probe_objects
from assignbench.records import CellRecord
from assignbench.report.scenes import first_seed
from assignbench.report.style import PICTURES, WHITE, Drawn, finished, panels, picture, place_name, plain

# Mutual Guidance, Fig. 4: red is lost, green is gained; what both give is grey.
LOST, GAINED, KEPT, INK = "#d7301f", "#1a7f45", "#8a8f98", "#1d2228"
TASKS = {"cls": "classification", "box": "box"}
PRIOR = ["prior_x1", "prior_y1", "prior_x2", "prior_y2"]
SIDE = 3.4  # inches of a panel


def lost_and_gained(study: StudyRecord, preferred: Sequence[str]) -> list[Drawn]:
    """One object of a probe image at the end of training, a panel per task; nothing where no pair has probes.

    `preferred`: the methods to show, best first.
    """
    for place, cells in first_seed(study).items():
        by_method = {c.config.method.name: c for c in cells if c.probe_visits()}
        for method in dict.fromkeys([*preferred, *by_method]):
            baseline = study.baseline_of(method, place) if method in by_method else ""
            if baseline in by_method:
                drawn = _of_pair(by_method[method], by_method[baseline], place[0])
                if drawn is not None:
                    what = f"{method} compared with {baseline}{place_name(study, place)}"
                    caption = f"Lost and gained assignments of one object at the end of training: {what}. {_HOW}"
                    return [Drawn("lost_and_gained", caption, drawn, photo_of=place[0])]
    return []


_HOW = (
    "Green: priors that only the method gives to it; red: priors that only the baseline gives; grey: both; dashed: the "
    "object, where the records hold its box."
)


def _of_pair(ours: CellRecord, theirs: CellRecord, data: str) -> Figure | None:
    """The object whose priors change most, cropped to."""
    one, other = last_visit(ours), last_visit(theirs)
    keys = ["image_id", "object_id", "prior"]
    both = one.merge(other[[*keys, "positive_cls", "positive_box"]], on=keys, how="outer", suffixes=("", "_theirs"))
    lacking = other.merge(one[keys], on=keys, how="left", indicator=True)
    lacking = lacking[lacking._merge == "left_only"].set_index(keys)[PRIOR]
    both = both.set_index(keys)
    both.update(lacking)  # the boxes of priors that only the baseline's table holds
    both = both.reset_index()
    for name in ("positive_cls", "positive_box", "positive_cls_theirs", "positive_box_theirs"):
        both[name] = both[name].eq(True)
    changed = sum((both[f"positive_{t}"] != both[f"positive_{t}_theirs"]).astype(int) for t in TASKS)
    told = both.assign(changed=changed).groupby(["image_id", "object_id"]).changed.sum()
    if told.empty or not told.max():
        return None
    image, chosen = (int(v) for v in told.idxmax())
    pixels = ours.folder / "probes" / f"{image}.png"
    if not pixels.is_file():
        return None
    mine = both[(both.image_id == image) & (both.object_id == chosen)]
    figure, axes = panels(2, size=(SIDE, SIDE + 0.35))
    for ax, (task, words) in zip(axes, TASKS.items(), strict=True):
        picture(ax, np.asarray(Image.open(pixels).convert("RGB")), "")
        ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, fc=WHITE, alpha=0.3, lw=0))  # colours stand out
        _draw(ax, mine, task)
        ax.set_title(f"{words}: {plain(_count(mine, task))}", fontsize=9)
    _truth(axes, ours, image, chosen)
    return finished(figure, PICTURES)


def _count(mine: pd.DataFrame, task: str) -> str:
    ours, theirs = mine[f"positive_{task}"], mine[f"positive_{task}_theirs"]
    return (
        f"{int((ours & ~theirs).sum())} gained, {int((theirs & ~ours).sum())} lost, {int((ours & theirs).sum())} kept"
    )


def _draw(ax: Axes, mine: pd.DataFrame, task: str) -> None:
    """The priors of an object and its surroundings."""
    ours, theirs = mine[f"positive_{task}"], mine[f"positive_{task}_theirs"]
    for colour, part, width in (
        (KEPT, mine[ours & theirs], 1.0),
        (LOST, mine[theirs & ~ours], 1.5),
        (GAINED, mine[ours & ~theirs], 1.5),
    ):
        for x1, y1, x2, y2 in part[PRIOR].to_numpy(float):
            ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=width, alpha=0.9))
            ax.plot((x1 + x2) / 2, (y1 + y2) / 2, "o", ms=3.5, color=colour, mec="white", mew=0.4)
    shown = mine[ours | theirs]
    boxes = shown[PRIOR].to_numpy(float) if len(shown) else mine[PRIOR].to_numpy(float)
    middle = (boxes[:, :2] + boxes[:, 2:]).mean(axis=0) / 2
    reach = 0.6 * max(float((boxes[:, 2:] - boxes[:, :2]).max()), float(np.ptp(boxes[:, :2], axis=0).max()) * 1.4) + 8
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    reach = min(reach, (right - left) / 2, (bottom - top) / 2)
    x = min(max(middle[0], left + reach), right - reach)
    y = min(max(middle[1], top + reach), bottom - reach)
    ax.set_xlim(x - reach, x + reach)
    ax.set_ylim(y + reach, y - reach)
    handles = [Line2D([], [], color=c, lw=2, label=n) for c, n in ((GAINED, "gained"), (LOST, "lost"), (KEPT, "kept"))]
    ax.legend(handles=handles, loc="lower right", fontsize=8, framealpha=0.9)


def _truth(axes: Sequence[Axes], cell: CellRecord, image: int, chosen: int) -> None:
    """The object itself, where the probes recorded its box."""
    table = probe_objects(cell)
    if not {"x1", "y1", "x2", "y2"} <= set(table):
        return
    for o in table[(table.image_id == image) & (table.object_id == chosen)].itertuples():
        for ax in axes:
            ax.add_patch(Rectangle((o.x1, o.y1), o.x2 - o.x1, o.y2 - o.y1, fill=False, ec=INK, lw=1.6, ls="--"))
