"""A figure is drawn again when anything that it shows has changed, and only then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assignbench.report import build_report, publish_report, saving
from assignbench.report.kept import INDEX, Kept, known_of, saved
from tests.report.written import METHODS, write_study

ANALYSES = ["averages", "differences", "errors"]


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


def test_an_unchanged_study_draws_nothing_and_other_words_change_the_page_alone(folder, drawn) -> None:
    before, page = figures(folder), (folder / "report" / "report.md").read_text()
    changed(folder, title="Another title", answers="Another question", expect="another end")
    build_report(folder)
    assert drawn == [] and figures(folder) == before
    after = (folder / "report" / "report.md").read_text()
    assert "Another title" in after and pictures(after) == pictures(page)


def pictures(text: str) -> list[str]:
    """The lines of a page that show figures."""
    return [line for line in text.splitlines() if "figures/" in line]


def test_what_is_published_is_taken_from_the_report(folder, drawn, tmp_path) -> None:
    publish_report(folder, tmp_path / "out")
    mine = {p.name: p.read_bytes() for p in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == [] and mine and mine.items() <= figures(folder).items()
    assert not any(name.endswith(".pdf") for name in mine)


def test_what_changed_is_drawn_again_and_nothing_else(folder, drawn) -> None:
    """A figure that somebody changed, one that is missing, and an entry of the index with another caption."""
    before, path = figures(folder), folder / "report" / "figures"
    (path / "averages.svg").write_text("mine")
    (path / "errors.pdf").unlink()
    text = (folder / INDEX).read_text()
    assert "Differences in AP of each" in text
    (folder / INDEX).write_text(text.replace("Differences in AP of each", "Differences in AR of each"))
    build_report(folder)
    assert set(drawn) == {"averages", "errors", "differences"} and figures(folder) == before


def test_a_missing_cell_draws_the_figures_of_its_numbers_again(folder, drawn) -> None:
    shutil.rmtree(next(p for p in folder.iterdir() if "seed1" in p.name))
    build_report(folder)
    assert {"averages", "differences"} <= set(drawn)


@pytest.fixture
def noted(tmp_path) -> Kept:
    """A folder's index with two keys, written, and its figures."""
    kept = Kept(tmp_path, "study")
    for name in ("one", "two"):
        paths = [kept.path(f"{name}{kind}") for kind in (".svg", ".pdf", ".png")]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        kept.note(name, [saved(name, f"What {name} shows.", "", paths)])
    kept.write()
    return kept


def read(kept: Kept) -> Kept:
    """What a folder knows after its index was read again."""
    return Kept(kept.folder, "study", known_of(kept.folder))


def test_what_was_noted_is_found(noted) -> None:
    (one,) = read(noted).find("one") or []
    assert [Path(name).suffix for name, _ in one.files] == [".svg", ".pdf", ".png"] and "one" in one.caption
    assert read(noted).find("three") is None and read(noted).find("") is None


@pytest.mark.parametrize("seed", range(40))
def test_no_spoilt_index_is_believed(noted, seed) -> None:
    """Wherever a letter is another one or the text ends, the figures are those that were noted, or none."""
    random, path = np.random.default_rng(seed), noted.folder / INDEX
    whole = {name: noted.find(name) or read(noted).find(name) for name in ("one", "two")}
    text = path.read_text()
    at = int(random.integers(len(text)))
    other = "" if seed % 4 == 0 else str(random.choice(list('x0"{}[],: ')))
    path.write_text(text[:at] if seed % 4 == 1 else text[:at] + other + text[at + 1 :])
    again = read(noted)
    for name, figures_of_it in whole.items():
        assert again.find(name) in (None, figures_of_it)


@pytest.mark.parametrize("spoilt", ["[]", '{"format": 1, "figures": 3}', '{"format": 2, "figures": {"one": 1}}', ""])
def test_an_index_of_another_shape_tells_nothing(noted, spoilt) -> None:
    (noted.folder / INDEX).write_text(spoilt)
    assert read(noted).find("one") is None


@pytest.mark.parametrize("entry", [3, {}, {"sum": 1}, {"sum": "", "figures": [{"files": [["a"]]}]}, [1], None])
def test_an_entry_of_another_shape_tells_nothing(noted, entry) -> None:
    assert Kept(noted.folder, "study", {"one": entry}).find("one") is None


def test_a_folder_that_cannot_be_written_remembers_nothing(tmp_path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    Kept(tmp_path, "study").write()
    assert known_of(tmp_path) == {}


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


def test_a_report_that_is_replaced_meanwhile_takes_nothing_away(folder, drawn, monkeypatch) -> None:
    before, find = figures(folder), Kept.find

    def found(kept, key):
        held = find(kept, key)
        # As another process would, between the look and the copy.
        for path in (kept.folder / "report" / "figures").iterdir():
            path.write_text("another figure")
        return held

    def restored(target, key, draw):
        shutil.copytree(aside, folder / "report" / "figures", dirs_exist_ok=True)
        return drawn_of(target, key, draw)

    aside = shutil.copytree(folder / "report" / "figures", folder.parent / "aside")
    drawn_of = saving.Target.drawn
    monkeypatch.setattr(Kept, "find", found)
    monkeypatch.setattr(saving.Target, "drawn", restored)
    changed(folder, title="Another title")
    build_report(folder)
    assert drawn == [] and figures(folder) == before
