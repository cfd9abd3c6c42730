"""Records: what a cell leaves on disk, readable without torch."""

from assignbench.records.store import (
    CellRecord,
    State,
    append_lines,
    read_cells,
    read_json,
    read_lines,
    write_json,
    write_table,
    write_text,
)

__all__ = [
    "CellRecord",
    "State",
    "append_lines",
    "read_cells",
    "read_json",
    "read_lines",
    "write_json",
    "write_table",
    "write_text",
]
