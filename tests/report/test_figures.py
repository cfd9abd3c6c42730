"""What figures show and say: the leading method, only what is drawn in legends and captions, what lies apart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from assignbench.analysis import ANALYSES, read_study_record
from assignbench.analysis.cost import NOT_COMPARED
from assignbench.analysis.images import image_differences
from assignbench.assigners.mean_max import mean_max_rows
from assignbench.report.bare import Bare
from assignbench.report.drawing import _extent, corner_text, draw_box
from assignbench.report.figures import FIGURES
from assignbench.report.figures.curves import curve_figure
from assignbench.report.figures.images import LEAST, MOST_ROWS, _chosen
from assignbench.report.figures.positives import ALIKE
from assignbench.report.hues import looks
from assignbench.report.leading import leading
from assignbench.report.samples import COLOURS, lost_and_gained
from assignbench.report.scenes import picture_grid
from assignbench.report.style import RED, picture
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
        panels = [p for p in one.figure.artists if isinstance(p, Bare)]
        lines = [c.get_edgecolor() for p in panels for c in p.collections if len(c.get_paths())]
        seen = {colour for colour in COLOURS if any(np.allclose(e[0][:3], _rgb(colour)) for e in lines)}
        (legend,) = one.figure.legends
        named = {h.get_color() for h in legend.legend_handles}
        assert named == seen
        texts = [t.get_text() for p in panels for t in p.texts]
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


def test_images_are_those_on_which_any_pair_differs_most(study) -> None:
    """Both ends of every pair first, by their size; nothing below 5 per cent; what is not shown is told of."""
    (result,) = ANALYSES["images"].run(study)
    cells = {c.keys["method"]: c for c in study.data() if c.keys["detector"] == "slim" and c.config.seed == 0}
    pairs = [(cells["iou"], cells[m]) for m in ("mutual_guidance", "paa")]
    shown = _chosen(pairs, range(100))
    sizes = [abs(one.found_second - one.found_first) for one in shown]
    assert len(shown) == MOST_ROWS and min(sizes) >= LEAST and {one.first.keys["method"] for one in shown} == {"iou"}
    extremes = {(ours.keys["method"], i) for theirs, ours in pairs for i in _ends(theirs, ours)}
    first = [(one.second.keys["method"], one.image_id) for one in shown[: len(extremes)]]
    assert set(first) == extremes and sizes[: len(extremes)] == sorted(sizes[: len(extremes)], reverse=True)
    assert _chosen(pairs, ()) == []
    for one in FIGURES["images"](study, {"images": result.frame}):
        if one.figure is not None:
            titles = [p.get_title() for p in one.figure.artists if isinstance(p, Bare)]
            found = [abs(int(t.split("(")[1].split(" %")[0].replace("\u2212", "-"))) for t in titles[::3] if t]
            assert found and min(found) >= 5 and all("(IoU .50-.95)" in t for t in titles[1::3])


def _ends(first, second) -> list[int]:
    """The image that gains most and the one that loses most."""
    table = image_differences(first, second)
    table = table[table.difference.abs() >= LEAST]
    found = [table.difference.idxmax()] if table.difference.max() > 0 else []
    found += [table.difference.idxmin()] if table.difference.min() < 0 else []
    return table.image_id[found].tolist()


@pytest.mark.parametrize("lowest", [0.5, 0.05, 1e-4, 1e-8])
def test_labels_of_a_logarithmic_axis_keep_apart(lowest) -> None:
    """Also where a loss falls by many decades: a label is 9 points high."""
    steps = np.arange(20)
    rows = {"term": "loss", "method": "iou", "seed": 0, "step": steps, "value": np.geomspace(1.0, lowest, 20)}
    ax = curve_figure(pd.DataFrame(rows), ["iou"]).axes[0]
    low, high = ax.get_ylim()
    places = [np.log10(t / low) / np.log10(high / low) for t in ax.yaxis.get_major_locator()() if low <= t <= high]
    points = 72 * ax.get_position().height * ax.figure.get_size_inches()[1]
    assert len(places) > 1 and (np.diff(places) * points).min() > 9


def test_a_label_covers_no_other_one() -> None:
    """The first that is drawn, of the highest score, keeps its label; boxes are drawn all the same."""
    figure, ((ax,),) = picture_grid(1, [3.0], 3.0)
    picture(ax, np.zeros((100, 100, 3), np.uint8), "")
    corner_text(ax, "a note")
    for k, box in enumerate([(10, 20, 30, 30), (12, 21, 40, 40), (10, 60, 30, 80)]):
        draw_box(ax, box, RED, f"disc 0.{9 - k}0")
    labels = [t for t in ax.texts if t.get_text().startswith("disc")]
    assert [t.get_text() for t in labels] == ["disc 0.90", "disc 0.70"] and len(ax.patches) == 3
    for text in labels:  # what is reckoned is not less than what is drawn
        drawn = text.get_window_extent(FigureCanvasAgg(figure).get_renderer()).transformed(ax.transData.inverted())
        x1, _, x2, _ = _extent(ax, *text.get_position(), text.get_text())
        assert x2 - x1 >= drawn.width


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


def test_a_bin_of_few_boxes_has_no_point(study) -> None:
    rows = [(0.55, 0.5), (0.65, 0.6), (np.nan, np.nan)]
    keys = {"data": "scenes", "detector": "slim", "method": "paa"}
    table = pd.DataFrame(rows, columns=["predicted", "true"]).assign(**keys)
    with looks(study.methods):
        (one,) = FIGURES["quality.reliability"](study, {"quality.reliability": table})
    assert one.figure.axes[0].lines[0].get_xdata().tolist() == [0.55, 0.65]
    assert "where a bin holds 50 boxes in every seed" in one.caption
