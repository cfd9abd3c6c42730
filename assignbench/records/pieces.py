"""A table that is written piece by piece, so that a split of any size needs the memory of a few batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assignbench.records.columns import TableSchema
from assignbench.records.files import whole_file

ROWS = 100_000  # of a row group: pieces are gathered up to it


class Pieces:
    """Takes a table's pieces, which are checked against its schema, and writes them as row groups of a parquet file."""

    def __init__(self, path: Path, schema: TableSchema, place: str) -> None:
        self._path, self._schema, self._place = path, schema, place
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pd.DataFrame] = []
        self._empty: pd.DataFrame | None = None

    def add(self, piece: pd.DataFrame) -> None:
        """Takes the next rows. Raises InputError as `write_table` does; all pieces have the same columns."""
        checked = self._schema.table(piece, self._place)
        if len(checked):
            self._waiting.append(checked)
        else:
            self._empty = checked
        if sum(map(len, self._waiting)) >= ROWS:
            self._write()

    def finish(self) -> None:
        """Writes what is left; a table without rows has its columns."""
        if not self._waiting and self._writer is None and self._empty is not None:
            self._waiting.append(self._empty)
        self._write()

    def close(self) -> None:
        """Closes the file, whole or not."""
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        if not self._waiting:
            return
        group = pa.Table.from_pandas(pd.concat(self._waiting, ignore_index=True), preserve_index=False)
        self._waiting = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, group.schema)
        self._writer.write_table(group)


@contextmanager
def in_pieces(path: Path, schema: TableSchema) -> Iterator[Pieces]:
    """Takes a table's pieces; its file is there whole at the end of the block, or not at all.

    Raises InputError for a piece that does not fit the schema, naming the file.
    """
    with whole_file(path) as partial:
        pieces = Pieces(partial, schema, str(path))
        try:
            yield pieces
            pieces.finish()
        finally:
            pieces.close()
