"""`assignbench power` and `plan --detect`: from a study's own records, from the packaged table, or from neither."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from assignbench.analysis import read_study_record
from assignbench.analysis.spreads import COLUMNS, measured_spreads
from assignbench.cli import main
from benchmarks import power as counting, spreads
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell

METHODS = ("iou", "mutual_guidance")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def planted(folder: Path, seeds: int = 3) -> Path:
    """Cells of two methods on twelve images, whose boxes miss by a little in each seed anew."""
    objects = objects_table([(i, 0, 10 * k, 10, 10 * k + 9, 30) for i in range(12) for k in range(4)])
    for number, method in enumerate(METHODS):
        for seed in range(seeds):
            rng = np.random.default_rng([number, seed])
            shift = rng.normal(0, 1.5 - 0.5 * number, (len(objects), 4))
            boxes = [
                (o.image_id, 0, *(np.array([o.x1, o.y1, o.x2, o.y2]) + s), rng.uniform(0.3, 1))
                for o, s in zip(objects.itertuples(), shift, strict=True)
            ]
            detections = boxes_table(boxes, "score")
            write_cell(folder, method, seed, objects, detections, detector="retinanet-slim", data="shapes")
    study_of(folder, METHODS)
    return folder


def test_without_records_the_packaged_table_speaks(tiny_study, tmp_path, capsys) -> None:
    code, out, _ = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"), "--seeds", "3")
    assert code == 0 and not (tmp_path / "runs").exists()
    assert re.search(r"^shapes, as measured before \(\d+ pairs of [0-9 to]+ seeds on retinanet-slim, ", out, re.M)
    assert "over draws of 10 test images" in out  # the study's own number
    for difference in ("0.5", "1", "2"):
        assert re.search(rf"^  {re.escape(difference)} points: ", out, re.M)
    assert "images bound it (" in out and "corrected" not in out  # one comparison
    assert "with the study's 3 seeds: " in out
    few = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"), "--detect", "30")[1]
    assert "  30 points: 3 seeds" in few and "0.5 points" not in few
    assert "with the study's 1: nothing, a verdict needs 3 seeds" in few


def test_the_records_of_the_study_speak_first(tiny_study, tmp_path, capsys) -> None:
    folder = planted(tmp_path / "runs" / "tiny")
    code, out, _ = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"), "--detect", "5")
    assert code == 0
    assert "shapes, from its own records (1 pair of 3 seeds on retinanet-slim, planted ())" in out
    (row,) = measured_spreads(read_study_record(folder), ["AP"]).itertuples()
    told = re.search(r"difference: ([\d.]+) points .* of the mean ([\d.]+) over draws of 12 test images", out)
    assert told and float(told[1]) == pytest.approx(100 * row.seed_deviation, abs=0.006)
    assert float(told[2]) == pytest.approx(100 * row.image_deviation, abs=0.006)
    values = [read_study_record(folder).data()[k].cell.summary["AP"] for k in range(6)]
    assert row.seed_deviation == pytest.approx(np.std(np.subtract(values[3:], values[:3]), ddof=1))


def test_one_seed_of_records_is_not_enough(tiny_study, tmp_path, capsys) -> None:
    planted(tmp_path / "runs" / "tiny", seeds=1)
    out = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"))[1]
    assert "shapes, as measured before (" in out


def test_plan_says_it_when_it_is_asked(tiny_study, tmp_path, capsys) -> None:
    plan = ["plan", str(tiny_study), "--out", str(tmp_path / "runs")]
    assert "power:" not in run(capsys, *plan)[1]
    code, out, _ = run(capsys, *plan, "--detect", "2")
    assert code == 0 and "left: " in out
    power = run(capsys, "power", *plan[1:], "--detect", "2")[1]
    assert out.endswith(power) and "  2 points: " in power


def test_several_comparisons_are_corrected_together(tiny_study, tmp_path, capsys) -> None:
    tiny_study.write_text(
        tiny_study.read_text().replace("[iou, mutual_guidance]", "[iou, mutual_guidance, atss_plain]")
    )
    out = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"), "--detect", "20")[1]
    assert "of 2 comparisons" in out and re.search(r"20 points: \d+ seeds; corrected: \d+ seeds", out)
    only = ["--only", "*atss*"]
    out = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"), "--detect", "20", *only)[1]
    assert "corrected" not in out and re.search(r"20 points: \d+ seeds$", out, re.M)


def test_what_was_not_measured_is_not_made_up(tiny_study, tmp_path, voc_folder, capsys) -> None:
    entry = {"name": "mine", "kind": "voc", "root": str(voc_folder), "image_size": 64}
    entry |= {"train": [["VOC2007", "train"]], "test": [["VOC2007", "test"]]}
    line = next(li for li in tiny_study.read_text().splitlines() if li.startswith("data:"))
    tiny_study.write_text(tiny_study.read_text().replace(line, f"data: {json.dumps(entry)}"))
    code, out, _ = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"))
    assert code == 0
    assert "mine, not measured; if its differences vary as those on shapes" in out
    assert "mine, as measured" not in out
    listed = (voc_folder / "VOC2007" / "ImageSets" / "Main" / "test.txt").read_text().split()
    told = re.findall(r"over draws of (\d+) test images", out)
    assert told and set(told) == {str(len(listed))} and "not counted" not in out


def test_test_images_that_nobody_can_count_are_not_made_up(tiny_study, tmp_path, capsys) -> None:
    entry = {"name": "mine", "kind": "coco", "root": str(tmp_path / "gone"), "image_size": 64}
    entry |= {"train": [["train.json", "."]], "test": [["test.json", "."]]}
    line = next(li for li in tiny_study.read_text().splitlines() if li.startswith("data:"))
    tiny_study.write_text(tiny_study.read_text().replace(line, f"data: {json.dumps(entry)}"))
    code, out, _ = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"))
    told = re.findall(
        r"^mine, not measured; .*, for (\d+) test images; yours are not counted:\n.* of (\d+) test", out, re.M
    )
    assert code == 0 and told and all(first == second for first, second in told)


def test_a_study_without_comparisons(tiny_study, tmp_path, capsys) -> None:
    tiny_study.write_text(tiny_study.read_text().replace("[iou, mutual_guidance]", "[iou]"))
    code, out, _ = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"))
    assert code == 0 and "no method of the study is compared with another one" in out


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf", "101"])
def test_differences_have_bounds(tiny_study, capsys, value) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["power", str(tiny_study), "--detect", value])
    assert ended.value.code == 2
    assert "expected a difference from 0.001 to 100 points" in capsys.readouterr().err


def older(folder: Path) -> None:
    """Makes the cells of a folder those of an earlier version."""
    for cell in folder.glob("*/config.json"):
        cell.write_text(json.dumps({**json.loads(cell.read_text()), "format": 2}))
        (cell.parent / "status.json").write_text('{"state": "done"}')
        (cell.parent / "manifest.json").unlink()


def test_records_of_an_older_version_are_refused(tiny_study, tmp_path, capsys) -> None:
    older(planted(tmp_path / "runs" / "tiny"))
    code, _, err = run(capsys, "power", str(tiny_study), "--out", str(tmp_path / "runs"))
    assert code == 2 and "records of format 2" in err and "another --out" in err


def test_the_table_is_made_from_folders_old_and_new(tmp_path, capsys) -> None:
    folder = planted(tmp_path / "study")
    made = [tmp_path / "new.csv", tmp_path / "old.csv"]
    assert spreads.main([str(folder), "--table", str(made[0])]) == 0
    older(folder)
    assert spreads.main([str(folder), str(folder), "--table", str(made[1])]) == 0
    new, old = (path.read_text().splitlines() for path in made)
    head = [line for line in new if line.startswith("#")]
    assert (
        len(head) >= 5 and "python -m benchmarks.spreads study" in head[1] and str(tmp_path) not in made[0].read_text()
    )
    body = new[len(head) :]
    assert body[0] == ",".join(COLUMNS) and len(body) == 1 + 3  # AP, AP50, AP75 of one pair
    assert old[len(head) :] == [*body, *body[1:]]


def test_a_sweep_on_the_validation_split_is_not_in_the_table(tmp_path, capsys) -> None:
    swept = planted(tmp_path / "study-tune")
    for cell in swept.glob("*/config.json"):
        config = json.loads(cell.read_text())
        cell.write_text(json.dumps({**config, "evaluation": {**config["evaluation"], "split": "val"}}))
    table = spreads.collected([planted(tmp_path / "study"), swept])
    assert set(table.study) == {"planted"} and len(table) == 3
    assert "passed over, its numbers are of the val split" in capsys.readouterr().err
    assert spreads.collected([swept]).empty


def test_a_study_of_many_seeds_is_counted(tmp_path, capsys) -> None:
    assert counting.main([str(planted(tmp_path / "few"))]) == 0
    assert "no pair has six seeds" in capsys.readouterr().out
    folder = planted(tmp_path / "study", seeds=6)
    assert counting.main([str(folder), "--metric", "AP50"]) == 0
    assert "in AP50" in capsys.readouterr().out
    assert spreads.main([str(folder), "--table", str(tmp_path / "own.csv")]) == 0
    assert counting.main([str(folder), "--table", str(tmp_path / "own.csv")]) == 0
    assert "of the table" in capsys.readouterr().out
    table = counting.compared(folder, "AP50", counting.packaged())
    assert table.seeds.tolist() == [3, 5] and (table.counted > 0).all()
    assert (table.counted[1:] < table.counted[0]).all()
