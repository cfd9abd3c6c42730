"""Verdicts of every form of claim on planted records: true, false, and not resolvable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from assignbench.analysis.claims import judged
from assignbench.errors import InputError
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell, write_diverged

YES, NO, OPEN, NONE = "supported", "contradicted", "not resolvable", "not testable"
CLASSES = ("thing", "traffic light", "rare")
# Images of each class; one object to an image, so that AP of a class is the share of its objects that is found.
COUNTS = (60, 60, 10)
# Share of the objects found, by detector and method; seeds differ in two objects of each class.
FOUND = {
    "net": {"iou": 0.5, "better": 0.8, "twin": 0.5, "shaky": 0.5},
    "wide": {"iou": 0.8, "better": 0.8},
}
# Costs, of three seeds.
COSTS: dict[tuple[str, str], dict[str, Sequence[float]]] = {
    ("net", "iou"): {"train_seconds": (3600, 3700, 3500), "parameters": (32_000_000,) * 3},
    ("net", "better"): {"train_seconds": (3650, 3600, 3620), "parameters": (32_000_000,) * 3},
    ("net", "twin"): {"train_seconds": (7200, 7300, 7100), "parameters": (33_000_000,) * 3},
    ("net", "shaky"): {"train_seconds": (3600, 3700, 3500), "parameters": (32_000_000,) * 3},
    ("wide", "iou"): {"train_seconds": (3600, 4600, 2900), "parameters": (40_000_000,) * 3},
}


def found_of(share: float, seed: int, labels: np.ndarray, classes: int = len(CLASSES)) -> np.ndarray:
    """Which objects [M] are found: the first share of each class, of which a seed loses one and finds another."""
    hit = np.zeros(len(labels), bool)
    for label in range(classes):
        mine = np.flatnonzero(labels == label)
        count = round(share * len(mine))
        hit[mine[:count]] = True
        hit[mine[seed]] = False
        hit[mine[-1 - seed]] = True
    return hit


def costs_of(place: tuple[str, str], seed: int) -> dict[str, float]:
    """What a cell cost; nothing of those that are not in COSTS."""
    told = {name: values[seed] for name, values in COSTS.get(place, {}).items()}
    return {**told, "train_cpu_seconds": told["train_seconds"]} if told else {}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    labels = np.repeat(np.arange(3), COUNTS)
    rows = [(i, int(label), 10.0, 10, 30, 30) for i, label in enumerate(labels)]
    objects = objects_table(rows)
    for detector, methods in FOUND.items():
        for method, share in methods.items():
            for seed in range(3):
                if method == "shaky" and seed == 0:
                    write_diverged(folder, method, seed, detector=detector)
                    continue
                hit = found_of(share, seed, labels)
                boxes = boxes_table([(*rows[k], 0.9) for k in np.flatnonzero(hit)], "score")
                told = costs_of((detector, method), seed)
                write_cell(
                    folder, method, seed, objects, boxes, classes=CLASSES, detector=detector, summary=told,
                    environment={"device": "cpu"},
                )  # fmt: skip
    for seed in range(3):
        write_diverged(folder, "broken", seed)
    for seed in range(2):
        write_diverged(folder, "two", seed)
    return study_of(folder, ("iou", "better", "twin", "shaky", "broken", "two"))


VERDICTS = {
    # Two detectors.
    "iou on wide > iou on net on AP": YES,
    "iou on net < iou on wide on AP": YES,
    "iou on net > iou on wide on AP": NO,
    "better on net > iou on wide on AP": OPEN,
    "better on net = iou on wide on AP within 12": YES,
    "iou on net = iou on wide on AP within 5": NO,
    "iou on net = iou on wide on AP within 30": OPEN,
    "twin on net > twin on wide on AP": NONE,
    "iou on net = iou on wide on parameters within 10 %": NO,
    "better on net = iou on net on parameters within 1 %": YES,
    # A level.
    "AP of better on net > 60": YES,
    "AP of better on net < 60": NO,
    "AP of iou on net > 48": OPEN,
    "AP of iou > 30 for every detector": YES,
    "AP of iou > 65 for every detector": NO,
    "parameters of iou on net < 32.5": YES,
    "fps of iou on net > 1": NONE,
    "AP of broken > 1": NONE,
    # An equality in per cent of the other side.
    "twin = iou on AP within 20 %": YES,
    "better = iou on AP[thing] within 10 %": "mixed",  # beyond on one detector, within on the other
    "twin = iou on train_hours within 5 %": NO,
    "better = iou on train_hours within 10 %": "supported in part",  # no time of better is known on the other detector
    "iou on wide = iou on net on train_hours within 20 %": OPEN,
    # A training that fails.
    "broken fails": YES,
    "twin fails": NO,
    "shaky fails": OPEN,
    "two fails": OPEN,  # of two seeds nothing is said
    # What is counted needs no seeds: of shaky there are two.
    "shaky = iou on parameters within 1 %": YES,
    "shaky > iou on parameters": NO,
    "shaky = iou on train_hours within 900 %": OPEN,
    # One class.
    "better > iou on AP[traffic light]": "supported in part",
    "better on net > iou on wide on AP[traffic light]": OPEN,
    "AP[traffic light] of better on net > 60": YES,
    "better on net > iou on net on AP[rare]": NONE,
    "better on net > iou on net on AP[trafic light]": NONE,
    # Measures of which less is better.
    "better on net < iou on net on LRP": YES,
    "better on net > iou on net on LRP": NO,
}
REASONS = {
    "twin on net > twin on wide on AP": "twin on net and twin on wide never meet on one data set",
    "fps of iou on net > 1": "the records do not hold it",
    "AP of broken > 1": "no finished cell of broken (3 diverged)",
    "better on net > iou on net on AP[rare]": "fewer than 20 images hold an object that AP[rare] is about",
    "better on net > iou on net on AP[trafic light]": "no class 'trafic light'; did you mean 'traffic light'",
}


@pytest.fixture(scope="module")
def table(study):
    """Every claim is the only one of its paper, so that nothing is corrected."""
    return judged([{"claim": text, "paper": f"paper {k}"} for k, text in enumerate(VERDICTS)], study)


@pytest.mark.parametrize("text", VERDICTS)
def test_verdicts(table, text) -> None:
    rows = table[table.claim == text]
    assert set(rows.claim_verdict) == {VERDICTS[text]}, rows.T.to_string()
    reason = "; ".join(r for r in rows.reason if r)
    assert REASONS.get(text, "") in reason
    few = ((rows.verdict == OPEN) & (rows.n < 3)).any()
    assert bool(reason) == (NONE in set(rows.verdict) or few), reason


def test_values_have_the_unit_and_the_sign_of_the_claim(table) -> None:
    told = table.set_index("claim")
    row = told.loc["iou on net > iou on wide on AP"]
    assert row.value == pytest.approx(-30, abs=2) and row.pair == "detector" and row.n == 3
    assert (row.detector, row.baseline, row.population) == ("net", "iou on wide", "other seeds and images")
    above, below = (told.loc[f"AP of better on net {sign} 60"] for sign in "><")
    assert above.value == pytest.approx(20, abs=1.5) and below.value == pytest.approx(-above.value)
    assert above.baseline == "" and above.detail.startswith("AP 79.0 ± ")
    hours = told.loc["twin = iou on train_hours within 5 %"]
    assert hours.value == pytest.approx(5 - 100) and hours.detail.startswith("difference +100.0 ± ")
    assert hours.unit == "per cent of the other" and hours.population == "other seeds, these images"
    size = told.loc["parameters of iou on net < 32.5"]
    assert (size.value, size.half, size.unit) == (pytest.approx(0.5), 0.0, "million")
    assert told.loc["shaky fails"].detail.endswith("1 diverged, 2 done")
    assert told.loc["broken fails"].value == pytest.approx(1.0)


def test_pairs_of_two_detectors_hang_together_with_those_of_one(study) -> None:
    """Two claims about one pair of detectors, told the other way round, are one value with two signs."""
    claims = ["iou on wide > iou on net on AP", "iou on net > iou on wide on AP"]
    one, other = judged([{"claim": c} for c in claims], study).itertuples()
    assert (one.value, one.half, one.p) == pytest.approx((-other.value, other.half, other.p))


# Trends of relative gains, and over categories.

SLENDER = (1.2, 3.0)  # of compact and of slender objects
KINDS = 8


def share_of(kind: str, slender: float, number: int, method: str) -> float:
    """How many objects of a category are found; of its own a category has up to six points more or less."""
    base = {"relative": 0.75 - 0.6 * slender, "steady": 0.5}[kind]
    own = 0.03 * (-1) ** number
    gain = {"iou": 0.0, "same": 0.2 + own, "grows": 0.05 + 0.25 * slender + own, "falls": 0.3 - 0.25 * slender + own}
    return base + gain[method]


def written(folder, kind: str, methods: Sequence[str], per_kind: int = 40, kinds: int = KINDS, wide: float = 1.0):
    """Categories of rising elongation, one object to an image; AP of a category is the share of it that is found."""
    slender = np.linspace(0, wide, kinds)
    label = np.repeat(np.arange(kinds), per_kind)
    ratio = SLENDER[0] + (SLENDER[1] - SLENDER[0]) * slender[label]
    rows = [(i, int(c), 10.0, 10, 10 + 20 * r, 30) for i, (c, r) in enumerate(zip(label, ratio, strict=True))]
    objects = objects_table(rows)
    for method in methods:
        for seed in range(3):
            hit = np.zeros(len(label), bool)
            for c in range(kinds):
                mine = np.flatnonzero(label == c)
                hit[mine[: round(share_of(kind, slender[c], c, method) * per_kind)]] = True
                hit[mine[seed]] = False
            boxes = boxes_table([(*rows[k], 0.9) for k in np.flatnonzero(hit)], "score")
            names = tuple(f"kind{c}" for c in range(kinds))
            write_cell(folder, method, seed, objects, boxes, classes=names)
    return study_of(folder, tuple(methods))


def verdicts_of(study, claims: Mapping[str, str]) -> None:
    table = judged([{"claim": text, "paper": f"paper {k}"} for k, text in enumerate(claims)], study)
    assert dict(zip(table.claim, table.verdict, strict=True)) == claims, table.T.to_string()


def test_a_gain_over_categories(tmp_path) -> None:
    study = written(tmp_path, "steady", ("iou", "same", "grows", "falls"))
    form = "gain of {} grows with aspect_ratio over categories"
    verdicts_of(study, {form.format("grows"): YES, form.format("falls"): NO, form.format("same"): OPEN})
    row = judged([{"claim": form.format("grows")}], study).iloc[0]
    assert row.value == pytest.approx(100 * 0.25 / (SLENDER[1] - SLENDER[0]), rel=0.2)
    assert row.unit == "points per unit of aspect_ratio" and row.population == "other seeds, images and categories"
    assert row.detail.startswith("8 categories, from kind0 (1.2) +") and "kind7 (3.0) +" in row.detail


def test_a_relative_gain_grows_where_the_gain_does_not(tmp_path) -> None:
    """The baseline finds 75 % of compact and 15 % of slender objects, and the same gain is more of less."""
    study = written(tmp_path, "relative", ("iou", "same"), per_kind=60)
    wanted = {
        "relative gain of same grows with aspect_ratio": YES,
        "gain of same grows with aspect_ratio": OPEN,
        "relative gain of same grows with aspect_ratio over categories": YES,
        "gain of same grows with aspect_ratio over categories": OPEN,
    }
    verdicts_of(study, wanted)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kinds": 4}, "4 categories, without those in fewer than 10 images"),
        ({"per_kind": 9}, "0 categories"),
        ({"wide": 0.2}, "the outer categories lie 0.36 apart in aspect_ratio, less than 0.5"),
    ],
)
def test_lines_through_too_few_categories_are_not_drawn(tmp_path, changed, reason) -> None:
    study = written(tmp_path, "steady", ("iou", "grows"), **{"per_kind": 12, **changed})
    claims = ["gain of grows grows with aspect_ratio over categories", "gain grows with occlusion over categories"]
    table = judged([{"claim": c} for c in claims], study)
    assert table.verdict.tolist() == [NONE, NONE]
    assert table.reason[0].startswith(reason) and table.reason[1] == "the objects have no occlusion"


@pytest.fixture(scope="module")
def gains(tmp_path_factory):
    """`iou` finds half of the objects by loose boxes (IoU 0.6), `iou_head` 0.6 and `paa` 0.8 of them by exact ones.

    Over iou, paa gains 30 points in AP50 and 80 in AP75; over iou_head, its baseline, 20 in both.
    """
    folder = tmp_path_factory.mktemp("gains")
    labels = np.zeros(60, int)
    rows = [(i, 0, 10.0, 10, 30, 30) for i in range(60)]
    objects = objects_table(rows)
    for method, share, right in (("iou", 0.5, 22.0), ("iou_head", 0.6, 30.0), ("paa", 0.8, 30.0), ("late", 0.7, 30.0)):
        for seed in range(3):
            if method == "late" and seed < 2:
                continue  # two of its three seeds are not done
            hit = np.flatnonzero(found_of(share, seed, labels, 1))
            boxes = boxes_table([(*rows[k][:4], right, 30, 0.9) for k in hit], "score")
            write_cell(folder, method, seed, objects, boxes)
    named = {"iou": "", "iou_head": "iou", "paa": "iou_head", "late": "iou"}
    return study_of(folder, tuple(named), baselines=named)


OVER = {
    # What PAA's row 59 says is about paa over IoU matching, which its baseline, with PAA's own parts, does not tell.
    "AP75 gain of paa over iou > AP50 gain": YES,
    "AP75 gain of paa over iou > AP50 gain of paa over iou": YES,
    "AP50 gain of paa over iou > AP75 gain": NO,
    "AP75 gain of paa over iou < AP50 gain": NO,
    "AP75 gain of paa > AP50 gain": OPEN,
    "AP75 gain of paa over iou_head > AP50 gain": OPEN,
    # Two pairs.
    "AP75 gain of paa over iou > AP75 gain of paa over iou_head": YES,
    "AP75 gain of paa over iou_head > AP75 gain of paa over iou": NO,
    "AP50 gain of iou_head over iou > AP50 gain of iou_head over iou": "refused",
    "AP75 gain of paa over iou_head > AP50 gain of paa over iou_head": OPEN,
    "AP75 gain of late over iou > AP50 gain": OPEN,  # of one seed
    "AP75 gain of late over iou > AP75 gain of paa over iou_head": OPEN,
    "AP75 gain of gone over iou > AP50 gain": NONE,
    "AP75 gain of paa over iou > AP75 gain of paa over gone": NONE,
}


@pytest.mark.parametrize("text", OVER)
def test_gains_over_a_method_that_is_named(gains, text) -> None:
    if OVER[text] == "refused":
        with pytest.raises(InputError, match="compares the gain in AP50 with itself"):
            judged([{"claim": text}], gains)
        return
    rows = judged([{"claim": text}], gains)
    assert set(rows.claim_verdict) == {OVER[text]} and len(rows) == 1, rows.T.to_string()
    if OVER[text] == NONE:
        assert "gone has no cell in the study" in rows.reason.iloc[0]
    if "late" in text:
        assert rows.n.iloc[0] == 1 and "a verdict needs 3 seeds" in rows.reason.iloc[0]


def test_the_value_of_a_gain_over_a_named_method(gains) -> None:
    """By hand: 80 points in AP75 less 30 in AP50; and 80 over iou less 20 over iou_head."""
    one, two = (
        judged([{"claim": text}], gains).iloc[0]
        for text in (
            "AP75 gain of paa over iou > AP50 gain",
            "AP75 gain of paa over iou > AP75 gain of paa over iou_head",
        )
    )
    assert one.value == pytest.approx(50, abs=2) and (one.method, one.baseline) == ("paa", "iou")
    assert two.value == pytest.approx(60, abs=3) and two.baseline == "iou, less the AP75 gain of paa over iou_head"
    assert one.n == two.n == 3 and one.unit == two.unit == "points"
