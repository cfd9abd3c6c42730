"""The language of claims, and what is said about mistakes."""

import random

import pytest

from assignbench.analysis.claim_forms import FORMS, Claim, grouped_factor, parse, unit_of
from assignbench.analysis.measures import MEASURES
from assignbench.analysis.trends import FACTORS
from assignbench.errors import InputError

SIDES, DETECTORS = ("detector", "other_detector"), ("fcos-r50", "fcos-r101")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ltm > iou on AP", {"kind": "greater", "method": "ltm", "other": "iou", "measure": "AP"}),
        (
            "ltm > iou on NR for every detector",
            {"kind": "greater", "method": "ltm", "other": "iou", "measure": "NR", "every": True},
        ),
        ("gain grows with crowdedness", {"kind": "trend", "factor": "crowdedness", "relative": True}),  # by image
        ("relative gain grows with crowdedness", {"kind": "trend", "factor": "crowdedness", "relative": True}),
        (
            "relative gain of ltm grows with contrast",
            {"kind": "trend", "method": "ltm", "factor": "contrast", "relative": True},
        ),
        (
            "gain of ltm grows with aspect_ratio over categories",
            {"kind": "categories", "method": "ltm", "factor": "aspect_ratio"},
        ),
        ("gain of ltm  grows with aspect_ratio", {"kind": "trend", "method": "ltm", "factor": "aspect_ratio"}),
        ("AP75 gain > AP50 gain", {"kind": "gains", "measure": "AP75", "second": "AP50"}),
        ("AP75 gain of paa > AP50 gain", {"kind": "gains", "method": "paa", "measure": "AP75", "second": "AP50"}),
        ("divergence predicts AP", {"kind": "divergence", "measure": "AP"}),
        ("a = b on AP within 1", {"kind": "equal", "method": "a", "other": "b", "measure": "AP", "within": 1.0}),
        (
            "mg+x = mg.2 on NR within 0.5 for every detector",
            {"kind": "equal", "method": "mg+x", "other": "mg.2", "measure": "NR", "within": 0.5, "every": True},
        ),
        ("mg+x > mg.2 on AR50", {"kind": "greater", "method": "mg+x", "other": "mg.2", "measure": "AR50"}),
        ("a < b on LRP", {"kind": "greater", "method": "b", "other": "a", "measure": "oLRP"}),
        ("a > b on spearman_rank", {"kind": "greater", "method": "a", "other": "b", "measure": "spearman"}),
        (
            "a > b on AP[traffic light]",
            {"kind": "greater", "method": "a", "other": "b", "measure": "AP[traffic light]"},
        ),
        ("a > b on AP75[a]b]", {"kind": "greater", "method": "a", "other": "b", "measure": "AP75[a]b]"}),
        (
            "a = b on fps within 5 %",
            {"kind": "equal", "method": "a", "other": "b", "measure": "fps", "within": 5.0, "percent": True},
        ),
        (
            "a on fcos-r50 > b on fcos-r101 on AP",
            {
                "kind": "greater",
                "method": "a",
                "other": "b",
                "measure": "AP",
                **dict(zip(SIDES, DETECTORS, strict=True)),
            },
        ),
        (
            "a on fcos-r50 < a on fcos-r101 on train_hours",
            {"kind": "greater", "method": "a", "other": "a", "measure": "train_hours"}
            | dict(zip(SIDES, DETECTORS[::-1], strict=True)),
        ),
        (
            "a on fcos-r50 = b on fcos-r101 on parameters within 1 per cent",
            {"kind": "equal", "method": "a", "other": "b", "measure": "parameters", "within": 1.0, "percent": True}
            | dict(zip(SIDES, DETECTORS, strict=True)),
        ),
        (
            "iou_error of paa < 0.1",
            {"kind": "level", "measure": "iou_error", "method": "paa", "bound": 0.1, "below": True},
        ),
        (
            "AP of paa > 40 for every detector",
            {"kind": "level", "measure": "AP", "method": "paa", "bound": 40.0, "every": True},
        ),
        (
            "spearman of paa on fcos-r50 > -0.5",
            {"kind": "level", "measure": "spearman", "method": "paa", "bound": -0.5, "detector": "fcos-r50"},
        ),
        ("paa_range.3 fails", {"kind": "fails", "method": "paa_range.3"}),
    ],
)
def test_forms(text, expected) -> None:
    assert parse(text) == Claim(" ".join(text.split()), **expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ltm beats iou", "none of the known forms"),
        ("ltm > iou on APP", "unknown measure 'APP'; did you mean 'AP'"),
        ("gain of ltn grows with crowdedness", "unknown method 'ltn'; did you mean 'ltm'"),
        ("gain grows with crowding", "unknown factor 'crowding'; did you mean 'crowdedness'"),
        ("ltm = iou on AP", "none of the known forms"),
        ("ltm = iou on AP within 0", "within 0 leaves no room"),
        ("ltm = iou on AP within -1", "none of the known forms"),
        ("ltm = ltm on AP within 1", "compares 'ltm' with itself"),
        ("ltm = iou on AR0 within 1", "unknown measure 'AR0'"),
        ("AP gain > spearman gain", "points and rank correlation have no common unit"),
        ("fps gain > train_hours gain", "no common unit"),
        ("ltm on fcos = ltm on fcos on AP within 1", "compares 'ltm' with itself"),
        ("ltm on fcos > ltm on fsco on AP", "unknown detector 'fsco'; did you mean 'fcos'"),
        ("ltm on fcos > ltn on retina on AP", "unknown method 'ltn'; did you mean 'ltm'"),
        ("lmt fails", "unknown method 'lmt'; did you mean 'ltm'"),
        ("iou_eror of ltm < 0.1", "unknown measure 'iou_eror'; did you mean 'iou_error'"),
        ("AR50[tie] of ltm < 0.1", "unknown measure 'AR50.tie.'"),
        ("AP of ltm < ", "none of the known forms"),
        ("gain of ltm grows with crowding over categories", "unknown factor 'crowding'"),
    ],
)
def test_mistakes(text, message) -> None:
    with pytest.raises(InputError, match=message.replace("?", "[?]")):
        parse(text, ["iou", "ltm"], ["fcos", "retina"])


WORDS = {
    "METHOD": lambda rng: "".join(rng.choices("abz0.+-_", k=4)),
    "DETECTOR": lambda rng: "".join(rng.choices("xy9.+-_", k=4)),
    "NUMBER": lambda rng: f"{rng.uniform(0.1, 90):.{rng.randrange(3)}f}",
    "MEASURE": lambda rng: rng.choice([*MEASURES, "AR7", "AP[a b]", "AP75[é|$]"]),
    "FACTOR": lambda rng: rng.choice(FACTORS),
}


def drawn(form: str, rng: random.Random, *, optional: bool) -> str:
    """A sentence of a form, with what stands in brackets or without."""
    for part in ("[for every detector]", "[of METHOD]", "[on DETECTOR]", "[relative]", "[over categories]", "[%]"):
        form = form.replace(part, part[1:-1] if optional else "")
    for word, draw in WORDS.items():
        while word in form:
            form = form.replace(word, draw(rng), 1)
    return form


@pytest.mark.parametrize("form", FORMS)
def test_every_sentence_of_a_form_is_read_back(form) -> None:
    """Whatever the names and numbers, the claim has them, a kind and a unit; spaces make no difference."""
    rng = random.Random(form)
    for number in range(60):
        sentence = drawn(form, rng, optional=bool(number % 2))
        if " gain" in sentence and " > " in sentence:
            sentence = "AP75 gain > AP50 gain"  # of two measures drawn at random most have no common unit
        claim = parse(sentence)
        assert claim == parse(sentence.replace(" ", "  ")) and unit_of(claim)[1]
        named = [name for side in claim.sides for name in side if name]
        assert all(name in sentence for name in named), sentence
        assert len(set(named)) >= form.count("METHOD > METHOD") + form.count("METHOD = METHOD")


def test_which_slopes_are_those_of_the_tables_by_group() -> None:
    claims = ["gain grows with contrast", "gain grows with crowdedness", "relative gain grows with crowdedness"]
    assert [grouped_factor(parse(c)) for c in claims] == ["contrast", "crowdedness", "crowdedness"]
    others = ["relative gain grows with contrast", "gain grows with contrast over categories", "a > b on AP"]
    assert [grouped_factor(parse(c)) for c in others] == ["", "", ""]
    assert (
        unit_of(parse("relative gain grows with contrast"))[1] == "per cent of the baseline's AP per unit of contrast"
    )
    assert unit_of(parse("parameters of a < 3")) == (1e-6, "million")
