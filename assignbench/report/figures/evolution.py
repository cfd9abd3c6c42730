"""Confidence of positives and of other priors over training, and strips of one object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.report.drawing import draw_priors
from assignbench.report.panels import paired_panels
from assignbench.report.samples import probed
from assignbench.report.style import (
    Drawn,
    Found,
    colour,
    figure_of,
    finished,
    legend,
    panels,
    place_name,
    plain,
    present,
    style,
    titled,
)


@figure_of("evolution.course")
def evolution(study: StudyRecord, found: Found) -> list[Drawn]:
    """Score and IoU of positives and of other priors, and strips of an object's confidences."""
    figure, rows = paired_panels(found["evolution.course"])
    for title, part, pair in rows:
        for ax, (value, name) in zip(pair, (("cls_score", "class score"), ("iou", "IoU")), strict=True):
            for method in present(study.methods, part):
                for kind, alpha in (("positive", 1.0), ("other", 0.4)):
                    mine = part[(part.method == method) & (part.priors == kind)].groupby("progress")[value].mean()
                    label = plain(method) if kind == "positive" else None
                    look: dict[str, Any] = {
                        "color": colour(method),
                        "ls": style(method),
                        "alpha": alpha,
                        "lw": 1.2,
                        "label": label,
                    }
                    ax.plot(mine.index, mine, **look)
            ax.set_title(titled(name, title))
            ax.set_xlabel("share of training")
        legend(pair[1])
    caption = "Mean class score and IoU of the positives (full colour) and the other priors (pale) of probe objects."
    return [Drawn("evolution", caption, finished(figure)), *_strips(study)]


def _strips(study: StudyRecord, moments: int = 5) -> list[Drawn]:
    """Confidence of one object's priors at a few visits, a row per method (LTM, Fig. 6)."""
    made = []
    for (data, detector), usable, chosen in probed(study, least=2):
        shown = min(moments, *(len(c.probe_visits()) for c in usable))
        figure, axes = panels(len(usable) * shown, columns=shown, size=(1.9, 2.1))
        for row, cell in enumerate(usable):
            paths = cell.probe_visits()
            for column, at in enumerate(np.linspace(0, len(paths) - 1, shown).round().astype(int)):
                table = pd.read_parquet(paths[at])
                ax = axes[row * shown + column]
                name = cell.config.method.name
                title = f"{name}, {100 * table.progress.iloc[0]:.0f} %" if len(table) else name
                draw_priors(ax, cell, table[table.object_id == chosen], "cls_score", title)
        caption = (
            f"Class scores of one probe object's priors over training{place_name(study, (data, detector))}: a dot per "
            "prior at its centre, yellow is 1, dark blue 0."
        )
        made.append(Drawn(f"evolution-strips-{data}-{detector}", caption, finished(figure), data))
    return made
