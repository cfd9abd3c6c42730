"""Error rates of verdicts on simulated detections: 200 studies per case with fixed seeds.

A rate of 5 % has a Monte-Carlo deviation of 1.5 points over 200 studies, so "at most 6 %" is asserted of rates that
the combined interval keeps well below (0 to 3 %); a rule at 10 % would pass such a test by chance once in forty.
"""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis.intervals import decided, fold_weights, paired_p, trend, with_verdicts
from assignbench.measure.groups import GroupRule, group_precision
from assignbench.measure.matching import average_precision, match
from tests.analysis.simulation import IMAGES, PLAIN, THRESHOLDS, UNIFORM, Design, groups_of, studies

pytestmark = pytest.mark.slow
STUDIES = 200
EQUAL, UNEQUAL = (50, 50, 50, 50), (150, 30, 15, 5)
MIDDLES = np.array([1.25, 2.0, 3.2, 5.0])
WEIGHTS = fold_weights(IMAGES)


def curves(matches, design: Design, rule: GroupRule) -> np.ndarray:
    """AP [F + 1, cells, G] of every cell and group."""
    groups, cells = groups_of(design), matches.overlaps.classes
    found = []
    for g in range(len(design.sizes)):
        inside = np.tile(groups == g, cells)
        if rule == "all":
            values = average_precision(match(matches.overlaps, thresholds=THRESHOLDS, outside=~inside), WEIGHTS)
        else:
            values = average_precision(matches, WEIGHTS, group=inside)
        found.append(values.mean(axis=1))
    return np.stack(found, axis=-1)


def verdicts(design: Design, method, seed: int, *, growing: float = 0.0, rule: GroupRule = "balanced", combined=True):
    """The verdict of every study's one trend: "higher", "lower" or "not resolvable"."""
    matches = studies(np.random.default_rng(seed), STUDIES, design, [PLAIN, method], growing=growing)
    aps = curves(matches, design, rule)
    aps = aps.reshape(len(WEIGHTS), STUDIES, design.seeds, 2, len(design.sizes))
    gained = (aps[..., 1, :] - aps[..., 0, :]).transpose(1, 2, 0, 3)  # study, seed, fold, group
    told = []
    for one in gained:
        found = trend(MIDDLES, one, np.asarray(design.sizes, float))
        p = found.p if combined else paired_p(found.slopes)
        told.append(decided(found.interval.mean, p))
    return told


def rate(told: list[str]) -> float:
    return sum(v != "not resolvable" for v in told) / len(told)


@pytest.mark.parametrize("what", UNIFORM)
@pytest.mark.parametrize(("sizes", "own"), [(EQUAL, 0.8), (UNEQUAL, 0.8), (UNEQUAL, 0.0)])
def test_what_is_the_same_in_every_group_is_no_trend(what: str, sizes, own: float) -> None:
    assert rate(verdicts(Design(sizes, own=own), UNIFORM[what], 11)) <= 0.06


def test_five_seeds_hold_it_too() -> None:
    assert rate(verdicts(Design(EQUAL, seeds=5, own=0.8), UNIFORM["more found"], 12)) <= 0.06


@pytest.mark.parametrize("what", ["better boxes", "more found"])
def test_the_old_rule_makes_a_trend_of_size_alone(what: str) -> None:
    """Teeth: with many objects the gain is the same in every group by the balanced rule, and shrinks by the old one."""
    design = Design((30000, 6000, 3000, 1000), seeds=1)
    matches = studies(np.random.default_rng(17), 1, design, [PLAIN, UNIFORM[what]])
    gained = {}
    for rule in ("balanced", "all"):
        aps = curves(matches, design, rule)[0]
        gained[rule] = aps[1] - aps[0]
    assert np.ptp(gained["balanced"]) < 0.02
    assert gained["all"][0] - gained["all"][3] > 0.03


PLANTED = [((100,) * 4, 3, 0.8), ((100,) * 4, 5, 0.95), ((240, 80, 50, 30), 5, 0.6)]


@pytest.mark.parametrize(("sizes", "seeds", "least"), PLANTED)
def test_planted_trends_are_recovered(sizes, seeds: int, least: float) -> None:
    """1.3 probits from the first group to the last: from 65 % found to about 90 %."""
    told = verdicts(Design(sizes, seeds=seeds, own=0.3), PLAIN, 15, growing=1.3)
    assert told.count("higher") / STUDIES >= least and "lower" not in told


def test_nine_tests_between_identical_methods_rarely_hold_a_false_verdict() -> None:
    """Three methods that equal their baseline, AP at three thresholds each: one family of nine corrected verdicts."""
    design = Design(EQUAL)
    matches = studies(np.random.default_rng(16), STUDIES, design, [PLAIN] * 4)
    aps = average_precision(matches)[0].reshape(len(THRESHOLDS), STUDIES, design.seeds, 4)
    false = plain = 0
    for study in range(STUDIES):
        gained = aps[:, study, :, 1:] - aps[:, study, :, :1]  # threshold, seed, method
        tests = [gained[t, :, m] for t in range(len(THRESHOLDS)) for m in range(3)]
        table = pd.DataFrame({"gain": [v.mean() for v in tests], "p": [paired_p(v.tolist()) for v in tests]})
        false += (with_verdicts(table, "gain").verdict != "not resolvable").any()
        plain += (table.p < 0.05).any()
    assert false / STUDIES <= 0.06 < 0.15 < plain / STUDIES


def test_groups_that_differ_in_size_alone_have_the_same_precision() -> None:
    """With many objects the four groups agree to 1.5 points by the balanced rule, and differ by 20 by the other."""
    design = Design((60000, 12000, 6000, 2000), seeds=1)
    matches = studies(np.random.default_rng(17), 1, design, [PLAIN])
    balanced, full = (curves(matches, design, rule)[0, 0] for rule in ("balanced", "all"))
    assert np.ptp(balanced) < 0.015
    assert full[0] - full[3] > 0.2
    whole = average_precision(matches)[0].mean()
    assert np.average(balanced, weights=design.sizes) == pytest.approx(whole, abs=0.01)


def test_group_precision_of_everything_is_precision() -> None:
    matches = studies(np.random.default_rng(18), 2, Design(EQUAL), [PLAIN])
    everything = np.ones(len(matches.counted), bool)
    ours = average_precision(matches, WEIGHTS, group=everything)
    np.testing.assert_allclose(ours, average_precision(matches, WEIGHTS), atol=1e-12)
    for rule in ("balanced", "all"):
        found = group_precision(matches.overlaps, everything, rule=rule)
        np.testing.assert_allclose(found, average_precision(match(matches.overlaps)), atol=1e-12)
