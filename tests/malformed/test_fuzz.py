"""Inputs with a value or some bytes changed at random: a command accepts or refuses them, and says which file."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.malformed import records, results
from tests.malformed.data_csv import Csv, rows, table
from tests.malformed.data_images import encoded
from tests.malformed.datasets import NAMES, OBJECTS, Coco, Voc, coco, pixels, voc_xml
from tests.malformed.harness import Case, Told, judged
from tests.malformed.studies import SOUND, put
from tests.malformed.wrong_json import changed

# The same examples in every run; as many as fit into some seconds.
seldom = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**63, 10**30, 0.1, -0.0, math.inf, math.nan, 1e308, 5e-324])
)
plain = st.none() | st.booleans() | numbers | st.text(max_size=8) | st.dates()
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_NUMBER = itertools.count()


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside nested lists and mappings."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield (*above, key)
        yield from places(value, (*above, key))


def check(
    tmp_path: Path, write: Callable[[Path], Sequence[str]], file: str, written: tuple[str, ...] = (), **more: Any
) -> None:
    """Fails unless the input is accepted, or refused with the name of the file."""

    def named(folder: Path, told: Told) -> list[str]:
        return [] if told.code == 0 or file in told.text else [f"refused without naming {file}: {told.text[-300:]}"]

    folder = tmp_path / str(next(_NUMBER))
    case = Case(
        "fuzz", file, write, (), (0, 1, 2) if more.pop("faults", False) else (0, 2), named, written=written, **more
    )
    problems = judged(case, folder)
    shutil.rmtree(folder)
    assert not problems, problems


def spoilt(content: bytes, place: float, cut: bool, new: bytes) -> bytes:
    """Bytes put over others, or all of them cut off from there."""
    start = int(place * len(content))
    return content[:start] if cut else content[:start] + new + content[start + len(new) :]


@seldom
@given(place=st.sampled_from(list(places(SOUND))), value=values)
def test_any_value_in_a_study(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    def write(folder: Path) -> list[str]:
        (folder / "study.yaml").write_text(
            yaml.safe_dump(put(SOUND, place, value), allow_unicode=True, sort_keys=False)
        )
        return ["plan", "study.yaml"]

    check(tmp_path, write, "study.yaml")


@seldom
@given(place=st.floats(0, 1), cut=st.booleans(), new=st.binary(min_size=1, max_size=4))
def test_any_bytes_in_a_study(tmp_path: Path, place: float, cut: bool, new: bytes) -> None:
    whole = yaml.safe_dump(SOUND, sort_keys=False).encode()

    def write(folder: Path) -> list[str]:
        (folder / "study.yaml").write_bytes(spoilt(whole, place, cut, new))
        return ["plan", "study.yaml"]

    check(tmp_path, write, "study.yaml")


@seldom
@given(key=st.text(min_size=1, max_size=12), value=st.text(max_size=12))
def test_any_option(tmp_path: Path, key: str, value: str) -> None:
    def write(folder: Path) -> list[str]:
        (folder / "study.yaml").write_text(yaml.safe_dump(SOUND))
        return ["plan", "study.yaml", "--set", f"{key}={value}"]

    check(tmp_path, write, "")


@seldom
@given(place=st.sampled_from(list(places(results.truth()))), value=json_values)
def test_any_value_in_a_ground_truth(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    made = changed(results.truth(), place, value)
    check(tmp_path, lambda f: results.analyze(f, made, results.found()), ".json", ("runs",), instead=results.UNREPORTED)


@seldom
@given(place=st.sampled_from(list(places(results.found()))), value=json_values)
def test_any_value_in_a_result_file(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    made = changed(results.found(), place, value)
    check(
        tmp_path,
        lambda f: results.analyze(f, results.truth(), made),
        "found.json",
        ("runs",),
        instead=results.UNREPORTED,
    )


@seldom
@given(box=st.lists(st.floats(-300, 300, width=32), min_size=4, max_size=4), score=st.floats(0, 1, width=32))
def test_a_sound_number_is_read_as_it_is(tmp_path: Path, box: list[float], score: float) -> None:
    """A box that is accepted stands in the records as it was written."""
    import pandas as pd

    made = [*results.found(), {"image_id": 10, "category_id": 3, "bbox": box, "score": score}]
    folder = tmp_path / str(next(_NUMBER))
    kept: list[str] = []

    def read(folder: Path, told: Told) -> list[str]:
        cell = next((folder / "runs").glob("*/imported-*"))
        table = pd.read_parquet(cell / "detections.parquet")
        known = table[["x1", "y1", "x2", "y2", "score"]].to_numpy(float)
        wanted = [box[0], box[1], box[0] + box[2], box[1] + box[3], score]
        kept.append("read")
        same = (abs(known - wanted) < 1e-3).all(axis=1).any()
        return (
            []
            if same or box[2] <= 0 or box[3] <= 0 or "left out" in told.text
            else [f"{wanted} is not among {known.tolist()}"]
        )

    case = Case(
        "fuzz",
        "box",
        lambda f: results.analyze(f, results.truth(), made),
        (),
        (0, 2),
        None,
        written=("runs",),
        instead=results.UNREPORTED,
    )
    problems = judged(case, folder)
    if not problems and (folder / "runs").exists():
        problems = read(folder, Told(0, "", ""))
    shutil.rmtree(folder)
    assert not problems, problems


@seldom
@given(place=st.sampled_from(list(places(coco(NAMES[:3])))), value=json_values)
def test_any_value_in_a_coco_set(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    made = Coco(train=changed(coco(NAMES[:3]), place, value))
    check(tmp_path, made.write, "mine")


@seldom
@given(
    place=st.floats(0, 1),
    cut=st.booleans(),
    new=st.binary(min_size=1, max_size=4),
    which=st.sampled_from(["xml", "list", "csv", "png", "json"]),
)
def test_any_bytes_in_a_data_set(tmp_path: Path, place: float, cut: bool, new: bytes, which: str) -> None:
    from PIL import Image

    first = NAMES[0]
    if which == "xml":
        made: Any = Voc(xml={first: spoilt(voc_xml(f"{first}.jpg", OBJECTS[first]).encode(), place, cut, new)})
    elif which == "list":
        made = Voc(lists={"train": spoilt("\n".join(NAMES[:3]).encode(), place, cut, new), "test": NAMES[3]})
    elif which == "csv":
        made = Csv(train=spoilt(table(rows(NAMES[:3])).encode(), place, cut, new))
    elif which == "json":
        made = Coco(train=spoilt(json.dumps(coco(NAMES[:3])).encode(), place, cut, new))
    else:
        made = Coco(images={f"{first}.png": spoilt(encoded(Image.fromarray(pixels(first)), "PNG"), place, cut, new)})
    check(tmp_path, made.write, "mine")


@seldom
@given(
    place=st.floats(0, 1),
    cut=st.booleans(),
    new=st.binary(min_size=1, max_size=4),
    file=st.sampled_from([*records.FILES, *records.OF_REPORT]),
    command=st.sampled_from(["status", "plan"]),
)
def test_any_bytes_in_a_record(tmp_path: Path, place: float, cut: bool, new: bytes, file: str, command: str) -> None:
    def damage(path: Path) -> None:
        path.write_bytes(spoilt(path.read_bytes(), place, cut, new))

    check(
        tmp_path,
        lambda f: records.told(command, records.spoil_file(file, damage), f),
        records.cell_names()[1],
        faults=True,
    )


def test_the_harness_sees_what_is_wrong(tmp_path: Path) -> None:
    """A judge who never finds fault proves nothing."""
    text = yaml.safe_dump(SOUND)

    def write(folder: Path) -> list[str]:
        (folder / "study.yaml").write_text(text)
        return ["plan", "study.yaml"]

    def raises(folder: Path) -> list[str]:
        (folder / "study.yaml").write_text(text)
        return ["plan", "study.yaml", "--set", "schedule.lr=-1"]

    assert not judged(Case("x", "sound", write, ("guided",), (0,)), tmp_path / "a")
    assert "exit code" in judged(Case("x", "accepted", write), tmp_path / "b")[0]
    assert "does not say" in judged(Case("x", "unsaid", raises, ("nobody",)), tmp_path / "c")[0]
    assert not judged(Case("x", "apart", raises, ("lr", "-1"), apart=True), tmp_path / "d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tests.malformed.harness.main",
            lambda arguments: (Path("canary").write_text("\x1b") and print("\x1b[31m")) or 1 / 0,
        )
        found = " ".join(judged(Case("x", "raises", write), tmp_path / "e"))
    assert "traceback: ZeroDivisionError" in found and "written: canary" in found
