"""What reports keep under a cell: the same results, only of these records and this code, and never an error."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, ORDER, kept, prepared, read_study_record
from assignbench.analysis.kept import FILE, Kept, kept_of, packed, read_results
from assignbench.records import CellRecord, finish
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell


def drawn(rng: np.random.Generator, depth: int = 0) -> object:
    """Plain data of any shape."""
    kinds = ["number", "text", "none", "array", "frame", *(["list", "tuple", "dict"] if depth < 3 else [])]
    kind = rng.choice(kinds)
    if kind == "number":
        return [float(rng.normal()), float("nan"), int(rng.integers(-9, 9)), bool(rng.integers(2))][rng.integers(4)]
    if kind == "text":
        return "".join(rng.choice(list("aß√\n\"'{ "), 5))
    if kind == "none":
        return None
    if kind == "array":
        shape = tuple(rng.integers(0, 4, rng.integers(0, 4)))
        return np.asarray(rng.normal(size=shape) * 9).astype(rng.choice(["f8", "f4", "i8", "i4", "?"]))
    if kind == "frame":
        rows = int(rng.integers(0, 4))
        return pd.DataFrame({"a": rng.normal(size=rows), "b": ["x"] * rows, "c": np.arange(rows, dtype=np.int8)})
    parts = [drawn(rng, depth + 1) for _ in range(rng.integers(0, 4))]
    return parts if kind == "list" else tuple(parts) if kind == "tuple" else dict(enumerate(parts))


def assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, pd.DataFrame):
        if len(one):
            pd.testing.assert_frame_equal(one, other)
        assert list(one) == list(other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other or (one != one and other != other)


@pytest.mark.parametrize("seed", range(40))
def test_plain_data_comes_back_as_it_was(tmp_path: Path, seed: int) -> None:
    values = {str(k): drawn(np.random.default_rng([seed, k])) for k in range(6)}
    (tmp_path / "a").write_bytes(packed(values, "key"))
    assert_same(read_results(tmp_path / "a", "key"), values)
    assert read_results(tmp_path / "a", "other") == {}


def test_a_damaged_file_is_not_there(tmp_path: Path) -> None:
    whole = packed({"a": np.arange(5.0), "b": [1, "x"]}, "key")
    path, rng = tmp_path / "a", np.random.default_rng(0)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(changed))
        found = read_results(path, "key")
        assert found == {} or str(found) == str(
            read_results_of(whole, tmp_path)
        )  # spaces of the first line mean nothing
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert read_results(path, "key") == {}
    for foreign in (b"", b"\n\n", b"[]\n[]\n", b'{"key": "key"}\n', b"\x80\x04\n", b"[" * 100_000 + b"\n{}\n"):
        path.write_bytes(foreign)
        assert read_results(path, "key") == {}


def read_results_of(content: bytes, folder: Path) -> dict[str, object]:
    (folder / "whole").write_bytes(content)
    return read_results(folder / "whole", "key")


@pytest.mark.parametrize(
    "wrong", [object(), {1, 2}, np.array(["a"]), np.array([object()]), pd.DataFrame({"a": [1]}, [5])]
)
def test_what_is_no_plain_data_is_refused(tmp_path: Path, wrong: object) -> None:
    store = Kept(tmp_path / "a", "key")
    store.get("x", lambda: wrong)
    with pytest.raises(TypeError):
        store.save()


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with boxes before NMS, one seed each."""
    folder = tmp_path_factory.mktemp("study")
    objects = objects_table([(i, k % 2, 60.0 * k, 10.0, 60.0 * k + 40, 50.0) for i in range(24) for k in range(3)])
    for seed, method in enumerate(("base", "other")):
        before = predicted(objects, seed)
        write_cell(folder, method, 0, objects, before, pre_nms=before, classes=("a", "b"))
    study_of(folder, ("base", "other"))
    return folder


def predicted(objects: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Three boxes around every object."""
    rng, rows = np.random.default_rng(seed), []
    for o in objects.itertuples():
        for _ in range(3):
            corner = np.array([o.x1, o.y1, o.x2, o.y2]) + rng.normal(0, 5, 4)
            rows.append((o.image_id, o.label, *corner, float(rng.uniform(0.05, 1))))
    return boxes_table(rows, "score").sort_values(["image_id", "score"], ascending=[True, False], ignore_index=True)


def results(folder: Path, *, prepare: bool = True) -> dict[str, pd.DataFrame]:
    record = read_study_record(folder)
    if prepare:
        prepared.prepare(record, ORDER, lambda text: None)
    return {r.key: r.frame for name in ORDER for r in ANALYSES[name].run(record)}


def assert_equal(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    assert list(one) == list(other)
    for key, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[key], check_exact=True)


@pytest.fixture(scope="module")
def expected(cells: Path) -> dict[str, pd.DataFrame]:
    return results(cells, prepare=False)


@pytest.fixture
def folder(cells: Path, tmp_path: Path) -> Path:
    shutil.copytree(cells, tmp_path / "study", ignore=shutil.ignore_patterns("cache"))
    return tmp_path / "study"


def test_a_second_report_opens_no_table_of_detections(folder: Path, expected, monkeypatch) -> None:
    assert_equal(results(folder), expected)
    assert len(list(folder.glob(f"*/{FILE}"))) == 2
    read = CellRecord.table

    def watched(self: CellRecord, name: str) -> pd.DataFrame:
        assert name not in ("objects", "detections", "pre_nms", "candidates")
        return read(self, name)

    monkeypatch.setattr(CellRecord, "table", watched)
    assert_equal(results(folder), expected)


def test_all_that_is_asked_of_a_cell_alone_is_prepared(folder: Path) -> None:
    record = read_study_record(folder)
    prepared.prepare(record, ORDER, lambda text: None)
    size = [p.stat().st_size for p in sorted(folder.glob(f"*/{FILE}"))]
    for name in ORDER:
        ANALYSES[name].run(record)
    for cell in record.data():
        cell.kept.save()
    assert [p.stat().st_size for p in sorted(folder.glob(f"*/{FILE}"))] == size


def test_side_by_side_gives_the_same(folder: Path, expected, monkeypatch) -> None:
    monkeypatch.setattr(prepared, "MANY_BYTES", 0)
    monkeypatch.setattr(prepared, "available_cores", lambda: 2)
    told: list[str] = []
    record = read_study_record(folder)
    monkeypatch.setattr(prepared, "prepare_cell", pytest.fail)  # all of it was found in the files of the others
    prepared.prepare(record, ORDER, told.append)
    assert "2 processes" in told[0]
    assert_equal({r.key: r.frame for name in ORDER for r in ANALYSES[name].run(record)}, expected)


def test_other_records_and_other_code_are_worked_out_again(folder: Path, expected, monkeypatch) -> None:
    assert_equal(results(folder), expected)
    cell = next(folder.glob("*-other-*"))
    table = pd.read_parquet(cell / "detections.parquet")
    table.assign(score=table.score.to_numpy()[::-1]).to_parquet(cell / "detections.parquet")
    finish(cell)
    changed = results(folder)
    assert_equal(changed, results(folder, prepare=False))
    assert not changed["errors"].equals(expected["errors"])
    (first,) = folder.glob("*-base-*")
    shutil.copy(first / FILE, cell / FILE)  # that of another cell
    assert_equal(results(folder), changed)
    before = kept_of(CellRecord(cell, thorough=True))
    monkeypatch.setattr(kept, "code_digest", lambda: "another version")
    assert before.holds("errors")
    assert not kept_of(CellRecord(cell, thorough=True)).holds("errors")


def test_damaged_and_missing_files_cost_time_alone(folder: Path, expected, monkeypatch) -> None:
    results(folder)
    for number, path in enumerate(sorted(folder.glob(f"*/{FILE}"))):
        path.write_bytes(path.read_bytes()[: 1000 * number])
    assert_equal(results(folder), expected)

    def refused(path: Path, content: bytes) -> None:
        raise PermissionError(path)

    for path in folder.glob("*/cache"):
        shutil.rmtree(path)
    monkeypatch.setattr(kept, "write_bytes", refused)
    assert_equal(results(folder), expected)
    assert not list(folder.glob(f"*/{FILE}"))


def test_nothing_is_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for cell in read_study_record(folder).done:
        shutil.rmtree(cell.folder / "cache", ignore_errors=True)
        (cell.folder / "cache").symlink_to(tmp_path / "elsewhere")
    results(folder)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_changed_bytes_are_seen_however_old_they_look(folder: Path) -> None:
    read_study_record(folder)
    cell = next(folder.glob("*-other-*"))
    path = cell / "detections.parquet"
    about, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert [c.state for c in read_study_record(folder).cells] == ["done", "damaged"]
