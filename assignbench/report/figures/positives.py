"""Positives per object over training (PAA, Fig. 4b)."""

from __future__ import annotations

import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.report.courses import moving, still
from assignbench.report.panels import course_figure
from assignbench.report.scenes import Place
from assignbench.report.style import Drawn, Found, figure_of, place_name

TASKS = {"cls": "classification", "box": "box"}
ALIKE = 0.1  # positives per object: curves nearer to each other at every moment lie on top of each other


@figure_of("positives")
def draw_positives(study: StudyRecord, found: Found) -> list[Drawn]:
    """Positives per object over training, one panel per task, of the methods that do not follow their baseline."""
    table = found["positives"]
    table = table.assign(curve=table.task.map(TASKS))
    follow, told = _following(study, table)
    apart = table[~pd.MultiIndex.from_frame(table[["data", "detector", "method"]]).isin(follow)]
    # A baseline is the measure of others: it says nothing where none of them is left.
    if follow:
        left = {(d, n) for d, n, m in apart[["data", "detector", "method"]].to_numpy() if study.baseline_of(m, (d, n))}
        apart = apart[pd.MultiIndex.from_frame(apart[["data", "detector"]]).isin(list(left))]
    shown = moving(apart, "positives") if len(apart) else apart
    told += still(apart, study.methods, "positives", "positives per object") if len(apart) else ""
    caption = (
        "Positives per object over training, by task, mean over seeds (PAA, Fig. 4b). All methods saw the same batches "
        "at each moment, whose objects differ from moment to moment."
    )
    if shown.empty:
        return [Drawn("positives", caption, None, told=told.strip() or "No number of positives changes.")]
    names, label = list(TASKS.values()), "positives per object"
    figure = course_figure(shown, study.methods, names, "positives", label)
    return [Drawn("positives", caption + told, figure)]


def _following(study: StudyRecord, table: pd.DataFrame) -> tuple[list[tuple[str, str, str]], str]:
    """The data sets, detectors and methods whose curves lie on those of their baselines, and a sentence on them."""
    follow: list[tuple[str, str, str]] = []
    found: dict[str, list[tuple[Place, float]]] = {}  # by who follows
    for (data, detector), part in table.groupby(["data", "detector"], sort=False):
        place = (str(data), str(detector))
        wide = part.pivot_table(index=["task", "seed", "progress"], columns="method", values="positives")
        based = [(m, study.baseline_of(m, place)) for m in study.methods if m in wide]
        gaps = {m: float((wide[m] - wide[b]).abs().max()) for m, b in based if b in wide}
        near = {m: gap for m, gap in gaps.items() if gap < ALIKE}
        follow += [(*place, m) for m in near]
        if near:
            names = "every method" if len(near) == len(gaps) else ", ".join(near)
            found.setdefault(names, []).append((place, max(near.values())))
    told = []
    for names, places in found.items():
        where = "" if len(places) == len(study.places) else "".join(place_name(study, place) for place, _ in places)
        told.append(f"{names}{where} (at most {max(gap for _, gap in places):.2g} apart)")
    if not told:
        return [], ""
    return follow, f" Not drawn, since they have as many as their baselines at every moment: {'; '.join(told)}."
