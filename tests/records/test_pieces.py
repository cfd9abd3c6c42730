"""Tables that are written piece by piece: the same as in one, whole or not at all."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from assignbench.errors import InputError
from assignbench.records import Column, TableSchema, in_pieces, pieces, write_table

SCHEMA = TableSchema(
    "some",
    "some.parquet",
    "A table.",
    (Column("number", "int", "A number."), Column("share", "float", "A share.", missing="sometimes")),
)


def rows(count: int, start: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {"number": np.arange(start, start + count), "share": np.linspace(0, 1, count).astype(np.float32)}
    )


@pytest.mark.parametrize("sizes", [[0, 5, 0, 7, 3], [4], [0, 0], [12, 12, 1]])
def test_pieces_make_the_table_that_one_piece_makes(tmp_path, monkeypatch, sizes) -> None:
    monkeypatch.setattr(pieces, "ROWS", 6)
    parts = [rows(n, 100 * i) for i, n in enumerate(sizes)]
    with in_pieces(tmp_path / "a.parquet", SCHEMA) as file:
        for part in parts:
            file.add(part)
    filled = [p for p in parts if len(p)]
    write_table(tmp_path / "b.parquet", pd.concat(filled or parts, ignore_index=True), SCHEMA)
    one, other = (pd.read_parquet(tmp_path / f"{n}.parquet") for n in "ab")
    pd.testing.assert_frame_equal(one, other)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups <= max(1, len(filled))


def test_rows_are_gathered_into_row_groups(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pieces, "ROWS", 10)
    with in_pieces(tmp_path / "a.parquet", SCHEMA) as file:
        for start in range(0, 40, 4):
            file.add(rows(4, start))
    about = pq.read_metadata(tmp_path / "a.parquet")
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [12, 12, 12, 4]


def test_what_ends_early_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pieces, "ROWS", 1)
    path = tmp_path / "a.parquet"
    write_table(path, rows(3), SCHEMA)
    with pytest.raises(InputError, match=r"a\.parquet: column 'share' is missing"), in_pieces(path, SCHEMA) as file:
        file.add(rows(5))
        file.add(rows(5).drop(columns="share"))
    assert len(pd.read_parquet(path)) == 3 and [p.name for p in tmp_path.iterdir()] == ["a.parquet"]
