"""`assignbench show` of records, without torch, and `assignbench open`."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from assignbench.cli import main
from assignbench.records import CellRecord
from tests.report.written import write_study
from tests.test_cli import modules_after


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Three methods, one seed."""
    return write_study(tmp_path_factory.mktemp("shown"), seeds=1, images=10)


def cell(study: Path, method: str) -> str:
    return str(next(study.glob(f"*-{method}-*")))


TOLD = {
    "detections": "objects, and the best detection of each cell",
    "maps": "mutual_guidance: the best-scored prior (",
    "evolution": "object 0, over training",
    "scores": "mutual_guidance: separation ",
}


@pytest.mark.parametrize("what", TOLD)
def test_one_cell_and_two(study, tmp_path, capsys, what) -> None:
    alone, both = tmp_path / "alone.png", tmp_path / "both.png"
    first, second = cell(study, "iou"), cell(study, "mutual_guidance")
    assert main(["show", what, second, "--picture", str(alone)]) == 0
    assert TOLD[what] in capsys.readouterr().out
    assert main(["show", what, first, "--vs", second, "--picture", str(both)]) == 0
    out = capsys.readouterr().out
    assert TOLD[what] in out and "iou" in out
    sizes = [Image.open(path).size for path in (alone, both)]
    assert sizes[1][0] > sizes[0][0] or sizes[1][1] > sizes[0][1]  # the second cell has panels of its own


def test_an_image_and_an_object_are_named(study, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = cell(study, "iou")
    assert main(["show", "detections", one, "--image", "3.png"]) == 0
    assert "test image 3 (3.png): objects" in capsys.readouterr().out and (tmp_path / "detections.png").is_file()
    assert main(["show", "evolution", one, "--image", "2", "--object", "0"]) == 0
    out = capsys.readouterr().out
    assert "training image 2, object 0, over training" in out
    assert sum(line.split()[:1] == ["iou"] for line in out.splitlines()) == len(CellRecord(Path(one)).probe_visits())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["detections", "{iou}", "--image", "nowhere"], "no test image 'nowhere'"),
        (["maps", "{iou}", "--image", "9"], "only the probe images were looked at while training"),
        (["maps", "{iou}", "--image", "2", "--object", "7"], "image 2 has no such probe object; it has 0"),
        (["maps", "{iou}", "--object", "0"], "say of which image with --image"),
        (["maps", "{iou}", "--methods", "paa"], "--methods goes with assign and anchors"),
        (["maps", "nowhere"], "no such folder"),
        (["maps", "{iou}", "--image", "9.png"], "is a test image, which `show detections` draws"),
        (["scores", "{iou}", "--vs", "{iou}"], "is the cell itself"),
        (["detections", "{iou}", "--vs", "{iou}/."], "is the cell itself"),
        (["assign", "{iou}", "--vs", "{iou}"], "--vs goes with detections"),
        (["maps", "{iou}", "--picture", "a.gif"], "ends in '.gif'"),
    ],
)
def test_what_cannot_be_shown(study, tmp_path, monkeypatch, capsys, arguments, told) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", *(a.format(iou=cell(study, "iou")) for a in arguments)]) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.glob("*.png"))


def test_cells_of_one_method_are_told_apart(study, tmp_path, capsys) -> None:
    one, other = Path(cell(study, "iou")), tmp_path / "elsewhere" / Path(cell(study, "iou")).name
    shutil.copytree(one, other)
    assert main(["show", "scores", str(one), "--vs", str(other), "--picture", str(tmp_path / "a.png")]) == 0
    assert "(1):" in capsys.readouterr().out


def test_records_are_shown_without_torch(study, tmp_path) -> None:
    (loaded,) = modules_after(("show", "maps", cell(study, "iou")), folder=tmp_path)
    assert "torch" not in loaded


def test_open_names_the_report(study, tmp_path, capsys, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert main(["open", str(study)]) == 2
    assert "no such report" in capsys.readouterr().err
    page = study / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("<html></html>")
    assert main(["open", str(study)]) == 0
    told = capsys.readouterr().out
    assert "no browser here" in told and not opened
    assert f"copy the folder {page.parent.resolve()} to a machine" in told.replace("\n", " ") and "the file" not in told
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["open", str(study)]) == 0
    assert opened == [page.as_uri()] and str(page) in capsys.readouterr().out
    assert main(["open", "quickstart", "--out", str(tmp_path)]) == 2
    assert str(tmp_path / "quickstart" / "report" / "index.html") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ("nosuch", "unknown method 'nosuch'"),
        ("iou,mutual_guidence", "did you mean 'mutual_guidance'?"),
        ("iou,fcos_plain", "works on points"),
    ],
)
def test_methods_are_checked_before_scenes_are_rendered(
    tiny_study, tmp_path, monkeypatch, capsys, methods, told
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("assignbench.data.kinds.shapes.render", lambda *given: pytest.fail("a scene was rendered"))
    for what in ("assign", "anchors"):
        assert main(["show", what, str(tiny_study), "--methods", methods]) == 2
        assert told in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.glob("*.png"))
