"""Records: what a cell leaves on disk, readable without torch."""

from assignbench.records.columns import Column, TableSchema
from assignbench.records.imported import ImportedConfig, ImportedData, ImportedDetector, ImportedMethod
from assignbench.records.store import (
    AnyConfig,
    CellRecord,
    State,
    append_lines,
    read_cells,
    read_config,
    read_json,
    read_lines,
    write_config,
    write_json,
    write_table,
    write_text,
)

__all__ = [
    "AnyConfig",
    "CellRecord",
    "Column",
    "ImportedConfig",
    "ImportedData",
    "ImportedDetector",
    "ImportedMethod",
    "State",
    "TableSchema",
    "append_lines",
    "read_cells",
    "read_config",
    "read_json",
    "read_lines",
    "write_config",
    "write_json",
    "write_table",
    "write_text",
]
