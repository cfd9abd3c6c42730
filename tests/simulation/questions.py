"""What is asked of one generated study: the package's own analyses, and whether what they say is true.

Every function generates one study of a world and returns numbers from 0 to 1 by question; their means over many studies
are the rates of the table. A question begins with what is wanted of it (`tally.WANTED`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from assignbench.analysis import claims, differences, measures, pairs
from assignbench.analysis.base import StudyRecord
from assignbench.analysis.claim_tests import FAILED
from assignbench.analysis.verdicts import HIGHER, LOWER, NOT_TESTABLE, OPEN
from tests.simulation.records import BASE, simulated
from tests.simulation.truth import MEASURES, gain, gaining, gaining_alike, population, rank_agreement, reaching
from tests.simulation.worlds import Method, World

PLAIN = Method()
TWINS = ("twin1", "twin2", "twin3")
METRICS = list(MEASURES)
Answers = dict[str, float]


def claim_verdicts(study: StudyRecord, texts: Sequence[str], paper: str = "") -> pd.DataFrame:
    """Every test of some claims with its verdict; each claim is a family of its own unless one paper is named."""
    entries = [{"claim": text, "paper": paper or f"paper {k}"} for k, text in enumerate(texts)]
    return claims.judged(entries, study)


def is_verdict(word: str) -> bool:
    """Whether a word says anything of methods."""
    return word not in (OPEN, NOT_TESTABLE)


# Differences between methods, and the claims about them.


def compared(world: World, rng: np.random.Generator) -> Answers:
    """Three methods that equal their baseline, and three that are better: intervals, families, claims of every form.

    `better` has better boxes and `more` finds more and has slightly better boxes; their AP is the same, and the gains
    of `more` in AP50 and AP75 are the same. On a second detector `better` is no better.
    """
    more = gaining_alike(world, 0.75)
    better = gaining(world, gain(world, more, PLAIN))
    much = Method(recall=0.85, boxes=0.6, wrong=0.5)
    planted = {"better": better, "more": more, "much": much}
    methods = {BASE: PLAIN, **dict.fromkeys(TWINS, PLAIN), **planted}
    study = simulated(world, {"net": methods, "other": {BASE: PLAIN, "better": PLAIN}}, rng)
    truth = {(name, m): gain(world, method, PLAIN, m) for name, method in methods.items() for m in METRICS}
    return {**_intervals(study, truth), **_families(study), **_claims(study, truth["better", "AP"])}


def _intervals(study: StudyRecord, truth: Mapping[tuple[str, str], float]) -> Answers:
    """Whether intervals hold the population's differences. Of the method that is much better it is told alone: a gain
    of twenty points in small classes measures a point too small, which is AP's bias and not the interval's.
    """
    table = differences.judged(pairs.pairs_of(study), METRICS)
    table = table[table.detector == "net"]
    error = table.difference - [truth[key] for key in zip(table.method, table.metric, strict=True)]
    alike, far = table.method.isin(TWINS), table.method == "much"
    wrong = table.verdict.map({HIGHER: 1, LOWER: -1}).fillna(0)
    found: Answers = {}
    for metric in METRICS:
        here = table.metric == metric
        covered = error.abs() <= table.half
        for kind, which in (("equal", alike), ("better", ~alike & ~far)):
            found[f"covers: {metric} of {kind} methods"] = float(covered[here & which].mean())
        found[f"told: covers {metric} of a much better method"] = float(covered[here & far].mean())
    ap = table.metric == "AP"
    found["told: the seeds' part alone covers AP"] = float((error.abs() <= table.seeds_half)[ap].mean())
    found["told: seeds' part of the variance"] = float((table.seeds_half**2 / table.half**2)[ap].mean())
    found["told: half-width in AP points"] = float(100 * table.half[ap].mean())
    found["false: a better method called worse"] = float((wrong[~alike] < 0).any())
    found["finds: a method that is much better"] = float((wrong[ap & far] > 0).mean())
    return found


def rare(world: World, rng: np.random.Generator) -> Answers:
    """Three methods that equal their baseline, where some classes are in one test image or two: half of the mean over
    classes hangs on these.
    """
    study = simulated(world, {"net": {BASE: PLAIN, **dict.fromkeys(TWINS, PLAIN)}}, rng)
    table = differences.judged(pairs.pairs_of(study), ["AP"])
    held, _ = measures.held_by_class(study.data()[0])
    return {
        "covers: AP of equal methods": float((table.difference.abs() <= table.half).mean()),
        "false: any verdict on AP of three equal methods": float(table.verdict.map(is_verdict).any()),
        "told: classes in a single image": float((held == 1).sum()),
        "told: half-width in AP points": float(100 * table.half.mean()),
    }


CALM = 0.4


def unsteady(world: World, rng: np.random.Generator) -> Answers:
    """Four methods that equal their baseline, one of which differs from training to training two to three times as much
    as the others do; and the other way round.
    """
    calm = replace(PLAIN, unsteady=CALM)
    found: Answers = {}
    for name, odd, others in (("noisier", PLAIN, calm), ("calmer", calm, PLAIN)):
        methods = {BASE: others, **dict.fromkeys(TWINS, others), "odd": odd}
        asked = pairs.pairs_of(simulated(world, {"net": methods}, rng))
        table = differences.judged(asked, ["AP"])
        found[f"false: any verdict on AP of equal methods, one {name}"] = float(table.verdict.map(is_verdict).any())
        covered = (table.difference.abs() <= table.half)[table.method == "odd"]
        found[f"told: covers AP of the {name} one"] = float(covered.mean())
    return found


def _families(study: StudyRecord) -> Answers:
    """A table of methods that equal their baseline, one family by metric."""
    twins = [p for p in pairs.pairs_of(study) if p.method in TWINS]
    table = differences.judged(twins, METRICS)
    called = table.verdict.map(is_verdict)
    found = {
        f"false: any verdict on {m} of three equal methods": float(called[table.metric == m].any()) for m in METRICS
    }
    return {**found, "told: the same without correction": float((table.p[table.metric == "AP"] < 0.05).any())}


def _claims(study: StudyRecord, room: float) -> Answers:
    """Every form of a claim where it is just not true."""
    bound = f"{100 * room:.4f}"
    texts = {
        "greater": "better > more on AP",
        "equal": f"better = base on AP within {bound}",
        "gains": "AP75 gain of more > AP50 gain",
        "greater for every detector": "better > base on AP for every detector",
        "equal for every detector": f"better = base on AP within {bound} for every detector",
    }
    table = claim_verdicts(study, list(texts.values()))
    said = table[table.detector == "net"].groupby("number").verdict.first()  # on the other one equal methods are equal
    found = {f"false: claim '{form}'": float(is_verdict(said[k])) for k, form in enumerate(texts)}
    family = [f"{twin} > base on {metric}" for twin in TWINS for metric in ("AP", "AP75")]
    called = claim_verdicts(study, family, "one paper").verdict.map(is_verdict)
    return {**found, "false: any of a paper's six claims on equal methods": float(called.any())}


# Forms that need two pairs or two detectors, or a method that has learned nothing; and what each form finds.


def forms(world: World, rng: np.random.Generator) -> Answers:
    """Claims on two pairs, two detectors, failures and relative gains where they are just not true, and claims of each
    form that are true: `sharp` has better boxes alone, `more` and `better` the same gain, `crowds` gains in crowds.
    """
    more, sharp = gaining_alike(world, 0.75), Method(boxes=0.8)
    better, weak = gaining(world, gain(world, more, PLAIN)), reaching(world, FAILED)
    methods = {BASE: PLAIN, "twin": PLAIN, "more": more, "better": better, "sharp": sharp, "weak": weak}
    crowds = Method(recall=0.55, growing=GROWTH, along="crowdedness")
    study = simulated(world, {"net": {**methods, "crowds": crowds}, "other": {BASE: PLAIN, "sharp": sharp}}, rng)
    reached, room = population(world, PLAIN)["AP"], gain(world, sharp, PLAIN)
    false = {
        "gains of two pairs": "AP gain of more over base > AP gain of better over base",
        "two detectors": "base on net > base on other on AP",
        "fails": "weak fails",
        "relative gain": "relative gain of twin grows with aspect_ratio",
    }
    true = {
        "greater for every detector": "sharp > base on AP for every detector",
        "two detectors": "sharp on net > base on other on AP",
        "equal": f"twin = base on AP within {100 * room:.4f}",
        "a level": f"AP of base on net > {100 * (reached - room):.4f}",
        "gains": "AP75 gain of sharp > AP50 gain",
        "gains of two pairs": "AP75 gain of sharp over base > AP75 gain of twin over base",
        "a gain that grows with crowdedness": "gain of crowds grows with crowdedness",
    }
    table = claim_verdicts(study, [*false.values(), *true.values()])
    wrong = table.verdict.map(is_verdict).groupby(table.number).any()
    right = table.groupby("number").claim_verdict.first() == claims.SUPPORTED
    told = {f"false: claim '{form}'": float(wrong[k]) for k, form in enumerate(false)}
    return {**told, **{f"finds: {form}": float(right[len(false) + k]) for k, form in enumerate(true)}}


# Equalities and levels at their bounds, where a word of either kind is wrong.

AGREEMENT = 0.5


def bounded(world: World, rng: np.random.Generator) -> Answers:
    """Claims whose truth lies at their bound: an equality within a bound, in per cent, of two detectors, of rank
    correlations; and a level. A test of 95 % says nothing in 95 % of studies; more than 97.5 % would be too careful.
    """
    plain = replace(PLAIN, order=AGREEMENT)
    more = replace(gaining_alike(world, 0.75), order=0.6)
    study = simulated(world, {"net": {BASE: plain, "more": more}, "other": {BASE: plain, "more": more}}, rng)
    reached, room = population(world, PLAIN)["AP"], gain(world, more, PLAIN)
    order = rank_agreement(world, 0.6) - rank_agreement(world, AGREEMENT)
    texts = {
        "an equality": f"more on net = base on net on AP within {100 * room:.4f}",
        "an equality in per cent": f"more on net = base on net on AP within {100 * room / reached:.4f} %",
        "an equality of two detectors": f"more on other = base on net on AP within {100 * room:.4f}",
        "an equality of rank correlations": f"more on net = base on net on spearman within {order:.5f}",
        "a level": f"AP of base on net > {100 * reached:.4f}",
    }
    table = claim_verdicts(study, list(texts.values()))
    return {
        f"covers: {form} at its bound": float(not is_verdict(w)) for form, w in zip(texts, table.verdict, strict=True)
    }


# Trends of gains over groups.

FACTORS = ("aspect_ratio", "objects_in_image", "crowdedness")
# What a method may do better everywhere, without any trend over groups.
UNIFORM = {
    "nothing": PLAIN,
    "fewer_false": Method(wrong=0.4),
    "better_boxes": Method(boxes=0.3),
    "more_found": Method(recall=0.8),
}
GROWING = ("aspect_ratio", "objects_in_image")  # by object and by image
GROWTH = 2.0  # probits from the first group to the last: from 55 % found, where others find 70, to 98 %


def trending(world: World, rng: np.random.Generator) -> Answers:
    """Methods that are better everywhere alike, in four ways, and two whose gain grows along a factor."""
    growers = {f"growing_{f}": Method(recall=0.55, growing=GROWTH, along=f) for f in GROWING}
    study = simulated(world, {"net": {BASE: PLAIN, **UNIFORM, **growers}}, rng)
    asked = [(name, f) for f in FACTORS for name in UNIFORM] + [(f"growing_{f}", f) for f in GROWING]
    table = claim_verdicts(study, [f"gain of {name} grows with {factor}" for name, factor in asked])
    found: Answers = {}
    for (name, factor), word, value in zip(asked, table.verdict, table.value, strict=True):
        if name in UNIFORM:
            found[f"false: trend of {name} over {factor}"] = float(is_verdict(word))
        else:
            found[f"finds: a gain that grows with {factor}"] = float(is_verdict(word) and value > 0)
            found[f"false: a gain that grows with {factor} called falling"] = float(is_verdict(word) and value < 0)
    return found


def trending_twins(world: World, rng: np.random.Generator) -> Answers:
    """Methods that equal their baseline where groups are unlike hard: no trend of nothing."""
    study = simulated(world, {"net": {BASE: PLAIN, **dict.fromkeys(TWINS, PLAIN)}}, rng)
    table = claim_verdicts(study, [f"gain of {t} grows with {f}" for f in FACTORS for t in TWINS])
    called = table.verdict.map(is_verdict).to_numpy().reshape(len(FACTORS), len(TWINS)).mean(axis=1)
    return {f"false: trend of nothing over {f}": float(v) for f, v in zip(FACTORS, called, strict=True)}


# Gains over categories.

UNEVEN = 0.3  # probits


def over_categories(world: World, rng: np.random.Generator) -> Answers:
    """Methods that gain in some classes more than in others by chance, and one that gains in slender ones."""
    methods = {name: replace(method, uneven=UNEVEN) for name, method in UNIFORM.items()}
    growing = Method(recall=0.55, growing=GROWTH, uneven=UNEVEN)
    study = simulated(world, {"net": {BASE: PLAIN, **methods, "even": PLAIN, "growing": growing}}, rng)
    asked = [*methods, "even", "growing"]
    table = claim_verdicts(study, [f"gain of {name} grows with aspect_ratio over categories" for name in asked])
    found: Answers = {}
    for name, word, value in zip(asked, table.verdict, table.value, strict=True):
        if name == "growing":
            found["finds: a gain that grows over categories"] = float(is_verdict(word) and value > 0)
        else:
            found[f"false: slope of {name} over categories"] = float(is_verdict(word))
    return found


# Divergence and AP.

METHODS = 8


def predicting(world: World, rng: np.random.Generator) -> Answers:
    """Methods whose divergence has nothing to do with their AP, and methods whose AP follows from it."""
    orders = rng.uniform(0.1, 0.8, METHODS)
    quality = rng.uniform(0, 1, METHODS)
    found: Answers = {}
    for question, share in (
        ("false: divergence predicts AP, though it does not", quality),
        ("finds: divergence that predicts AP", (orders - 0.1) / 0.7),
    ):
        methods = {
            f"m{k}": Method(recall=0.6 + 0.3 * s, order=o) for k, (o, s) in enumerate(zip(orders, share, strict=True))
        }
        word = claim_verdicts(simulated(world, {"net": methods}, rng), ["divergence predicts AP"]).verdict[0]
        found[question] = float(is_verdict(word))
    return found


# What moderation gives.

PAIRS = 12


@lru_cache(maxsize=20)
def seed_deviation(world: World, studies: int = 30) -> float:
    """Of one seed's difference in AP between equal methods, on a fixed test set."""
    found = []
    for number in range(studies):
        study = _twelve(world, PLAIN, np.random.default_rng([29, number]))
        found += [p.measured("AP", images=False).variance for p in pairs.pairs_of(study)]
    return float(np.mean(found)) ** 0.5


def _twelve(world: World, method: Method, rng: np.random.Generator) -> StudyRecord:
    """Six detectors with two methods each and their baseline."""
    return simulated(world, {f"net{d}": {BASE: PLAIN, "a": method, "b": method} for d in range(PAIRS // 2)}, rng)


def moderating(world: World, rng: np.random.Generator) -> Answers:
    """Twelve pairs with a true difference of two seed deviations: found with moderation, and by each pair's own t."""
    difference = 2 * seed_deviation(world)
    study = _twelve(world, gaining(world, difference), rng)
    asked = pairs.pairs_of(study)
    found: Answers = {}
    for name, moderate in (("with moderation", True), ("by plain t", False)):
        told = pairs.estimated(asked, "AP", moderate=moderate)
        found[f"told: power {name}"] = float(np.mean([e.p < 0.05 and e.mean > 0 for e in told]))
        covered = [abs(e.mean - difference) <= e.half for e in told]
        found[f"{'covers' if moderate else 'told'}: AP of twelve pairs {name}"] = float(np.mean(covered))
    return found
