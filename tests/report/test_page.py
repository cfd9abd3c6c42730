"""The page of a study written by hand: what stands first, figures by key, escaping, what fails and what is hidden."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assignbench.analysis import ANALYSES, Analysis, Result, read_study_record
from assignbench.config import MethodConfig
from assignbench.data.base import DetectionData
from assignbench.data.overlap import overlap_notes
from assignbench.errors import InputError
from assignbench.records import read_json, write_json
from assignbench.report import build_report, publish_report
from assignbench.report.figures import FIGURES
from assignbench.report.kept import Kept
from assignbench.report.opening import environment_table, fairness, warnings
from assignbench.report.page import write_report
from tests.report.written import METHODS, write_study

pytestmark = pytest.mark.usefixtures("figures_of_pages")

SEPARATOR = re.compile(r"(?<!\\)\|")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three methods, three seeds, one detector."""
    return write_study(tmp_path_factory.mktemp("written"), images=24)


@pytest.fixture(scope="module")
def report(folder) -> Path:
    """The folder of its report."""
    return build_report(folder).parent


def rows_under(text: str, caption: str) -> list[list[str]]:
    """The cells of the markdown table with that caption: header first, the ruler left out."""
    lines = text[text.index(f"**{caption}") :].splitlines()[2:]
    table = [line for line in lines[: lines.index("")]]
    cells = [[c.strip().strip("*") for c in SEPARATOR.split(line)[1:-1]] for line in table]
    return [cells[0], *cells[2:]]


def test_the_first_section_says_what_is_compared(report) -> None:
    text = (report / "report.md").read_text()
    assert text.index("## What is compared") < text.index("## Average precision")
    header, iou, guidance, paa = rows_under(text, "Each method and its baseline: slim on scenes")
    assert header == ["method", "ΔAP, points", "verdict (corrected)", "differs in"]
    assert "Compared with iou." in noted(text, "Each method and its baseline: slim on scenes")
    assert iou == ["iou", "–", "–", "–"]
    assert guidance[0] == "mutual_guidance" and guidance[3] == "assigner alone"
    assert paa[0] == "paa" and paa[3] == "recipe: quality, ranking, nms"
    assert guidance[2] == "higher" and paa[2] == "lower"  # as planted; the verdicts are the corrected ones
    (differences,) = (r.frame for r in ANALYSES["differences"].run(read_study_record(report.parent))[:1])
    planted = differences[differences.metric == "AP"].set_index("method").verdict
    assert planted.to_dict() == {"mutual_guidance": "higher", "paa": "lower"}


def test_every_section_is_there_and_nothing_failed(report) -> None:
    page = (report / "index.html").read_text()
    assert "failed:" not in page and "UNFAIR" not in page
    for name in ("averages", "differences", "crowdedness", "nms", "churn", "scores", "curves", "formulas", "cost"):
        assert f">{ANALYSES[name].title.replace(chr(39), '&#39;')}</h3>" in page
    assert "<code>pre_nms</code>" in page and "`" not in page  # code is marked as such, not by the sign for it
    assert not re.search(r'src="(?!data:image/(png|jpeg|svg\+xml);base64,)', page)  # self-contained


def test_one_place_is_named_once_and_several_above_their_rows(report, tmp_path) -> None:
    text = (report / "report.md").read_text()
    assert all("slim" not in cell for row in rows_under(text, "Paired differences") for cell in row)
    study = write_study(tmp_path, seeds=1, images=6, detectors=("slim", "wide"), analyses=["averages", "differences"])
    text = (build_report(study).parent / "report.md").read_text()
    header, *rows = rows_under(text, "Paired differences")
    assert header[0] == "method" and [r[0] for r in rows if not any(r[1:])] == ["slim", "wide"]  # above their rows
    header, *rows = rows_under(text, "Each method and its baseline")
    assert header[0] == "method" and [r[0] for r in rows if not any(r[1:])] == ["slim", "wide"]
    assert len(rows) == 2 * (1 + len(METHODS))
    assert {r[2] for r in rows if r[1] not in ("", "–")} == {"not resolvable"}  # one seed


def test_the_first_section_is_about_the_primary_metric_and_says_what_cannot_be_tested(tmp_path) -> None:
    """No cell of the baseline is there: its row stays, and nobody takes its place."""
    chosen = {m: METHODS[m] for m in ("iou", "mutual_guidance", "paa")}
    folder = write_study(
        tmp_path, seeds=1, images=6, methods=chosen, primary="AR100", analyses=["differences", "claims"],
        claims=[{"claim": "mutual_guidance > iou on AP"}],
    )  # fmt: skip
    content = read_json(folder / "study.json")
    grid = {
        c: {"data": "scenes", "detector": "slim", "method": m}
        for c in content["cells"]
        for m in chosen
        if f"-{m}-" in c
    }
    write_json(folder / "study.json", content | {"grid": grid})
    shutil.rmtree(next(folder.glob("*-iou-*")))
    text = (build_report(folder).parent / "report.md").read_text()
    header, *rows = rows_under(text, "Each method and its baseline: slim on scenes")
    assert header[1:3] == ["ΔAR100, points", "verdict (corrected)"]
    why = "no finished cell of iou (1 not begun)"
    assert [r[0] for r in rows] == ["iou", "mutual_guidance", "paa"]
    assert "Compared with iou." in noted(text, "Each method and its baseline: slim on scenes")
    assert [r[1:3] for r in rows[1:]] == [["–", f"not testable: {why}"]] * 2
    assert rows_under(text, "The claims that the study tests")[1][1:] == ["not testable", why]
    assert "## The tests behind" not in text[: text.index("## Differences between methods")]


def test_a_damaged_cell_is_told_first_and_costs_nothing_else(tmp_path) -> None:
    """The first seed of the baseline is damaged, so that no pair of that seed is left."""
    folder = write_study(tmp_path, seeds=2)
    spoilt = next(folder.glob("*-iou-*seed0*"))
    (spoilt / "detections.parquet").write_bytes(b"PAR1")
    text = (build_report(folder).parent / "report.md").read_text()
    head = text[: text.index("## ")]
    assert "Damaged and left out" in head and "detections.parquet" in head and spoilt.name in head
    assert " failed: " not in text


def test_renaming_every_caption_changes_no_figure(folder, report, tmp_path, monkeypatch) -> None:
    run = Analysis.run

    def renamed(self: Analysis, study: object) -> list[Result]:
        return [dataclasses.replace(r, caption=f"caption {i}") for i, r in enumerate(run(self, study))]

    monkeypatch.setattr(Analysis, "run", renamed)
    write_report(read_study_record(folder), tmp_path, Kept(tmp_path), tell=[].append)
    before = {p.name: p.read_bytes() for p in (report / "figures").iterdir()}
    after = {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
    assert len(before) > 20 and before == after
    assert "caption 0" in (tmp_path / "report.md").read_text()


def test_every_figure_is_drawn_from_a_key_that_an_analysis_gives(folder) -> None:
    study = read_study_record(folder)
    results = [r for a in ANALYSES.values() for r in a.run(study)]
    keys = {r.key for r in results if len(r.frame)}
    assert set(FIGURES) <= keys
    assert len({r.key for r in results}) == len(results)  # a key names one table
    for name, analysis in ANALYSES.items():
        assert all(r.key == name or r.key.startswith(f"{name}.") for r in analysis.run(study))


HOSTILE = "<script>alert(1)</script> a|b `c` *d* [e](f) & _g_"


def test_what_users_write_is_shown_and_never_markup(tmp_path) -> None:
    evil = MethodConfig(name="<b>|x*", preset="iou", assigner=METHODS["iou"].assigner)
    study = write_study(
        tmp_path, seeds=1, images=6, methods={"iou": METHODS["iou"], evil.name: evil}, data="<i>d|ata",
        title=HOSTILE, answers=f"# {HOSTILE}", analyses=["averages", "configuration", "differences", "scores"],
    )  # fmt: skip
    out = build_report(study).parent
    page, text = (out / "index.html").read_text(), (out / "report.md").read_text()
    assert page.count("<script") == 1 and "<script>alert" not in page  # the page's own
    assert "&lt;script&gt;alert(1)" in page and "<b>|x" not in page and "<i>d" not in page
    assert "<script" not in text and "<b>" not in text and "<i>" not in text
    assert text.splitlines()[0].startswith(
        "# &lt;script&gt;alert(1)&lt;/script&gt; a\\|b \\`c\\` \\*d\\* \\[e\\](f) &amp;"
    )
    assert text.splitlines()[2].startswith("\\# &lt;script&gt;")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(SEPARATOR.findall(line)) for line in block.splitlines()}) == 1
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", p.name) for p in (out / "figures").iterdir())


def test_pictures_of_hidden_data_are_not_shown(folder, tmp_path) -> None:
    write_report(read_study_record(folder), tmp_path, Kept(tmp_path), hidden=frozenset({"scenes"}), tell=[].append)
    assert not list((tmp_path / "figures").glob("*.jpg")) and list((tmp_path / "figures").glob("*.svg"))


def test_publishing_shows_our_own_scenes_and_leaves_no_page(folder, tmp_path) -> None:
    assert publish_report(folder, tmp_path) == tmp_path / "report.md"
    assert not (tmp_path / "index.html").exists() and list((tmp_path / "figures").glob("*.jpg"))
    assert (tmp_path / "cells" / "measures.parquet").is_file()


def test_a_difference_of_data_is_called_unfair(tmp_path) -> None:
    study = write_study(tmp_path, seeds=1, images=6, analyses=["averages"])
    cell = study / read_json(study / "study.json")["cells"][0]
    environment = read_json(cell / "environment.json")
    environment["data"]["train"]["fingerprint"] = "other"
    write_json(cell / "environment.json", environment)
    assert "UNFAIR" in (build_report(study).parent / "report.md").read_text()


def test_cells_that_differ_in_their_day_alone_share_a_row(tmp_path) -> None:
    """The study's own name of the data stands first, whatever the files of its splits are called."""

    def alter(folder: Path) -> None:
        about = read_json(folder / "environment.json")
        day = "2026-01-03" if "-paa-" in folder.name else "2026-01-01"
        write_json(folder / "environment.json", {**about, "date": day})

    study = read_study_record(write_study(tmp_path, seeds=1, images=6, alter=alter))
    table = environment_table(study)
    assert table.header[:2] == ["data", "cells"] and len(table.rows) == 1
    assert table.rows[0][:2] == ["scenes", "3"] and table.rows[0][4] == "2026-01-01 to 2026-01-03"


def test_pictures_of_both_splits_are_told_of_first(tmp_path) -> None:
    """The sentence of `overlap_notes` is found, once however many cells have it."""
    paths = tuple(tmp_path / f"{i}.jpg" for i in range(2))
    for path in paths:
        path.write_bytes(b"picture")
    train, test = (DetectionData("s", "p", ("a",), [], lambda index: np.zeros((1, 1, 3)), files=(p,)) for p in paths)
    notes = overlap_notes(train, test, lambda path: "same")

    def alter(folder: Path) -> None:
        about = read_json(folder / "environment.json")
        about["data"] = {**about["data"], "test": {**about["data"]["test"], "notes": [*notes, "something else"]}}
        write_json(folder / "environment.json", about)

    study = read_study_record(write_study(tmp_path / "s", seeds=1, images=6, alter=alter))
    (told,) = warnings(study)
    assert told.startswith("scenes: 1 of 1 test images are training images too, e.g. ") and told.endswith("method.")


def test_the_page_says_whether_recipes_were_tuned(tmp_path) -> None:
    study = read_study_record(write_study(tmp_path, seeds=1, images=6))
    assert " No setting was tuned here: each method has the values of its paper or of the study" in fairness(study)[0]
    settings = [{"schedule.lr": 0.01}, {"schedule.lr": 0.02}]
    rows = [{"method": m, "setting": s, "cells": 1, "mean": 0.5} for m in study.methods for s in settings]
    found = {"version": "1", "split": "val", "metric": "AP", "seeds": [9], "sweep": {"schedule.lr": [0.01, 0.02]}}
    found |= {"cells": [], "rows": rows, "chosen": {m: settings[0] for m in study.methods}, "at_end": {}}
    study.about["tuned"] = found
    assert "Tuned alike: each method took the best of the same 2 settings of schedule.lr on the" in fairness(study)[0]
    study.about.update(imported=True, tuned=None)
    assert "tuned" not in fairness(study)[0]


THIRD = """
import pandas as pd
from assignbench.analysis import Result
from assignbench.analysis.base import analysis

WORDS = {"question": "Q?", "definition": "D."}

@analysis("bare", title="How many cells there are", **WORDS)
def bare(study):
    return pd.DataFrame({"cells": [len(study.done)]})

@analysis("mine", title="T", **WORDS)
def keyed(study):
    return Result("mine", "Mine", pd.DataFrame({"share": [0.25]}), {"share": "share"})

@analysis("broken", title="T", **WORDS)
def broken(study):
    raise KeyError("no such column")

@analysis("wrong", title="T", **WORDS)
def wrong(study):
    return {"a caption": pd.DataFrame()}

@analysis("twice", title="T", **WORDS)
def twice(study):
    return [Result("mine", "A", pd.DataFrame()), Result("mine", "B", pd.DataFrame())]
"""


@pytest.fixture
def third(tmp_path, monkeypatch) -> Iterator[str]:
    """A module of somebody's own analyses, which are forgotten afterwards."""
    (tmp_path / "their_analyses.py").write_text(THIRD)
    monkeypatch.syspath_prepend(tmp_path)
    known = dict(ANALYSES)
    yield "their_analyses"
    sys.modules.pop("their_analyses", None)
    ANALYSES.clear()
    ANALYSES.update(known)


def test_analyses_of_third_parties(third, tmp_path) -> None:
    names = [f"{third}:{n}" for n in ("bare", "keyed", "broken")]
    study = write_study(tmp_path / "s", seeds=1, images=6, analyses=[*names, "averages"])
    text = (build_report(study).parent / "report.md").read_text()
    assert "How many cells there are" in text and rows_under(text, "Mine") == [["share"], ["25.0"]]
    assert "This analysis failed: KeyError: 'no such column' (their\\_analyses.py" in text.replace(
        "their_a", "their\\_a"
    )
    assert "## Average precision" in text  # one broken analysis costs only itself


@pytest.mark.parametrize(("name", "told"), [("wrong", "returned a dict"), ("twice", "two results of the key 'mine'")])
def test_an_analysis_that_returns_something_else_is_refused(third, tmp_path, name, told) -> None:
    study = write_study(tmp_path / "s", seeds=1, images=6, analyses=[f"{third}:{name}"])
    with pytest.raises(InputError, match=told):
        build_report(study)


def test_an_unknown_analysis_is_refused(tmp_path) -> None:
    study = write_study(tmp_path, seeds=1, images=6, analyses=["averagess"])
    with pytest.raises(InputError, match="averages"):
        build_report(study)


def test_report_and_compare_never_import_torch() -> None:
    code = (
        "import sys, assignbench.report, assignbench.analysis, assignbench.commands.compare, "
        "assignbench.commands.analyze; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_study_without_cells_still_has_a_page(tmp_path) -> None:
    write_json(tmp_path / "study.json", {"study": "empty", "answers": "?", "version": "1", "cells": []})
    text = (build_report(tmp_path).parent / "report.md").read_text()
    assert "# empty" in text and "## Runs" in text


def without_result(study: Path, name: str, seeds: tuple[int, ...], state: str = "failed") -> None:
    """Takes the results of a method's cells away, as if they had failed."""
    for folder in study.glob(f"*-{name}-*"):
        if any(f"-seed{seed}-" in folder.name for seed in seeds):
            (folder / "manifest.json").unlink()
            write_json(folder / "status.json", {**read_json(folder / "status.json"), "state": state, "reason": "why"})


def noted(text: str, caption: str) -> str:
    """What stands below the markdown table with that caption."""
    return text[text.index(f"**{caption}") :].split("\n\n")[2]


def test_failed_cells_keep_their_place_in_every_table(tmp_path) -> None:
    study = write_study(tmp_path, seeds=3, images=6, analyses=["averages", "differences", "cost"])
    without_result(study, "paa", (0, 1, 2), "diverged")
    without_result(study, "mutual_guidance", (1,))
    text = (build_report(study).parent / "report.md").read_text()
    header, *rows = rows_under(text, "slim on scenes, test split")
    (gone,) = (row for row in rows if row[0] == "paa")
    assert set(gone[1 : header.index("ΔAP")]) == {"diverged"}
    assert [r[2] for r in rows_under(text, "Each method and its baseline") if r[0] == "paa"] == ["diverged"]
    told = "mutual_guidance failed for seed 1; paa diverged for seeds 0, 1, 2"
    captions = re.findall(r"^\*\*(.*?)\*\*$", text, re.MULTILINE)
    results = [c for c in captions if c not in ("Cells of this study", "What the cells ran on")]
    assert len(results) > 4 and all(told in noted(text, caption) for caption in results)


def test_figures_pass_over_a_place_without_finished_cells(tmp_path) -> None:
    study = write_study(tmp_path, seeds=1, images=6, detectors=("slim", "wide"), analyses=["divergence"])
    for cell in study.glob("wide-*"):
        (cell / "manifest.json").unlink()
        write_json(cell / "status.json", {"state": "failed", "reason": "the memory is used up"})
    out = build_report(study).parent
    assert "failed:" not in (out / "report.md").read_text()
    assert len(list((out / "figures").glob("divergence-density-*.svg"))) == 1


def test_a_place_where_all_cells_failed_is_still_told(tmp_path) -> None:
    study = write_study(tmp_path, seeds=1, images=6, analyses=["averages"])
    for name in METHODS:
        without_result(study, name, (0,))
    text = (build_report(study).parent / "report.md").read_text()
    assert [r[:2] for r in rows_under(text, "slim on scenes, test split")[1:]] == [[m, "failed"] for m in METHODS]


def test_a_method_that_is_read_differently_is_not_unfair(tmp_path) -> None:
    """Its pair is one of recipes: nothing else than the method differs."""

    def alter(folder: Path) -> None:
        if "-paa-" in folder.name:
            config = read_json(folder / "config.json")
            config["evaluation"] |= {"test_scales": [64, 96]}
            write_json(folder / "config.json", config)

    study = write_study(tmp_path, seeds=1, images=6, analyses=["averages"], alter=alter)
    cells = read_study_record(study).cells
    assert {bool(c.config.evaluation.test_scales) for c in cells} == {True, False}
    told, unfair = fairness(read_study_record(study))
    assert not unfair and "evaluation.test_scales" in told


def test_costs_of_a_place_without_ap_leave_the_figures_of_the_others(tmp_path) -> None:
    def alter(folder: Path) -> None:
        if folder.name.startswith("wide-"):
            write_json(folder / "summary.json", {**read_json(folder / "summary.json"), "AP": None})

    study = write_study(tmp_path, seeds=1, images=6, detectors=("slim", "wide"), analyses=["cost"], alter=alter)
    out = build_report(study).parent
    header, *rows = rows_under((out / "report.md").read_text(), "AP, and what training takes")
    ends = [k for k, r in enumerate(rows) if not any(r[1:])]  # a line of its own names the detector
    assert [rows[k][0] for k in ends] == ["slim", "wide"] and ends[0] == 0
    places = {"slim": rows[1 : ends[1]], "wide": rows[ends[1] + 1 :]}
    assert {(p, r[header.index("AP")] == "n/a") for p in places for r in places[p]} == {("slim", False), ("wide", True)}
    assert "failed" not in (out / "report.md").read_text() and (out / "figures" / "cost.svg").is_file()


def test_a_page_whose_baseline_has_no_finished_cell_is_written(tmp_path) -> None:
    """Groups have no gains then, and the check of the page looks for none."""
    study = write_study(tmp_path, seeds=1, images=6, analyses=["crowdedness", "aspect_ratio", "size"])
    baselines = set(read_json(study / "study.json")["baselines"].values()) - {""}
    lost = [c.parent for c in study.glob("*/config.json") if read_json(c)["method"]["name"] in baselines]
    for cell in lost:
        (cell / "manifest.json").unlink()
        write_json(cell / "status.json", {"state": "failed", "reason": "the memory is used up"})
    text = (build_report(study).parent / "report.md").read_text()
    assert lost and "failed:" not in text and "By crowdedness of the object" in text
