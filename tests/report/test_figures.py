"""What figures show and say: the leading method, only what is drawn in legends and captions, what lies apart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, read_study_record
from assignbench.analysis.cost import NOT_COMPARED
from assignbench.assigners.mean_max import mean_max_rows
from assignbench.report.figures import FIGURES
from assignbench.report.figures.positives import ALIKE
from assignbench.report.hues import looks
from assignbench.report.leading import leading
from assignbench.report.samples import COLOURS, lost_and_gained
from tests.report.written import write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three methods, one seed, two detectors."""
    return write_study(tmp_path_factory.mktemp("figures"), seeds=1, images=8, detectors=("slim", "wide"))


@pytest.fixture(scope="module")
def study(folder):
    return read_study_record(folder)


def asked(claims: list[str], methods: list[str]) -> SimpleNamespace:
    """A study of one place whose first method is the baseline of the others."""
    return SimpleNamespace(
        methods=methods,
        places=[("d", "x")],
        about={"claims": [{"claim": c} for c in claims]},
        baseline_of=lambda m, place: "" if m == methods[0] else methods[0],
    )


def test_the_leading_method_is_the_one_that_most_claims_name() -> None:
    methods = ["iou", "paa", "paa_voting", "atss"]
    assert leading(asked([], methods)) == ["atss", "paa_voting", "paa"]  # else the last
    assert leading(asked(["paa > iou on AP", "AP75 gain of paa > AP50 gain", "atss > iou"], methods))[0] == "paa"
    assert leading(asked(["paa_voting > iou", "paa_voting > paa", "paa > iou"], methods))[0] == "paa_voting"
    assert leading(asked(["iou > iou"], ["iou"])) == []


def test_lost_and_gained_name_only_what_they_draw(study) -> None:
    """Every colour of the legend is drawn, every drawn one named, in the caption too; no panel says that nothing is."""
    drawn = [d for d in lost_and_gained(study) if d.figure is not None]
    assert drawn
    for one in drawn:
        lines = [c.get_edgecolor() for ax in one.figure.axes for c in ax.collections if len(c.get_paths())]
        seen = {colour for colour in COLOURS if any(np.allclose(e[0][:3], _rgb(colour)) for e in lines)}
        (legend,) = one.figure.legends
        named = {h.get_color() for h in legend.legend_handles}
        assert named == seen
        texts = [t.get_text() for ax in one.figure.axes for t in ax.texts]
        assert not any(t.startswith("0 lost, 0 gained") for t in texts)
    first = drawn[0]
    legend_colours = {h.get_color() for h in first.figure.legends[0].legend_handles}
    assert {c for c, name in COLOURS.items() if f"n {name}: " in first.caption} == legend_colours


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def test_pictures_of_further_places_are_folded_and_say_less(study) -> None:
    drawn = [d for d in lost_and_gained(study) if d.figure is not None]
    assert {d.fold for d in drawn if "-slim" in d.name} == {""}
    assert {d.fold for d in drawn if "-wide" in d.name} == {"wide on scenes"}
    assert all(d.caption.startswith("The same for ") and len(d.caption) < 80 for d in drawn[2:])


@pytest.mark.parametrize("gap", [0.0, 0.5 * ALIKE, 2 * ALIKE])
def test_positives_that_follow_their_baseline_are_told_and_not_drawn(study, gap) -> None:
    rng = np.random.default_rng(3)
    course = rng.uniform(3, 5, 6)
    keys = {"data": "scenes", "seed": 0, "orphans": 0.0}
    rows = [
        {**keys, "detector": d, "method": m, "task": task, "progress": i / 6, "positives": v + (m == "paa") * gap}
        for d in ("slim", "wide")
        for m in ("iou", "mutual_guidance", "paa")
        for task in ("cls", "box")
        for i, v in enumerate(course)
    ]
    with looks(study.methods):
        (one,) = FIGURES["positives"](study, {"positives": pd.DataFrame(rows)})
    if gap < ALIKE:
        assert one.figure is None and "every method (at most" in one.told and " on scenes" not in one.told
    else:
        shown = [t.get_text() for t in one.figure.legends[0].get_texts()]
        assert shown == ["iou", "paa"] and "mutual_guidance (at most 0 apart)" in one.caption


def test_times_that_a_load_made_are_not_plotted(study) -> None:
    """Where the analysis says that times do not compare, the processor's stand in their place, place by place."""
    table = {r.key: r.frame for r in ANALYSES["cost"].run(study)}["cost"]
    table = table.assign(pareto=np.where(table.detector == "wide", NOT_COMPARED, table.pareto))
    (one,) = FIGURES["cost"](study, {"cost": table})
    assert [ax.get_xlabel().split()[0] for ax in one.figure.axes] == ["training", "processor"]
    assert "time of the processor" in one.caption
    (other,) = FIGURES["cost"](study, {"cost": table.drop(columns="train_cpu_s")})
    assert "Nothing is outlined" in other.caption and "processor" not in other.caption


def test_times_that_are_all_but_the_same_look_so(study) -> None:
    table = {r.key: r.frame for r in ANALYSES["cost"].run(study)}["cost"]
    table = table.assign(train_s=1000 + 3.0 * np.arange(len(table)) / len(table))
    (one,) = FIGURES["cost"](study, {"cost": table})
    for ax in one.figure.axes:
        low, high = ax.get_xlim()
        assert high - low >= 49


def test_every_panel_says_what_its_axes_are() -> None:
    """Points and per cent do not share a label, and a surface has two arguments."""
    rows = [
        {"data": "d", "detector": "net", "method": "mg", "baseline": "iou", "factor": factor, "group": g, "middle": m}
        | {"objects": 50, "gain": 1.0 + m, "gain_half": 0.5, "n": 3}
        for factor in ("aspect_ratio", "objects_in_image", "contrast")
        for g, m in (("low", 1.0), ("high", 2.0))
    ]
    asked_ = SimpleNamespace(methods=["iou", "mg"], places=[("d", "net")])
    (one,) = FIGURES["factors.groups"](asked_, {"factors.groups": pd.DataFrame(rows)})
    labels = [ax.get_ylabel() for ax in one.figure.axes if ax.get_xlabel()]
    assert labels == ["gain, points", "gain, per cent of AP", "gain, points"]
    points = pd.DataFrame([{"method": "ltm", **row} for row in mean_max_rows(5)])
    other = pd.DataFrame([{"method": "m", "formula": "f", "curve": "c", "x": x, "y": 0, "value": x} for x in (0, 1)])
    (drawn,) = FIGURES["formulas.points"](asked_, {"formulas.points": pd.concat([points, other])})
    panels = [ax for ax in drawn.figure.axes if ax.get_title()]
    assert len(panels) == 3 and all(ax.get_xlabel() and ax.get_ylabel() for ax in panels)
    assert panels[-1].get_ylabel() == "φ of the second prior" and "M-" in drawn.caption


def test_images_are_those_of_the_table_where_they_were_recorded(study) -> None:
    """Of the leading method; no image on which nothing differs; what is not shown is told of."""
    (result,) = ANALYSES["images"].run(study)
    table = result.frame
    for one in FIGURES["images"](study, {"images": table}):
        assert leading(study)[0] in (one.caption or one.told)
        if one.figure is not None:
            titles = [ax.get_title() for ax in one.figure.axes]
            assert not any("(+0 %)" in t or "(-0 %)" in t for t in titles)
            assert all("(IoU .50-.95)" in t for t in titles[1::3])


def test_captions_of_differences_promise_only_what_is_drawn(study) -> None:
    found = {r.key: r.frame for r in ANALYSES["differences"].run(study)}
    (one,) = FIGURES["differences"](study, found)
    table = found["differences"]
    assert ("thick" in one.caption) == bool(table.half.notna().any() and table.seeds_half.notna().any())
    heads = [li for ax in one.figure.axes for li in ax.lines if li.get_marker() in (">", "<")]
    assert ("arrow head" in one.caption) == bool(heads)
    bare = table.assign(half=np.nan, seeds_half=np.nan)
    (none,) = FIGURES["differences"](study, {**found, "differences": bare})
    assert "interval" not in none.caption and " line " not in none.caption
