"""Gain by crowdedness of the object and by objects per image."""

from __future__ import annotations

import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.measure.groups import CROWDING, PER_IMAGE
from assignbench.report.panels import gain_figure
from assignbench.report.style import Drawn, Found, figure_of


@figure_of("crowdedness")
def crowdedness(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain by crowdedness of the object and by objects per image."""
    first, second = found["crowdedness"], found.get("crowdedness.per_image", pd.DataFrame())
    caption = "Gain in AP over the baseline by {}, with its 95 % interval."
    by_object = gain_figure(first, study, CROWDING.names, "largest IoU with another object")
    by_count = gain_figure(second, study, PER_IMAGE.names, "objects per image")
    return [
        Drawn("crowdedness", caption.format("crowdedness of the object (LTM, Table 2)"), by_object),
        Drawn("crowdedness-count", caption.format("objects per image (LTM, Fig. 5)"), by_count),
    ]
