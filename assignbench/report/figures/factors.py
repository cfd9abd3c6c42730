"""Gain over each factor that scenes are made of."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.analysis.trends import BY_IMAGE
from assignbench.report.dots import free_limits
from assignbench.report.scenes import fold_of
from assignbench.report.style import (
    Drawn,
    Found,
    figure_of,
    finished,
    method_lines,
    one_legend,
    panels,
    place_name,
    plain,
    present,
)


@figure_of("factors.groups")
def factors(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain over each factor."""
    table = found["factors.groups"]
    made = []
    for (data, detector), part in table.groupby(["data", "detector"], sort=False):
        names = list(dict.fromkeys(part.factor))
        figure, axes = panels(len(names), columns=3, size=(3.3, 2.7))
        for ax, factor in zip(axes, names, strict=True):
            mine = part[part.factor == factor]
            method_lines(ax, mine, present(study.methods, mine), "middle", "gain", scale=1.0)
            ends = free_limits(mine.gain.to_numpy(float), mine.gain_half.to_numpy(float))
            ax.set_ylim(min(ends[0], 0.0), max(ends[1], 0.0))
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xlabel(plain(factor.replace("_", " ")))
            ax.set_ylabel("gain, per cent of AP" if factor in BY_IMAGE else "gain, points")
        one_legend(figure, study.methods)
        where = place_name(study, (str(data), str(detector)))
        caption = (
            f"Gain over the baseline by factor{where}, in points; in per cent of its AP where images are the unit."
        )
        made.append(
            Drawn(
                f"factors-{data}-{detector}", caption, finished(figure), fold=fold_of(study, (str(data), str(detector)))
            )
        )
    return made
