"""AP class by class: what each method reaches and gains there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis import measures
from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.estimates import Estimate, Floats, Measured
from assignbench.analysis.pairs import Pair, over_pairs, pairs_of
from assignbench.analysis.parts import Key, by_method, own_estimates, sampled, without_repeats
from assignbench.analysis.power import resolved_told
from assignbench.analysis.result import Result
from assignbench.analysis.verdicts import with_verdicts

KEYS = ["data", "detector", "method", "baseline", "class"]


@analysis(
    "classes",
    title="Class by class",
    question="Which classes does a method find better, and which worse?",
    definition=(
        "AP of every class with an object that counts, and its paired difference to the baseline. ±: 95 % interval for "
        "the population that the table names: with one trained model for other test images, with several for other "
        f"seeds and other test images; where fewer than {measures.LEAST_IMAGES} images hold the class, nothing is said "
        "about other images, and nothing is tested. Verdicts: after Holm's correction over all classes and methods of "
        "the table; three seeds are needed. A detector that knows no classes has no table."
    ),
)
def classes(study: StudyRecord) -> list[Result]:
    """One row per data set, detector, method and class; and the p values behind."""
    table = class_table(study)
    if table.empty:
        return []
    shown = without_repeats(table.drop(columns=["p", "p_holm", "estimate"]), "difference")
    told = resolved_told(table.estimate, "AP")
    units = {"AP": "AP", "difference": "AP"}
    results = [Result("classes", "AP by class", shown, units, notes=(told,) if told else ())]
    tested = table[table.p.notna()]
    if len(tested):
        behind = tested.assign(n=tested.difference_n.astype(int))[[*KEYS, "n", "p", "p_holm"]]
        results.append(Result("classes.p", "The p values of the classes", behind, {}, "appendix"))
    return results


def class_table(study: StudyRecord) -> pd.DataFrame:
    """The rows of all classes; none for detectors that know only one."""
    cells = {k: v for k, v in by_method(study).items() if len(next(iter(v.values())).classes) > 1}
    pairs = {(p.data, p.detector, p.method): p for p in pairs_of(study)}
    found: dict[tuple[Key, int], dict[str, object]] = {}
    for label in range(max((len(_first(v).classes) for v in cells.values()), default=0)):
        here = {k: v for k, v in cells.items() if _held(_first(v), label)[0]}
        samples = [_sampled([class_curves(c)[:, label] for c in v.values()], _first(v), label) for v in here.values()]
        gained = _gains({k: pairs[k] for k in here if k in pairs and pairs[k].seeds}, label)
        for (key, of_method), own in zip(here.items(), own_estimates(list(here), samples), strict=True):
            found[key, label] = _row(key, _first(of_method), label, own, pairs.get(key), gained.get(key))
    rows = [row for key in cells for (k, _), row in found.items() if k == key]
    return _judged(pd.DataFrame(rows)) if rows else pd.DataFrame()


def class_curves(cell: CellData) -> Floats:
    """AP [1 + R, C] by class, on all images and on their replicates."""
    return cell.keep("class curves", partial(_class_curves, cell))


def _class_curves(cell: CellData) -> Floats:
    both = [measures.precision_by_class(cell, w) for w in (measures.whole(cell.image_count), measures.draws_of(cell))]
    return np.asarray(np.concatenate(both).mean(axis=1))


def _first(cells: Mapping[int, CellData]) -> CellData:
    return next(iter(cells.values()))


def _held(cell: CellData, label: int) -> tuple[int, int]:
    """How many objects of a class count, and how many images hold one; 0 of a class that the cell does not know."""
    images, objects = held_by_class(cell)
    return (int(objects[label]), int(images[label])) if label < len(images) else (0, 0)


def held_by_class(cell: CellData) -> Floats:
    """The images that hold an object of each class that counts, and these objects [2, C]."""
    return cell.keep("held by class", partial(measures.held_by_class, cell))


def _sampled(curves: Sequence[Floats], cell: CellData, label: int) -> Measured:
    return sampled(np.stack(curves, axis=1), _held(cell, label)[1])


def _gains(pairs: Mapping[Key, Pair], label: int) -> dict[Key, Estimate]:
    samples = []
    for pair in pairs.values():
        gained = [class_curves(pair.ours[s])[:, label] - class_curves(pair.theirs[s])[:, label] for s in pair.seeds]
        samples.append(_sampled(gained, pair.ours[pair.seeds[0]], label))
    return dict(zip(pairs, over_pairs(list(pairs.values()), samples), strict=True))


def _row(
    key: Key, cell: CellData, label: int, own: Estimate, pair: Pair | None, gain: Estimate | None
) -> dict[str, object]:
    row: dict[str, object] = dict(zip(("data", "detector", "method"), key, strict=True))
    row |= {"baseline": pair.baseline if pair else "", "pair": pair.kind if pair else ""}
    objects, images = _held(cell, label)
    row |= {"class": cell.classes[label], "objects": objects, "AP": own.mean, "AP_half": own.half}
    row |= {"n": own.n, "population": own.population}
    if gain is not None:
        row |= {"difference": gain.mean, "half": gain.half}
        row |= {"difference_n": str(gain.n), "difference_population": gain.population}
    few = images < measures.LEAST_IMAGES
    reason = f"fewer than {measures.LEAST_IMAGES} images hold it" if few and pair else ""
    reason = pair.untestable or reason if pair else ""
    p = gain.p if gain and not few else np.nan
    return {**row, "p": p, "estimate": None if few else gain, "untestable": reason}


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """The table with verdicts where there is a baseline: one family of tests."""
    if "difference" not in table:  # nothing has a baseline
        table = table.assign(difference=np.nan)
    judged = with_verdicts(table, "difference")
    judged = judged.assign(verdict=judged.verdict.where(judged.baseline != "", ""))
    return judged.rename(columns={"untestable": "reason"})
