"""Whatever differs between two descriptions of inputs is named, and nothing else; every component has a format."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

from assignbench.config import formats
from assignbench.config.data import DataSpec
from assignbench.config.detector import DETECTORS, Family
from assignbench.config.formats import FORMATS, REVISED, formats_of
from assignbench.config.inputs import FileGroup, Inputs, file_sets, stale_reasons
from assignbench.data.catalog import READERS, load
from assignbench.detectors.backbones import BACKBONES
from assignbench.methods import ASSIGNERS, CRITERIA, PRESETS
from tests.engine.cells import tiny

GROUPS = get_args(FileGroup)
Content = dict[str, Any]


def digest(rng: np.random.Generator) -> str:
    return rng.bytes(32).hex()


def generated(rng: np.random.Generator) -> tuple[Inputs, dict[FileGroup, dict[str, str]]]:
    """Inputs with every field filled, and their files."""
    listing = {g: {f"{i}.x": digest(rng) for i in range(int(rng.integers(1, 9)))} for g in GROUPS}
    content = {
        "files": file_sets(listing),
        "weights": {"w.pth": digest(rng)},
        "sources": {f"assigner m{i}:C": {f"m{i}.py": digest(rng), "helper.py": digest(rng)} for i in range(2)},
        "formats": {name: int(rng.integers(1, 5)) for name in FORMATS},
    }
    return Inputs.model_validate(content), listing


def leaves(content: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place of a value in nested mappings."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key)


def inner(content: Content, place: tuple[str, ...]) -> Content:
    for key in place[:-1]:
        content = content[key]
    return content


@pytest.mark.parametrize("seed", range(5))
def test_every_value_of_inputs_counts(seed) -> None:
    """Each changed, removed or added on its own gives a reason that names it; unchanged there is none."""
    inputs, _ = generated(np.random.default_rng(seed))
    content = inputs.model_dump(mode="json")
    assert set(content) == set(Inputs.model_fields) == {place[0] for place in leaves(content)}
    assert stale_reasons(inputs, Inputs.model_validate(copy.deepcopy(content))) == []
    for place in leaves(content):
        changed = copy.deepcopy(content)
        holder = inner(changed, place)
        holder[place[-1]] = "0" * 64 if isinstance(holder[place[-1]], str) else holder[place[-1]] + 1
        named = place[1] if place[0] in ("files", "formats") else place[-1]
        named = named.split()[0] if place[0] == "files" else named
        for one, other in ((content, changed), (changed, content)):
            told = stale_reasons(Inputs.model_validate(one), Inputs.model_validate(other))
            assert len(told) == 1 and named in told[0], (place, told)
        if place[0] != "files":  # a group lacks neither its number nor its hash
            del holder[place[-1]]
            for one, other in ((content, changed), (changed, content)):
                assert len(stale_reasons(Inputs.model_validate(one), Inputs.model_validate(other))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_changed_files_are_counted_and_one_is_named(seed) -> None:
    rng = np.random.default_rng(seed)
    inputs, before = generated(rng)
    after = copy.deepcopy(before)
    group = GROUPS[int(rng.integers(len(GROUPS)))]
    names = sorted(after[group])
    chosen = [str(n) for n in rng.choice(names, int(rng.integers(1, len(names) + 1)), replace=False)]
    gone = bool(rng.integers(2))
    for name in chosen:
        after[group][name] = "" if gone else digest(rng)
    now = inputs.model_copy(update={"files": file_sets(after)})
    (told,) = stale_reasons(inputs, now, before, after)
    split, kind = group.split()
    assert kind.removesuffix("s") in told and f"the {split} split" in told and any(n in told for n in chosen)
    assert ("is missing" if gone else "changed") in told
    assert told.startswith(f"{len(chosen)} ") or len(chosen) == 1
    (back,) = stale_reasons(now, inputs, after, before)
    assert ("was missing and is there now" if gone else "changed") in back


def test_the_order_of_files_is_no_matter_and_names_are() -> None:
    one = {"train images": {"a": "1", "b": "2"}}
    assert file_sets(one) == file_sets({"train images": {"b": "2", "a": "1"}})
    assert file_sets(one) != file_sets({"train images": {"b": "1", "a": "2"}})


def test_every_component_has_a_format() -> None:
    """No kind of data and no family without a row, and no row about something that is not there."""
    of_kind = {f"data {kind}" for kind in READERS}
    of_family = {f"detector {family}" for family in get_args(Family)}
    shared = {"augmentation", "batches", "initial weights", "optimiser", "evaluation"}
    assert set(FORMATS) == of_kind | of_family | shared
    registered = {f"assigner {n}" for n in ASSIGNERS} | {f"criterion {n}" for n in CRITERIA}
    assert set(REVISED) <= registered | {f"backbone {n}" for n in BACKBONES}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_cell_records_the_formats_of_its_parts(preset, monkeypatch) -> None:
    spec = PRESETS[preset].method
    config = tiny("iou").model_copy(update={"method": spec})
    for name, detector in DETECTORS.items():
        made = config.detector.model_copy(update={"name": name, "spec": detector})
        config = config.model_copy(update={"detector": made})
        wanted = {f"assigner {spec.assigner.name}", f"criterion {spec.criterion.name}"}
        wanted |= {f"detector {detector.family}", f"backbone {detector.backbone.name}", "data shapes"}
        assert wanted <= set(formats_of(config))
    monkeypatch.setitem(formats.REVISED, f"assigner {spec.assigner.name}", 7)
    assert formats_of(config)[f"assigner {spec.assigner.name}"] == 7


def test_readers_name_the_files_of_a_split(voc_folder, coco_folder) -> None:
    """Also those that are left out: when they are mended, the split is another."""
    voc = DataSpec.model_validate(
        {"name": "v", "kind": "voc", "train": [("VOC2007", "train")], "classes": ["cat", "dog"], "on_bad": "skip"}
    )
    (voc_folder / "VOC2007/JPEGImages/000002.jpg").unlink()
    found = load(voc, "train", voc_folder)
    assert len(found) == 2
    base = voc_folder / "VOC2007"
    assert set(found.sources) == {base / "ImageSets/Main/train.txt", *base.glob("Annotations/00000[123].xml")}
    assert {p.stem for p in found.files} == {"000001", "000002", "000003"}
    coco = DataSpec.model_validate({"name": "c", "kind": "coco", "train": [("instances.json", "images")]})
    found = load(coco, "train", coco_folder)
    assert found.sources == (coco_folder / "instances.json",)
    assert set(found.files) == set((coco_folder / "images").glob("*.png"))
