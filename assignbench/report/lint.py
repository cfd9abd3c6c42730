"""Does a finished page contradict itself, and does it say of every number what it is?

A page is read by people who look at one table and quote it. So two tables that name one number must agree to what
rounding does, a verdict must have the sign of its number, a slope may not hide that its outer groups go the other way,
an interval says for whom it speaks and on how many seeds it rests, and a number has a unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from assignbench.analysis import ORDER
from assignbench.analysis.claims import overall
from assignbench.analysis.estimates import ALPHA, POPULATIONS
from assignbench.analysis.result import Result
from assignbench.analysis.verdicts import NOT_TESTABLE, OPEN
from assignbench.report.facts import Fact, Name, facts_of, slope_name
from assignbench.report.tables import Table

_SPOKEN_FOR = tuple(POPULATIONS.values())
ROUNDING = 0.05  # half of the last digit that is printed of points and per cents
FINE_ROUNDING = 0.0005  # of correlations
AGAINST = "against the slope"  # what a trend's own row says of a group that goes the other way
UP, DOWN = ("higher", "supported"), ("lower", "contradicted")
VALUES = ("difference", "slope", "value", "gain")  # what a verdict is about
UNKNOWN = re.compile(r"(?<!\w)nan(?!\w)")  # a number that is none, as Python prints it


def lint(
    results: Sequence[Result],
    tables: Sequence[Table],
    *,
    coco_areas: bool = True,
    sentences: Sequence[str] = (),
    names: Iterable[str] = (),
) -> list[str]:
    """What is wrong with a page, a sentence each: its results, all of its tables as they are printed, and whatever
    else it says. `names`: of methods, classes and so on, which are what they are.
    """
    facts = facts_of(results, coco_areas=coco_areas)
    return [
        *disagreements([*facts, *_derived(facts)]),
        *(told for r in results for told in wrong_verdicts(r)),
        *uncorrected_verdicts(results),
        *wrong_summaries(results),
        *wrong_bold(results),
        *hidden_turns(results, facts),
        *(told for r in results for told in without_unit(r)),
        *(told for t in tables for told in without_population(t)),
        *unknown_numbers([*sentences, *(r.answer for r in results), *(s for t in tables for s in _texts(t))], names),
    ]


def disagreements(facts: Sequence[Fact]) -> list[str]:
    """Numbers that two tables state differently, they or their intervals: in sign, or by more than rounding.

    Means over different numbers of seeds are different numbers, which the tables' n tells.
    """
    known: dict[Name, list[Fact]] = {}
    found: list[str] = []
    for fact in facts:
        for other in known.setdefault(fact.name, []):
            if fact.where != other.where and _comparable(fact.n, other.n):
                found += _disagreement(other, fact)
        known[fact.name].append(fact)
    return list(dict.fromkeys(found))


def _comparable(one: float, other: float) -> bool:
    return one == other or np.isnan(one) or np.isnan(other)


def _rounding(name: Name) -> float:
    fine = any(part.startswith("spearman") for part in name) or name[0].startswith("correlation")
    return FINE_ROUNDING if fine else ROUNDING


def _disagreement(one: Fact, other: Fact) -> Iterator[str]:
    least = _rounding(one.name)
    about = told(one.name)
    if abs(one.value - other.value) > least:
        what = "in sign" if one.value * other.value < 0 else "by more than rounding"
        yield (
            f"{about}: '{one.where}' has {one.value:+.2f}, '{other.where}' has {other.value:+.2f}; "
            f"two tables disagree {what}"
        )
    same = one.population == other.population or not (one.population and other.population)
    if same and abs(one.half - other.half) > least:
        yield f"{about}: '{one.where}' has ± {one.half:.2f}, '{other.where}' has ± {other.half:.2f}"


def told(name: Name) -> str:
    """A fact's name in words."""
    quantity, measure, *keys = name
    return f"{quantity} {measure} ({', '.join(keys)})"


def _derived(facts: Sequence[Fact]) -> list[Fact]:
    """The difference of two gains that a claim is about, from the gains that other tables hold."""
    gains = {f.name: f for f in facts if f.name[0] == "gain in" and f.where}
    found = []
    for fact in facts:
        first, _, second = fact.name[1].partition(" less ")
        pair = [gains.get((fact.name[0], m, *fact.name[2:])) for m in (first, second)]
        if second and pair[0] is not None and pair[1] is not None:
            where = f"{pair[0].where} (of {first} and {second})"
            found.append(Fact(fact.name, pair[0].value - pair[1].value, where, pair[0].n))
    return found


def wrong_verdicts(result: Result) -> Iterator[str]:
    """Verdicts whose number has the other sign, or whose interval holds 0."""
    frame = result.frame
    column = next((c for c in VALUES if c in frame), "")
    if not column or "verdict" not in frame:
        return
    for _, row in frame.iterrows():
        way = 1 if row["verdict"] in UP else -1 if row["verdict"] in DOWN else 0
        everywhere = str(row.get("claim", "")).endswith(" for every detector")  # one verdict on several rows
        if not way or (everywhere and way < 0):
            continue
        value, half = float(row[column]), float(row[f"{column}_half" if f"{column}_half" in row else "half"])
        who = ", ".join(str(row[k]) for k in ("claim", "data", "detector", "method", "metric", "factor") if k in row)
        if not way * value > 0:
            yield f"'{result.caption}' ({who}): the verdict is '{row['verdict']}', its number {value:+.4g}"
        elif abs(value) < half:
            yield f"'{result.caption}' ({who}): '{row['verdict']}', but {value:+.4g} ± {half:.4g} holds 0"


def uncorrected_verdicts(results: Sequence[Result]) -> Iterator[str]:
    """Verdicts that are not those of the corrected p values behind them."""
    by_key = {r.key: r.frame for r in results}
    for result in results:
        behind = next((by_key[k] for k in _behind(result.key) if k in by_key and "p_holm" in by_key[k]), None)
        if behind is None or "verdict" not in result.frame:
            continue
        keys = [c for c in _IDENTITY if c in behind and c in result.frame]
        told = result.frame.merge(behind[[*keys, "p_holm"]].drop_duplicates(), on=keys)
        if len(told) > len(result.frame):  # rows that their keys do not tell apart
            continue
        for _, row in told.iterrows():
            resolved = bool(row["p_holm"] < ALPHA)
            if (row["verdict"] in (*UP, *DOWN) and not resolved) or (row["verdict"] == OPEN and resolved):
                who = ", ".join(str(row[k]) for k in keys)
                yield f"'{result.caption}' ({who}): '{row['verdict']}', but its corrected p is {row['p_holm']:.3g}"


_IDENTITY = ("claim", "paper", "data", "detector", "method", "baseline", "metric", "class", "group", "factor", "n")


def _behind(key: str) -> tuple[str, ...]:
    """Where the p values behind a table may stand."""
    return f"{key}.p", f"{key}.tests", f"{key.removesuffix('.tests')}.p"


def wrong_summaries(results: Sequence[Result]) -> Iterator[str]:
    """Claims whose word is not the one of their tests."""
    by_key = {r.key: r.frame for r in results}
    if "claims" not in by_key or "claims.tests" not in by_key:
        return
    tests = by_key["claims.tests"].groupby("claim").verdict.agg(list)
    for claim, rows in by_key["claims"].groupby("claim", sort=False):
        wanted = overall(tests.get(claim, [NOT_TESTABLE]))
        if len(rows) == 1 and rows.verdict.iloc[0] != wanted:  # of one text with several data sets, which is which?
            yield f"claim '{claim}': '{rows.verdict.iloc[0]}' at its head, '{wanted}' by its tests"


def wrong_bold(results: Sequence[Result]) -> Iterator[str]:
    """Numbers in bold that are not the highest of their table, or whose own verdict resolves nothing."""
    by_key = {r.key: r for r in results}
    if "averages" not in by_key or "leads" not in by_key["averages"].frame:
        return
    words = {}
    if "differences" in by_key and "verdict" in by_key["differences"].frame:
        rows = by_key["differences"].frame.to_dict("records")
        words = {(r["data"], r["detector"], r["metric"], frozenset((r["method"], r["baseline"]))): r for r in rows}
    for keys, group in by_key["averages"].frame.groupby(["data", "detector", "metric"], sort=False):
        ranked = group.dropna(subset=["mean"]).sort_values("mean", ascending=False, kind="stable")
        for method in group[group.leads.astype(bool)].method:
            two = frozenset(ranked.method[:2])
            if method != ranked.method.iloc[0]:
                yield f"'{by_key['averages'].caption}' ({', '.join(keys)}): {method} is bold and not the highest"
            elif (told := words.get((*keys, two))) is not None and told["verdict"] not in (*UP, *DOWN):
                yield f"'{by_key['averages'].caption}' ({', '.join(keys)}): {method} is bold, and '{told['verdict']}'"


def hidden_turns(results: Sequence[Result], facts: Sequence[Fact]) -> list[str]:
    """Trends with a verdict whose outer groups, in any table by that factor, go the other way: by more than their
    intervals, or without the trend's own row saying so.
    """
    curves: dict[tuple[Name, str], list[Fact]] = {}
    for fact in facts:
        if fact.name[0] == "gain by group of":
            name = ("slope over", *fact.name[1:-1])
            curves.setdefault((name, fact.where), []).append(fact)
    found = []
    for name, way, where, said in _decided_slopes(results):
        for (of, table), groups in curves.items():
            if of != name or len(groups) < 2:
                continue
            first, last = groups[0], groups[-1]
            turn = way * (last.value - first.value)
            clear = turn < -float(np.hypot(np.nan_to_num(first.half), np.nan_to_num(last.half)))
            if turn < 0 and (clear or AGAINST not in said):
                found.append(
                    f"{told(name)}: '{where}' gives it a verdict as {'growing' if way > 0 else 'falling'}, but "
                    f"'{table}' goes from {first.value:+.1f} ({first.name[-1]}) to {last.value:+.1f} ({last.name[-1]})"
                )
    return found


def _decided_slopes(results: Sequence[Result]) -> Iterator[tuple[Name, int, str, str]]:
    """Name, direction, table and detail of every slope with a verdict, of factors and of claims."""
    for result in results:
        read = _SLOPES.get(result.key)
        if read is None:
            continue
        for _, row in result.frame.iterrows():
            factor, said = read(row)
            way = 1 if row["verdict"] in UP else -1 if row["verdict"] in DOWN else 0
            if factor and way:
                yield slope_name(factor, row), way, result.caption, said


def _of_factor(row: pd.Series) -> tuple[str, str]:
    return str(row["factor"]), str(row["by_group"])


def _of_claim(row: pd.Series) -> tuple[str, str]:
    from assignbench.analysis.claim_forms import grouped_factor, parse

    return grouped_factor(parse(str(row["claim"]))), str(row["detail"])


_SLOPES: Mapping[str, Callable[[pd.Series], tuple[str, str]]] = {"factors": _of_factor, "claims.tests": _of_claim}


def without_unit(result: Result) -> Iterator[str]:
    """Printed columns of fractions without a unit; analyses of others choose for themselves."""
    if result.role == "figure" or result.key.split(".")[0] not in ORDER or "unit" in result.frame:
        return
    for column in result.frame.select_dtypes("floating"):
        name = str(column).removesuffix("_half")
        said = column in result.units or name in result.units or _is_known(str(column))
        if not said and result.frame[column].notna().any():
            yield f"'{result.caption}': the numbers of '{column}' have no unit"


def _is_known(column: str) -> bool:
    """Counts of seeds, probabilities, and the half-width beside the number whose unit it has."""
    return column in ("n", "p", "p_holm", "half") or column.endswith("_n")


def without_population(table: Table) -> Iterator[str]:
    """A printed interval that does not say on how many seeds it rests, or for whom it speaks."""
    if not table.has_intervals:
        return
    seeds = any(h == "n" or h.startswith("n (") for h in table.header)
    if not seeds and not any(note.startswith("n: ") for note in table.said):
        yield f"'{table.caption}': prints intervals without n"
    if "population" not in table.header and not any("±" in note for note in table.said):
        yield f"'{table.caption}': prints intervals without saying for which population"
    for note in table.said:
        if any(f"{words} or {other}" in note for words in _SPOKEN_FOR for other in _SPOKEN_FOR):
            yield f"'{table.caption}': leaves open for which population its intervals speak: {note}"


def unknown_numbers(texts: Sequence[str], names: Iterable[str] = ()) -> list[str]:
    """Printed texts with a number that is none ("nan"), which has to be left out or explained."""
    spoken = sorted((n for n in set(names) if UNKNOWN.search(n)), key=len, reverse=True)
    found = []
    for text in texts:
        rest = text
        for name in spoken:
            rest = rest.replace(name, "")
        if UNKNOWN.search(rest):
            found.append(f"'{text}': prints 'nan', which is no number")
    return list(dict.fromkeys(found))


def _texts(table: Table) -> Iterator[str]:
    """All that a table prints, less what a training said when it failed."""
    yield from (table.caption, *table.header, *table.said, *table.bands)
    quoted = table.header.index("reason") if "cell" in table.header and "reason" in table.header else -1
    yield from (cell for row in table.rows for place, cell in enumerate(row) if place != quoted)
