"""AP and gain of every category (LTM, Fig. 8)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.dots import method_dots
from assignbench.report.style import NARROW, Drawn, Found, figure_of, finished, one_legend, place_name, present


@figure_of("classes")
def classes(study: StudyRecord, found: Found) -> list[Drawn]:
    """One figure per data set and detector: all categories, the one that gains most first."""
    made = []
    for (data, detector), part in found["classes"].groupby(["data", "detector"], sort=False):
        where = place_name(study, (str(data), str(detector)))
        gains = "difference" in part and part.difference.notna().any()
        known = any(part[c].notna().any() for c in ("AP_half", "half") if c in part)
        interval = ", with 95 % intervals" if known else ""
        caption = f"AP of every category{where}{interval} (LTM, Fig. 8)."
        if gains:
            caption = (
                f"AP of every category and its gain over the baseline{where}{interval}; the category that gains most "
                "over all methods is the first (LTM, Fig. 8)."
            )
        made.append(Drawn(f"classes-{data}-{detector}", caption, _figure(part, study, gains=bool(gains))))
    return made


def _figure(part: pd.DataFrame, study: StudyRecord, *, gains: bool) -> Figure:
    order = part.groupby("class", sort=False).difference.mean().sort_values(ascending=False, kind="stable")
    names = order.index.tolist() if gains else list(dict.fromkeys(part["class"]))
    methods = present(study.methods, part)
    high = 0.9 + max(0.17, 0.055 * len(methods)) * len(names)
    figure = Figure(figsize=(4.4 * (1 + gains), high))
    axes = figure.subplots(1, 1 + gains, sharey=True, squeeze=False)
    left, right = axes[0, 0], axes[0, -1]
    method_dots(left, part, names, methods, "AP", by="class", upright=False)
    left.set_xlabel("AP, points")
    if gains:
        better = part.rename(columns={"difference": "gain", "half": "gain_half"})
        method_dots(
            right, better, names, present(methods, better[better.gain.notna()]), "gain", by="class", upright=False
        )
        right.set_xlabel("gain in AP, points")
    for ax in {left, right}:
        ax.tick_params(axis="y", labelsize=7 if len(names) > 30 else 8)
    one_legend(figure, methods)
    return finished(figure, NARROW)
