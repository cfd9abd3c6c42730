"""Which entries of a configuration a training reads: all, but those that name things or say how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from assignbench.config.cell import CellConfig, LocalPaths, id_of
from assignbench.config.inputs import FileSet, Inputs, of_training
from assignbench.config.words import Word, words_of
from tests.records.test_config import cell, changed
from tests.study.perturb import walk

# What makes another cell of the same training, and what does not even make another cell.
READING = (
    *("method.name", "method.preset", "method.ranking", "method.floor_on", "method.nms.", "method.voting."),
    *("detector.name", "detector.label", "data.name", "data.test", "data.test_images", "evaluation."),
)
NOWHERE = (
    *("data.root", "data.title", "data.obtain", "schedule.loader_workers", "schedule.checkpoint_every"),
    *("data.val", "data.val_images"),  # of a cell that is measured on the test split
)
# Of the same configuration in the version before (0.4, commit 025b94a).
ID_BEFORE, TRAINING_BEFORE = "62d8a549", "5f705d4ef2b16025"
METHOD = {
    "name": "mg",
    "preset": "mutual_guidance",
    "assigner": {"name": "mutual_guidance"},
    "quality": "iou",
    "voting": {},
}


def others(word: Word) -> Iterator[Any]:
    """Values that differ from the default, most of which may stand there."""
    yield from word.options
    for kind in word.kinds:
        yield from {int: (3, 7, 64), float: (0.125, 0.75, 3.5), bool: (True, False), str: ("other",)}.get(kind, ())
    if word.item is not None and word.item.item is None:
        yield from ([value] for value in others(word.item))


def variants() -> list[tuple[str, CellConfig]]:
    """For every entry of a configuration that can have another value by itself, the configuration with it."""
    config, found = cell(method=METHOD), []
    for place, word in walk(words_of(CellConfig)):
        path = ".".join(place)
        if word.fields and not word.kinds and not word.options:
            continue
        for value in others(word):
            try:
                other = changed(config, path, value)
            except (ValidationError, TypeError, KeyError):
                continue
            if other != config:
                found.append((path, other))
                break
    return [*found, *((f"data.{s}", changed(config, f"data.{s}", [["a", "b"]])) for s in ("test", "val"))]


VARIANTS = variants()


@pytest.mark.parametrize(("path", "other"), VARIANTS, ids=[path for path, _ in VARIANTS])
def test_every_entry_but_names_and_reading_makes_another_training(path, other) -> None:
    config = cell(method=METHOD)
    reading = any(path == p or (p.endswith(".") and path.startswith(p)) for p in READING)
    assert (other.training_id == config.training_id) == (reading or path in NOWHERE)
    assert (other.id == config.id) == (path in NOWHERE)


def test_enough_entries_are_looked_at() -> None:
    paths = {path for path, _ in VARIANTS}
    assert len(paths) > 60
    for place in ("seed", "schedule.lr", "method.quality", "method.nms.iou", "evaluation.floor", "data.use_difficult"):
        assert place in paths


def test_entries_that_came_later_change_no_id_where_they_are_not_used() -> None:
    """The ids of 0.4: config.json of that version has none of these entries."""
    config = cell()
    content = config.model_dump(mode="json")
    for part, name in (("schedule", "average"), ("evaluation", "split"), ("data", "val"), ("data", "val_images")):
        del content[part][name]
    assert CellConfig.model_validate(content) == config
    assert id_of(config.slug, content) == config.id == "retinanet-slim-mg-shapes-seed3-" + ID_BEFORE
    assert config.training_id == TRAINING_BEFORE


def test_a_cell_of_the_validation_split_shares_the_training_and_knows_its_own_split_alone() -> None:
    on_test = cell()
    on_val = changed(on_test, "evaluation.split", "val")
    assert on_val.training_id == on_test.training_id and on_val.id != on_test.id
    assert on_val.splits == ("train", "val") and on_test.splits == ("train", "test")
    for name, value in (("val", [["a", "b"]]), ("val_images", 7)):
        assert changed(on_val, f"data.{name}", value).id != on_val.id
    for name, value in (("test", [["a", "b"]]), ("test_images", 7)):
        assert changed(on_val, f"data.{name}", value).id == on_val.id


def test_no_voting_and_voting_share_a_training() -> None:
    assert cell().training_id != cell(method=METHOD).training_id  # another quality head
    voting = {**METHOD, "voting": None}
    assert cell(method=voting).training_id == cell(method=METHOD).training_id


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "/root", "..", "a\nb"])
def test_a_training_is_taken_from_a_cell_beside_it_alone(name) -> None:
    with pytest.raises(ValidationError):
        LocalPaths(training=name)
    assert LocalPaths(training=cell().id).training == cell().id


def test_inputs_of_a_training_are_without_the_test_split() -> None:
    one = FileSet(count=1, sha256="a")
    inputs = Inputs(
        files={"train images": one, "train annotations": one, "test images": one, "val annotations": one},
        weights={"w": "b"},
        formats={"evaluation": 1, "optimiser": 1},
    )
    found = of_training(inputs)
    assert set(found.files) == {"train images", "train annotations"}
    assert found.formats == {"optimiser": 1} and found.weights == inputs.weights
