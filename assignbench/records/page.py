"""docs/records.md, made of the schemas and of the configuration's types: the page cannot differ from the code."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from assignbench.config.base import Config
from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.records.columns import TableSchema
from assignbench.records.imported import ImportedConfig

_HEAD = """<!-- Made by `python -m assignbench.records.schema`; change the code, not this page. -->

# Records

Training a cell leaves one folder, `runs/<study>/<cell-id>/`. Everything that the analyses and the report know comes
from the files of these folders, and every file can be read without AssignBench: parquet tables with pandas, the rest
is JSON. This page lists every file with its columns or keys. AssignBench checks each table against this list when it
writes it, and refuses a column that is missing, unknown, there twice, or of another type.

`cell-id` is a readable name (detector, method, data set, seed) followed by eight digits that depend on everything in
config.json but titles, folders and the number of loader processes. A cell with another configuration therefore gets
another folder.

In the lists below, a name in braces stands for a family: `level{n}_cls` means `level0_cls`, `level1_cls` and so on.
"May be absent" marks a column or key that some cells do not have.
"""


def render(tables: Iterable[TableSchema], documents: Iterable[TableSchema], others: Mapping[str, str]) -> str:
    """The whole page."""
    parts = [_HEAD, "## Tables (parquet)\n"]
    parts += [_section(s, "column") for s in tables]
    parts += ["## JSON files\n", *(_section(s, "key") for s in documents)]
    parts += ["## Other files\n", _rows(("file", "what it is"), [(f"`{k}`", v) for k, v in others.items()])]
    parts += [
        "## config.json\n",
        "What the cell is. A trained cell's file is a CellConfig. The file of a cell whose predictions were read by "
        '`assignbench analyze` is an ImportedConfig, which holds `"imported": true`.\n',
        *(_model(m) for m in models(CellConfig, ImportedConfig)),
    ]
    return "\n".join(parts)


def models(*roots: type[Config]) -> list[type[Config]]:
    """The configuration's types, each before the parts that it is made of; where things lie is told by local.json."""
    found: dict[type[Config], None] = {}
    for root in roots:
        queue = [root]
        while queue:
            model = queue.pop(0)
            if model not in found and model is not LocalPaths:
                found[model] = None
                queue += [part for f in model.model_fields.values() for part in _parts(f.annotation)]
    return list(found)


def _parts(annotation: Any) -> list[type[Config]]:
    if inspect.isclass(annotation) and issubclass(annotation, Config):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _parts(inner)]


def _section(schema: TableSchema, kind: str) -> str:
    rows = []
    for c in schema.columns:
        notes = [c.meaning]
        if c.missing:
            notes.append(f"Without a value {c.missing}.")
        if c.optional:
            notes.append("May be absent.")
        rows.append((f"`{c.name}`", c.type, c.unit, " ".join(notes)))
    about = schema.about + (" Not every cell has this file." if schema.optional else "")
    return f"### {schema.file}\n\n{about}\n\n" + _rows((kind, "type", "unit", "meaning"), rows)


def _model(model: type[Config]) -> str:
    about = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    rows = []
    for name, field in model.model_fields.items():
        if field.default_factory is not None:
            default = "made anew"
        elif field.default is PydanticUndefined:
            default = "must be given"
        elif isinstance(field.default, Config):
            default = f"that of {type(field.default).__name__}"
            if field.default != type(field.default).model_construct():
                default = f"`{field.default}`"
        else:
            default = f"`{field.default!r}`"
        rows.append((f"`{field.alias or name}`", _told(field.annotation), _bounds(field.metadata), default))
    return f"### {model.__name__}\n\n{about}\n\n" + _rows(("key", "type", "limits", "default"), rows)


_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _bounds(metadata: Iterable[Any]) -> str:
    return ", ".join(f"{_SIGNS[k]} {v:g}" for m in metadata for k, v in _limits(m))


def _limits(metadata: Any) -> list[tuple[str, float]]:
    if isinstance(metadata, FieldInfo):
        return [limit for inner in metadata.metadata for limit in _limits(inner)]
    return [(k, getattr(metadata, k)) for k in _SIGNS if getattr(metadata, k, None) is not None]


def _told(annotation: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(annotation), [a for a in get_args(annotation) if a is not Ellipsis]
    if origin is Literal:
        return ", ".join(f"`{v}`" for v in inner)
    if origin is Annotated:
        bounds = _bounds(inner[1:])
        return _told(inner[0]) + (f" ({bounds})" if bounds else "")
    told = [_told(a) for a in inner]
    if origin is tuple and len(told) > 1:
        return f"{len(told)} values: {', '.join(told)}"
    if origin in (Union, types.UnionType):
        return " or ".join(told)
    if told:  # list, tuple of any length, dict with text as keys
        return f"{'object' if origin is dict else 'list'} of {told[-1]}"
    return "null" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |\n" for line in lines)
