"""Every kind of violation is refused with file and column, and what fits comes back as it was."""

import json

import numpy as np
import pandas as pd
import pytest

from assignbench.errors import InputError
from assignbench.records import (
    CellRecord,
    Column,
    TableSchema,
    append_lines,
    finish,
    write_config,
    write_json,
    write_table,
)
from assignbench.records.check import problems_of, schema_of
from assignbench.records.documents import DOCUMENTS
from assignbench.records.schema import OBJECTS, OTHER_FILES, PAGE, PROBE_OBJECTS, SCHEMAS, TABLES, page
from tests.records.test_config import cell

ROWS = 3
VALUES = {
    "int": np.arange(ROWS),
    "float": np.linspace(0, 1, ROWS),
    "bool": np.array([True, False, True]),
    "number": np.linspace(0, 1, ROWS),
    "text": ["a", "b", "c"],
}
JSON = {"int": 3, "float": 0.5, "bool": True, "text": "word", "list": [1], "object": {"a": 1}}
WRONG = {"int": "float", "float": "int", "bool": "int", "number": "text", "text": "int"}


def named(column: Column) -> str:
    """A name that the column covers."""
    return column.name.replace("{n}", "0").replace("{", "").replace("}", "")


def table_of(schema: TableSchema, rows: int = ROWS) -> pd.DataFrame:
    """A table with every column of the schema."""
    return pd.DataFrame({named(c): VALUES[c.type] for c in schema.columns}).head(rows)


def content_of(schema: TableSchema) -> dict[str, object]:
    """A JSON object with every key of the schema."""
    return {named(c): JSON[c.type] for c in schema.columns}


def each_column(schemas, keep=lambda c: True):
    return [pytest.param(s, c, id=f"{s.name}-{c.name}") for s in schemas for c in s.columns if keep(c)]


@pytest.mark.parametrize("schema", TABLES, ids=lambda s: s.name)
def test_a_table_that_fits_comes_back(schema, tmp_path) -> None:
    path, table = tmp_path / "t.parquet", table_of(schema)
    write_table(path, table, schema)
    pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_dtype=True)
    schema.table(pd.read_parquet(path), "again")


@pytest.mark.parametrize("schema", TABLES, ids=lambda s: s.name)
def test_an_empty_table_keeps_its_columns_and_types(schema, tmp_path) -> None:
    untyped = pd.DataFrame({named(c): [] for c in schema.columns}, dtype=object)
    write_table(tmp_path / "t.parquet", untyped, schema)
    back = pd.read_parquet(tmp_path / "t.parquet")
    assert list(back.columns) == [named(c) for c in schema.columns]
    for c in schema.columns:
        if c.type in ("int", "float", "bool"):
            assert back[named(c)].dtype.kind == {"int": "i", "float": "f", "bool": "b"}[c.type]


@pytest.mark.parametrize(("schema", "column"), each_column(TABLES))
def test_a_missing_column_is_refused_unless_optional(schema, column, tmp_path) -> None:
    table = table_of(schema).drop(columns=named(column))
    path = tmp_path / "t.parquet"
    if column.optional:
        write_table(path, table, schema)
        return
    with pytest.raises(InputError) as problem:
        write_table(path, table, schema)
    assert f"'{column.name}' is missing" in str(problem.value)
    assert str(path) in str(problem.value)
    assert not path.exists()


@pytest.mark.parametrize(("schema", "column"), each_column(TABLES))
def test_a_wrong_type_is_refused(schema, column, tmp_path) -> None:
    table = table_of(schema).assign(**{named(column): VALUES[WRONG[column.type]]})
    with pytest.raises(InputError, match=f"column '{named(column)}' has type"):
        write_table(tmp_path / "t.parquet", table, schema)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("schema", "column"), each_column(TABLES, lambda c: c.type == "float"))
def test_a_missing_value_is_refused_unless_told(schema, column, tmp_path) -> None:
    table = table_of(schema)
    table.loc[1, named(column)] = np.nan
    if column.missing:
        write_table(tmp_path / "t.parquet", table, schema)
    else:
        with pytest.raises(InputError, match=rf"'{named(column)}' has no value in 1 of 3 rows \(first: row 1\)"):
            write_table(tmp_path / "t.parquet", table, schema)


@pytest.mark.parametrize("schema", [s for s in TABLES if s is not PROBE_OBJECTS], ids=lambda s: s.name)
def test_an_unknown_column_is_refused_with_the_nearest(schema, tmp_path) -> None:
    near = named(schema.columns[0])
    with pytest.raises(InputError, match=f"unknown column '{near}s'; did you mean '{near}'"):
        write_table(tmp_path / "t.parquet", table_of(schema).assign(**{f"{near}s": 1.0}), schema)


@pytest.mark.parametrize("schema", TABLES, ids=lambda s: s.name)
def test_a_doubled_column_is_refused(schema, tmp_path) -> None:
    table = table_of(schema)
    name = table.columns[-1]
    with pytest.raises(InputError, match=f"column '{name}' is there 2 times"):
        write_table(tmp_path / "t.parquet", pd.concat([table, table[[name]]], axis=1), schema)


@pytest.mark.parametrize(("schema", "column"), each_column(DOCUMENTS))
def test_json_keys_are_checked(schema, column) -> None:
    content = content_of(schema)
    schema.mapping(content, "here")
    name = named(column)
    without = {k: v for k, v in content.items() if k != name}
    for changed, allowed in ((without, column.optional), ({**content, name: None}, bool(column.missing))):
        if allowed:
            schema.mapping(changed, "here")
        else:
            with pytest.raises(InputError, match=rf"here: .*'{column.name}|here: '{name}'"):
                schema.mapping(changed, "here")
    wrong = "no number" if column.type in ("int", "float", "bool") else 7
    with pytest.raises(InputError, match=f"here: '{name}' is .*expected {column.type}"):
        schema.mapping({**content, name: wrong}, "here")
    if column.type in ("int", "float"):
        with pytest.raises(InputError, match=f"'{name}' is True"):
            schema.mapping({**content, name: True}, "here")


@pytest.mark.parametrize("schema", DOCUMENTS, ids=lambda s: s.name)
def test_unknown_json_keys_are_refused(schema) -> None:
    with pytest.raises(InputError, match="unknown column 'nonsense'"):
        schema.mapping({**content_of(schema), "nonsense": 1}, "here")


def test_a_name_of_its_own_goes_before_a_family() -> None:
    assert PROBE_OBJECTS.column("label").type == "int"
    assert PROBE_OBJECTS.column("mixture_mean_0").name == "{diagnostic}"
    assert SCHEMAS["assignments"].column("level12_cls").name == "level{n}_cls"
    assert SCHEMAS["assignments"].column("levelx_cls") is None


def test_a_data_set_of_your_own_brings_its_factors(tmp_path) -> None:
    table = table_of(OBJECTS).assign(blur=VALUES["float"])
    with pytest.raises(InputError, match="unknown column 'blur'"):
        write_table(tmp_path / "t.parquet", table, OBJECTS)
    write_table(tmp_path / "t.parquet", table, OBJECTS.extended(Column("blur", "float", "How blurred it is.")))


def test_a_schema_names_each_column_once() -> None:
    with pytest.raises(ValueError, match="'label' twice"):
        OBJECTS.extended(Column("label", "int", "Again."))


def test_double_meanings_have_ended() -> None:
    """`area` is in original pixels, `score` is the final one: neither name is used for anything else."""
    for word, only in (("area", {"objects"}), ("score", {"detections"}), ("quality", set())):
        assert {s.name for s in TABLES for c in s.columns if c.name == word} == only


def test_every_entry_is_told_in_a_sentence() -> None:
    for schema in SCHEMAS.values():
        for column in schema.columns:
            assert column.meaning[0].isupper()
            assert column.meaning.endswith("."), f"{schema.name}.{column.name}"


def test_the_page_is_what_the_code_makes() -> None:
    assert PAGE.read_text() == page(), "run `python -m assignbench.records.schema`"


def finished(folder) -> CellRecord:
    """A finished cell's folder with every file that a schema describes."""
    write_config(folder, cell())
    for schema in (s for s in SCHEMAS.values() if not s.file.startswith("../")):
        path = folder / schema.file.replace("{n}", "00000010")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            write_table(path, table_of(schema), schema)
        elif path.suffix == ".jsonl":
            append_lines(path, [content_of(schema)] * 2)
        else:
            write_json(path, content_of(schema))
    for name in OTHER_FILES:
        path = folder / name.replace("*", "1")
        if not path.exists() and path.suffix != ".parquet":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("something")
    finish(folder)
    return CellRecord(folder)


def test_a_whole_folder_is_checked(tmp_path) -> None:
    record = finished(tmp_path / "cell")
    assert problems_of(record.folder) == []


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "objects.parquet").unlink(), "has no objects.parquet"),
        (lambda f: (f / "summary.json").unlink(), "has no summary.json"),
        (lambda f: (f / "stray.csv").write_text("a"), "stray.csv: no file of that name"),
        (lambda f: (f / "config.json").write_text('{"format": 1}'), "format 1"),
        (
            lambda f: append_lines(f / "metrics.jsonl", [{"step": 1}]),
            "metrics.jsonl, line 3: column 'epoch' is missing",
        ),
        (lambda f: pd.DataFrame({"a": [1]}).to_parquet(f / "probes" / "visit-7.parquet"), "unknown column 'a'"),
        (lambda f: (f / "status.json").write_text(json.dumps({"state": "done", "step": "x"})), "'step' is 'x'"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(tmp_path, break_it, said) -> None:
    record = finished(tmp_path / "cell")
    break_it(record.folder)
    problems = problems_of(record.folder)
    assert said in "\n".join(problems)
    assert len([p for p in problems if "manifest.json says" not in p and " is missing" not in p]) <= 1


def test_files_are_known_by_their_place() -> None:
    assert schema_of("probes/visit-00000012.parquet") is SCHEMAS["probes"]
    assert schema_of("probes/objects-00000012.parquet") is SCHEMAS["probe_objects"]
    assert schema_of("visit-00000012.parquet") is None
