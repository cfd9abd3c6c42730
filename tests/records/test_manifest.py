"""A finished cell is done only while every file is what its manifest says; damage is told and costs nobody else."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis.base import read_study_record
from assignbench.errors import InputError
from assignbench.records import CellRecord, OldRecords, damage_of, finish, read_json, write_json
from assignbench.records.files import write_whole
from assignbench.records.manifest import MANIFEST, listed
from tests.analysis.planted import write_cell


@pytest.fixture
def record(tmp_path) -> CellRecord:
    """A finished cell of an imported kind of tables."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 30, (6, 2))
    boxes = pd.DataFrame(np.hstack([corners, corners + 10]), columns=["x1", "y1", "x2", "y2"])
    objects = boxes.assign(
        image_id=[0, 0, 1, 1, 2, 2], object_id=range(6), label=0, area=100.0, aspect_ratio=1.0, crowdedness=0.0,
        image_crowdedness=0.0, objects_in_image=2, crowd=False, difficult=False,
    )  # fmt: skip
    found = boxes.assign(image_id=objects.image_id, label=0, score=0.9)
    return CellRecord(write_cell(tmp_path / "study", "iou", 0, objects, found))


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


SPOIL = {"cut": cut, "emptied": lambda p: p.write_bytes(b""), "removed": lambda p: p.unlink(), "flipped": flip}


@pytest.mark.parametrize("how", SPOIL)
def test_every_file_of_a_finished_cell_in_turn(record, how) -> None:
    assert record.state == "done" and record.reason == ""
    names = [p.relative_to(record.folder).as_posix() for p in listed(record.folder)]
    assert len(names) > 5
    for name in (*names, MANIFEST):
        path = record.folder / name
        before, times = path.read_bytes(), path.stat()
        SPOIL[how](path)
        if name == MANIFEST and how == "flipped":
            assert record.state in ("done", "damaged")
        else:
            assert record.state == "damaged", name
            assert name in record.reason and "redoes the cell" in record.reason
            assert record.summary == {}
            with pytest.raises(InputError, match="damaged"):
                record.require_done()
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert record.state == "done"


def test_a_copied_folder_is_whole_and_a_touched_one_too(record, tmp_path) -> None:
    copied = CellRecord(tmp_path / "copied")
    shutil.copytree(record.folder, copied.folder, copy_function=shutil.copyfile)
    assert copied.state == "done" and damage_of(copied.folder, thorough=True) == ""


def test_a_change_that_hides_its_time_is_found_by_reading(record) -> None:
    path = record.folder / "objects.parquet"
    times = path.stat()
    flip(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert record.state == "done" and "objects.parquet has another content" in damage_of(record.folder, thorough=True)
    with pytest.raises(InputError, match=r"objects\.parquet"):
        CellRecord(record.folder, thorough=True).require_done()
    assert read_study_record(record.folder.parent).done == ()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"state": 7}', b'{"state": "flying"}', b"\xff", b"{}"])
def test_a_broken_status_is_damage_too(record, content) -> None:
    (record.folder / "status.json").write_bytes(content)
    assert record.state == "damaged" and "status.json" in record.reason
    (record.folder / MANIFEST).unlink()
    assert record.state in ("pending", "damaged") and isinstance(record.reason, str)


def test_one_damaged_cell_costs_the_others_nothing(record, tmp_path) -> None:
    study = record.folder.parent
    names = []
    for seed, spoilt in enumerate(("config.json", "detections.parquet", "environment.json"), start=1):
        other = study / f"{record.id[:-1]}{seed}"
        shutil.copytree(record.folder, other)
        cut(other / spoilt)
        names.append(other.name)
    write_json(study / "study.json", {"study": "s", "cells": [record.id, *names, "never-begun"]})
    found = read_study_record(study)
    assert [c.id for c in found.cells] == [record.id, *names[1:]] and [c.id for c in found.done] == [record.id]
    assert [name for name, _ in found.unreadable] == names[:1]
    assert [c.state for c in found.cells] == ["done", "damaged", "damaged"]


def test_records_of_an_earlier_version_are_refused(record) -> None:
    write_json(record.folder / "config.json", {**read_json(record.folder / "config.json"), "format": 2})
    with pytest.raises(OldRecords, match=r"AssignBench 0\.2"):
        read_study_record(record.folder.parent)
    with pytest.raises(OldRecords):
        record.require_done()


@pytest.mark.parametrize(
    "cells", [5, [5], "x", None, ["../../x"], ["/etc"], [""], [".."], ["."], {}, ["a\x1b[31m"], [["a"]]]
)
def test_what_study_json_says_of_its_cells_is_checked(record, cells) -> None:
    study = record.folder.parent
    write_json(study / "study.json", {"study": "s", "cells": cells})
    with pytest.raises(InputError, match=r"study\.json: 'cells'") as problem:
        read_study_record(study)
    assert "\x1b" not in str(problem.value)


@pytest.mark.parametrize("key", ["bytes", "sha256", "modified", "rows"])
def test_a_damaged_key_of_a_manifest_is_damage(record, key) -> None:
    path = record.folder / "manifest.json"
    path.write_text(path.read_text().replace(f'"{key}"', f'"{key[:-1]}!"', 1))
    assert record.state == "damaged" and "manifest.json is broken" in record.damage


def test_a_manifest_cannot_name_files_elsewhere(record) -> None:
    content = read_json(record.folder / MANIFEST)
    entry = next(iter(content["files"].values()))
    for name in ("../x", "/etc/passwd"):
        write_json(record.folder / MANIFEST, {**content, "files": {name: entry}})
        assert record.state == "damaged"


def test_a_name_that_no_file_system_takes(tmp_path) -> None:
    with pytest.raises(InputError, match="File name too long"):
        CellRecord(tmp_path / ("x" * 5000)).require_done()


def test_what_cannot_be_written_leaves_the_old_file_and_no_rest(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def half(partial) -> None:
        partial.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "before"


def test_a_link_in_the_way_is_not_followed(tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / f"status.json.{os.getpid()}.partial").symlink_to(elsewhere)
    (folder / "status.json").symlink_to(elsewhere)
    finish(folder)
    assert elsewhere.read_text() == "mine" and not (folder / "status.json").is_symlink()
