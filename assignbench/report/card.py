"""The answer card: one sentence per method from its corrected verdict, and what the study could not see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.analysis.answers import listed
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.measures import ERRORS, in_points
from assignbench.analysis.moderation import related
from assignbench.analysis.pairs import estimated, pairs_of
from assignbench.analysis.power import MOST_SEEDS, Comparisons, Spread, need
from assignbench.analysis.signs import in_signed_points
from assignbench.analysis.spreads import measured_spreads, spread_of
from assignbench.analysis.verdicts import HIGHER, LOWER, NOT_TESTABLE, OPEN
from assignbench.report.content import Card, Tone, Verdict
from assignbench.report.numbers import difference

MOST_NAMED = 4  # claims of one verdict
LEAST_AP = 0.05  # below it a detector has not learned, and differences between methods tell nothing
TONES: Mapping[str, Tone] = {HIGHER: "up", LOWER: "down", OPEN: "open", NOT_TESTABLE: "none"}
KEYS = ("data", "detector", "method")
CLAIMED = ("supported", "supported in part", "mixed", "contradicted", OPEN, NOT_TESTABLE)


def answer_card(
    study: StudyRecord, differences: Mapping[str, pd.DataFrame], claims: Mapping[str, pd.DataFrame]
) -> Card:
    """What stands on the first screen; every sentence rests on the corrected verdict of the primary measure."""
    states: Counter[str] = Counter()
    for method in study.methods:
        for place in study.places:
            states.update(study.states_of(method, place))
    finished = states.pop("done", 0)
    found = differences.get("differences", pd.DataFrame())
    told = claims.get("claims", pd.DataFrame())
    words = told.verdict.value_counts() if "verdict" in told else pd.Series(dtype=int)
    verdicts = _verdicts(study, found)
    asides = {verdict.aside for verdict in verdicts}
    shared = asides.pop() if len(asides) == 1 and len(verdicts) > 1 else ""
    return Card(
        verdicts=[replace(verdict, aside="") for verdict in verdicts] if shared else verdicts,
        aside=shared,
        finished=finished,
        asked=finished + sum(states.values()),
        states=", ".join(f"{n} {state}" for state, n in states.items()),
        claims=", ".join(_counted(word, told) for word in CLAIMED if words.get(word, 0)),
    )


def _counted(word: str, claims: pd.DataFrame) -> str:
    """How many claims have a verdict, and which, unless nothing is resolved about them."""
    which = claims.claim[claims.verdict == word].tolist()
    named = "; ".join(which[:MOST_NAMED]) + (f"; and {len(which) - MOST_NAMED} more" if len(which) > MOST_NAMED else "")
    return f"{len(which)} {word}" + (f" ({named})" if word != OPEN else "")


def _verdicts(study: StudyRecord, table: pd.DataFrame) -> list[Verdict]:
    """A sentence for every method that is compared with another one."""
    if table.empty:
        return []
    metric = primary_metric(study)
    rows = table[table.metric == metric]
    needed = _Needed(study, metric, rows)
    found = []
    for method in (m for m in study.methods if m in set(rows.method)):
        mine = [row for _, row in rows[rows.method == method].iterrows()]
        found.append(
            _at_one(mine[0], study, metric, needed) if len(mine) == 1 else _at_several(method, mine, metric, needed)
        )
    return found


def _words(metric: str) -> Mapping[str, str]:
    """What a verdict says of a method."""
    worse, better = ("better", "worse") if metric in ERRORS else ("worse", "better")
    return {
        HIGHER: f"is {better} than",
        LOWER: f"is {worse} than",
        OPEN: "cannot be told from",
        NOT_TESTABLE: "cannot be compared with",
    }


def _gain(row: pd.Series, metric: str) -> str:
    unit = f"points of {metric}" if in_points(metric) else metric
    return f"{difference(row.difference, row.half, 3)} {unit}"


def _at_one(row: pd.Series, study: StudyRecord, metric: str, needed: _Needed) -> Verdict:
    alone = row.verdict == OPEN and row.n < 2  # nothing was decided, however large it is
    head = f"{'against' if alone else _words(metric)[row.verdict]} {row.baseline}"
    if row.verdict == NOT_TESTABLE:
        return Verdict(row.method, "none", f"{head}: {row.reason}.")
    aside = ""
    if row.verdict == OPEN:
        head += f" {needed.corrected}" if _lost_by_correction(row) else ""
        aside = needed.told(row)
    elif row.pair == "recipe":
        parts = study.differing(row.method, row.baseline, (row["data"], row.detector))
        aside = f"The two differ in {listed([p.replace('_', ' ') for p in parts])} too, not in the assigner alone."
    return Verdict(row.method, TONES[row.verdict], f"{head}: {_gain(row, metric)}.", aside)


def _lost_by_correction(row: pd.Series) -> bool:
    """Whether an interval, which speaks of one test, leaves 0 out and the corrected verdict does not."""
    return bool(row.verdict == OPEN and row.n >= LEAST_SEEDS and abs(row.difference) > row.half)


def _at_several(method: str, rows: Sequence[pd.Series], metric: str, needed: _Needed) -> Verdict:
    """One method at several places: how often it has which verdict, and where."""
    by_word: dict[str, list[pd.Series]] = {}
    for row in rows:
        by_word.setdefault(str(row.verdict), []).append(row)
    told, words = [], _words(metric)
    for word in (HIGHER, LOWER, OPEN, NOT_TESTABLE):
        if word in by_word:
            bases = listed(list(dict.fromkeys(r.baseline for r in by_word[word])))
            told.append(f"{words[word]} {bases} at {len(by_word[word])} of {len(rows)} places")
    decided = [w for w in (HIGHER, LOWER) if w in by_word]
    tone: Tone = TONES[decided[0]] if len(decided) == 1 else "open"
    places = [
        f"{r.detector} on {r['data']} {in_signed_points(r.difference)}"
        f"{'' if np.isnan(r.half) else f' ± {100 * r.half:.1f}'}"
        for r in rows
        if np.isfinite(r.difference)
    ]
    if any(_lost_by_correction(row) for row in rows):
        places.append(f"what ± alone leaves clear of 0 is not so {needed.corrected}")
    return Verdict(method, tone, f"{'; '.join(told)}.", f"{'; '.join(places)}." if places else "")


class _Needed:
    """How many seeds would resolve a difference as large as the one that was seen."""

    def __init__(self, study: StudyRecord, metric: str, rows: pd.DataFrame) -> None:
        self.metric, pairs = metric, pairs_of(study)
        self.pairs = [(p.data, p.sides) for p in pairs]
        self.tests = int((rows.verdict != NOT_TESTABLE).sum())
        asked = bool((rows.verdict == OPEN).any())
        self.spreads = measured_spreads(study, [metric]) if asked else pd.DataFrame()
        told = zip(pairs, estimated(pairs, metric), strict=True) if asked else ()
        self.own = {tuple(p.keys[k] for k in KEYS): estimate for p, estimate in told}

    @property
    def corrected(self) -> str:
        """Of how many tests the verdicts are corrected."""
        return f"after correction for {self.tests} tests"

    def told(self, row: pd.Series) -> str:
        """A sentence; "" where no spread is known, or nothing was seen."""
        seen = round(abs(float(row.difference)), 3)
        if self.spreads.empty or not seen:
            return "One seed carries no verdict: run it with three or more." if row.n < 2 else ""
        found = spread_of(self.spreads, self.metric, str(row["data"]), [str(row.detector)])
        if found is None:
            return ""
        shared = tuple(related([pair for data, pair in self.pairs if data == row["data"]]))
        asked = need(self._of_pair(row, found[0]), seen, Comparisons(shared, self.tests))
        if asked.seeds is not None:
            return f"If the true difference is as large as this one, {asked.seeds} seeds would resolve it."
        if asked.bounded:
            return "On these test images no number of seeds would resolve a difference as small as this one."
        return f"A difference as small as this one would need more than {MOST_SEEDS} seeds."

    def _of_pair(self, row: pd.Series, spread: Spread) -> Spread:
        """The spread of one pair as its interval has it, moderated by the others, where the records hold it."""
        own = self.own.get(tuple(str(row[k]) for k in KEYS))
        if own is None or own.seeds is None:
            return spread
        seeds = own.seeds.error * own.n**0.5
        images = spread.images if own.images is None else own.images.error
        return replace(spread, seeds=seeds, images=images, interaction=min(spread.interaction, seeds))


def banners(study: StudyRecord, averages: pd.DataFrame) -> list[str]:
    """What a reader must know before any number: detectors that have not learned, and cells that are missing."""
    lines = []
    asked = len(study.grid) or len(study.cells)
    if len(study.done) < asked:
        lines.append(
            f"{len(study.done)} of {asked} cells are finished: what stands here rests on these, and may change."
        )
    if not averages.empty:
        for (data, detector), part in averages[averages.metric == "AP"].groupby(["data", "detector"], sort=False):
            if float(part["mean"].max()) < LEAST_AP:
                lines.append(
                    f"No method of {detector} on {data} reaches {100 * LEAST_AP:g} points of AP: these detectors have "
                    "not learned, and nothing here says which method is better."
                )
    return lines
