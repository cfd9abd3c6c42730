"""`assignbench analyze` from files to report."""

import json
from pathlib import Path

import numpy as np
import pytest

from assignbench.analysis import ANALYSES, read_study_record
from assignbench.cli import main
from assignbench.commands.analyze import _expected
from assignbench.commands.prediction_files import Given, named, read_given
from assignbench.commands.results_folder import check_results
from assignbench.records import CellRecord, ImportedConfig, read_json
from assignbench.records.check import problems_of


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"a": 1, "b": 1}, "one trained model each: no verdict on a method can rest on them"),
        ({"a": 2, "b": 2}, "2 trained models each, paired in the order of the files: no verdict on a method can rest"),
        ({"a": 3, "b": 3}, "3 trained models each, paired in the order of the files"),
        ({"a": 3, "b": 3, "c": 1}, "order of the files: 3 of b, 1 of c; no verdict can rest on that of c"),
        ({"a": 4, "b": 3, "c": 4}, "order of the files: 3 of b, 4 of c"),
    ],
)
def test_what_differences_rest_on_is_said_of_each_pair(counts, told) -> None:
    given = [Given(name, tuple(Path(f"{name}{k}") for k in range(count))) for name, count in counts.items()]
    assert told in _expected(given) and ("no verdict" in _expected(given)) == ("no verdict" in told)


@pytest.fixture
def files(tmp_path):
    """Ground truth of 20 images, two detectors' results and their boxes before NMS."""
    rng = np.random.default_rng(0)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200} for i in range(20)]
    truth, first, second, before = [], [], [], []
    for i in range(60):
        box = [*rng.uniform(0, 120, 2).tolist(), *rng.uniform(15, 70, 2).tolist()]
        where = {"image_id": i % 20, "category_id": 1 + i % 3}
        truth.append({"id": i + 1, **where, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        near = (np.array(box) + rng.normal(0, 3, 4)).tolist()
        first.append({**where, "bbox": box, "cls_score": float(rng.random()), "iou_score": 0.9})
        second.append({**where, "bbox": near, "score": float(rng.random())})
        before += [first[-1], {**where, "bbox": near, "cls_score": 0.1, "iou_score": 0.4}]
    categories = [{"id": c, "name": f"kind{c}"} for c in (1, 2, 3)]
    content = {
        "gt": {"images": images, "annotations": truth, "categories": categories},
        "a": first,
        "b": second,
        "a_before": before,
        "b_before": second,
    }
    for name, value in content.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return tmp_path


def analyze(files, *more: str) -> int:
    gt, first, second = (str(files / f"{n}.json") for n in ("gt", "a", "b"))
    return main(["analyze", "--gt", gt, "--predictions", first, second, "--out", str(files / "runs"), *more])


def test_two_detectors_with_candidates(files) -> None:
    assert analyze(files, "--candidates", str(files / "a_before.json"), str(files / "b_before.json")) == 0
    folder = files / "runs" / "analyze-gt"
    page = (folder / "report" / "index.html").read_text()
    for text in (
        "What NMS loses",
        "Crowded objects",
        "Kinds of error",
        "Prediction of the IoU",
        "Imported predictions",
    ):
        assert text in page
    assert "failed:" not in page
    assert [problems_of(folder / f"imported-{n}-gt") for n in "ab"] == [[], []]
    cell = CellRecord(folder / "imported-a-gt")
    assert isinstance(cell.config, ImportedConfig) and cell.config.method.quality == "iou"
    assert CellRecord(folder / "imported-b-gt").config.method.quality is None
    assert "not known" in page and "recipe</td>" not in page  # nobody knows how imported predictions were made
    assert read_json(folder / "imported-a-gt" / "summary.json")["AP"] == pytest.approx(1.0)
    assert read_json(folder / "imported-b-gt" / "summary.json")["AP"] < 1.0


def test_results_alone(files) -> None:
    assert analyze(files, "--name", "mine") == 0
    page = (files / "runs" / "analyze-mine" / "report" / "index.html").read_text()
    assert "What NMS loses" not in page and "Differences between methods" in page
    assert "failed:" not in page
    cells = [str(files / "runs" / "analyze-mine" / f"imported-{n}-gt") for n in ("a", "b")]
    assert main(["compare", *cells, "--out", str(files / "comparison")]) == 0
    assert (files / "comparison" / "compare.jpg").is_file()


def test_a_former_result_is_replaced_with_a_word(files, capsys) -> None:
    assert analyze(files) == 0 and "replaces" not in capsys.readouterr().out
    gt, other = str(files / "gt.json"), str(files / "b.json")
    assert main(["analyze", "--gt", gt, "--predictions", f"c={other}", "--out", str(files / "runs")]) == 0
    folder = files / "runs" / "analyze-gt"
    told = f"replaces the analysis of a, b in {folder}; --name NAME keeps both"
    assert told in capsys.readouterr().out.replace("\n", "") and [p.name for p in folder.glob("imported-*")] == [
        "imported-c-gt"
    ]
    assert analyze(files, "--name", "both") == 0 and "replaces" not in capsys.readouterr().out


def test_mistakes(files, capsys) -> None:
    assert analyze(files, "--candidates", str(files / "a_before.json")) == 2
    assert "names 1 files for 2 prediction files" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        analyze(files, "--nms", "2")
    (files / "other").mkdir()
    gt, first = str(files / "gt.json"), str(files / "a.json")
    (files / "other" / "a.json").write_text((files / "a.json").read_text())
    pair = ["--predictions", first, str(files / "other" / "a.json")]
    assert main(["analyze", "--gt", gt, *pair, "--out", str(files / "runs")]) == 0
    names = {p.name for p in (files / "runs" / "analyze-gt").iterdir()}
    assert f"imported-{files.name}-a-gt" in names and "imported-other-a-gt" in names


def seeds_of(files, name: str, shift: float) -> str:
    """Three files of one method, each with its own noise; how the command line names them."""
    rows = json.loads((files / "a.json").read_text())
    for seed in range(3):
        rng = np.random.default_rng([seed, int(shift)])
        moved = [{**r, "bbox": (np.array(r["bbox"]) + rng.normal(0, shift, 4)).tolist()} for r in rows]
        (files / f"{name}{seed}.json").write_text(json.dumps(moved))
    return f"{name}=" + ",".join(str(files / f"{name}{seed}.json") for seed in range(3))


def test_several_files_of_a_method_are_its_seeds(files, capsys) -> None:
    """Verdicts, with the folders, keys and words of several trained models."""
    gt = str(files / "gt.json")
    given = [seeds_of(files, "theirs", 6.0), seeds_of(files, "ours", 1.0)]
    assert main(["analyze", "--gt", gt, "--predictions", *given, "--out", str(files / "runs")]) == 0
    folder = files / "runs" / "analyze-gt"
    assert "not everything counts" not in capsys.readouterr().out
    cells = sorted(p.name for p in folder.glob("imported-*"))
    assert cells == [f"imported-{m}-gt-seed{k}" for m in ("ours", "theirs") for k in range(3)]
    assert [problems_of(folder / name) for name in cells] == [[]] * 6
    study = read_study_record(folder)
    row = ANALYSES["differences"].run(study)[0].frame.query("metric == 'AP'").iloc[0]
    assert (row.method, row.baseline, row.n, row.verdict) == ("ours", "theirs", 3, "higher")
    assert row.population == "other seeds and images" and row.difference > row.half
    text = (folder / "report" / "report.md").read_text()
    assert "failed:" not in text and "differences of 3 trained models each" in (folder / "study.json").read_text()
    assert check_results(folder) is None  # all of it may be replaced


def test_a_file_without_partner_and_a_file_given_twice(files, capsys) -> None:
    gt = str(files / "gt.json")
    given = [seeds_of(files, "theirs", 3.0), f"ours={files / 'b.json'}"]
    assert main(["analyze", "--gt", gt, "--predictions", *given, "--out", str(files / "runs")]) == 0
    told = "ours has 1 files and theirs has 3: their difference rests on the first 1 of each"
    assert capsys.readouterr().out.count(told) == 2
    page = (files / "runs" / "analyze-gt" / "report" / "report.md").read_text()
    assert f"Left out: {told}" in page
    copy = files / "copy.json"
    copy.write_text((files / "b.json").read_text())
    given = [f"ours={files / 'b.json'},{copy}"]
    assert main(["analyze", "--gt", gt, "--predictions", *given, "--out", str(files / "runs")]) == 0
    assert "copy.json: holds the same detections as b.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["ours=b.json,b.json"], "stands for two seeds"),
        (["ours=b.json,"], "a comma without a file"),
        (["=b.json"], "no name stands before '='"),
        (["b.json,a.json"], "several files of one method are given as NAME=FILE,FILE"),
        (["a=b.json", "a=a.json"], "b.json and a.json are both called a; name each with NAME=FILE"),
        (["ours=gone.json"], "gone.json"),
        (["b.json", "--candidates", "theirs=b.json"], "stands where b is in --predictions"),
        (["ours=b.json,a.json", "--candidates", "b.json"], "names 1 files for 2 prediction files"),
    ],
)
def test_methods_and_files_that_are_named_wrongly(files, monkeypatch, capsys, given, told) -> None:
    monkeypatch.chdir(files)
    assert main(["analyze", "--gt", "gt.json", "--predictions", *given]) == 2
    assert told in capsys.readouterr().err.replace("\n", " ") and not (files / "runs").exists()


def test_a_file_that_is_there_is_meant_whatever_its_name(files, monkeypatch) -> None:
    monkeypatch.chdir(files)
    for name in ("x=1.json", "a,b.json"):
        (files / name).write_text((files / "b.json").read_text())
    (one, two) = read_given(["x=1.json", "mine=a,b.json"], "--predictions")
    assert (one.name, one.files, two.name, two.files) == ("", (Path("x=1.json"),), "mine", (Path("a,b.json"),))
    assert [m.name for m in named([one, two])] == ["x=1", "mine"]


def test_what_counts_in_no_number_is_said_on_the_terminal_on_the_page_and_in_the_report(files, capsys) -> None:
    """Half of a detector's boxes on a category that the ground truth does not know: AP falls, and everybody is told."""
    rows = json.loads((files / "a.json").read_text())
    half = [{**r, "category_id": 55} if i % 2 else r for i, r in enumerate(rows)]
    (files / "a.json").write_text(json.dumps(half))
    assert analyze(files) == 0
    out = " ".join(capsys.readouterr().out.split())
    told = "a.json: 30 of 60 entries are on categories not in the ground truth (category_id 55) and count in no number"
    assert f"left out: {told}" in out and out.endswith(f"not everything counts in its numbers: {told}")
    folder = files / "runs" / "analyze-gt"
    assert f"Left out: {told}" in (folder / "report" / "index.html").read_text()
    lines = (folder / "report" / "report.md").read_text().splitlines()
    assert lines.index(f"Left out: {told}.") < lines.index("## What is compared")
    assert read_json(folder / "study.json")["left_out"] == [told]


def test_detections_of_a_class_without_objects_are_told(files, capsys) -> None:
    content = json.loads((files / "gt.json").read_text())
    content["categories"].append({"id": 4, "name": "rare"})
    (files / "gt.json").write_text(json.dumps(content))
    rows = json.loads((files / "b.json").read_text())
    (files / "b.json").write_text(json.dumps([*rows, *({**row, "category_id": 4} for row in rows[:5])]))
    assert analyze(files) == 0
    told = "b.json: 5 of 65 detections are of classes without an object that counts (rare) and count in no AP"
    assert f"left out: {told}" in capsys.readouterr().out.replace("\n", "")
    folder = files / "runs" / "analyze-gt"
    assert read_json(folder / "study.json")["left_out"] == [told]
    assert f"Left out: {told}" in (folder / "report" / "report.md").read_text()
    assert told in (folder / "report" / "index.html").read_text()


def test_the_known_results_of_cocoapi(shared_data, tmp_path) -> None:
    folder = shared_data / "results-json" / "cocoapi_val2014_100"
    gt, found = folder / "instances_val2014_100.json", folder / "instances_val2014_fakebbox100_results.json"
    assert main(["analyze", "--gt", str(gt), "--predictions", str(found), "--out", str(tmp_path)]) == 0
    known = json.loads((folder.parent / "known_ap.json").read_text())["cocoapi_val2014_100"]
    cell = tmp_path / f"analyze-{gt.stem}" / f"imported-{found.stem}-{gt.stem}"
    summary = read_json(cell / "summary.json")
    assert all(summary[n] == pytest.approx(known[n], abs=1e-6) for n in ("AP", "AP50", "AP75", "AR100", "APs"))


def tree(folder) -> dict:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("broken", ["gt", "a", "b"])
def test_a_refusal_leaves_nothing_behind_and_a_former_result_stays(files, broken) -> None:
    sound = (files / f"{broken}.json").read_text()
    (files / f"{broken}.json").write_text(sound.replace('"bbox": [', '"bbox": ["1", ', 1))
    assert analyze(files) == 2
    assert not (files / "runs").exists()
    (files / f"{broken}.json").write_text(sound)
    assert analyze(files) == 0
    before = tree(files / "runs")
    (files / f"{broken}.json").write_text(sound[:-5])
    assert analyze(files) == 2
    assert tree(files / "runs") == before


def test_an_error_while_writing_leaves_the_former_result(files, monkeypatch) -> None:
    assert analyze(files) == 0
    before = tree(files / "runs")
    monkeypatch.setattr("assignbench.commands.analyze.build_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        analyze(files)
    assert tree(files / "runs") == before
    monkeypatch.undo()
    assert analyze(files) == 0 and sorted(p.name for p in (files / "runs").iterdir()) == ["analyze-gt"]


def test_warnings_are_printed_and_stand_in_the_report(files, capsys) -> None:
    rows = json.loads((files / "b.json").read_text())
    (files / "b.json").write_text(json.dumps([{**r, "score": 100 * r["score"]} for r in rows]))
    assert analyze(files, "--name", "../out") == 0
    told = "are they percentages or logits?"
    assert "warning: b.json: scores go up to" in (shown := capsys.readouterr().out) and told in shown
    (folder,) = (files / "runs").iterdir()
    assert told in (folder / "report" / "index.html").read_text()
    assert told in (folder / "report" / "report.md").read_text()
