"""From a study file, a preset and the command line's changes to a checked Study, with errors that name the line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from assignbench.config.base import merge
from assignbench.config.catalog import CATALOG
from assignbench.config.words import complaint, shown, words_of
from assignbench.errors import InputError, nearest
from assignbench.study.spec import StudySpec
from assignbench.study.yaml_lines import Lines, line_of, parse, read

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Study:
    """A read study: its specification, its file, and the line of every key of the file."""

    spec: StudySpec
    path: Path
    lines: Lines = field(default_factory=dict, repr=False, compare=False)

    def where(self, *place: str | int) -> str:
        """How an error names a place of the study: the file, the line if the file has it, and the key."""
        return _where(self.path, self.lines, place)


def read_study(
    path: Path,
    *,
    sets: Sequence[str] = (),
    preset: str | None = None,
    data: str | None = None,
    seeds: int | None = None,
) -> Study:
    """Reads and checks a study file. Raises InputError for everything that the user has to mend."""
    path = find_study(path)
    raw, lines = read(path)
    content = deepcopy(raw)
    presets = _presets(raw, path, lines)
    if preset is not None:
        if preset not in presets:
            raise InputError(f"{path}: has no preset '{preset}'{nearest(preset, list(presets))}")
        content, lines = _over(content, lines, presets, preset)
    if data is not None:
        if data in presets:
            content, lines = _over(content, lines, presets, data)
        elif data not in CATALOG:
            raise InputError(f"unknown data set '{data}'{nearest(data, [*CATALOG, *presets])}")
        content["data"] = _merged_data(content.get("data"), data)
    if seeds is not None:
        content["seeds"] = seeds
        lines = {**lines, ("seeds",): f"--seeds {seeds}"}
    content["data"] = _data_list(content.get("data"), path, lines)
    for assignment in sets:
        place = _set(content, assignment)
        lines = {k: v for k, v in lines.items() if k[: len(place)] != place} | {place: f"--set {assignment}"}
    content["data"] = [_with_catalog(d, path, lines) for d in content["data"]]
    try:
        spec = StudySpec.model_validate(content)
    except ValidationError as problem:
        raise InputError(_explain(problem, path, lines, content)) from None
    return Study(spec, path, lines)


def variants(path: Path) -> list[Study]:
    """The study under each of its presets, checked as `read_study` does, so that no preset fails only when it is used.

    Raises InputError.
    """
    content, lines = read(find_study(path))
    return [read_study(path, preset=name) for name in _presets(content, path, lines)]


def _presets(content: Mapping[str, Any], path: Path, lines: Lines) -> dict[str, dict[str, Any]]:
    """The study's own variants by name; each is a mapping of the study's keys."""
    presets = content.get("presets", {})
    if not isinstance(presets, dict):
        raise InputError(
            f"{_where(path, lines, ('presets',))} is {shown(presets)}; write a mapping of variants by name"
        )
    for name, change in presets.items():
        where = _where(path, lines, ("presets", str(name)))
        if not isinstance(name, str):
            raise InputError(f"{where}: the name of a preset is text (put it in quotes)")
        if not isinstance(change, dict):
            raise InputError(f"{where} is {shown(change)}; write a mapping of the study's keys that it changes")
        if set(change) & {"study", "presets"}:
            key = min(set(change) & {"study", "presets"})
            raise InputError(
                f"{_where(path, lines, ('presets', name, key))}: a preset cannot change '{key}'; leave it out"
            )
    return presets


def _over(
    content: dict[str, Any], lines: Lines, presets: Mapping[str, dict[str, Any]], name: str
) -> tuple[dict[str, Any], Lines]:
    """The study with one of its presets over it; what the preset writes has the preset's lines."""
    merged: dict[str, Any] = merge(content, presets[name])
    moved = {place[2:]: line for place, line in lines.items() if place[:2] == ("presets", name) and len(place) > 2}
    replaced = [place for place in moved if not isinstance(_at(content, place), dict)]
    kept = {k: v for k, v in lines.items() if not any(k[: len(r)] == r for r in replaced)}
    return merged, {**kept, **moved}


def _at(content: Any, place: Place) -> Any:
    for step in place:
        content = content.get(step) if isinstance(content, dict) else None
    return content


def find_study(path: Path) -> Path:
    """The file itself, or the one of that name among the studies that come with the package."""
    if path.exists() or (path.parent != Path() and path.parent.name != "studies"):
        return path
    for folder in study_folders():
        for name in (path.name, path.name + ".yaml"):
            if (folder / name).is_file():
                return folder / name
    return path


def study_folders() -> list[Path]:
    """Where studies lie: `studies` here and in the source tree, and what was installed with the package."""
    package = Path(__file__).resolve().parents[1]
    folders = [Path("studies"), package.parent / "studies", package / "_studies"]
    return [f for f in folders if f.is_dir()]


def _data_list(value: Any, path: Path, lines: Lines) -> list[dict[str, Any]]:
    where = _at_line(path, line_of(lines, ("data",)))
    entries = value if isinstance(value, list) else [value]
    found = []
    for entry in entries:
        if isinstance(entry, str):
            entry = {"name": entry}
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise InputError(f"{where}: `data` is the name of a data set or a mapping with a `name`, got {entry!r}")
        found.append(dict(entry))
    return found


def _merged_data(value: Any, name: str) -> Any:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == name:
            return [entry]
    return [{"name": name}]


def _with_catalog(entry: dict[str, Any], path: Path, lines: Lines) -> dict[str, Any]:
    """The catalogue's entry of that name under the study's; a data set with a `kind` of its own may have any name."""
    name = entry["name"]
    if name in CATALOG:
        return {**merge(CATALOG[name], entry)}
    if "kind" not in entry:
        where = _at_line(path, line_of(lines, ("data",)))
        raise InputError(
            f"{where}: unknown data set '{name}'{nearest(name, list(CATALOG))}; give your own set a `kind`: voc or coco"
        )
    return entry


def _set(content: dict[str, Any], assignment: str) -> Place:
    """Applies one key=value and returns its place; `data.x` goes to every data set of the study."""
    key, sign, text = assignment.partition("=")
    if not sign or not all(key.split(".")):
        raise InputError(f"--set {assignment}: write key=value, e.g. --set schedule.steps=500")
    try:
        value = parse(text) if text else ""
    except yaml.YAMLError as problem:
        raise InputError(f"--set {assignment}: the value is not YAML ({problem!s:.80})") from problem
    first, *rest = key.split(".")
    if first == "data" and rest:
        for entry in content["data"]:
            _put(entry, rest, value, assignment)
    else:
        _put(content, [first, *rest], value, assignment)
        if first == "schedule" and rest and rest[0] in ("steps", "epochs"):
            # The two exclude each other, so that setting one replaces the other.
            content["schedule"].pop("epochs" if rest[0] == "steps" else "steps", None)
        if first == "data":
            content["data"] = _data_list(value, Path(), {("data",): f"--set {assignment}"})
    return (first, *rest)


def _put(target: Any, keys: list[str], value: Any, assignment: str) -> None:
    for key in keys[:-1]:
        if isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, dict):
            target = target.setdefault(key, {})
        else:
            raise InputError(_no_mapping(assignment, key, target))
    if not isinstance(target, dict):
        raise InputError(_no_mapping(assignment, keys[-1], target))
    target[keys[-1]] = value


def _no_mapping(assignment: str, key: str, target: Any) -> str:
    whole = "; write the whole list, e.g. --set methods=[iou, atss]" if isinstance(target, list) else ""
    return f"--set {assignment}: '{key}' is not inside a mapping, but in {shown(target)}{whole}"


def _explain(problem: ValidationError, path: Path, lines: Lines, content: dict[str, Any]) -> str:
    """All complaints of a validation, one per line, each with its place and a way out."""
    told = []
    for error in problem.errors():
        line = line_of(lines, _as_written(tuple(error["loc"]), content))
        told.append(f"{_at_line(path, line)}: {complaint(error, words_of(StudySpec))}")
    return "\n".join(dict.fromkeys(told))


def _where(path: Path, lines: Lines, place: Place) -> str:
    return f"{_at_line(path, line_of(lines, place))}: {'.'.join(str(p) for p in place)}"


def _at_line(path: Path, line: int | str | None) -> str:
    """The file and the line; the option alone for what the command line says."""
    if isinstance(line, str):
        return line
    return f"{path}: line {line}" if line else str(path)


def _as_written(place: Place, content: dict[str, Any]) -> Place:
    """The path in the file: a single data set is usually written without a list."""
    if place[:2] == ("data", 0) and len(content.get("data", [])) == 1:
        return ("data", *place[2:])
    return place


def local_path(written: str, study_folder: Path) -> Path:
    """A file named in a study: absolute, under ASSIGNBENCH_DATA, or relative to the study file."""
    expanded = Path(os.path.expandvars(written)).expanduser()
    if expanded.is_absolute():
        return expanded
    shared = os.environ.get("ASSIGNBENCH_DATA")
    if shared:
        base = Path(shared).expanduser()
        tails = [Path(*expanded.parts[i:]) for i in range(len(expanded.parts))]
        for tail in tails:
            if ".." not in tail.parts and (base / tail).exists():
                return base / tail
    return Path(os.path.normpath(study_folder / expanded))
