"""Confidence of positives and of other priors over training, and strips of one object."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D

from assignbench.analysis import StudyRecord
from assignbench.report.hues import colour, style
from assignbench.report.panels import paired_panels
from assignbench.report.strips import assignment_strips, confidence_strips
from assignbench.report.style import Drawn, Found, figure_of, finished, one_legend, plain, present, titled

PALE = 0.35


@figure_of("evolution.course")
def evolution(study: StudyRecord, found: Found) -> list[Drawn]:
    """Score and IoU of positives and of other priors, and strips of an object's priors."""
    figure, rows = paired_panels(found["evolution.course"])
    for title, part, pair in rows:
        for ax, (value, name) in zip(pair, (("cls_score", "class score"), ("iou", "IoU")), strict=True):
            for method in present(study.methods, part):
                for kind, alpha in (("positive", 1.0), ("other", PALE)):
                    mine = part[(part.method == method) & (part.priors == kind)].groupby("progress")[value].mean()
                    look: dict[str, Any] = {"color": colour(method), "ls": style(method), "alpha": alpha, "lw": 1.3}
                    ax.plot(mine.index, mine, label=plain(method) if kind == "positive" else None, **look)
            ax.set_title(titled(name, title))
            ax.set_xlabel("share of training")
    kinds = [Line2D([], [], color="black", alpha=a, label=t) for t, a in (("positives", 1.0), ("others", PALE))]
    one_legend(figure, study.methods, kinds)
    caption = "Mean class score and IoU of the positives (full colour) and the other priors (pale) of probe objects."
    drawn = Drawn("evolution", caption, finished(figure))
    return [drawn, *confidence_strips(study), *assignment_strips(study)]
