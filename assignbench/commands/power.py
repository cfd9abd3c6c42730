"""`assignbench power`: how many seeds a study needs to resolve differences, from what was measured before."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from assignbench.analysis import StudyRecord, read_study_record
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.moderation import related
from assignbench.analysis.power import MOST_SEEDS, Comparisons, Need, Spread, floor, need, smallest
from assignbench.analysis.spreads import measured_spreads, packaged, spread_of
from assignbench.commands.opening import Opened, open_study
from assignbench.config.cell import CellConfig
from assignbench.config.method import compared_with
from assignbench.data.presence import images_of
from assignbench.records import CellRecord, read_about, refuse_old
from assignbench.study.about import Stale

DIFFERENCES = (0.5, 1.0, 2.0)  # points, as a study's primary measure is counted

_WORDS = "images bound it: on these test images no number of seeds does; in brackets: what does on more of their kind."


def power(options: argparse.Namespace, console: Console) -> int:
    """Per data set the seeds for each difference, and what the study's own seeds resolve; writes nothing."""
    for line in power_lines(open_study(options), options.detect):
        console.print(line, markup=False)
    return 0


@dataclass(frozen=True)
class _Asked:
    """A data set of a study: its detectors, its pairs, and its number of test images where it is known."""

    data: str
    detectors: tuple[str, ...]
    pairs: tuple[tuple[tuple[str, str], tuple[str, str]], ...]  # detector and method of both sides
    images: int | None


def power_lines(opened: Opened, detect: float | None) -> Iterator[str]:
    """What `assignbench power` prints, of one difference or of the usual ones; `plan` prints the same.

    Raises InputError for records of another version.
    """
    every = _asked_of(opened)
    tests = sum(len(a.pairs) for a in every)
    if not tests:
        yield "power: no method of the study is compared with another one"
        return
    metric = primary_metric(StudyRecord(opened.folder, opened.about(Stale()), ()))
    yield f"power: seeds with which 80 % of studies resolve a difference in {metric} (other seeds, other test images)"
    yield (
        f"  {_WORDS}"
        if tests == 1
        else f"  {_WORDS}\n  corrected: where it is the only true one of {tests} comparisons"
    )
    own, table = _recorded(opened, metric), packaged()
    for asked in every:
        known = list(_spreads(asked, metric, own, table))
        if not known:
            yield f"{asked.data}: no spread of {metric} was measured yet; two seeds of this study will tell"
        here, together = (Comparisons(tuple(related(asked.pairs)), count) for count in (1, tests))
        for told, spread in known:
            yield f"{asked.data}, {told}:"
            yield f"  {_deviations(spread)}"
            for difference in (detect,) if detect else DIFFERENCES:
                alone, corrected = (_answer(need(spread, difference / 100, c)) for c in (here, together))
                after = f"; corrected: {corrected}" if tests > 1 else ""
                yield f"  {difference:g} points: {alone}{after}"
            yield f"  {_resolved(spread, len(opened.study.spec.seeds), here, together)}"


def _asked_of(opened: Opened) -> list[_Asked]:
    """What is compared on each data set: the methods of the cells that were asked for, each with its baseline."""
    wanted = {_place(c.config) for c in opened.cells}
    found = []
    for data in dict.fromkeys(c.config.data.name for c in opened.cells):
        configs = [c.config for c in opened.everything if c.config.data.name == data]
        pairs = []
        for detector in dict.fromkeys(c.detector.label for c in configs):
            there = {c.method.name for c in configs if c.detector.label == detector}
            present = [m for m in opened.methods if m in there]
            told = [(m, compared_with(m, present, opened.baselines)) for m in present]
            pairs += [((detector, m), (detector, b)) for m, b in told if b in there and (data, detector, m) in wanted]
        if pairs:
            detectors = tuple(dict.fromkeys(d for (d, _), _ in pairs))
            found.append(_Asked(data, detectors, tuple(pairs), _test_images(data, opened)))
    return found


def _place(config: CellConfig) -> tuple[str, str, str]:
    return config.data.name, config.detector.label, config.method.name


def _test_images(data: str, opened: Opened) -> int | None:
    """The size of a data set's test split, counted in its lists; None where nothing says it: no data are needed."""
    cell = next(c for c in opened.cells if c.config.data.name == data)
    found = images_of(cell.config.data, "test", Path(cell.paths.root))
    return None if found is None else found[0]


def _recorded(opened: Opened, metric: str) -> pd.DataFrame:
    """The spreads of the study's own finished cells; empty where nothing was run."""
    records = [CellRecord(opened.folder / name) for name in read_about(opened.folder).get("cells", [])]
    for record in records:
        refuse_old(record)
    if not any(r.state == "done" for r in records):
        return packaged().iloc[:0]
    return measured_spreads(read_study_record(opened.folder), [metric])


def _spreads(asked: _Asked, metric: str, own: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[str, Spread]]:
    """What is known of a data set, best first: its own records, the packaged table; else every data set of the table,
    since one of them may be alike.
    """
    found = spread_of(own, metric, asked.data, asked.detectors)
    if found:
        yield f"from its own records ({found[1]})", found[0]
        return
    found = spread_of(table, metric, asked.data, asked.detectors)
    if found:
        yield _moved(*found, "as measured before ({})", asked.images)
        return
    for name in dict.fromkeys(table.data):
        known = spread_of(table, metric, name)
        if known:
            yield _moved(*known, f"not measured; if its differences vary as those on {name} ({{}})", asked.images)


def _moved(spread: Spread, source: str, told: str, images: int | None) -> tuple[str, Spread]:
    """A packaged spread and how it is told: moved to the study's own number of test images, where that is known."""
    if images:
        return told.format(source), spread.on(images)
    return f"{told.format(source)}, for {spread.tested:.0f} test images; yours are not counted", spread


def _deviations(spread: Spread) -> str:
    low, high = (100 * s for s in spread.seeds_range)
    return (
        f"deviation of a difference: {100 * spread.seeds:.2f} points from seed to seed (95 %: {low:.2f} to "
        f"{high:.2f}), of the mean {100 * spread.images:.2f} over draws of {spread.tested:.0f} test images"
    )


def _answer(found: Need) -> str:
    if found.seeds:
        return f"{found.seeds} seeds"
    told = "images bound it" if found.bounded else f"more than {MOST_SEEDS} seeds"
    return f"{told} ({found.with_seeds} seeds with {found.images:,} test images)" if found.images else told


def _resolved(spread: Spread, seeds: int, here: Comparisons, together: Comparisons) -> str:
    """The smallest difference with the study's seeds, and with any number of them."""
    least = f"with any number: {100 * floor(spread, here):.1f} points"
    if seeds < LEAST_SEEDS:
        return f"with the study's {seeds}: nothing, a verdict needs {LEAST_SEEDS} seeds; {least}"
    alone, corrected = (100 * smallest(spread, seeds, c) for c in (here, together))
    after = f" ({corrected:.1f} corrected)" if together.tests > 1 else ""
    return f"with the study's {seeds} seeds: {alone:.1f} points{after}; {least}"
