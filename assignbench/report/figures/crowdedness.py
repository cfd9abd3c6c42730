"""Gain by crowdedness of the object; AP and gain by objects per image."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.measure.groups import CROWDING, PER_IMAGE
from assignbench.report.panels import gain_bars, gain_figure, paired_panels
from assignbench.report.style import Drawn, Found, figure_of, finished, legend, method_bars, present


@figure_of("crowdedness")
def crowdedness(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain by crowdedness of the object; AP and gain by objects per image."""
    first, second = found["crowdedness"], found.get("crowdedness.per_image", pd.DataFrame())
    by_object = gain_figure(first, study, CROWDING.names, "largest IoU with another object")
    interval = "with its 95 % interval."
    return [
        Drawn("crowdedness", f"Gain in AP over the baseline by crowdedness (LTM, Table 2), {interval}", by_object),
        Drawn(
            "crowdedness-count",
            f"AP of every method, and its gain over the baseline, by objects per image (LTM, Fig. 5), {interval}",
            _by_count(second, study),
        ),
    ]


def _by_count(table: pd.DataFrame, study: StudyRecord) -> Figure | None:
    """APs on the left, gains on the right."""
    if table.empty:
        return None
    figure, rows = paired_panels(table)
    label = "objects per image"
    for title, part, (left, right) in rows:
        known = [g for g in PER_IMAGE.names if g in set(part.group)]
        methods = present(study.methods, part)
        method_bars(left, part, known, methods, "AP")
        left.set_title(title)
        left.set_xlabel(label)
        left.set_ylabel("AP, per cent")
        if "gain" in part:
            gain_bars(PER_IMAGE.names, label)(right, part, methods)
        legend(right, left)
    return finished(figure)
