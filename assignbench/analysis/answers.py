"""The sentence that each analysis begins with, made from its own table: a reader who goes no further has the answer.

A sentence says what the table holds and no more: where no difference is resolved it says so, and a range over methods
is a description, which it does not call a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.places import every, named_places
from assignbench.analysis.result import Result
from assignbench.analysis.signs import in_signed_points
from assignbench.analysis.verdicts import HIGHER, LOWER, NOT_COMPARED, NOT_TESTABLE, OPEN

MOST = 3  # names or places in a sentence; of more, it says how many there are
Answer = Callable[[pd.DataFrame], str]


def answered(result: Result) -> Result:
    """The result with its sentence; unchanged where it has one, or where nothing is known to say."""
    told = "" if result.answer or result.frame.empty else _of(result.key)(result.frame)
    return replace(result, answer=told) if told else result


def _of(key: str) -> Answer:
    return ANSWERS.get(key, lambda frame: "")


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and 4 more"."""
    if len(names) > MOST + 1:
        names = [*names[:MOST], f"{len(names) - MOST} more"]
    return every(names)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _places(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The parts of a table by data set and detector, each with what it is called where there are several."""
    where = pd.Series(named_places(frame), frame.index)
    for _, part in frame.groupby(["data", "detector"], sort=False):
        yield where[part.index[0]], part


def _by_place(say: Answer, stem: str = "") -> Answer:
    """The same for every place, of which the first few are named; `stem` is said once, before all of them."""

    def said(frame: pd.DataFrame) -> str:
        told = [(where, text) for where, part in _places(frame) if (text := say(part))]
        if not told:
            return ""
        head = f"{stem} " if stem else ""
        if len({text for _, text in told}) == 1:
            return _sentence(f"{head}{told[0][1]}{' everywhere' if len(told) > 1 else ''}")
        shown = "; ".join(f"{text} for {where}" if stem else f"{where}: {text}" for where, text in told[:MOST])
        rest = f"; {len(told) - MOST} more place{'s' * (len(told) > MOST + 1)} below" if len(told) > MOST else ""
        # Without a stem a detector's name begins the sentence, and keeps its letters.
        return _sentence(f"{head}{shown}{rest}") if stem else f"{shown}{rest}."

    return said


def _range(
    what: str, column: str, show: str = "{:.2f}", where: Mapping[str, str] | None = None, weight: str = ""
) -> Answer:
    """From the lowest to the highest method, by their means; `show` prints a number, `weight` is the column that says
    how much a row counts.
    """

    def say(part: pd.DataFrame) -> str:
        for name, value in (where or {}).items():
            part = part[part[name] == value] if name in part else part
        known = part.dropna(subset=[column]) if column in part else part.iloc[:0]
        if known.empty:
            return ""
        counts = known[weight] if weight else pd.Series(1.0, known.index)
        total, count = ((v * counts).groupby(known.method, sort=False).sum() for v in (known[column], 1.0))
        means = total / count
        low, high = (show.format(v).replace("%", " %") for v in (means.min(), means.max()))
        if len(means) == 1:
            return f"{low} ({means.index[0]})"
        if low == high:
            return f"{low} for every method"
        return f"between {low} ({means.idxmin()}) and {high} ({means.idxmax()})"

    return _by_place(say, what)


def _averages(frame: pd.DataFrame) -> str:
    first = str(frame.metric.iloc[0])

    def say(part: pd.DataFrame) -> str:
        ranked = part[part.metric == first].dropna(subset=["mean"]).sort_values("mean", ascending=False, kind="stable")
        if ranked.empty:
            return ""
        best = ranked.iloc[0]
        if len(ranked) == 1:
            return f"the {first} of {best.method} is {100 * best['mean']:.1f} points"
        clear = "resolvably above" if best.get("leads", False) else "not resolvably above"
        second = ranked.iloc[1]
        return (
            f"the highest {first} is that of {best.method}, {100 * best['mean']:.1f} points, {clear} the second, "
            f"{second.method} ({100 * second['mean']:.1f})"
        )

    return _by_place(say)(frame)


def _tally(verdicts: pd.Series, words: Sequence[str]) -> str:
    """How many have each verdict: "2 higher, 1 lower, 4 not resolvable"."""
    counts = verdicts.value_counts()
    return ", ".join(f"{counts[word]} {word}" for word in words if counts.get(word, 0))


def _found(verdicts: pd.Series, words: Sequence[str], one: str, many: str) -> str:
    """The same as a clause: "of 3 claims, 2 are supported and 1 is not resolvable"."""
    if len(verdicts) == 1:
        return f"the one {one} is {verdicts.iloc[0]}"
    if verdicts.nunique() == 1 and str(verdicts.iloc[0]).startswith("not "):
        return f"none of {len(verdicts)} {many} is {str(verdicts.iloc[0]).removeprefix('not ')}"
    counts = verdicts.value_counts()
    parts = [f"{counts[w]} {'is' if counts[w] == 1 else 'are'} {w}" for w in words if counts.get(w, 0)]
    return f"of {len(verdicts)} {many}, {listed(parts)}"


_WORDS = (HIGHER, LOWER, OPEN, NOT_TESTABLE)


def _differences(frame: pd.DataFrame) -> str:
    metric = str(frame.metric.iloc[0])
    mine = frame[frame.metric == metric]
    told = _found(mine.verdict, _WORDS, f"difference in {metric}", f"differences in {metric}")
    return _sentence(f"{told}, after correction")


def _claims(frame: pd.DataFrame) -> str:
    return _sentence(_found(frame.verdict, list(dict.fromkeys(frame.verdict)), "claim", "claims"))


def _at(place: str) -> str:
    """A place behind what is said of it; nothing where there is only one."""
    return f" at {place}" if place else ""


def _marked(method: object, pair: object) -> str:
    """A method, marked where more than its assigner differs from its baseline's."""
    return f"{method} (recipe)" if pair == "recipe" else str(method)


def _resolved(gain: str, group: str, what: str) -> Answer:
    """How many differences by group are resolved, and the largest of these; `what` names the table that is counted."""

    def said(frame: pd.DataFrame) -> str:
        if "verdict" not in frame or gain not in frame:
            return ""
        frame = frame.assign(where=named_places(frame))
        tested = frame[frame[gain].notna() & frame.verdict.isin([HIGHER, LOWER, OPEN])]
        if tested.empty:
            return f"None of the {what} can be tested here."
        clear = tested[tested.verdict != OPEN]
        if clear.empty:
            one = what.replace("s by ", " by ", 1)
            return (
                f"None of {len(tested)} {what} is resolved." if len(tested) > 1 else f"The one {one} is not resolved."
            )
        head = f"Of {len(tested)} {what}, {len(clear)} {'is' if len(clear) == 1 else 'are'} resolved"
        largest = clear.loc[clear[gain].abs().idxmax()]
        which = "the largest resolved one is that" if len(clear) > 1 else "it is that"
        whom = _marked(largest.method, largest.get("pair"))
        return (
            f"{head} ({_tally(clear.verdict, _WORDS)}); {which} of {whom} on {largest[group]}{_at(largest['where'])}, "
            f"{in_signed_points(largest[gain])} points against {largest.baseline}."
        )

    return said


def _metrics(frame: pd.DataFrame) -> str:
    """Whether every measure puts the methods on the side of their baselines on which the first one does.

    What rounds to 0.0 points is on no side.
    """
    if "difference" not in frame:
        return ""
    known = frame[(100 * frame.difference).round(1).fillna(0) != 0]
    sign = np.sign(known.difference) * np.where(known.better == "less", -1, 1)
    known = known.assign(sign=sign)
    keys = ["data", "detector", "method"]
    first = str(frame.measure.iloc[0])
    lead = known[known.measure == first].set_index(keys).sign
    other = known[known.measure != first]
    if lead.empty or other.empty:
        return ""
    turned = [lead.get(tuple(k), s) != s for k, s in zip(other[keys].to_numpy(), other.sign, strict=True)]
    # Places are named as the whole table has them, also where one alone has a measure that turns.
    told = [
        f"{f'at {where} ' if where else ''}{_by_measure(other[turned].loc[here])}"
        for where, part in _places(frame)
        if len(here := other[turned].index.intersection(part.index))
    ]
    if not told:
        return f"Every measure puts each method on the side of its baseline on which {first} does."
    rest = f"; {_counted(len(told) - MOST, 'more place')} below" if len(told) > MOST else ""
    stem = f"Against their baselines these point the other way than {first}, resolved or not"
    return f"{stem}: {'; '.join(told[:MOST])}{rest}."


def _by_measure(turned: pd.DataFrame) -> str:
    """Measures with the methods that they are of."""
    return listed([f"{m} ({', '.join(part.method)})" for m, part in turned.groupby("measure", sort=False)])


def _factors(frame: pd.DataFrame) -> str:
    """Which slopes are resolved, those that say the same at several places together."""
    tested = frame[frame.verdict != NOT_TESTABLE]
    if tested.empty:
        return f"No slope can be tested: {listed(list(dict.fromkeys(frame.reason)))}."
    found: dict[str, list[str]] = {}
    for row, where in zip(frame.itertuples(), named_places(frame), strict=True):
        if row.verdict in (HIGHER, LOWER):
            way = "grows" if row.verdict == HIGHER else "falls"
            whom = _marked(row.method, getattr(row, "pair", ""))
            slope = f"the gain of {whom} {way} with {row.factor.replace('_', ' ')}"
            found.setdefault(slope, []).append(where)
    told = [f"{slope}{_at(every(places))}" for slope, places in found.items()]
    if not told:
        return f"None of {len(tested)} slopes is resolved." if len(tested) > 1 else "The one slope is not resolved."
    clear = sum(map(len, found.values()))
    return f"Of {_counted(len(tested), 'slope')}, {clear} {'is' if clear == 1 else 'are'} resolved: {listed(told)}."


def _errors(frame: pd.DataFrame) -> str:
    kinds = [c for c in ("classification", "localization", "both", "duplicate", "background", "missed") if c in frame]

    def say(part: pd.DataFrame) -> str:
        worst = {r["method"]: max(kinds, key=lambda k: float(r[k])) for _, r in part.iterrows()}
        costs = {m: 100 * float(part[part.method == m][k].iloc[0]) for m, k in worst.items()}
        if len(set(worst.values())) == 1 and len(worst) > 1:
            kind = next(iter(worst.values()))
            return (
                f"{_KINDS[kind]} cost every method most: {min(costs.values()):.1f} to {max(costs.values()):.1f} points"
            )
        return "what costs most is " + listed(
            [f"{_KINDS[k]} for {m} ({costs[m]:.1f} points)" for m, k in worst.items()]
        )

    return _by_place(say)(frame)


_KINDS = {
    "classification": "wrong classes",
    "localization": "wrong places",
    "both": "wrong classes at wrong places",
    "duplicate": "duplicates",
    "background": "boxes on background",
    "missed": "missed objects",
}


def _summary(frame: pd.DataFrame) -> str:
    """Means over places, which are no verdicts; with fewer seeds than these need they speak of these models alone."""
    known = frame[frame.gain.notna()]
    if known.empty:
        return ""
    told = [
        f"{r.method} {in_signed_points(r.gain)} points to {r.baseline} "
        f"({in_signed_points(r.low)} to {in_signed_points(r.high)})"
        for r in known.itertuples()
    ]
    few = int(known.seeds.min()) < LEAST_SEEDS
    whom = f"of these models, with {_counted(int(known.seeds.min()), 'seed')}" if few else "with its 95 % interval"
    head = f"Mean difference over the places of each pair, {whom}, which is no verdict: {listed(told)}."
    lost = frame[frame.gain.isna()]
    if lost.empty:
        return head
    without = [f"{every(list(dict.fromkeys(part.method)))} ({why})" for why, part in lost.groupby("reason", sort=False)]
    return f"{head} No such mean of {listed(without)}."


def _cost(frame: pd.DataFrame) -> str:
    """The clock on the wall where it can be compared, else the processor's: other programs make the former longer."""
    clock, seconds = "in minutes", "train_s"
    if (frame.pareto == NOT_COMPARED).any():
        clock, seconds = "in minutes of processor time", "train_cpu_s"
        if seconds not in frame or frame[seconds].isna().all():
            return "The times cannot be compared: other programs had the processor."
    return _range(f"training one cell takes, {clock},", "minutes", "{:.1f}")(frame.assign(minutes=frame[seconds] / 60))


def _last(say: Answer) -> Answer:
    """The same of the end of training."""
    return lambda frame: say(frame[frame.progress == frame.progress.max()])


def _curves(frame: pd.DataFrame) -> str:
    """In how many trainings the loss fell: the mean of its last tenth below that of its first one."""
    loss = frame[frame.term == "loss"].dropna(subset=["value"])
    fell, count = 0, 0
    for _, one in loss.groupby(["data", "detector", "method", "seed"], sort=False):
        values = one.sort_values("step", kind="stable").value.to_numpy(float)
        tenth = max(1, len(values) // 10)
        fell, count = fell + bool(values[-tenth:].mean() < values[:tenth].mean()), count + 1
    if not count:
        return ""
    if fell == count:
        return f"The loss fell in all {_counted(count, 'training')}." if count > 1 else "The loss fell."
    return f"The loss fell in {fell} of {_counted(count, 'training')}."


def _pairs(frame: pd.DataFrame) -> str:
    asked = frame[frame.baseline != ""]
    if asked.empty:
        return "No method is compared with another one."
    alone = int((asked.pair == "assigner").sum())
    return f"Of {_counted(len(asked), 'pair')}, {alone} {'differs' if alone == 1 else 'differ'} in the assigner alone."


_CLASS = {"task": "cls"}
ANSWERS: Mapping[str, Answer] = {
    "averages": _averages,
    "summary": _summary,
    "claims": _claims,
    "differences": _differences,
    "metrics": _metrics,
    "classes": _resolved("difference", "class", "differences by class"),
    "size": _resolved("gain", "group", "gains by area of the object"),
    "crowdedness": _resolved("gain", "group", "gains by crowdedness of the object"),
    "aspect_ratio": _resolved("gain", "group", "gains by aspect ratio of the object"),
    "factors": _factors,
    "errors": _errors,
    "divergence": _range(
        "Spearman's correlation of ranking score and IoU is", "spearman_rank", where={"candidates": "J_k"}
    ),
    "nms": _range("the share of recall that NMS leaves is", "NR", "{:.0%}", {"reading": "coverage"}),
    "quality": _range("the mean error of the predicted IoU is", "error_kept"),
    "positives": _last(
        _range("at the end, the priors that learn an object's class number", "positives", "{:.1f}", _CLASS)
    ),
    "orphans": _range("the share of objects whose class no prior learns is", "orphans_cls", "{:.0%}", weight="objects"),
    "churn": _range(
        "the share of positives for the class that were none at the visit before is", "churn", "{:.0%}", _CLASS
    ),
    "evolution": _range("at the end, the class score of the positives is", "cls_score", where={"priors": "positive"}),
    "scores": _range(
        "a positive of an object outscores one of its other priors with a probability of", "separation", "{:.1%}"
    ),
    "maps": _range("the best-scored prior and the best-placed one lie apart, in sides of the object,", "distance"),
    "curves": _curves,
    "cost": _cost,
    "configuration.pairs": _pairs,
}
