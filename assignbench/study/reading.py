"""From a study file, a preset and the command line's changes to a checked Study, with errors that name the line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from assignbench.config.base import merge
from assignbench.config.catalog import CATALOG
from assignbench.config.data import SIZE_WORDS, data_over
from assignbench.config.precision import precision_here
from assignbench.config.recipe import laid_over
from assignbench.config.recipes import Recipe
from assignbench.config.words import complaint, plain, shown, words_of
from assignbench.errors import InputError, nearest
from assignbench.study.checks import check
from assignbench.study.places import Place, Study, at_line, where
from assignbench.study.printed import check_printed, stand_in
from assignbench.study.recipe import data_under, default_name, laid_under, named_recipe
from assignbench.study.spec import MOST_NAME, StudySpec
from assignbench.study.yaml_lines import Lines, complaint as yaml_complaint, line_of, parse, read

__all__ = ["Study", "find_study", "read_study", "study_folders", "variants"]

MOST_PRESETS = 50
MOST_STEPS = 12  # of a key of --set
MOST_TOLD = 20  # complaints of one study


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
    _variants(raw, lines, path)
    if preset is not None:
        if preset not in presets:
            told = f"--preset {preset}: {path} has no preset '{preset}'"
            raise InputError(f"{told}{nearest(preset, list(presets))}")
        content, lines = _over(content, lines, presets, preset)
    if data is not None:
        if data in presets and preset is not None:
            told = f"--data {data} is a variant of its own in {path}, which takes the place of --preset {preset}"
            raise InputError(f"{told}; leave one of the two out")
        if data in presets:
            content, lines = _over(content, lines, presets, data)
        elif data not in CATALOG:
            raise InputError(f"--data {data}: unknown data set '{data}'{nearest(data, [*CATALOG, *presets])}")
        content["data"] = _merged_data(content.get("data"), data)
    if seeds is not None:
        content["seeds"] = seeds
        lines = {**lines, ("seeds",): f"--seeds {seeds}"}
    return _checked(content, lines, path, sets, untaught=_untaught(raw))


def variants(path: Path) -> list[Study]:
    """The study under each of its presets, checked as `read_study` does, so that no preset fails only when it is used.

    Raises InputError.
    """
    path = find_study(path)
    return _variants(*read(path), path)


def _variants(content: dict[str, Any], lines: Lines, path: Path) -> list[Study]:
    presets = _presets(content, path, lines)
    untaught = _untaught(content)
    return [_checked(*_over(deepcopy(content), lines, presets, name), path=path, untaught=untaught) for name in presets]


def _untaught(content: Mapping[str, Any]) -> bool:
    """Whether a study file says nothing of how its detectors are trained, so that they have their default recipe."""
    return "schedule" not in content and "recipe" not in content


def _checked(
    content: dict[str, Any], lines: Lines, path: Path, sets: Sequence[str] = (), *, untaught: bool = False
) -> Study:
    """The study that the content describes, with the command line's changes over it."""
    if "data" not in content:
        unknown = [key for key in content if key not in StudySpec.model_fields]
        told = f"{path}: the key 'data' is missing"
        if unknown:
            known = nearest(unknown[0], list(StudySpec.model_fields))
            told = f"{at_line(path, line_of(lines, (unknown[0],)))}: unknown key '{unknown[0]}'{known}"
        raise InputError(told)
    content["data"] = _data_list(content.get("data"), path, lines)
    for assignment in sets:
        place = _set(content, assignment)
        # A step of digits may be a key or a place in a list.
        places = (place, tuple(int(step) if _place(step) else step for step in place))
        lines = {k: v for k, v in lines.items() if all(k[: len(place)] != p for p in places)}
        told = f"--set {assignment:.200}"
        # What the file does not have on the way there, the option made too.
        lines = {p[:length]: told for p in places for length in range(1, len(p))} | lines | dict.fromkeys(places, told)
    if untaught and not content.get("recipe"):
        content["recipe"] = default_name(content, lambda place: where(path, lines, ("detectors", place)))
    recipe = named_recipe(content, where(path, lines, ("recipe",)))
    content["data"] = [_with_catalog(d, place, path, lines, recipe) for place, d in enumerate(content["data"])]
    if recipe is not None:
        lines = laid_under(content, lines, recipe)
    if isinstance(content.get("schedule"), dict):
        content["schedule"].setdefault("amp", "auto")
    try:
        spec = StudySpec.model_validate(content)
    except ValidationError as problem:
        raise InputError(_explain(problem, path, lines, content)) from None
    if any(d.stands_for for d in spec.detectors):
        # Where one detector stands for two, claims about each may come to be the same.
        claims = {c.claim: c for c in (stand_in(c, spec) for c in reversed(spec.claims))}
        spec = spec.model_copy(update={"claims": list(reversed(claims.values()))})
    study = Study(spec, path, lines, precision_here())
    check(study)
    check_printed(study)
    return study


def _presets(content: Mapping[str, Any], path: Path, lines: Lines) -> dict[str, dict[str, Any]]:
    """The study's own variants by name; each is a mapping of the study's keys."""
    presets = content.get("presets", {})
    whole = where(path, lines, ("presets",))
    if not isinstance(presets, dict):
        raise InputError(f"{whole} is {shown(presets)}; write a mapping of variants by name")
    if len(presets) > MOST_PRESETS:
        raise InputError(f"{whole} has {len(presets)} entries; {MOST_PRESETS} are the most")
    for name, change in presets.items():
        here = where(path, lines, ("presets", name))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name) or len(name) > MOST_NAME:
            allowed = f"letters, digits, and _ . + - behind the first; at most {MOST_NAME} of them"
            raise InputError(f"{here}: the name of a preset stands in a folder's name; allowed are {allowed}")
        if not isinstance(change, dict):
            raise InputError(f"{here} is {shown(change)}; write a mapping of the study's keys that it changes")
        if set(change) & {"study", "presets"}:
            key = min(set(change) & {"study", "presets"})
            told = f"a preset cannot change '{key}'; leave it out"
            raise InputError(f"{where(path, lines, ('presets', name, key))}: {told}")
    return presets


def _over(
    content: dict[str, Any], lines: Lines, presets: Mapping[str, dict[str, Any]], name: str
) -> tuple[dict[str, Any], Lines]:
    """The study with one of its presets over it; what the preset writes has the preset's lines."""
    change = presets[name]
    merged: dict[str, Any] = merge(content, change)
    if isinstance(content.get("data"), dict) and isinstance(change.get("data"), dict):
        merged["data"] = data_over(content["data"], change["data"])
    if isinstance(content.get("schedule"), dict) and isinstance(change.get("schedule"), dict):
        merged["schedule"] = laid_over(content["schedule"], change["schedule"])
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
    try:
        if path.exists() or (path.parent != Path() and path.parent.name != "studies"):
            return path
    except OSError as problem:  # e.g. a name of 300 letters
        raise InputError(f"{shown(str(path))}: cannot be read ({problem.strerror})") from None
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
    found = []
    for place, entry in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(entry, str):
            entry = {"name": entry}
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            here = at_line(path, _data_line(lines, place, "name"))
            told = "`data` is the name of a data set or a mapping with a `name`, or a list of them"
            raise InputError(f"{here}: {told}, got {shown(entry)}")
        found.append(dict(entry))
    return found


def _data_line(lines: Lines, place: int, key: str) -> int | str | None:
    """Where a key of a data set stands, which may be written without a list."""
    return lines[("data", key)] if ("data", key) in lines else line_of(lines, ("data", place, key))


def _merged_data(value: Any, name: str) -> Any:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == name:
            return [entry]
    return [{"name": name}]


def _with_catalog(entry: dict[str, Any], place: int, path: Path, lines: Lines, recipe: Recipe | None) -> dict[str, Any]:
    """The catalogue's entry of that name and the recipe's under the study's.

    A data set with a `kind` of its own may have any name.
    """
    name = entry["name"]
    if isinstance(name, str) and name in CATALOG:
        return data_over(data_under(CATALOG[name], entry, recipe), entry)
    if "kind" not in entry:
        here = at_line(path, _data_line(lines, place, "name"))
        known = nearest(str(name), list(CATALOG))
        raise InputError(f"{here}: unknown data set {shown(name)}{known}; give your own set a `kind`: voc, coco or csv")
    return data_over(data_under({}, entry, recipe), entry)


def _set(content: dict[str, Any], assignment: str) -> tuple[str, ...]:
    """Applies one key=value and returns its place; `data.x` goes to every data set of the study, `data.0.x` to one."""
    key, sign, text = assignment.partition("=")
    steps = key.split(".")
    if not sign or not all(steps):
        raise InputError(f"--set {assignment:.200}: write key=value, e.g. --set schedule.steps=500")
    if len(steps) > MOST_STEPS:
        raise InputError(f"--set {assignment:.200}: the key has {len(steps)} steps; no entry of a study lies that deep")
    try:
        value = parse(text) if text else ""
    except yaml.YAMLError as problem:
        told = yaml_complaint(problem, text).removeprefix("line 1: ")
        raise InputError(f"--set {assignment:.200}: {told:.300}") from problem
    first, *rest = steps
    if first == "data" and rest and not _place(rest[0]):
        for entry in content["data"]:
            _put(entry, rest, value, assignment)
            _one_size(entry, rest)
    else:
        _put(content, [first, *rest], value, assignment)
        if first == "data" and len(rest) > 1:
            _one_size(content["data"][int(rest[0])], rest[1:])
        if first == "data" and not rest:
            content["data"] = _data_list(value, Path(), {("data",): f"--set {assignment:.200}"})
    return tuple(steps)


def _one_size(entry: dict[str, Any], keys: list[str]) -> None:
    """Whichever of the two words for the size of images an option sets replaces the other."""
    entry.pop(SIZE_WORDS.get(keys[0], ""), None)


def _place(step: str) -> bool:
    """Whether a step of a key is a place in a list."""
    return step.isascii() and step.isdecimal() and len(step) <= 6


def _put(target: Any, keys: list[str], value: Any, assignment: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        # The study's own, or that of an entry (data.0.schedule).
        if key == "schedule" and depth in (0, 2) and isinstance(target, dict) and isinstance(target.get(key, {}), dict):
            target[key] = _rescheduled(target.get(key, {}), keys[depth + 1 :], value, assignment)
            return
        if isinstance(target, list) and _place(key) and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, dict):
            target = target.setdefault(key, {})
        else:
            raise InputError(_no_mapping(assignment, key, target))
    if not isinstance(target, dict):
        raise InputError(_no_mapping(assignment, keys[-1], target))
    target[keys[-1]] = value


def _rescheduled(held: dict[str, Any], keys: list[str], value: Any, assignment: str) -> dict[str, Any]:
    """A schedule with an option over it; its milestones, which have one unit, take the place of others as a whole."""
    change = {k: v for k, v in held.items() if k == keys[0] != "milestones"}
    _put(change, keys, value, assignment)
    return laid_over(held, change)


def _no_mapping(assignment: str, key: str, target: Any) -> str:
    whole = "; write the whole list, e.g. --set methods=[iou, atss]" if isinstance(target, list) else ""
    return f"--set {assignment:.200}: '{key:.60}' is not inside a mapping, but in {shown(target)}{whole}"


def _explain(problem: ValidationError, path: Path, lines: Lines, content: dict[str, Any]) -> str:
    """All complaints of a validation, one per line, each with its place and a way out."""
    told = []
    for error in problem.errors():
        line = line_of(lines, _as_written(plain(error["loc"]), content, lines))
        told.append(f"{at_line(path, line)}: {complaint(error, words_of(StudySpec))}")
    once = list(dict.fromkeys(told))
    more = [f"and {len(once) - MOST_TOLD} more"] if len(once) > MOST_TOLD else []
    return "\n".join([*once[:MOST_TOLD], *more])


def _through_lists(place: Place, content: Any) -> Place:
    kept: list[str | int] = []
    for step in place:
        if isinstance(content, list) and isinstance(step, str):
            continue
        kept.append(step)
        here = isinstance(content, dict) or (
            isinstance(content, list) and isinstance(step, int) and step < len(content)
        )
        content = (content.get(step) if isinstance(content, dict) else content[step]) if here else None
    return tuple(kept)


def _as_written(place: Place, content: dict[str, Any], lines: Lines) -> Place:
    """The path in the file: a single data set is usually written without a list, and options go to all of them.

    A bare list may stand for a mapping (milestones), whose key is then not in the file.
    """
    place = _through_lists(place, content)
    if place[:1] != ("data",) or len(place) < 2 or place in lines:
        return place
    alone = ("data", *place[2:])
    return alone if len(content["data"]) == 1 or isinstance(lines.get(alone), str) else place
