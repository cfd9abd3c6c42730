"""The study file: typed, with errors that name the line and the nearest known key."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from assignbench.config.catalog import CATALOG
from assignbench.config.data import Augment, DataSpec, SceneFactors
from assignbench.config.recipe import Schedule
from assignbench.errors import InputError, nearest
from assignbench.study.yaml_lines import Lines, line_of, read


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DetectorEntry(_Strict):
    """A detector of the grid: its registered name, a label for tables, a weights file, changed parameters."""

    name: str
    label: str = ""
    weights: str = ""
    parameters: dict[str, Any] = {}


class MethodEntry(_Strict):
    """A method of the grid: a label, the preset that it starts from, its detectors, and overrides of its parts."""

    name: str
    preset: str = ""
    detectors: list[str] = []  # labels or names of the detectors that it goes with; all if empty
    assigner: str | dict[str, Any] = {}
    criterion: str | dict[str, Any] = {}
    quality: str | None = None
    ranking: str | None = None
    nms: float | None = None
    nms_kind: str | None = None
    voting: float | None = None
    prior_prob: float | None = None
    zero_box: bool | None = None

    def overrides(self) -> dict[str, Any]:
        """The parts that this entry changes."""
        given = self.model_dump(exclude={"name", "preset", "detectors"}, exclude_unset=True)
        return {k: v for k, v in given.items() if v != {}}


class DataEntry(DataSpec):
    """A data set of the grid; it may be kept to some detectors and methods, and change entries of the schedule."""

    detectors: list[str] = Field([])  # labels or names; all if empty
    methods: list[str] = Field([])
    schedule: dict[str, Any] = Field({})

    def data_set(self) -> dict[str, Any]:
        """What describes the data alone, as plain values."""
        return self.model_dump(mode="json", exclude={"detectors", "methods", "schedule"})

    def schedule_over(self, base: Schedule) -> Schedule:
        """The study's schedule with this data set's changes; `steps` and `epochs` replace each other."""
        given = base.model_dump()
        if {"steps", "epochs"} & set(self.schedule):
            given |= {"steps": None, "epochs": None}
        return Schedule.model_validate({**given, **self.schedule})


class Claim(_Strict):
    """A statement that the study tests, in the language of analysis/claims.py, its source and the printed effect."""

    claim: str
    paper: str = ""
    published: str = ""
    data: list[str] = []  # names of data sets that it is tested on; all if empty


class Evaluation(_Strict):
    """`floor` on class scores, boxes per image before NMS, detections per image, images per batch."""

    floor: float = Field(0.01, ge=0, lt=1)
    pre_nms: int = Field(1000, ge=1)
    max_detections: int = Field(100, ge=1)
    batch: int = Field(8, ge=1)


class StudySpec(_Strict):
    """A study after presets and overrides are applied."""

    study: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str = ""
    answers: str
    cost: str
    expect: str
    detectors: list[DetectorEntry] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    method_defaults: dict[str, Any] = {}
    data: list[DataEntry] = Field(min_length=1)
    seeds: list[int] = [0]
    schedule: Schedule
    evaluation: Evaluation = Evaluation()
    probe_images: int = Field(8, ge=0)
    published: str = ""
    analyses: list[str] = []  # names or module:function; all that come with the package if empty
    claims: list[Claim] = []
    areas: dict[str, tuple[float, float]] = {}  # px² of the original image; COCO's small, medium, large if empty
    max_dets: list[int] = []  # detections per image and class for recall; 1, 10, 100 if empty
    presets: dict[str, dict[str, Any]] = {}

    @field_validator("detectors", "methods", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """A bare name is an entry without changes."""
        return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        """A number n stands for the seeds 0 to n - 1."""
        return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


class Study(BaseModel):
    """A read study: its specification, its file, and the sets that were asked for on the command line."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    spec: StudySpec
    path: Path


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
    changed: list[str] = []
    presets: dict[str, Any] = raw["presets"] if isinstance(raw.get("presets"), dict) else {}
    if preset is not None:
        if preset not in presets:
            raise InputError(f"{path}: has no preset '{preset}'{nearest(preset, list(presets))}")
        content = merge(content, presets[preset])
    if data is not None:
        if data in presets:
            content = merge(content, presets[data])
        elif data not in CATALOG:
            raise InputError(f"unknown data set '{data}'{nearest(data, [*CATALOG, *presets])}")
        content["data"] = _merged_data(content.get("data"), data)
    if seeds is not None:
        content["seeds"] = seeds
    content["data"] = _data_list(content.get("data"), path, lines)
    for assignment in sets:
        changed.append(_set(content, assignment))
    content["data"] = [_with_catalog(d, path, lines) for d in content["data"]]
    try:
        spec = StudySpec.model_validate(content)
    except ValidationError as problem:
        raise InputError(_explain(problem, path, lines, content)) from None
    return Study(spec=spec, path=path)


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


def merge(base: Any, change: Any) -> Any:
    """`change` over `base`: mappings are merged key by key, everything else is replaced."""
    if isinstance(base, Mapping) and isinstance(change, Mapping):
        return {**base, **{k: merge(base.get(k), v) for k, v in change.items()}}
    return deepcopy(change)


def _data_list(value: Any, path: Path, lines: Lines) -> list[dict[str, Any]]:
    where = f"{path}: line {line_of(lines, ('data',)) or 1}"
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
        where = f"{path}: line {line_of(lines, ('data',)) or 1}"
        raise InputError(
            f"{where}: unknown data set '{name}'{nearest(name, list(CATALOG))}; give your own set a `kind`: voc or coco"
        )
    return entry


def _set(content: dict[str, Any], assignment: str) -> str:
    """Applies one key=value; `data.x` goes to every data set of the study. Returns the key."""
    key, sign, text = assignment.partition("=")
    if not sign or not key:
        raise InputError(f"--set {assignment}: write key=value, e.g. --set schedule.steps=500")
    try:
        value = yaml.safe_load(text) if text else ""
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
            content["data"] = _data_list(value, Path("--set"), {})
    return key


def _put(target: Any, keys: list[str], value: Any, assignment: str) -> None:
    for key in keys[:-1]:
        if isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, dict):
            target = target.setdefault(key, {})
        else:
            raise InputError(f"--set {assignment}: '{key}' is not inside a mapping")
    if not isinstance(target, dict):
        raise InputError(f"--set {assignment}: '{keys[-1]}' is not inside a mapping")
    target[keys[-1]] = value


def _explain(problem: ValidationError, path: Path, lines: Lines, content: dict[str, Any]) -> str:
    """All complaints of a validation, one per line, each with its place and a way out."""
    told = []
    for error in problem.errors():
        place = tuple(p for p in error["loc"] if not (isinstance(p, str) and p.startswith("function-")))
        line = line_of(lines, _as_written(place, content))
        name = ".".join(str(p) for p in place)
        where = f"{path}: line {line}: " if line else f"{path}: "
        if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            told.append(f"{where}unknown key '{name}'{nearest(str(place[-1]), _known(place[:-1]))}")
        elif error["type"] == "missing":
            told.append(f"{where}the key '{name}' is missing")
        else:
            told.append(f"{where}{name}: {error['msg']} (got {error.get('input')!r:.60})")
    return "\n".join(dict.fromkeys(told))


def _as_written(place: tuple[str | int, ...], content: dict[str, Any]) -> tuple[str | int, ...]:
    """The path in the file: a single data set is usually written without a list."""
    if place[:2] == ("data", 0) and len(content.get("data", [])) == 1:
        return ("data", *place[2:])
    return place


def _known(place: tuple[str | int, ...]) -> list[str]:
    """The keys that are allowed at a place."""
    models: dict[str, list[str]] = {
        "schedule": list(Schedule.model_fields),
        "evaluation": list(Evaluation.model_fields),
        "methods": list(MethodEntry.model_fields),
        "detectors": list(DetectorEntry.model_fields),
        "data": list(DataEntry.model_fields),
        "claims": list(Claim.model_fields),
        "factors": list(SceneFactors.model_fields),
        "augment": list(Augment.model_fields),
    }
    for part in reversed(place):
        if str(part) in models:
            return models[str(part)]
    return list(StudySpec.model_fields)


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
