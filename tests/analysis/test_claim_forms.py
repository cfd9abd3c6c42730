"""The language of claims, and what is said about mistakes."""

import math
import random
from dataclasses import replace

import pytest

from assignbench.analysis.claim_checks import range_of
from assignbench.analysis.claim_forms import FORMS, Claim, _read, grouped_factor, parse, unit_of
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
        (
            "AP75 gain of paa over iou > AP50 gain",
            {"kind": "gains", "method": "paa", "other": "iou", "measure": "AP75", "second": "AP50"},
        ),
        (
            "AP75 gain of paa over iou > AP50 gain of paa over iou",
            {"kind": "gains", "method": "paa", "other": "iou", "measure": "AP75", "second": "AP50"},
        ),
        (
            "AP gain of a over b < AP50 gain of c over d",
            {"kind": "gains", "method": "c", "other": "d", "measure": "AP50", "second": "AP"}
            | {"second_method": "a", "second_other": "b"},
        ),
        ("AP50 gain of paa < AP75 gain", {"kind": "gains", "method": "paa", "measure": "AP75", "second": "AP50"}),
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
        ("ltm = iou on AP within -1", "within -1 leaves no room"),
        ("ltm = iou on AP within 100", "AP lies from 0 to 100 .points., so any two values are within 100"),
        ("AP75 gain of ltm over ltm > AP50 gain", "compares 'ltm' with itself"),
        ("AP75 gain of ltm over iou > AP50 gain of iou over iou", "compares 'iou' with itself"),
        ("AP75 gain of ltm over ioo > AP50 gain", "unknown method 'ioo'; did you mean 'iou'"),
        ("AP75 gain of ltm over iou > AP50 gain of iou over lmt", "unknown method 'lmt'; did you mean 'ltm'"),
        ("AP75 gain of ltm > AP50 gain of iou", "say over what the gain of ltm is"),
        ("AP75 gain > AP50 gain of ltm over iou", "say over what the gain of the first method is"),
        ("LRP gain > oLRP gain", "compares the gain in oLRP with itself; name two measures"),
        ("AP gain of ltm over iou > AP gain", "compares the gain in AP with itself"),
        ("divergence predicts spearman_rank", "divergence is the mean of spearman itself"),
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
    "NUMBER": lambda rng: f"{rng.uniform(0.01, 0.9):.{rng.randrange(2, 5)}f}",  # within the range of every measure
    "MEASURE": lambda rng: rng.choice([*(m for m in MEASURES if m != "spearman"), "AR7", "AP[a b]", "AP75[é|$]"]),
    "FACTOR": lambda rng: rng.choice(FACTORS),
}


def drawn(form: str, rng: random.Random, *, optional: bool) -> str:
    """A sentence of a form, with what stands in brackets or without."""
    optional_parts = ("[for every detector]", "[of METHOD]", "[of METHOD over METHOD]", "[on DETECTOR]", "[relative]")
    for part in (*optional_parts, "[over categories]", "[%]"):
        form = form.replace(part, part[1:-1] if optional else "")
    if form.startswith("MEASURE gain"):  # of two measures drawn at random most have no common unit
        form = form.replace("MEASURE", "AP75", 1).replace("MEASURE", "AP50", 1)
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


@pytest.mark.parametrize("measure", [*MEASURES, "AR7", "AP[a > b]"])
def test_a_level_outside_of_what_a_measure_can_be_is_refused(measure) -> None:
    """By generation: bounds within its range are taken, those beyond and at an end that nothing passes are not."""
    low, high = range_of(measure)
    inside = [low + share * (min(high, 50.0) - low) for share in (0.01, 0.3, 0.99)]
    beyond = [low - 1e-3, low - 50, *([high + 1e-3, high + 50] if math.isfinite(high) else [])]
    for sign in "<>":
        for bound in inside:
            assert parse(f"{measure} of a {sign} {bound:.9f}").bound == pytest.approx(bound)
        for bound in [*beyond, low if sign == "<" else high]:
            if math.isfinite(bound):
                with pytest.raises(InputError, match="write a number in between"):
                    parse(f"{measure} of a {sign} {bound:.9f}")
    with pytest.raises(InputError, match="so it always lies above -1000"):
        parse(f"{measure} of a > -1000")


def test_a_bound_of_an_equality_leaves_room_and_no_more_than_there_is() -> None:
    for measure in MEASURES:
        low, high = range_of(measure)
        for within in ("0", "-0.5", "0.0", "-3 %", *([str(high - low)] if math.isfinite(high) else [])):
            with pytest.raises(InputError, match=r"leaves no room|so any two values are within"):
                parse(f"a = b on {measure} within {within}")
        assert parse(f"a = b on {measure} within 250 %").percent
        assert parse(f"a = b on {measure} within {(min(high, 10) - low) / 2}")


# Ways to write one and the same, of which the first is that of the forms.
SAME = {
    "a > b on AP": ("a>b on AP", "a >b on AP", "a> b on AP", "  a  >  b on AP "),
    "a < b on LRP": ("a<b on LRP", "b>a on LRP"),
    "a = b on AP within 0.5": ("a=b on AP within .5", "a = b on AP within +0.50", "a =b on AP within 0.5"),
    "a = b on fps within 5 %": (
        *("a = b on fps within 5%", "a=b on fps within 5. %", "a = b on fps within 5 percent"),
        *("a = b on fps within 5 per cent", "a = b on fps within 5percent"),
    ),
    "a > b on AP for every detector": (
        *("a > b on AP for each detector", "a > b on AP for all detectors", "a>b on AP on every detector"),
        *("a > b on AP at each detector", "a > b on AP on all detectors"),
    ),
    "AP of a > 0.5": ("AP of a>.5", "AP of a > +.50", "AP of a >0.5"),
    "spearman of a on d > -0.5": ("spearman of a on d>-.5", "spearman of a on d > -.5"),
    "a fails for every detector": ("a fails on each detector", "a fails for all detectors"),
    "AP75 gain of a > AP50 gain": ("AP75 gain of a>AP50 gain", "AP50 gain of a < AP75 gain of a"),
    "a on c > b on d on AP": ("a on c>b on d on AP", "b on d < a on c on AP"),
}


@pytest.mark.parametrize("text", SAME)
def test_harmless_spellings_are_one_claim(text) -> None:
    meant = replace(parse(text), text="")
    assert [replace(parse(other), text="") for other in SAME[text]] == [meant] * len(SAME[text])


# What is put for a sign or a word of a form.
SPELT = {
    " > ": (" >= ", " ≥ ", " beats ", " is better than ", " &gt; ", "=>", " exceeds "),
    " < ": (" <= ", " ≤ ", " is lower than ", " &lt; "),
    " = ": (" == ", " ≈ ", " equals ", " is the same as "),
    " within 0.5": (" within 0,5", " within ±0.5", " within +/-0.5", " within 0.5 points", " Within 0.5", " ± 0.5"),
    " within 5 %": (" within 5 pct", " within 5,0 %"),
    " for every detector": (" for every network", " everywhere", " For Every Detector", " for each of the models"),
    " grows with ": (" grow with ", " increases with ", " Grows With "),
    " over categories": (" over classes", " over the categories", " across classes"),
    " fails": (" fail", " failed", " Fails"),
    " gain": (" gains", " improvement", " Gain"),
    " predicts ": (" predict ",),
}


def test_what_is_nearly_a_claim_is_told_as_it_is_written() -> None:
    """By generation: the sentence that an error offers is a claim, and the one that was meant."""
    rng, count = random.Random(0), 0
    for form in FORMS:
        for optional in (True, False):
            sentence = " ".join(drawn(form, rng, optional=optional).split())
            for word, ways in SPELT.items():
                for way in ways if word in sentence else ():
                    odd = sentence.replace(word, way, 1)
                    if _read(odd) is not None:
                        continue
                    count += 1
                    with pytest.raises(InputError) as problem:
                        parse(odd)
                    offered = str(problem.value).partition("; write '")[2].removesuffix("'")
                    told = replace(_read(offered), text="") if offered else None
                    assert told == replace(_read(sentence), text=""), (odd, str(problem.value))
    assert count > 30
    for end in (".", ";", " !", ","):
        with pytest.raises(InputError, match=r"write 'a > b on AP'$"):
            parse(f"a > b on AP{end}")


def test_a_name_in_brackets_is_never_respelt() -> None:
    with pytest.raises(InputError, match=r"write 'a > b on AP\[On = Each, 1,5\.\]'"):
        parse("a >= b on AP[On = Each, 1,5.].")
