"""Gain by crowdedness of the object; AP and gain by objects per image."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.measure.groups import CROWDING, PER_IMAGE
from assignbench.report.dots import method_dots
from assignbench.report.panels import filled, gain_dots, gain_drawn, intervals, paired_panels, without
from assignbench.report.style import Drawn, Found, figure_of, finished, one_legend, present


@figure_of("crowdedness")
def crowdedness(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain by crowdedness of the object; AP and gain by objects per image."""
    first, second = found["crowdedness"], found.get("crowdedness.per_image", pd.DataFrame())
    caption = "Gain in AP over the baseline by crowdedness (LTM, Table 2)"
    made = [gain_drawn("crowdedness", caption, first, study, CROWDING.names, "largest IoU with another object")]
    shown = second[second.AP.notna()] if len(second) else second
    if len(shown):
        caption = "AP of every method, and its gain over the baseline, by objects per image (LTM, Fig. 5)"
        caption += intervals(shown, PER_IMAGE.names, "AP") + without(second, PER_IMAGE.names, "AP")
        made.append(Drawn("crowdedness-count", caption, _by_count(shown, study)))
    return made


def _by_count(table: pd.DataFrame, study: StudyRecord) -> Figure:
    """APs on the left, gains on the right."""
    figure, rows = paired_panels(table)
    label = "objects per image"
    for title, part, (left, right) in rows:
        methods = present(study.methods, part)
        method_dots(left, part, filled(part, PER_IMAGE.names), methods, "AP")
        left.set_title(title)
        left.set_xlabel(label)
        left.set_ylabel("AP, points")
        gain_dots(PER_IMAGE.names, label)(right, part, methods)
    one_legend(figure, study.methods)
    return finished(figure)
