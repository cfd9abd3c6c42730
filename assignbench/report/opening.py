"""The page's first section (who is compared with whom, and what came out) and its last (what the cells ran on)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.analysis.claim_values import value_notes
from assignbench.analysis.configuration import entries, pairs
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.config.detector import DetectorConfig
from assignbench.config.tuned import Tuned
from assignbench.report.lost import lost_methods
from assignbench.report.numbers import difference
from assignbench.report.tables import Table, banded, interval_note, seeds_note, tidy_table, without_constants

READ = "evaluation."  # how a trained network is read, which a study may change for one method
LEAK = "images are training images too"  # what a note on the data says where a split holds pictures of the other one
LONGEST = 400  # characters of a cell's reason
PAIR_WORDS = {"assigner": "assigner alone", "recipe": "recipe", "import": "not known", "": "–"}


def opening(
    study: StudyRecord, differences: Mapping[str, pd.DataFrame], claims: Mapping[str, pd.DataFrame]
) -> list[Table]:
    """Per method its baseline, what else differs, the difference in AP and the corrected verdict; then the claims."""
    table = pairs(study)
    if table.empty or not (table.baseline != "").any():
        return []
    verdicts = _by_pair(differences.get("differences", pd.DataFrame()))
    several = len(study.places) > 1
    metric = primary_metric(study)
    lost = lost_methods(study)
    gained = f"Δ{metric}, points"
    rows = []
    for row in table.itertuples(index=False):
        found = verdicts.get((row.data, row.detector, row.method))
        gain, verdict = ("–", "–")
        if row.baseline and found is not None:
            gain, verdict = difference(found.difference, found.half, LEAST_SEEDS), str(found.verdict)
            if found.reason:
                verdict = f"{verdict}: {found.reason}"
        verdict = lost.get((row.data, row.detector), {}).get(row.method, verdict)
        parts = f"{PAIR_WORDS[row.pair]}: {row.differs}" if row.pair == "recipe" else PAIR_WORDS[row.pair]
        place = {"data": row.data, "detector": row.detector} if several else {}
        line = {"method": row.method, gained: gain, "verdict (corrected)": verdict, "differs in": parts}
        rows.append({**place, **line, "baseline": row.baseline})
    frame, constant = without_constants(pd.DataFrame(rows))
    frame, bands, band = banded(frame)
    columns = [str(c).replace("baseline", "compared with") for c in frame]
    lines = [[str(v) or "–" for v in line] for line in frame.itertuples(index=False)]
    caption = "Each method and its baseline" if several else f"Each method and its baseline{_where(study)}"
    notes = []
    if verdicts:
        seeds = {", ".join(k if several else k[2:]): float(r.n) for k, r in verdicts.items()}
        spoken = dict.fromkeys(str(r.population) for r in verdicts.values() if np.isfinite(r.half))
        notes = [seeds_note(seeds), *map(interval_note, spoken)]
    shown = Table(caption, columns, lines, notes, headline=True, owners=[str(m) for m in frame.method], name="pairs")
    tables = [replace(shown, constants=list(constant.values()), bands=bands, band=band), *tuning_table(study)]
    asked = claims.get("claims", pd.DataFrame())
    if len(asked) and "verdict" in asked:
        said = [c for c in ("claim", "verdict", "values", "reason") if c in asked]
        below = value_notes(claims["claims.tests"]) if "claims.tests" in claims else ()
        answered = tidy_table("The claims that the study tests", asked[said].drop_duplicates(), notes=below)
        tables.append(replace(answered, headline=True, name="verdicts"))
    return tables


def tuning_table(study: StudyRecord) -> list[Table]:
    """What a sweep chose for each method, beside the other settings; nothing where none was made."""
    found = tuning(study)
    if found is None:
        return []
    rows = []
    for setting in found.settings:
        shown = []
        for method, taken in found.chosen.items():
            mean = found.mean_of(method, setting)
            told = "diverged" if mean is None else f"{100 * mean:.1f}"
            shown.append(f"{told} (taken)" if taken == setting else told)
        rows.append([*(str(value) for value in setting.values()), *shown])
    seeds = ", ".join(str(s) for s in found.seeds)
    caption = (
        f"Tuned alike: {len(rows)} settings for each method, {found.metric} in per cent on the validation split, with "
        f"seed {seeds}, which no verdict rests on"
    )
    ends = {key: [m for m, keys in found.at_end.items() if key in keys] for key in found.sweep}
    told = "took an end of the sweep; a wider one may find more."
    notes = [f"{key}: {', '.join(methods)} {told}" for key, methods in ends.items() if methods]
    return [Table(caption, [*found.sweep, *found.chosen], rows, notes, name="tuned")]


def tuning(study: StudyRecord) -> Tuned | None:
    """What the study's sweep came to; None where it was not tuned."""
    found = study.about.get("tuned")
    return Tuned.model_validate(found) if found else None


def _where(study: StudyRecord) -> str:
    return "".join(f": {detector} on {data}" for data, detector in study.places[:1])


def _by_pair(table: pd.DataFrame) -> dict[tuple[str, str, str], pd.Series]:
    if table.empty:
        return {}
    first = table[table.metric == table.metric.iloc[0]]  # the primary one
    return {(r.data, r.detector, r.method): r for _, r in first.iterrows()}


def fairness(study: StudyRecord) -> tuple[str, bool]:
    """Whether anything but the methods differs between the cells, in a sentence; True where it does."""
    if study.about.get("imported"):
        told = "Imported predictions: the ground truth is the same for all, how they were made is not known here."
        return told, False
    if len(study.methods) < 2:
        return "One method only: nothing to compare.", False
    prints = {
        (c.config.data.name, split, data["fingerprint"])
        for c in study.cells
        for split, data in c.environment.get("data", {}).items()
    }
    if len({p[:2] for p in prints}) != len(prints):
        return "UNFAIR: cells of one data set were trained or tested on different data; see the table of runs.", True
    differing = entries(study)
    found = tuning(study)
    swept = [] if found is None else [f"{key}." for key in found.sweep]
    keys = [] if differing.empty else list(dict.fromkeys(differing.key))
    beyond = [k for k in keys if not k.startswith(("method.", READ))]
    alike = [k for k in beyond if any(f"{k}.".startswith(key) for key in swept)]
    foreign = [k for k in beyond if k not in alike]
    if foreign:
        return f"UNFAIR: more than the method differs: {', '.join(foreign)}.", True
    told = "Only entries of the method differ between the rows of a table; data, network, schedule and seeds are equal."
    if alike:
        told = f"Only entries of the method differ, and {', '.join(alike)}, which a sweep that was the same for each"
        told += " method chose on the validation split; data, network and seeds are equal."
    read = [k for k in keys if k.startswith(READ)]
    if read:
        told += f" Some methods are read differently, which makes their pairs ones of recipes: {', '.join(read)}."
    return " ".join(filter(None, (told, tuned_alike(study)))), False


def tuned_alike(study: StudyRecord) -> str:
    """Whether the methods were tuned, and alike, in a sentence; "" for the cells of a sweep, which tune them."""
    if study.split == "val":
        return ""
    found = tuning(study)
    if found is None:
        return "No setting was tuned here: each method has the values of its paper or of the study file."
    return (
        f"Tuned alike: each method took the best of the same {len(found.settings)} settings of "
        f"{', '.join(found.sweep)} on the validation split; nothing else was tuned here."
    )


def sharing(study: StudyRecord) -> str:
    """Which cells took the training of another one, in a sentence; "" where every cell was trained itself."""
    taken: dict[str, list[str]] = {}
    for cell in study.cells:
        about = cell.training
        if about:
            taken.setdefault(str(about["cell"]), []).append(cell.id)
    if not taken:
        return ""
    trained = len(study.cells) - sum(len(c) for c in taken.values())
    trained += len(set(taken) - {c.id for c in study.cells})
    told = "; ".join(f"{', '.join(cells)} took that of {source}" for source, cells in taken.items())
    return (
        f"{len(study.cells)} cells, {trained} training{'s' * (trained != 1)}: cells that differ only in how a trained "
        f"network is read share one training. {told}."
    )


def warnings(study: StudyRecord) -> list[str]:
    """What a reader must know first: test images that were trained on, what of imported files counts in no number,
    claims that a printed table leaves out, cells that were damaged, and cells that were made from other inputs than
    those of now, why, and which of these were accepted.
    """
    damaged = [c.reason for c in study.cells if c.state == "damaged"] + [reason for _, reason in study.unreadable]
    lines = [f"{note}." for note in data_notes(study) if LEAK in note]
    lines += [f"Left out: {one}." for one in study.about.get("left_out") or []]
    lines += [f"{one}." for one in claims_elsewhere(study)]
    lines += [f"Damaged and left out: {reason}." for reason in damaged]
    if study.split == "val":
        lines.append(
            "Measured on the validation split, which is for choosing settings: no number here is of the test split."
        )
    for key, told in (
        ("stale", "STALE: these cells were made from other inputs than those of now"),
        ("accepted", "STALE, but kept by --accept-stale"),
    ):
        for group in study.about.get(key, []):
            lines.append(f"{told}: {'; '.join(group['reasons'])}. Cells: {', '.join(group['cells'])}.")
    return lines + [f"Inputs not checked: {one}." for one in study.about.get("unchecked", [])]


def claims_elsewhere(study: StudyRecord) -> list[str]:
    """What --table leaves out of the study's claims, in a sentence; nothing without one."""
    claims = int(study.about.get("claims_elsewhere") or 0)
    told = "of the study's claims are about methods outside of this table; `assignbench run` without --table tests them"
    return [f"Not tested here: {claims} {told}"] if claims else []


def made_on(study: StudyRecord) -> str:
    """The days on which the cells were trained, from their records; "" where none says it."""
    return _days([str(c.environment["date"]) for c in study.cells if c.environment.get("date")])


def _days(dates: Sequence[str]) -> str:
    """From the first to the last of them; "" of none."""
    return " to ".join(dict.fromkeys((min(dates), max(dates)))) if dates else ""


def cell_table(study: StudyRecord) -> Table:
    """State and AP of every cell."""
    rows = []
    for cell in study.cells:
        config = cell.config
        ap = cell.summary.get("AP")
        shown = f"{100 * ap:.1f}" if ap is not None and np.isfinite(ap) else "–"
        rows.append([cell.id, config.method.name, str(config.seed), cell.state, shown, _cut(cell.reason)])
    rows += [[name, "–", "–", "damaged", "–", _cut(reason)] for name, reason in study.unreadable]
    header = ["cell", "method", "seed", "state", "AP (points)", "reason"]
    return Table("Cells of this study", header, rows, data_notes(study), owners=[row[1] for row in rows])


def _cut(reason: str) -> str:
    """A reason that fits a table; the whole one stands in the cell's status.json."""
    return reason if len(reason) <= LONGEST else f"{reason[:LONGEST]}… ({len(reason) - LONGEST} characters more)"


def data_notes(study: StudyRecord) -> list[str]:
    """What is to be known about the data: pictures that stand there twice, what looks wrong in imported files."""
    found = dict.fromkeys(str(n) for n in study.about.get("notes") or [])
    for cell in study.cells:
        if not cell.measurable:
            told = "the test split has no annotations, so AP and all analyses are not measurable here; its server wants"
            found[f"{cell.config.data.name}: {told} what `assignbench export` writes"] = None
        for note in cell.environment.get("data", {}).get("test", {}).get("notes", []):
            found[f"{cell.config.data.name}: {note}"] = None
    return list(found)


def environment_table(study: StudyRecord) -> Table:
    """What the cells ran on, and below what their detectors started from; cells that agree but for the day share a
    row.
    """
    rows: dict[tuple[str, ...], list[str]] = {}  # the day of every cell
    begun: dict[str, None] = {}
    for cell in study.cells:
        e = cell.environment
        if "device_name" not in e:  # not started, or imported
            continue
        row = (
            cell.config.data.name,
            f"{e['device_name']} ({e['device']}, {e['threads']} thread{'s' if e['threads'] != 1 else ''})",
            # Before 0.9.4 torchvision's version was written with its build, which is torch's.
            f"python {e['python']}, torch {e['torch']}, torchvision {e['torchvision'].partition('+')[0]}",
            *(_split(e["data"][split]) for split in ("train", "test")),
        )
        rows.setdefault(row, []).append(str(e["date"]))
        detector = cell.config.detector
        if isinstance(detector, DetectorConfig):
            begun[f"{detector.label} {'; '.join(t for t in (detector.beginning, detector.warning) if t)}."] = None
    header = ["data", "cells", "device", "versions", "date", "training data", "test data"]
    lines = [[r[0], str(len(dates)), *r[1:3], _days(dates), *r[3:]] for r, dates in rows.items()]
    return Table("What the cells ran on", header, lines, list(begun))


def _split(data: Mapping[str, object]) -> str:
    return f"{data['split']}: {data['images']} images, {data['objects']} objects, {data['fingerprint']}"


def skipped_problems(study: StudyRecord) -> list[str]:
    """What was left out of the data, each problem once."""
    found: dict[str, None] = {}
    for cell in study.cells:
        for split, data in cell.environment.get("data", {}).items():
            for problem in data["skipped"]:
                found[f"{cell.config.data.name}, {split}: {problem}"] = None
    return list(found)
