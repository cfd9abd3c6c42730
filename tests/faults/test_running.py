"""Two at once, signals, full and closed disks, a killed worker, a clock set back, an edited study."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from assignbench.records import CellRecord
from assignbench.records.claim import EXIT_CLAIMED, EXIT_STOPPED, holder_of
from tests.faults.cases import CELL, await_that, fresh, same, write_study
from tests.faults.victims import command, done, ended, start, train, write_report

NOBODY = 65534


def step_of(folder: Path) -> int:
    return int(CellRecord(folder).status.get("step", 0))


def cells_in(out: Path) -> list[Path]:
    return sorted(p.parent for p in out.glob("tiny/*/config.json"))


def pages(folder: Path) -> list[bytes]:
    return [(folder / "report" / name).read_bytes() for name in ("report.md", "index.html")]


@pytest.mark.slow
def test_two_runs_at_once_train_no_cell_twice(tmp_path) -> None:
    """Both end well with one report, which a third one equals that nothing disturbs; every fifth time with figures."""
    study, met = write_study(tmp_path, steps=1), 0
    study.write_text(study.read_text() + "analyses: [averages]\n")
    for turn in range(20):
        out, told = tmp_path / str(turn), [tmp_path / f"{turn}-{i}.txt" for i in range(3)]
        report = "words" if turn % 5 else "whole"
        pair = [
            start(command, ["run", str(study), "--out", str(out), "--workers", str(n)], told[n - 1], report=report)
            for n in (1, 2)
        ]
        codes = [ended(p) for p in pair]
        assert codes == [0, 0], [p.read_text() for p in told[:2]]
        trained = (out / "tiny" / "trained.txt").read_text().split()
        assert sorted(trained) == [c.name for c in cells_in(out)] and len(trained) == 2
        assert [CellRecord(c).state for c in cells_in(out)] == ["done"] * 2
        assert [holder_of(c) for c in cells_in(out)] == [None] * 2
        met += all("0 done before" in p.read_text() for p in told[:2])
        before = pages(out / "tiny")
        assert done(write_report, out / "tiny", output=told[2], report=report) == 0
        assert pages(out / "tiny") == before
        assert len({path.with_suffix(".pages").read_text() for path in told}) == 1
        shutil.rmtree(out)
    assert met >= 5, "the runs hardly ever met"


@pytest.mark.slow
def test_a_run_goes_on_where_another_one_was_ended(tmp_path) -> None:
    study, out, told = write_study(tmp_path, steps=60), tmp_path / "runs", [tmp_path / f"{n}.txt" for n in range(2)]
    arguments = ["run", str(study), "--out", str(out), "--workers", "1"]
    pair = [start(command, arguments, path) for path in told]
    await_that(lambda: len(cells_in(out)) == 2 and all(step_of(c) >= 3 for c in cells_in(out)))
    os.kill(pair[0].pid or 0, signal.SIGKILL)
    assert ended(pair[1]) == 0, told[1].read_text()
    assert [CellRecord(c).state for c in cells_in(out)] == ["done"] * 2
    assert len((out / "tiny" / "trained.txt").read_text().split()) == 3
    ended(pair[0])


@pytest.mark.slow
def test_fresh_refuses_a_cell_that_lives_elsewhere(tmp_path) -> None:
    study, out = write_study(tmp_path, steps=400), tmp_path / "runs"
    arguments = ["run", str(study), "--out", str(out), "--workers", "1", "--quiet", "--only", "*iou*"]
    first = start(command, arguments, tmp_path / "first.txt")
    await_that(lambda: bool(cells_in(out)) and step_of(cells_in(out)[0]) >= 3)
    folder = cells_in(out)[0]
    assert done(command, [*arguments, "--fresh"], tmp_path / "second.txt") == 2
    told = (tmp_path / "second.txt").read_text()
    assert folder.name in told and "is being trained by process" in told and "since 20" in told
    assert (folder / "checkpoint").is_dir() and step_of(folder) >= 3
    os.kill(first.pid or 0, signal.SIGTERM)
    assert ended(first) == 130
    assert "stopped; resumes at step" in (tmp_path / "first.txt").read_text()
    assert CellRecord(folder).state == "pending" and holder_of(folder) is None


def test_a_cell_is_refused_by_its_own_process_too(tmp_path) -> None:
    folder = fresh(tmp_path / "cell")
    first = start(train, folder)
    await_that(lambda: step_of(folder) >= 1 or first.exitcode is not None)
    if first.exitcode is None:
        os.kill(first.pid or 0, signal.SIGSTOP)
        assert done(train, folder) == EXIT_CLAIMED
        os.kill(first.pid or 0, signal.SIGCONT)
    assert ended(first) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_first(whole, tmp_path, number) -> None:
    folder = fresh(tmp_path / "cell")
    process = start(train, folder)
    await_that((folder / "checkpoint" / "step-00000003.json").exists)
    os.kill(process.pid or 0, number)
    assert ended(process) == EXIT_STOPPED
    record = CellRecord(folder)
    assert record.state == "pending" and record.reason.startswith("stopped; resumes at step ")
    assert int(record.reason.rsplit(" ", 1)[1]) == step_of(folder) >= 3
    assert holder_of(folder) is None
    assert done(train, folder) == 0
    same(whole, folder)


@pytest.mark.parametrize("limit", [150, 4_000, 40_000])
def test_a_full_disk_costs_no_more_than_the_last_steps(whole, tmp_path, limit) -> None:
    folder = fresh(tmp_path / "cell")
    assert done(train, folder, file_bytes=limit) != 0
    record = CellRecord(folder)
    assert record.state != "done" and not list(folder.rglob("*.partial"))
    if limit >= 4_000:
        assert record.state == "failed"
        assert "File too large" in record.reason and "make room" in record.reason
    assert done(train, folder) == 0
    same(whole, folder)


@pytest.mark.slow
def test_a_full_disk_of_the_launcher_is_told(tmp_path) -> None:
    study, out, told = write_study(tmp_path), tmp_path / "runs", tmp_path / "told.txt"
    arguments = ["run", str(study), "--out", str(out), "--workers", "1", "--quiet"]
    assert done(command, arguments, told, file_bytes=100) == 1
    assert "make room" in told.read_text() and "Traceback" not in told.read_text()
    assert done(command, arguments, told) == 0
    assert [CellRecord(c).state for c in cells_in(out)] == ["done"] * 2


@pytest.fixture
def closed():
    """A folder in which another user (or, for others than root, nobody) may write nothing."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755 if os.getuid() == 0 else 0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_closed_folder_is_refused_before_anything_is_trained(closed, tmp_path_factory) -> None:
    user = NOBODY if os.getuid() == 0 else 0
    study, told = Path(tempfile.mkdtemp()), tmp_path_factory.mktemp("told") / "told.txt"
    study.chmod(0o755)
    write_study(study)
    code = done(command, ["run", str(study / "tiny.yaml"), "--out", str(closed)], told, user=user)
    assert code == 2 and "nothing can be written there (Permission denied)" in told.read_text()
    assert not list(closed.iterdir())
    shutil.rmtree(study)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path) -> None:
    study, told = write_study(tmp_path), tmp_path / "told.txt"
    (tmp_path / "runs").write_text("a file")
    assert done(command, ["run", str(study), "--out", str(tmp_path / "runs")], told) == 2
    assert "is no folder" in told.read_text() and "--out" in told.read_text()


@pytest.mark.slow
def test_a_worker_killed_alone_is_started_again_and_told(tmp_path) -> None:
    study, out, told = write_study(tmp_path, steps=40), tmp_path / "runs", tmp_path / "told.txt"
    process = start(command, ["run", str(study), "--out", str(out), "--workers", "1", "--quiet"], told)

    def worker() -> int:
        for folder in cells_in(out):
            holder = holder_of(folder)
            if holder is not None and holder.pid != process.pid and step_of(folder) >= 3:
                return holder.pid
        return 0

    await_that(lambda: worker() != 0)
    os.kill(worker(), signal.SIGKILL)
    assert ended(process) == 0, told.read_text()
    records = [CellRecord(c) for c in cells_in(out)]
    assert [r.state for r in records] == ["done", "done"]
    assert sum("ended by signal 9" in r.reason and "started again" in r.reason for r in records) == 1
    assert "started again" in told.read_text()


def test_a_clock_set_back_changes_nothing(whole, tmp_path) -> None:
    folder = fresh(tmp_path / "cell")
    assert done(train, folder, clock_back=86_400.0) == 0
    assert step_of(folder) == CELL.schedule.steps
    same(whole, folder)


@pytest.mark.slow
def test_a_study_edited_between_runs(tmp_path) -> None:
    """A comment and a title change no cell; another schedule makes new ones, and the old ones are there afterwards."""
    study, out, told = write_study(tmp_path), tmp_path / "runs", tmp_path / "told.txt"
    arguments = ["run", str(study), "--out", str(out), "--workers", "1"]
    trained = out / "tiny" / "trained.txt"
    assert done(command, arguments, told) == 0
    before = {c.name: (c / "manifest.json").read_bytes() for c in cells_in(out)}
    text = study.read_text()
    study.write_text("# a comment\n" + text.replace("a study", "another title"))
    assert done(command, arguments, told) == 0 and "2 done before" in told.read_text()
    study.write_text(text.replace("lr: 1.0e-3", "lr: 2.0e-3"))
    assert done(command, arguments, told) == 0 and "0 done before" in told.read_text()
    assert len(cells_in(out)) == 4
    study.write_text(text)
    assert done(command, arguments, told) == 0 and "2 done before" in told.read_text()
    assert len(trained.read_text().split()) == 4
    assert {n: (out / "tiny" / n / "manifest.json").read_bytes() for n in before} == before
