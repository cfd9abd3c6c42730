"""A study whose every name is an attack: nothing runs, nothing is written elsewhere, and the page shows the names."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, read_study_record
from assignbench.characters import printable
from assignbench.cli import main
from assignbench.errors import InputError
from assignbench.records import finish, read_json, write_json
from assignbench.report import build_report
from assignbench.report.figures import FIGURES
from assignbench.report.render.markdown import escaped
from assignbench.report.style import LONGEST, plain
from tests.report import written
from tests.report.written import METHODS, write_study

pytestmark = pytest.mark.usefixtures("figures_of_pages")

# Sets the page's title if it runs, by whatever way the page lets it.
ATTACK = "<script>document.title='RAN'</script><img src=x onerror=document.title='RAN'>"
ATTRIBUTE = "\" onmouseover=document.title='RAN' style='x' autofocus onfocus=document.title='RAN' \""
MATHTEXT = [r"$\frac$", "$_^{$", "$$", r"\$a$b$", "%s_^{", "_under_", "a^b_c%d", "$" * 7, r"\undefined{", "x" * 3000]
MARKUP = ["[/red]", "[bold]x", "\x1b[31mred\x1b]0;t\x07", "\u202egnp.exe", "\x00\x08", "\ud800", "javascript:alert(1)"]
TEXT = ["</title></style></table>", "{{ 7*7 }}{% raw %}", "| a | b |\n|---|", "](javascript:alert(1))", "`x` *y* ~z~"]
HOSTILE = [
    ATTACK,
    ATTRIBUTE,
    *MATHTEXT,
    *MARKUP,
    *TEXT,
    "../../../escaped",
    "/etc/passwd",
    "C:\\x",
    "con",
    "漢字",
    "\n",
]


def spoil_formulas(cell: Path) -> None:
    """Formulas and curves with such names, one of them very long."""
    path = cell / "formulas.parquet"
    if path.is_file():
        table = pd.read_parquet(path)
        table.assign(formula=r"$\frac$" + ATTACK, curve="_$_" + "x" * 3000 + table.curve).to_parquet(path)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Iterator[Path]:
    """A run folder whose study, methods, detectors, data sets, classes, formulas and diagnostics have such names."""
    names = {
        "iou": ATTACK,
        "mutual_guidance": r"_$\frac$_a^b%s[/red]" + "\x1b[31m",
        "paa": "| `x` *y* ](javascript:z)\u202e $",
    }
    methods = {key: METHODS[key].model_copy(update={"name": name}) for key, name in names.items()}
    before = list(written.CLASSES)
    written.CLASSES[:] = [f"{ATTACK}$\\frac$", f"{ATTRIBUTE}[/red]", r"$\undefined{$"]
    try:
        folder = write_study(
            tmp_path_factory.mktemp("hostile") / "runs" / "s", seeds=1, images=28, methods=methods,
            detectors=("../../../escaped", r"$\frac$" + ATTACK), data="/abs/../\"><i>$_^$",
            title=ATTACK + ATTRIBUTE, answers="\n".join(HOSTILE), alter=spoil_formulas,
            expect=ATTACK, cost=ATTRIBUTE,
        )  # fmt: skip
    finally:
        written.CLASSES[:] = before
    content = read_json(folder / "study.json")
    write_json(
        folder / "study.json", content | {"baselines": {n: "" if n == ATTACK else ATTACK for n in names.values()}}
    )
    yield folder


@pytest.fixture(scope="module")
def page(hostile) -> Path:
    """The page of its report."""
    return build_report(hostile)


def test_every_figure_is_drawn_and_nothing_failed(hostile, page) -> None:
    text = page.read_text()
    assert "failed:" not in text
    study = read_study_record(hostile)
    keys = {r.key for a in ANALYSES.values() for r in a.run(study) if len(r.frame)}
    assert set(FIGURES) <= keys
    names = {p.stem for p in (page.parent / "figures").iterdir()}
    assert len(names) > 30 and text.count("<img ") == len(names) and all(n.isascii() and "/" not in n for n in names)


def test_names_stand_in_the_page_as_they_were_written(page) -> None:
    text = page.read_text()
    for name in (ATTACK, ATTRIBUTE):
        assert html.escape(name, quote=False) in text.replace("&#34;", '"').replace("&#39;", "'")
    assert text.count("<script") == 1 and text.count("<img ") == text.count('src="data:image/')
    assert not any(c in text for c in "\x1b\x00\u202e") and "default-src 'none'" in text
    for kind, tag in (("script", "script"), ("style", "style")):  # the browser runs the page's own, and no attribute
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in text and ATTACK not in inside
    lines = (page.parent / "report.md").read_text()
    assert "<script" not in lines and "<img" not in lines and not re.search(r"(?<!\\)\]\(javascript", lines)
    assert not any(c in lines for c in "\x1b\x00\u202e")


def test_nothing_is_written_outside_of_the_report(hostile, page) -> None:
    root = hostile.parents[1]
    assert sorted(p.name for p in root.iterdir()) == ["runs"] and [p.name for p in hostile.parent.iterdir()] == ["s"]
    strange = [p.name for p in hostile.iterdir() if not (p / "config.json").is_file()]
    assert sorted(strange) == ["cache", "report", "study.json"]
    kept = ["cite.bib", "figures", "index.html", "report.md", "tables"]
    assert sorted(p.name for p in page.parent.iterdir()) == kept
    assert all(re.fullmatch(r"[a-z0-9_.-]+\.(csv|md|tex)", p.name) for p in (page.parent / "tables").iterdir())
    assert not Path("/escaped").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_a_figure_is_drawn_letter_by_letter(name) -> None:
    """As title, tick, legend and annotation; `$` never opens a formula."""
    figure, ax = plt.subplots(figsize=(2, 2))
    text = plain(name)
    assert len(text.replace(r"\$", "$")) <= LONGEST + 1
    ax.plot([0, 1], label=text)
    labels = [ax.set_title(text), ax.text(0, 0, f"{text}: {text}"), ax.set_xlabel(f"{text} on {text}")]
    ax.set_xticks([0], [text])
    shown = ax.legend(*ax.get_legend_handles_labels()).get_texts()
    figure.canvas.draw()
    for label in (*labels, *ax.get_xticklabels(), *shown):
        drawn, mathtext = label._preprocess_math(label.get_text())
        assert not mathtext and ("\\$" not in drawn or "\\$" in name)
    assert len(shown) == (1 if text else 0)
    plt.close(figure)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_markdown_is_one_line_without_markup(name) -> None:
    text = escaped(name)
    assert "\n" not in text and "<" not in text and printable(text) == text
    assert all(text[i - 1] == "\\" for i, c in enumerate(text) if c in "|[]`*$~")


def test_a_link_in_place_of_the_report_is_refused(hostile, tmp_path) -> None:
    copy, elsewhere = tmp_path / "s", tmp_path / "elsewhere"
    copy.mkdir()
    elsewhere.mkdir()
    shutil.copy(hostile / "study.json", copy)
    (copy / "report").symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link to"):
        build_report(copy)
    assert not list(elsewhere.iterdir())


def test_comparing_hostile_cells_writes_into_out_alone(hostile, tmp_path, capsys, monkeypatch) -> None:
    """The records name a scene cache elsewhere; scenes are rendered, but not kept there."""
    cells = [p.parent for p in sorted(hostile.glob("*/config.json"))]
    monkeypatch.setattr("assignbench.commands.compare.REPLICATES", 5)
    copies = [tmp_path / "runs" / "s" / n for n in ("a", "b")]
    for cell, copy in zip(cells, copies, strict=False):
        shutil.copytree(cell, copy)
    code = main(["compare", *map(str, copies), "--out", str(tmp_path / "out")])
    told = capsys.readouterr().out
    assert code == 0 and "\x1b" not in told and sorted(p.name for p in tmp_path.iterdir()) == ["out", "runs"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["compare.jpg", "compare.md", "images.parquet"]


def test_sizes_that_no_picture_has_are_refused(hostile, tmp_path, capsys) -> None:
    cell = next(p.parent for p in sorted(hostile.glob("*/config.json")))
    copy = tmp_path / "a"
    shutil.copytree(cell, copy)
    table = pd.read_parquet(copy / "images.parquet")
    table.assign(width=10**15).to_parquet(copy / "images.parquet")
    finish(copy)
    assert main(["compare", str(copy), str(copy), "--out", str(tmp_path / "out")]) == 2
    assert "1000000000000000 x" in capsys.readouterr().err and not (tmp_path / "out").exists()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000", "--dump-dom"),
)


def opened(path: Path, profile: Path) -> str:
    """What a browser has made of a page after its scripts, if any, have run."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
def test_no_script_runs_when_the_page_is_opened(page, tmp_path) -> None:
    raw = tmp_path / "raw.html"
    raw.write_text(f"<!doctype html><title>quiet</title><body>{ATTACK}")
    assert "<title>RAN</title>" in opened(raw, tmp_path / "profile")  # the attack works where nothing is escaped
    dom = opened(page, tmp_path / "profile")
    assert "<title>RAN</title>" not in dom and "AssignBench</title>" in dom and ">Cost</h3>" in dom
    assert dom.count("<script") == 1 and "onerror=document" not in dom.replace("&lt;img src=x onerror", "")
