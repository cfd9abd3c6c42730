"""A figure is drawn again when anything that it shows has changed, and only then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assignbench.report import build_report, publish_report, saving
from assignbench.report.kept import INDEX, Kept
from tests.report.written import METHODS, write_study

ANALYSES = ["averages", "differences", "size"]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    chosen = {name: METHODS[name] for name in ("iou", "mutual_guidance")}
    folder = write_study(tmp_path_factory.mktemp("kept"), seeds=2, images=4, methods=chosen, analyses=ANALYSES)
    build_report(folder)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "study"))


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """The names of the figures that are saved from now on."""
    names: list[str] = []

    def told(figure, files) -> None:
        names.append(Path(files[0]).stem)
        save(figure, files)

    save = saving.save
    monkeypatch.setattr(saving, "save", told)
    return names


def figures(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "report" / "figures").iterdir()}


def changed(folder: Path, **texts: object) -> None:
    path = folder / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **texts}))


def test_an_unchanged_study_draws_nothing_and_its_page_is_the_same(folder, drawn) -> None:
    before, page = figures(folder), (folder / "report" / "index.html").read_bytes()
    build_report(folder)
    assert drawn == [] and figures(folder) == before
    assert (folder / "report" / "index.html").read_bytes() == page


def test_other_words_draw_nothing(folder, drawn) -> None:
    changed(folder, title="Another title", answers="Another question", expect="another end")
    build_report(folder)
    assert drawn == [] and "Another title" in (folder / "report" / "report.md").read_text()


def test_what_is_published_is_taken_from_the_report(folder, drawn, tmp_path) -> None:
    publish_report(folder, tmp_path / "out")
    mine = {p.name: p.read_bytes() for p in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == [] and mine and mine.items() <= figures(folder).items()
    assert not any(name.endswith(".pdf") for name in mine)


def test_a_missing_cell_draws_the_figures_of_its_numbers_again(folder, drawn) -> None:
    shutil.rmtree(next(p for p in folder.iterdir() if p.name.endswith(".seed1") or "seed1" in p.name))
    build_report(folder)
    assert {"averages", "differences"} <= set(drawn)


@pytest.mark.parametrize("spoilt", ["{", "[]", '{"format": 1, "figures": 3}', '{"format": 2, "figures": {}}', ""])
def test_a_spoilt_index_costs_time_alone(folder, drawn, spoilt) -> None:
    before = figures(folder)
    (folder / INDEX).write_text(spoilt)
    build_report(folder)
    assert drawn and figures(folder) == before


@pytest.mark.parametrize("seed", range(4))
def test_no_changed_entry_is_believed(folder, drawn, seed) -> None:
    """Wherever a letter of a caption, a checksum or a name is another one, the figure is drawn again."""
    random, before = np.random.default_rng(seed), figures(folder)
    index = json.loads((folder / INDEX).read_text())
    for entry in index["figures"].values():
        text = json.dumps(entry["figures"])
        at = int(random.choice([i for i, c in enumerate(text) if c.isalnum()]))
        try:
            entry["figures"] = json.loads(f"{text[:at]}{'x' if text[at] != 'x' else 'y'}{text[at + 1 :]}")
        except ValueError:  # of a word that JSON knows
            entry["sum"] = "0"
    (folder / INDEX).write_text(json.dumps(index))
    build_report(folder)
    assert len(drawn) >= len(before) // 3 and figures(folder) == before


def test_a_figure_that_somebody_changed_is_drawn_again(folder, drawn) -> None:
    before, path = figures(folder), folder / "report" / "figures" / "averages.svg"
    path.write_text("mine")
    (folder / "report" / "figures" / "size.pdf").unlink()
    build_report(folder)
    assert set(drawn) == {"averages", "size"} and figures(folder) == before


def test_a_key_changes_with_every_value_name_and_type() -> None:
    kept = Kept(Path("nowhere"), "study")
    frame = pd.DataFrame({"method": ["a", "b"], "AP": [0.5, np.nan], "n": [1, 2]})
    others = [
        frame.assign(AP=[0.5, 0.0]), frame.assign(n=[1.0, 2.0]), frame.rename(columns={"n": "m"}), frame[::-1],
        frame.head(1), frame.assign(method=["a", "c"]), frame[["AP", "method", "n"]],
    ]  # fmt: skip
    keys = [kept.key("f", {"t": one}) for one in (frame, *others)]
    keys += [kept.key("g", {"t": frame}), kept.key("f", {"u": frame}), kept.key("f"), kept.key("f", more=["a"])]
    keys.append(Kept(Path("nowhere"), "another").key("f", {"t": frame}))
    assert len(set(keys)) == len(keys) and kept.key("f", {"t": frame.copy()}) == keys[0]
    assert kept.key("f", {"t": frame.assign(method=[["a"], ["b"]])}) == ""  # which cannot be told
    assert Kept(Path("nowhere")).key("f", {"t": frame}) == ""
