"""A cell whose inputs changed is STALE in plan, status, run and report, and trained again; an unchanged one is not."""

from __future__ import annotations

import hashlib
import html
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import save_file

from assignbench.cli import main
from assignbench.commands import run as run_command
from assignbench.config import formats
from assignbench.config.detector import BackboneSpec
from assignbench.detectors.backbones import build_backbone
from assignbench.engine import cohort, run as engine
from assignbench.records import CellRecord, read_json, write_json
from assignbench.records.identity import read_inputs
from tests.conftest import write_voc_xml
from tests.in_process import InProcess

SCHEDULE = {"steps": 2, "batch_size": 2, "lr": 1.0e-3, "log_every": 1, "checkpoint_every": 1, "probe_visits": 1}
STUDY = {
    "study": "mine",
    "title": "a title",
    "answers": "is it stale?",
    "cost": "seconds",
    "expect": "nothing",
    "detectors": [{"name": "retinanet-slim", "weights": "slim.safetensors"}],
    "methods": ["iou", {"name": "own", "preset": "iou", "assigner": {"name": "rules.own:Own"}}],
    "data": {
        **{"name": "mine", "kind": "voc", "root": "devkit", "image_size": 64, "classes": ["cat", "dog"]},
        **{"train": [["VOC2007", "train"]], "test": [["VOC2007", "test"]]},
    },
    "schedule": SCHEDULE,
    "probe_images": 1,
    "analyses": ["averages"],
}
OWN = """
from dataclasses import dataclass
from assignbench.assigners.max_iou import MaxIoU
from rules import thresholds
from .deeper.more import NOTHING

@dataclass(frozen=True)
class Own(MaxIoU):
    positive: float = thresholds.POSITIVE + NOTHING
"""


pytestmark = pytest.mark.usefixtures("in_process")


def make(folder: Path) -> Path:
    """A study with everything that a cell can be made from: pictures, annotations, weights and a rule of one's own."""
    base = folder / "devkit" / "VOC2007"
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (base / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 90, (48, 64, 3)).astype(np.uint8)
        pixels[10:30, 8 + number : 28 + number] = 230
        Image.fromarray(pixels).save(base / "JPEGImages" / f"{number}.jpg", comment=b"first")
        write_voc_xml(base, str(number), [("cat", 9 + number, 11, 28 + number, 30)])
    (base / "ImageSets/Main/train.txt").write_text("0\n1\n2\n")
    (base / "ImageSets/Main/test.txt").write_text("3\n")
    backbone = build_backbone(BackboneSpec(name="slim"))
    save_file(backbone.state_dict(), folder / "slim.safetensors")
    (folder / "rules" / "deeper").mkdir(parents=True)
    files = {"__init__": "", "own": OWN, "thresholds": "POSITIVE = 0.5\n", "unused": "", "deeper/more": "NOTHING = 0\n"}
    for name, text in files.items():
        (folder / "rules" / f"{name}.py").write_text(text)
    write_study(folder)
    return folder


def write_study(folder: Path, head: str = "", **changes: object) -> None:
    (folder / "mine.yaml").write_text(head + yaml.safe_dump(STUDY | changes))


def command(name: str, *more: str) -> int:
    return main([name, "mine.yaml", *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The study, run."""
    folder = make(tmp_path_factory.mktemp("finished") / "study")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setattr(run_command, "LocalProcesses", InProcess)
    patch.setattr(sys, "path", list(sys.path))
    assert command("run", "--quiet") == 0
    patch.undo()
    return folder


@pytest.fixture
def study(finished, tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of the study that was run, as the current folder."""
    folder = tmp_path / "study"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "rules"]:
        del sys.modules[name]


def same_size(path: Path, old: bytes, new: bytes) -> None:
    """Changes bytes of a file and sets its mtime back."""
    times, content = path.stat(), path.read_bytes()
    assert old in content and len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def other_weights(path: Path) -> None:
    weights = build_backbone(BackboneSpec(name="slim")).state_dict()
    save_file({k: v + 0.01 if v.is_floating_point() else v for k, v in weights.items()}, path)


VOC = Path("devkit/VOC2007")
CHANGES: dict[str, tuple[Callable[[], object], list[str], int]] = {
    # what is done, what must be said, how many of the two cells it is about
    "annotation": (
        lambda: write_voc_xml(VOC, "1", [("dog", 9, 11, 28, 30)]),
        ["annotation file VOC2007/Annotations/1.xml of the train split changed"],
        2,
    ),
    "several annotations": (
        lambda: [write_voc_xml(VOC, n, [("dog", 9, 11, 28, 30)]) for n in "012"],
        ["3 annotation files of the train split: each changed, e.g. VOC2007/Annotations/0.xml"],
        2,
    ),
    "list": (
        lambda: (VOC / "ImageSets/Main/test.txt").write_text("4\n"),
        ["annotation file VOC2007/ImageSets/Main/test.txt of the test split changed"],
        2,
    ),
    "image": (
        lambda: Image.new("RGB", (64, 48)).save(VOC / "JPEGImages/3.jpg"),
        ["image file VOC2007/JPEGImages/3.jpg of the test split changed"],
        2,
    ),
    "image, size and mtime as before": (
        lambda: same_size(VOC / "JPEGImages/0.jpg", b"first", b"later"),
        ["image file VOC2007/JPEGImages/0.jpg of the train split changed"],
        2,
    ),
    "weights": (lambda: other_weights(Path("slim.safetensors")), ["weights file slim.safetensors changed"], 2),
    "own assigner": (
        lambda: Path("rules/own.py").write_text(OWN + "# 1\n"),
        ["rules/own.py, source of assigner rules.own:Own, changed"],
        1,
    ),
    "helper beside it": (
        lambda: Path("rules/thresholds.py").write_text("POSITIVE = 1 / 2\n"),
        ["rules/thresholds.py, source of assigner rules.own:Own, changed"],
        1,
    ),
    "helper of the helper": (
        lambda: Path("rules/deeper/more.py").write_text("from rules import unused\nNOTHING = 0\n"),
        ["rules/deeper/more.py, source of", "rules/unused.py, source of assigner rules.own:Own, is new"],
        1,
    ),
}


def stale_and_run_again(out: pytest.CaptureFixture[str], words: list[str], count: int) -> None:
    """All four commands name the change; `run` keeps the old folders and trains anew, then nothing is stale."""
    folder = Path("runs/mine")
    before = {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("*/config.json")}
    for name in ("plan", "status", "report"):
        assert command(name) == 0
        told = out.readouterr().out
        assert all(w in told for w in words), told
        assert told.count("\nSTALE    ") + told.startswith("STALE    ") == (0 if name == "report" else count), told
    for page in (folder / "report/index.html", folder / "report/report.md"):
        text = page.read_text().replace("\\", "")
        assert "STALE: these cells" in text and all(w in text for w in words)
    assert command("run") == 0
    told = out.readouterr().out
    assert all(w in told for w in words) and f"{2 - count} done before" in told, told
    moved = sorted(p.name for p in (folder / "stale").iterdir())
    assert len(moved) == count and all(m.removesuffix(".1") in before for m in moved)
    assert all((folder / "stale" / m / "summary.json").is_file() for m in moved)
    for name, stamp in before.items():
        assert ((folder / name / "config.json").stat().st_mtime_ns != stamp) == (f"{name}.1" in moved)
    assert command("status") == 0
    assert "STALE" not in out.readouterr().out
    assert "STALE" not in (folder / "report/index.html").read_text()


def not_stale(out: pytest.CaptureFixture[str], *options: str) -> None:
    for name in ("plan", "status", "report"):
        assert command(name, *options) == 0
        told = out.readouterr().out
        assert "STALE" not in told and "not checked" not in told, told
        assert name == "report" or told.count("done ") >= 2
    assert "STALE" not in Path("runs/mine/report/index.html").read_text()


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_input_is_stale_everywhere_and_run_again(study, capsys, name) -> None:
    change, words, count = CHANGES[name]
    change()
    stale_and_run_again(capsys, words, count)


def test_every_component_s_format_counts(study, capsys, monkeypatch) -> None:
    """Every row that the cells were made with: raised, it makes exactly the cells stale that have it."""
    cells = [CellRecord(p.parent) for p in Path("runs/mine").glob("*/config.json")]
    rows = {name for cell in cells for name in read_inputs(cell.folder).formats}
    assert {"data voc", "augmentation", "evaluation", "assigner max_iou", "criterion dense", "backbone slim"} <= rows
    for name in sorted(rows):
        table = formats.FORMATS if name in formats.FORMATS else formats.REVISED
        with monkeypatch.context() as patch:
            patch.setitem(table, name, 2)
            assert command("status") == 0
            told = capsys.readouterr().out
        having = sum(name in read_inputs(cell.folder).formats for cell in cells)
        assert f"{name}: this version makes other numbers (format 1 → 2)" in told
        assert told.count("STALE    ") == having, name
    monkeypatch.setitem(formats.FORMATS, "augmentation", 2)
    stale_and_run_again(capsys, ["augmentation: this version makes other numbers (format 1 → 2)"], 2)


UNCHANGED: dict[str, Callable[[], list[str] | None]] = {
    "nothing": lambda: None,
    "comment": lambda: write_study(Path(), head="# a comment\n"),
    "title": lambda: write_study(Path(), title="another title"),
    "texts": lambda: write_study(Path(), answers="other", cost="other", expect="other"),
    "claims": lambda: write_study(Path(), claims=[{"claim": "own > iou on AP"}]),
    "analyses": lambda: write_study(Path(), analyses=["differences"]),
    "touched": lambda: [os.utime(p, ns=(1, 1)) for p in Path().rglob("*") if p.is_file()] and None,
    "an unrelated file": lambda: (VOC / "JPEGImages/more.jpg").write_bytes(b"x") and None,
    "a file of no split": lambda: write_voc_xml(VOC, "5", [("dog", 1, 1, 9, 9)]),
    "an unrelated module": lambda: Path("rules/unused.py").write_text("X = 1\n") and None,
    "moved": lambda: Path("devkit").rename("elsewhere") and ["--set", "data.root=elsewhere"],
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_changes_no_number_makes_nothing_stale(study, capsys, name) -> None:
    options = UNCHANGED[name]() or []
    not_stale(capsys, *options)
    assert command("run", *options) == 0
    told = capsys.readouterr().out
    assert "2 done before" in told and "STALE" not in told


def test_accepted_stale_cells_are_kept_and_the_report_says_so(study, capsys) -> None:
    CHANGES["annotation"][0]()
    stamps = {p: p.stat().st_mtime_ns for p in Path("runs/mine").glob("*/summary.json")}
    assert command("run", "--accept-stale") == 0
    told = capsys.readouterr().out
    assert "kept by --accept-stale" in told and "Annotations/1.xml" in told
    assert stamps == {p: p.stat().st_mtime_ns for p in Path("runs/mine").glob("*/summary.json")}
    for again in (False, True):
        text = Path("runs/mine/report/index.html").read_text()
        assert "kept by --accept-stale: annotation file VOC2007/Annotations/1.xml" in text
        assert all(p.parent.name in text for p in stamps)
        if not again:
            assert command("report") == 0
    assert command("plan") == 0
    assert "STALE, kept by --accept-stale" in capsys.readouterr().out
    CHANGES["image"][0]()  # what was accepted was something else
    assert command("report") == 0
    assert "STALE: these cells" in Path("runs/mine/report/index.html").read_text()
    assert command("run") == 0
    assert "STALE" not in Path("runs/mine/report/index.html").read_text()


def test_fresh_cells_are_not_kept_as_stale_ones(study, capsys) -> None:
    CHANGES["image"][0]()
    assert command("run", "--fresh", "--only", "iou") == 0
    told = capsys.readouterr().out
    assert "STALE" not in told and not Path("runs/mine/stale").exists()
    page = Path("runs/mine/report/index.html").read_text()  # of the whole study, whose other cell is stale
    assert "STALE: these cells" in page and page.count("Cells: retinanet-slim-own-mine") == 1
    with pytest.raises(SystemExit):
        command("run", "--fresh", "--accept-stale")


@pytest.mark.parametrize("accept", [False, True])
def test_a_half_finished_stale_cell_begins_anew(study, capsys, accept) -> None:
    cell = next(p.parent for p in Path("runs/mine").glob("*iou*/config.json"))
    write_json(cell / "status.json", {"state": "pending"})
    (cell / "manifest.json").unlink(missing_ok=True)
    CHANGES["image"][0]()
    assert command("run", "--only", "iou", *(["--accept-stale"] if accept else [])) == 0
    assert (Path("runs/mine/stale") / f"{cell.name}.1").is_dir()
    capsys.readouterr()
    assert command("status", "--only", "iou") == 0
    assert "STALE" not in capsys.readouterr().out


def test_a_cell_that_had_computed_nothing_just_starts(study, capsys) -> None:
    cell = next(p.parent for p in Path("runs/mine").glob("*iou*/config.json"))
    write_json(cell / "status.json", {"state": "failed", "reason": "x"})
    (cell / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(cell / "checkpoint")
    CHANGES["image"][0]()
    assert command("run", "--only", "iou") == 0
    assert not Path("runs/mine/stale").exists()
    capsys.readouterr()
    assert command("plan", "--only", "iou") == 0
    assert "STALE" not in capsys.readouterr().out


def test_inputs_that_cannot_be_reached_are_not_stale_but_told(study, capsys) -> None:
    for path in (Path("devkit"), Path("slim.safetensors"), Path("rules")):
        path.rename(path.with_name(f"gone-{path.name}"))
    for name in ("status", "report"):
        assert command(name) == 0
        told = capsys.readouterr().out
        assert "STALE" not in told
        for words in ("no folder", "no weights file", "no module rules.own"):
            assert words in told
    page = html.unescape(Path("runs/mine/report/index.html").read_text())
    assert "Inputs not checked: data set 'mine': no folder" in page


BROKEN = {
    "removed": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "another": lambda path: write_json(path, {"files": {}, "weights": {}, "sources": {}, "formats": {}}),
}


@pytest.mark.parametrize("file", ["inputs.json", "input_files.parquet"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_finished_cell_whose_inputs_are_not_known_is_not_trusted(study, capsys, file, how) -> None:
    cell = next(p.parent for p in Path("runs/mine").glob("*iou*/config.json"))
    BROKEN[how](cell / file)
    assert command("status") == 0
    told = capsys.readouterr().out
    assert "STALE" in told or "damaged" in told
    assert told.count("done  ") == 1


def test_data_that_changes_while_a_cell_is_trained_fails_it(study, capsys, monkeypatch) -> None:
    evaluate = engine.evaluate

    def meanwhile(*arguments):
        evaluate(*arguments)
        CHANGES["image, size and mtime as before"][0]()

    monkeypatch.setattr(engine, "evaluate", meanwhile)
    assert command("run", "--only", "iou", "--fresh") == 1
    assert "JPEGImages/0.jpg of the train split changed while the cell was trained" in capsys.readouterr().out


def test_data_that_changes_while_a_cell_is_prepared_fails_it(study, capsys, monkeypatch) -> None:
    prepare = cohort.prepare

    def meanwhile(*arguments):
        cell = prepare(*arguments)
        time.sleep(0.02)
        CHANGES["annotation"][0]()
        return cell

    monkeypatch.setattr(cohort, "prepare", meanwhile)
    assert command("run", "--only", "iou", "--fresh") == 1
    assert "Annotations/1.xml: changed while the cell was being prepared" in capsys.readouterr().out


def test_a_cell_does_not_go_on_with_other_inputs(study) -> None:
    """Whatever a command decided: the engine itself looks."""
    cell = next(p.parent for p in Path("runs/mine").glob("*iou*/config.json"))
    write_json(cell / "local.json", read_json(cell / "local.json") | {"root": str(study / "devkit")})
    CHANGES["annotation"][0]()
    assert engine.run_cell(cell.resolve(), "cpu") == "failed"
    assert "Annotations/1.xml of the train split changed since training began" in str(read_json(cell / "status.json"))


def test_embedded_scenes_are_stale_by_their_maker_alone(tiny_study, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = ["--only", "iou", "--set", "schedule.steps=2", "--set", "analyses=[averages]"]
    assert main(["run", "tiny.yaml", *sets]) == 0
    shutil.rmtree("runs/.cache")
    assert main(["plan", "tiny.yaml", *sets]) == 0
    assert "STALE" not in capsys.readouterr().out
    monkeypatch.setitem(formats.FORMATS, "data shapes", 2)
    assert main(["plan", "tiny.yaml", *sets]) == 0
    assert "data shapes: this version makes other numbers" in capsys.readouterr().out


def test_the_record_is_what_the_files_hold(finished) -> None:
    """sha256 by name, checked with a program of its own."""
    cell = next(p.parent for p in (finished / "runs/mine").glob("*own*/config.json"))
    table = CellRecord(cell).table("input_files")
    assert len(table) == 2 * (1 + 3 + 1 + 1) - 2  # a list and XML files, and as many pictures as XML files
    for row in table.itertuples():
        assert row.sha256 == sha256_of(finished / "devkit" / row.file)
    inputs = json.loads((cell / "inputs.json").read_text())
    assert set(inputs["sources"]["assigner rules.own:Own"]) == {
        *("rules/__init__.py", "rules/own.py", "rules/thresholds.py", "rules/deeper/more.py")
    }
    assert inputs["weights"] == {"slim.safetensors": sha256_of(finished / "slim.safetensors")}


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
