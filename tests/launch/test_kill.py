"""A study whose whole process tree is killed goes on by the same command, and no number changes."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from assignbench.cli import main
from assignbench.records import CellRecord, read_json
from tests.in_process import trained_here

STUDY = """\
study: tiny
answers: whether a killed study goes on
cost: seconds
expect: the same numbers
detectors: [retinanet-slim]
methods: [iou, mutual_guidance]
data: {name: shapes, image_size: 64, factors: {image_size: 64, max_size: 40}, train_images: 24, test_images: 10}
seeds: 1
schedule: {steps: 60, batch_size: 4, lr: 1.0e-3, log_every: 2, checkpoint_every: 4, probe_visits: 2}
probe_images: 2
analyses: [averages]
"""


@pytest.mark.slow
def test_sigkill_in_the_second_cell(tmp_path) -> None:
    study = tmp_path / "tiny.yaml"
    study.write_text(STUDY)
    arguments = ["run", str(study), "--workers", "1", "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "assignbench", *arguments, str(killed)]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        deadline = time.time() + 600
        second = None
        while time.time() < deadline and second is None:
            time.sleep(0.05)
            found = list((killed / "tiny").glob("*mutual*/status.json"))
            if found and int(read_json(found[0]).get("step", 0)) >= 6:
                second = found[0]
        os.killpg(process.pid, signal.SIGKILL)
        assert second is not None, "the second cell never trained"
    first = next((killed / "tiny").glob("*iou*/summary.json"))
    before = first.stat().st_mtime_ns
    assert CellRecord(second.parent).state == "running"
    # What started the cells plays no part any more.
    with trained_here():
        assert main([*arguments, str(killed), "--quiet"]) == 0
        assert main([*arguments, str(whole), "--quiet"]) == 0
    assert first.stat().st_mtime_ns == before, "the finished cell was trained again"
    folders = [p.parent for p in (whole / "tiny").glob("*/config.json")]
    assert len(folders) == 2
    for folder in folders:
        other = killed / "tiny" / folder.name
        one, two = (load_file(f / "checkpoint" / "weights.safetensors") for f in (folder, other))
        assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
        a, b = CellRecord(folder).summary, CellRecord(other).summary
        assert [a[k] for k in ("AP", "AP50", "AR100")] == [b[k] for k in ("AP", "AP50", "AR100")]
