"""Axes that fit what they show, whatever one value or interval does; what is cut off is told."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from assignbench.report.dots import Scale, free_limits, method_dots, timed_limits
from assignbench.report.hues import marker, style
from assignbench.report.panels import gain_dots, intervals, per_place


@pytest.mark.parametrize("seed", range(30))
def test_one_outlier_never_flattens_the_others(seed) -> None:
    """Whatever the others are: they keep at least half of the axis, and all that are no outliers lie on it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.uniform(-50, 50), rng.uniform(0.1, 5), int(rng.integers(4, 20)))
    low, high = free_limits(values)
    assert low < values.min() and values.max() < high
    far = values.mean() + rng.choice([-1, 1]) * 100 * np.ptp(values)
    low, high = free_limits(np.append(values, far))
    assert np.ptp(values) > 0.5 * (high - low) and not low <= far <= high
    assert low < values.min() and values.max() < high


@pytest.mark.parametrize("seed", range(30))
def test_one_long_interval_never_flattens_the_others(seed) -> None:
    rng = np.random.default_rng(seed)
    values, halves = rng.normal(0, 1, 8), rng.uniform(0.2, 0.8, 8)
    whole = free_limits(values, halves)
    assert whole[0] < (values - halves).min() and (values + halves).max() < whole[1]
    halves[3] = 1000.0
    low, high = free_limits(values, halves)
    assert high - low < 2.5 * (whole[1] - whole[0]) and low < values.min() and values.max() < high


@pytest.mark.parametrize("values", [[], [np.nan], [0.0], [3.0, 3.0], [1e-9, -1e-9], [np.nan, 2.0]])
def test_there_is_always_an_axis(values) -> None:
    low, high = free_limits(np.array(values, float))
    assert np.isfinite([low, high]).all() and low < high


def drawn(upright: bool) -> plt.Axes:
    """Five groups, one of which lies far off, and an interval that goes on beyond the axis."""
    rows = [
        ("a", g, v, h)
        for g, v, h in zip("uvwxy", (0.1, 0.11, 0.12, 0.13, 9.0), (0.01, 0.01, 5.0, 0.01, 0.01), strict=True)
    ]
    table = pd.DataFrame(rows, columns=["method", "group", "gain", "gain_half"])
    _, ax = plt.subplots()
    method_dots(ax, table, list("uvwxy"), ["a"], "gain", upright=upright)
    return ax


@pytest.mark.parametrize("upright", [True, False])
def test_what_is_cut_off_is_told(upright) -> None:
    ax = drawn(upright)
    low, high = ax.get_ylim() if upright else ax.get_xlim()
    assert 0 < high < 100 and [t.get_text().strip() for t in ax.texts] == ["900"]
    marks = [line.get_marker() for line in ax.lines]
    beyond = "^" if upright else ">"
    assert marks.count(beyond) == 2  # the dot far off, and the interval that goes on
    assert marks.count("v" if upright else "<") == 1 and low < 10
    plt.close("all")


@pytest.mark.parametrize("seed", range(10))
def test_a_legend_names_each_method_that_is_drawn_once(seed) -> None:
    """However many places there are, and whichever methods have a number at which."""
    rng = np.random.default_rng(seed)
    methods = [f"m{k}" for k in range(4)]
    keys = [(f"d{p}", m) for p in range(3) for m in methods if rng.random() < 0.5] or [("d0", "m0")]
    table = pd.DataFrame([{"data": d, "detector": "x", "method": m, "group": "u", "gain": 0.1} for d, m in keys])
    table.loc[rng.random(len(table)) < 0.2, "gain"] = np.nan
    figure = per_place(table, methods, gain_dots(["u"], "groups"))
    shown = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    there = set(table[table.gain.notna()].method)
    assert shown == [m for m in methods if m in there] and not any(ax.get_legend() for ax in figure.axes)


def test_the_legend_shows_dot_and_interval() -> None:
    table = pd.DataFrame({"method": ["a", "b"], "group": ["u", "u"], "gain": [0.1, 0.2], "gain_half": [0.05, np.nan]})
    _, ax = plt.subplots()
    method_dots(ax, table, ["u"], ["a", "b"], "gain")
    with_interval, without = ax.get_legend_handles_labels()[0]
    assert with_interval.get_linestyle() == style("a") and without.get_linestyle() == "None"
    assert [h.get_marker() for h in (with_interval, without)] == [marker("a"), marker("b")]
    plt.close("all")


def test_a_caption_says_where_no_interval_is() -> None:
    table = pd.DataFrame({"group": ["u", "v", "v"], "gain": [0.1] * 3, "gain_half": [0.1, np.nan, 0.1]})
    table["reason"] = ["", "too few", ""]
    assert intervals(table, ["u", "v"], "gain") == ", with its 95 % interval. No interval for v: too few."
    assert intervals(table[:1], ["u", "v"], "gain") == ", with its 95 % interval."
    assert intervals(table[1:2], ["u", "v"], "gain") == "; no interval is known."


@pytest.mark.parametrize("upright", [True, False])
def test_an_arrow_head_is_told_of_where_one_is_drawn(upright) -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        _, ax = plt.subplots()
        on = Scale(ax, (-1.0, 1.0), upright)
        value, half = float(rng.normal(0, 1)), float(rng.choice([np.nan, rng.uniform(0, 2)]))
        on.dot(0, value, half, "a")
        heads = [line for line in ax.lines if line.get_marker() in ("^", "v", ">", "<")]
        assert on.goes_on(value, half) == bool(heads)
        plt.close("all")


def test_groups_and_methods_without_numbers_are_left_out() -> None:
    table = pd.DataFrame({"method": ["a", "b"], "group": ["u", "u"], "gain": [0.1, np.nan], "gain_half": [np.nan] * 2})
    _, ax = plt.subplots()
    method_dots(ax, table, ["u"], ["a", "b"], "gain")
    assert ax.get_legend_handles_labels()[1] == ["a"]
    plt.close("all")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gains", [{"gain": [np.nan], "gain_half": [np.nan]}, {}])
def test_a_place_without_a_gain_says_so(gains) -> None:
    """Beside a place that has some."""
    _, ax = plt.subplots()
    gain_dots(["u"], "groups")(ax, pd.DataFrame({"method": ["a"], "group": ["u"], **gains}), ["a"])
    assert [t.get_text() for t in ax.texts] == ["no gain to show here"] and not ax.axison
    plt.close("all")


@pytest.mark.parametrize("times", [[1000.0, 1003.0], [5.0], [1.0, 1.0, 1.02], [10.0, 400.0]])
def test_an_axis_of_times_shows_no_difference_where_there_is_hardly_any(times) -> None:
    low, high = timed_limits(np.array([*times, np.nan]))
    assert low < min(times) and max(times) < high
    assert high - low >= 0.0499 * max(times)


def test_an_axis_of_times_that_differ_keeps_to_them() -> None:
    low, high = timed_limits(np.array([100.0, 200.0]))
    assert 90 < low < 100 and 200 < high < 210
    assert timed_limits(np.array([np.nan])) == (0.0, 1.0)
