"""The command line as a user meets it: help, lists, errors with exit code 2, a study from start to report."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, ORDER, CellData
from assignbench.cli import main
from assignbench.measure.coco import coco_numbers
from assignbench.records import CellRecord
from tests.conftest import ROOT, STUDY, WHOLE, write_voc_xml
from tests.in_process import trained_here


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run folder with the tiny study done, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(WHOLE)
    with trained_here():
        assert main(["run", str(folder / "tiny.yaml"), "--out", str(folder / "runs"), "--quiet"]) == 0
    return folder / "runs"


@pytest.fixture
def finished(trained, tmp_path) -> Path:
    """A test's own run folder with the tiny study done."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_study_from_start_to_report(finished, tiny_study, capsys) -> None:
    folder = finished / "tiny"
    cells = [CellRecord(p.parent) for p in folder.glob("*/config.json")]
    assert len(cells) == 2
    for cell in cells:
        assert cell.state == "done"
        present = {p.name for p in cell.folder.iterdir()}
        wanted = {"config.json", "status.json", "environment.json", "metrics.jsonl", "assignments.parquet", "probes"}
        wanted |= {"objects.parquet", "candidates.parquet", "pre_nms.parquet", "detections.parquet", "images.parquet"}
        assert wanted | {"summary.json", "checkpoint"} <= present
        data = CellData(cell)
        for name, value in coco_numbers(data.overlaps).items():  # the summary's are pycocotools'
            assert value == pytest.approx(cell.summary[name], abs=1e-9) if np.isfinite(value) else True, name
        candidates = cell.table("candidates")
        assert ((candidates.iou >= 0.1) | candidates.in_jk).all() and candidates.in_jk.any()
        assert len(cell.probe_visits()) == 3
        assert {"cls_score", "quality_score", "iou", "positive_cls", "weight_box", "loss_cls"} <= set(
            pd.read_parquet(cell.probe_visits()[0])
        )
    page = (folder / "report" / "index.html").read_text()
    written = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert "http" not in written.replace("http-equiv", "")  # opens without a network
    for text in ("Average precision", "one seed", "Only entries of the method differ"):
        assert text in page
    assert "This analysis failed" not in page
    for one in (ANALYSES[name] for name in ORDER):  # other tests add their own
        # No claims, no printed rows; nothing scores above 0.3; one place; untaught detectors differ on no image.
        if one.name not in ("claims", "printed", "anchors", "summary", "images"):
            assert one.title in html.unescape(page) and one.question in html.unescape(page), one.name
    text = (folder / "report" / "report.md").read_text()
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (folder / "report" / picture).is_file()
    # Again: nothing is trained, the report is the same.
    stamp = cells[0].folder.joinpath("summary.json").stat().st_mtime_ns
    code, out, _ = run(capsys, "run", str(tiny_study), "--out", str(finished))
    assert code == 0 and "2 done before" in out
    assert cells[0].folder.joinpath("summary.json").stat().st_mtime_ns == stamp
    assert run(capsys, "report", str(tiny_study), "--out", str(finished))[0] == 0
    code, out, _ = run(capsys, "status", str(tiny_study), "--out", str(finished))
    assert code == 0 and out.count("done") == 2
    code, out, _ = run(capsys, "plan", str(tiny_study), "--out", str(finished))
    assert "left: nothing" in out
    code, out, _ = run(capsys, "plan", str(tiny_study), "--out", str(finished), "--seeds", "2")
    assert "images/s" in out and out.count("pending") == 2
    assert run(capsys, "run", str(tiny_study), "--out", str(finished), "--only", "iou", "--fresh", "--quiet")[0] == 0
    assert cells[0].folder.joinpath("summary.json").exists()


def test_a_failed_cell_gives_exit_code_1_and_its_reason(tiny_study, tmp_path, capsys, in_process) -> None:
    # The data is sound but the learning rate is not.
    sets = ["--set", "schedule.lr=1.0e30", "--set", "schedule.clip_grad=1.0e30", "--set", "schedule.amp=none"]
    code, out, _ = run(capsys, "run", str(tiny_study), "--out", str(tmp_path / "runs"), "--only", "iou", *sets)
    assert code == 1
    assert "diverged" in out and "not finite" in out


def voc_study(tmp_path: Path, **data: object) -> Path:
    path = tmp_path / "mine.yaml"
    entry = {"name": "mine", "kind": "voc", "root": "devkit", "train": [["VOC2007", "train"]], "image_size": 64}
    entry |= {"test": [["VOC2007", "test"]], "classes": ["cat", "dog"], **data}
    line = next(li for li in STUDY.splitlines() if li.startswith("data:"))
    path.write_text(STUDY.replace(line, f"data: {json.dumps(entry)}"))
    return path


def break_image(base: Path) -> None:
    picture = base / "JPEGImages" / "000001.jpg"
    picture.write_bytes(picture.read_bytes()[:600])


BREAKS = {
    "missing image": (lambda b: (b / "JPEGImages" / "000001.jpg").unlink(), "000001.jpg: image file is missing"),
    "truncated": (break_image, "000001.jpg: image cannot be read"),
    "outside": (lambda b: write_voc_xml(b, "000001", [("cat", 5, 5, 99, 20)]), "object 0 .*outside the image"),
    "inverted": (lambda b: write_voc_xml(b, "000001", [("cat", 25, 5, 9, 20)]), "object 0 .*inverted"),
    "no area": (lambda b: write_voc_xml(b, "000001", [("cat", 9, 5, 9, 20)]), "object 0 .*without area"),
    "unknown class": (lambda b: write_voc_xml(b, "000001", [("cow", 5, 5, 9, 20)]), "unknown class 'cow'"),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_broken_data_ends_with_2_and_writes_nothing(voc_folder, tmp_path, capsys, name) -> None:
    spoil, message = BREAKS[name]
    spoil(voc_folder / "VOC2007")
    study = voc_study(tmp_path)
    code, _, err = run(capsys, "run", str(study), "--out", str(tmp_path / "runs"))
    assert code == 2
    assert re.search(message, err), err
    assert not (tmp_path / "runs").exists()
    code, out, err = run(capsys, "doctor", str(study))
    assert code == 2
    assert re.search(message, out)


def test_skipped_annotations_are_counted_in_the_report(voc_folder, tmp_path, capsys, in_process) -> None:
    BREAKS["inverted"][0](voc_folder / "VOC2007")
    study = voc_study(tmp_path, on_bad="skip")
    code, out, err = run(capsys, "run", str(study), "--out", str(tmp_path / "runs"), "--only", "iou")
    assert code == 0, out + err
    page = (tmp_path / "runs" / "tiny" / "report" / "index.html").read_text()
    assert "1 problem(s) were skipped" in page and "is inverted" in page


def test_doctor_lists_all_problems_at_once(voc_folder, tmp_path, capsys) -> None:
    base = voc_folder / "VOC2007"
    write_voc_xml(base, "000001", [("cat", 5, 5, 99, 20), ("cow", 5, 5, 9, 20)])
    break_image(base.parent / "VOC2007")
    (base / "JPEGImages" / "000002.jpg").unlink()
    _, out, err = run(capsys, "doctor", str(voc_study(tmp_path)))
    assert "000001.jpg" in out and "000002.jpg" in out and "annotation problem(s)" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "gone.yaml"], "no study file"),
        (["run", "{study}", "--only", "nothing"], "no cell matches"),
        (["run", "{study}", "--data", "imagenet"], "unknown data set 'imagenet'"),
        (["run", "{study}", "--preset", "x"], "has no preset 'x'"),
        (["run", "{study}", "--data", "voc0712"], "`assignbench data get voc0712` downloads it"),
        (["report", "{study}"], "no cells in"),
        (["run", "{study}", "--nproc", "2", "--per-device", "3"], "--cohort 3"),  # another name of it
    ],
)
def test_what_the_user_has_to_mend(tiny_study, tmp_path, monkeypatch, capsys, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSIGNBENCH_DATA", raising=False)
    code, _, err = run(capsys, *[a.format(study=tiny_study) for a in arguments])
    assert code == 2
    assert message in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", ["detectors", "methods", "datasets", "recipes", "analyses", "studies"])
def test_lists(capsys, what) -> None:
    code, out, _ = run(capsys, "list", what)
    assert code == 0
    known = {"detectors": "retinanet-slim", "methods": "mutual_guidance", "datasets": "voc0712"}
    known |= {"recipes": "paa_135k", "analyses": "averages", "studies": "quickstart.yaml"}
    assert known[what] in out


def test_help_shows_examples_and_bad_numbers_are_refused(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main(["run", "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out and "exit codes" in out and "--seeds" in out
    with pytest.raises(SystemExit) as left:
        main(["run", "x.yaml", "--seeds", "0"])
    assert left.value.code == 2


def test_doctor_without_a_study(capsys) -> None:
    code, out, _ = run(capsys, "doctor")
    assert code == 0 and "torch" in out and "device:" in out


def test_titles_are_escaped(tiny_study, finished, capsys) -> None:
    sets = ["--set", "title=<script>alert(1)</script>"]
    assert run(capsys, "report", str(tiny_study), "--out", str(finished), *sets)[0] == 0
    page = (finished / "tiny" / "report" / "index.html").read_text()
    assert page.count("<script") == 1 and "<script>alert" not in page and "&lt;script&gt;" in page


def test_show_draws_a_trained_cell_and_an_untrained_study(finished, tiny_study, tmp_path, capsys) -> None:
    cell = next((finished / "tiny").glob("*mutual*/config.json")).parent
    for arguments in (
        ["assign", str(cell)],
        ["assign", str(cell), "--methods", "iou,paa"],
        ["assign", str(tiny_study), "--methods", "iou,atss", "--image", "scene00003"],
        ["anchors", str(cell), "--image", "scene00002"],
    ):
        picture = tmp_path / "shown.png"
        code, out, err = run(capsys, "show", *arguments, "--picture", str(picture))
        assert code == 0, err
        assert picture.stat().st_size > 5000
        assert ("IoU_amplified" if arguments[0] == "anchors" else "positives per object") in out
        picture.unlink()
    code, _, err = run(capsys, "show", "assign", str(cell), "--image", "nowhere")
    assert code == 2 and "no image 'nowhere'" in err
    code, _, err = run(capsys, "show", "anchors", str(cell), "--object", "99")
    assert code == 2 and "no object 99" in err
    code, _, err = run(capsys, "show", "assign", str(cell), "--methods", "iuo")
    assert code == 2 and "did you mean 'iou'" in err


def test_show_assign_knows_the_study_s_own_methods(tiny_study, tmp_path, capsys) -> None:
    changed = "{name: loose, preset: iou, assigner: {positive: 0.3, negative: 0.2}}"
    own = f"methods: [iou, {changed}, mutual_guidance, paa, atss]"
    tiny_study.write_text(tiny_study.read_text().replace("methods: [iou, mutual_guidance]", own))
    picture = str(tmp_path / "shown.png")
    code, out, err = run(capsys, "show", "assign", str(tiny_study), "--picture", picture)
    assert code == 0, err
    rows = [line.split() for line in out.splitlines() if " loose " in line or " iou " in line]
    counts = {name: sum(int(r[3]) for r in rows if r[2] == name) for name in ("iou", "loose")}
    assert counts["loose"] > counts["iou"] > 0
    assert "not drawn: atss" in out  # four are readable side by side
    code, out, _ = run(capsys, "show", "assign", str(tiny_study), "--methods", "loose,atss", "--picture", picture)
    assert code == 0 and " loose " in out and " atss " in out
    one = ["show", "assign", str(tiny_study), "--methods", "loose", "--picture", picture, "--object"]
    code, out, _ = run(capsys, *one, "1")
    assert code == 0 and [line.split()[0] for line in out.splitlines() if " loose " in line] == ["1"]
    code, _, err = run(capsys, *one, "99")
    assert code == 2 and "has no object 99; it has 0 to " in err.replace("\n", " ")
    code, _, err = run(capsys, "show", "assign", str(tiny_study), "--methods", "loos", "--picture", picture)
    assert code == 2 and "did you mean 'loose'" in err


def test_compare_two_cells(finished, tiny_study, tmp_path, capsys) -> None:
    first, second = sorted(p for p in (finished / "tiny").iterdir() if (p / "config.json").is_file())
    out = tmp_path / "comparison"
    code, told, _ = run(capsys, "compare", str(first), str(second), "--out", str(out))
    assert code == 0 and "| all | all |" in told and "one trained pair" in told
    assert (out / "compare.jpg").stat().st_size > 10_000
    images = pd.read_parquet(out / "images.parquet")
    assert ((images.second - images["first"] - images.difference).abs() < 1e-9).all() and len(images)
    code, _, problem = run(capsys, "compare", str(first), str(tmp_path / "nowhere"))
    assert code == 2 and "no such folder" in problem


def test_claims_and_analyses_are_checked_before_training(tiny_study, tmp_path, capsys) -> None:
    text = WHOLE
    for extra, message in (
        ("claims: [{claim: mutual_guidence > iou on AP}]", "claims.0: claim .* unknown method"),
        ("claims: [{clam: x}]", "line 13: unknown key 'claims.0.clam'; did you mean 'claim'"),
        ("analyses: [nsm]", "unknown analysis 'nsm'; did you mean 'nms'"),
    ):
        tiny_study.write_text(text + extra + "\n")
        code, _, problem = run(capsys, "run", str(tiny_study), "--out", str(tmp_path / "runs"))
        assert code == 2 and re.search(message.replace("?", "[?]"), problem), problem
        assert not (tmp_path / "runs" / "tiny").exists()


def test_plan_tells_what_each_method_is_compared_with(tiny_study, tmp_path, capsys) -> None:
    tiny_study.write_text(tiny_study.read_text().replace("mutual_guidance]", "mutual_guidance, paa, atss]"))
    code, out, _ = run(capsys, "plan", str(tiny_study), "--out", str(tmp_path / "runs"))
    assert code == 0 and "iou: compared with nothing" in out
    assert "mutual_guidance against iou: a recipe; beyond the assigner differ criterion.focal_gamma 2.0 -> 1.0" in out
    assert "quality none -> iou" in out and not (tmp_path / "runs").exists()


def test_baselines_stand_in_the_run_folder_and_report_keeps_cells(finished, tiny_study, capsys) -> None:
    about = json.loads((finished / "tiny" / "study.json").read_text())
    # None is named: each is compared with the first method of its place.
    assert about["baselines"] == {"iou": "", "mutual_guidance": ""} and len(about["cells"]) == 2
    # More seeds in the file: the report is of what was run.
    assert run(capsys, "report", str(tiny_study), "--out", str(finished), "--seeds", "3")[0] == 0
    assert json.loads((finished / "tiny" / "study.json").read_text())["cells"] == about["cells"]


def test_status_needs_a_run_folder_and_chooses_cells(finished, tiny_study, tmp_path, capsys) -> None:
    code, _, err = run(capsys, "status", str(tiny_study), "--out", str(tmp_path / "elsewhere"))
    assert code == 2 and "nothing was run in" in err
    code, out, _ = run(capsys, "status", str(tiny_study), "--out", str(finished), "--only", "iou")
    assert code == 0 and out.count("done") == 1
    code, _, err = run(capsys, "status", str(tiny_study), "--out", str(finished), "--only", "nothing")
    assert code == 2 and "no cell matches" in err


def test_folders_of_earlier_versions_are_refused_in_one_line(finished, tiny_study, tmp_path, capsys) -> None:
    for path in (finished / "tiny").glob("*/config.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    cell = str(next((finished / "tiny").glob("*/config.json")).parent)
    for arguments in (
        ["report", str(tiny_study), "--out", str(finished)],
        ["status", str(tiny_study), "--out", str(finished)],
        ["status", str(tiny_study), "--out", str(finished), "--only", "iou"],
        ["show", "assign", cell],
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 2 and err.count("\n") == 1 and "format 1" in err, (arguments, err)
    assert run(capsys, "plan", str(tiny_study), "--out", str(finished))[0] == 0  # speeds of old cells are passed over


COMMANDS = ("run", "plan", "status", "report", "list", "show", "analyze", "compare", "doctor", "open", "init", "data")


def modules_after(*commands: Sequence[str], folder: Path, ends: int = 0) -> list[set[str]]:
    """The modules that are loaded when each of some commands has ended with that code, one after the other in a process
    of their own.
    """
    code = (
        "import json, sys\nfrom assignbench.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    try:\n        code = main(command)\n    except SystemExit as end:\n        code = end.code\n"
        f"    print('LOADED', *sorted(sys.modules))\n    assert code == {ends}, (command, code)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    found = [set(line.split()[1:]) for line in told.stdout.splitlines() if line.startswith("LOADED ")]
    assert len(found) == len(commands)
    return found


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_nothing_heavy(tmp_path, command) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    (loaded,) = modules_after(arguments, folder=tmp_path)
    assert not {"torch", "pandas", "numpy", "scipy", "matplotlib"} & loaded


def test_refusals_load_nothing_that_trains_or_draws(tmp_path) -> None:
    refused = [
        ("run", "gone.yaml"),
        ("plan", "gone.yaml"),
        ("status", "gone.yaml"),
        ("report", "gone.yaml"),
        ("doctor", "gone.yaml"),
        ("show", "assign", "gone.yaml"),
        ("compare", "gone", "gone"),
    ]
    for command, loaded in zip(refused, modules_after(*refused, folder=tmp_path, ends=2), strict=True):
        assert not {"torch", "matplotlib"} & loaded, command


def test_a_file_of_the_current_folder_stands_in_for_no_module(tmp_path) -> None:
    for name in ("copy", "random", "csv", "argparse"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} of the current folder')")
    told = subprocess.run(
        [sys.executable, "-m", "assignbench", "--version"], capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert told.returncode == 0 and told.stdout.startswith("assignbench "), told.stderr


OUT_OF = {
    "run": ["{study}"],
    "plan": ["{study}"],
    "status": ["{study}"],
    "report": ["{study}"],
    "doctor": ["{study}"],
    "compare": ["gone", "gone"],
    "analyze": ["--gt", "gone.json", "--predictions", "gone.json"],
}


@pytest.mark.parametrize("command", OUT_OF)
def test_out_that_can_be_no_folder_is_refused_first(tiny_study, tmp_path, monkeypatch, capsys, command) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    arguments = [command, *(a.format(study=tiny_study) for a in OUT_OF[command])]
    for out, message in (
        ("taken", "--out taken: taken is no folder"),
        ("taken/below", "--out taken/below: taken is no folder"),
        ("x" * 5000, "no folder can be called so"),
        ("a\0b", "no folder can be called so"),
    ):
        code, told, err = run(capsys, *arguments, "--out", out)
        assert code == 2 and message in err and not told, (out, err)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_file_where_the_study_s_folder_would_be_is_refused(tiny_study, tmp_path, capsys) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tiny").write_text("mine")
    for command in ("run", "plan", "status", "report"):
        code, told, err = run(capsys, command, str(tiny_study), "--out", str(tmp_path / "runs"))
        assert code == 2 and "tiny is no folder" in err and not told, (command, err)


def test_a_wrong_method_of_an_option_is_blamed_before_the_claims_that_follow(tiny_study, tmp_path, capsys) -> None:
    tiny_study.write_text(tiny_study.read_text() + "claims: [{claim: mutual_guidance > iou on AP}]\n")
    code, _, err = run(capsys, "plan", str(tiny_study), "--set", "methods=[iuo]", "--out", str(tmp_path / "runs"))
    assert code == 2 and "--set methods=[iuo]" in err and "did you mean 'iou'" in err
    code, _, err = run(capsys, "plan", str(tiny_study), "--set", "methods=[iou]", "--out", str(tmp_path / "runs"))
    assert code == 2 and "claims.0" in err


def test_status_and_report_run_without_torch(finished, tiny_study, tmp_path) -> None:
    tiny_study.write_text(WHOLE)
    commands = [
        *(("list", what) for what in ("detectors", "datasets", "recipes", "analyses", "studies")),
        *((command, str(tiny_study), "--out", str(finished)) for command in ("status", "report")),
    ]
    for command, loaded in zip(commands, modules_after(*commands, folder=tmp_path), strict=True):
        assert "torch" not in loaded, command


def test_every_command_has_a_file(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert f"    {command} " in out and (ROOT / "assignbench" / "commands" / f"{command}.py").is_file()
