"""The median box of every prior of a location (MuSu, Fig. 3)."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from assignbench.analysis import StudyRecord
from assignbench.report.style import (
    Drawn,
    Found,
    colour,
    figure_of,
    finished,
    panels,
    place_name,
    places,
    plain,
    present,
)


@figure_of("anchors")
def anchors(study: StudyRecord, found: Found) -> list[Drawn]:
    """The median box of every prior of a location (MuSu, Fig. 3)."""
    made = []
    for _, part in places(found["anchors"]):
        methods = present(study.methods, part)
        figure, axes = panels(len(methods), columns=4, size=(2.2, 2.2))
        reach = float((part["size"] * np.sqrt(np.maximum(part.ratio, 1 / part.ratio))).max()) / 2 * 1.1
        for ax, method in zip(axes, methods, strict=True):
            for row in part[part.method == method].itertuples():
                wide, high = row.size * row.ratio**0.5, row.size / row.ratio**0.5
                box = Rectangle(
                    (-wide / 2, -high / 2), wide, high, fill=False, ec=colour(method), lw=0.5 + 5 * row.share
                )
                ax.add_patch(box)
            ax.set_xlim(-reach, reach)
            ax.set_ylim(-reach, reach)
            ax.set_aspect("equal")
            ax.set_title(plain(method))
        place = (str(part.data.iloc[0]), str(part.detector.iloc[0]))
        caption = (
            "Median box of each prior of a location, in strides; a wide line has many detections"
            f"{place_name(study, place)}."
        )
        made.append(Drawn(f"anchors-{place[0]}-{place[1]}", caption, finished(figure)))
    return made
