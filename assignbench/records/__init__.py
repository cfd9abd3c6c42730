"""Records: what a cell leaves on disk, readable without torch."""

from assignbench.records.columns import Column, TableSchema
from assignbench.records.files import (
    append_lines,
    read_json,
    read_lines,
    write_bytes,
    write_json,
    write_table,
    write_text,
    write_whole,
)
from assignbench.records.imported import ImportedConfig, ImportedData, ImportedDetector, ImportedMethod
from assignbench.records.manifest import damage_of, finish
from assignbench.records.pieces import Pieces, in_pieces
from assignbench.records.store import (
    AnyConfig,
    CellRecord,
    OldRecords,
    Snapshot,
    State,
    clear_folder,
    move_records,
    read_about,
    read_cells,
    read_config,
    refuse_old,
    write_config,
)

__all__ = [
    "AnyConfig",
    "CellRecord",
    "Column",
    "ImportedConfig",
    "ImportedData",
    "ImportedDetector",
    "ImportedMethod",
    "OldRecords",
    "Pieces",
    "Snapshot",
    "State",
    "TableSchema",
    "append_lines",
    "clear_folder",
    "damage_of",
    "finish",
    "in_pieces",
    "move_records",
    "read_about",
    "read_cells",
    "read_config",
    "read_json",
    "read_lines",
    "refuse_old",
    "write_bytes",
    "write_config",
    "write_json",
    "write_table",
    "write_text",
    "write_whole",
]
