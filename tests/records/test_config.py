"""A cell's configuration on disk: there and back, the id that it gives, and what cannot be read is refused."""

import json

import pytest

from assignbench.config import CellConfig
from assignbench.config.cell import FORMAT
from assignbench.config.method import Voting
from assignbench.errors import InputError
from assignbench.records import CellRecord, ImportedConfig, ImportedData, ImportedMethod, OldRecords, write_config


def cell(**changes) -> CellConfig:
    """A small cell; `changes` replace whole parts of it."""
    priors = {"kind": "anchor", "scales": [4.0], "ratios": [1.0]}
    parts = {"backbone": {"name": "slim"}, "neck": {"width": 16}, "head": {"width": 16, "depth": 1}, "priors": priors}
    spec = {"family": "retinanet", **parts}
    parts = {
        "seed": 3,
        "detector": {"name": "retinanet-slim", "label": "retinanet-slim", "spec": spec},
        "method": {"name": "mg", "preset": "mutual_guidance", "assigner": {"name": "mutual_guidance"}},
        "data": {"name": "shapes", "kind": "shapes", "train": [("a", "b")]},
        "schedule": {"steps": 10},
    }
    return CellConfig.model_validate({**parts, **changes})


def changed(config: CellConfig, path: str, value: object) -> CellConfig:
    """The configuration with one value, named by its dotted path, replaced."""
    content = config.model_dump(mode="json")
    part = content
    *way, last = path.split(".")
    for name in way:
        part = part[name]
    part[last] = value
    return CellConfig.model_validate(content)


def test_json_brings_a_configuration_back() -> None:
    method = {
        "name": "paa_voting",
        "preset": "paa_voting",
        "assigner": {"name": "paa", "parameters": {"alpha": 0.25, "list": [1, 2.5, "x", None], "deep": {"a": True}}},
        "quality": "iou",
        "ranking": "sqrt(cls*quality)",
        "nms": {"kind": "soft", "iou": 0.6, "sigma": 0.3},
        "voting": {"sigma": 0.025, "by": "closeness"},
        "coder": {"stds": [1.0, 1.0], "distance": "relu", "legacy_plus_one": "paa"},
        "head_init": {"prior_prob": 0.05, "zero_box": True, "box_bias": 4.0},
    }
    config = cell(method=method, schedule={"epochs": 1.5, "milestones": [0.1, 2 / 3]})
    assert config.method.voting == Voting(by="closeness")
    again = CellConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert CellConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert again.id == config.id


def test_a_record_gives_back_what_was_written(tmp_path) -> None:
    config = cell()
    write_config(tmp_path / config.id, config)
    record = CellRecord(tmp_path / config.id)
    assert record.config == record.trained == config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.root", "/elsewhere"),
        ("data.title", "another title"),
        ("data.obtain", "ask"),
        ("schedule.loader_workers", 5),
        ("schedule.checkpoint_every", 1),
    ],
)
def test_where_things_lie_does_not_change_the_id(path, value) -> None:
    assert changed(cell(), path, value).id == cell().id


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 4),
        ("probe_images", 1),
        ("method.nms.iou", 0.6),
        ("method.coder.stds", [1.0, 1.0]),
        ("method.assigner.parameters", {"gamma": 1.0}),
        ("detector.spec.head.depth", 2),
        ("data.size", 64),
        ("data.factors.contrast", 10),
        ("schedule.threads", 2),
        ("schedule.lr", 0.001),
        ("evaluation.floor", 0.05),
        ("format", FORMAT - 1),
    ],
)
def test_what_makes_a_cell_that_cell_changes_the_id(path, value) -> None:
    one, other = cell(), changed(cell(), path, value)
    assert one.id != other.id
    assert one.slug == other.slug or path == "seed"


def test_the_id_is_the_same_in_every_process() -> None:
    config = cell()
    again = CellConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json"), sort_keys=True)))
    assert config.id == again.id
    assert config.id.startswith("retinanet-slim-mg-shapes-seed3-")
    assert len(config.id.rsplit("-", 1)[1]) == 8


def test_an_imported_cell_says_so_and_is_no_trained_one(tmp_path) -> None:
    config = ImportedConfig(method=ImportedMethod(name="yolo"), data=ImportedData(name="street"))
    write_config(tmp_path / "imported", config)
    record = CellRecord(tmp_path / "imported")
    assert record.config == config
    assert (record.config.detector.label, record.config.seed) == ("imported", 0)
    with pytest.raises(InputError, match="assignbench analyze"):
        _ = record.trained


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"seed": 0, "method": {"nms_kind": "soft"}}', "AssignBench 0.1"),
        ('{"format": 1, "seed": 0}', "AssignBench 0.1"),
        ('{"format": 2, "seed": 0}', "AssignBench 0.2"),
        ('{"format": 3, "seed": 0}', "AssignBench 0.3"),
    ],
)
def test_older_folders_are_refused_with_the_way_out(tmp_path, text, said) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(OldRecords) as problem:
        _ = CellRecord(tmp_path).config
    message = str(problem.value)
    assert str(tmp_path) in message
    assert said in message
    assert "another --out" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"format": 99}', "format 99"),
        (b'{"format": [3]}', "format [3]"),
        (b"[1, 2]", "holds a list"),
        (b"{half", "line 1"),
        (b"[" * 100_000, "config.json"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "config.json"),
        (b'{"format": 4, "seed": -1}', "seed"),
    ],
)
def test_a_damaged_configuration_is_told_with_the_way_out(tmp_path, content, said) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError) as problem:
        _ = CellRecord(tmp_path).config
    assert not isinstance(problem.value, OldRecords)
    assert str(tmp_path) in str(problem.value) and said in str(problem.value)
    assert "redoes the cell" in str(problem.value)


def test_an_unknown_key_is_refused(tmp_path) -> None:
    content = {**cell().model_dump(mode="json"), "colour": "blue"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="colour"):
        _ = CellRecord(tmp_path).config


def test_a_folder_without_configuration_is_no_cell(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        _ = CellRecord(tmp_path / "nowhere").config
