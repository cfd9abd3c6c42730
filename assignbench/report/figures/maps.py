"""Class score and IoU of one object's priors in place (MuSu, Fig. 1)."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.analysis.probes import visits
from assignbench.report.drawing import draw_priors
from assignbench.report.samples import probed
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, place_name


@figure_of("maps")
def maps(study: StudyRecord, found: Found) -> list[Drawn]:
    """Score and IoU of one object's priors in place (MuSu, Fig. 1)."""
    made = []
    for (data, detector), usable, chosen in probed(study):
        figure, axes = panels(2 * len(usable), columns=4, size=(2.1, 2.3))
        for i, cell in enumerate(usable):
            table = visits(cell)[-1]
            for ax, (value, name) in zip(axes[2 * i :], (("cls_score", "class score"), ("iou", "IoU")), strict=False):
                title = f"{cell.config.method.name}: {name}"
                draw_priors(ax, cell, table[table.object_id == chosen], value, title)
        caption = (
            f"Where one probe object's priors score high and lie well at the end{place_name(study, (data, detector))}."
        )
        made.append(Drawn(f"maps-{data}-{detector}", caption, finished(figure), data))
    return made
