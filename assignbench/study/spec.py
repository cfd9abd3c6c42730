"""What stands in a study file: its keys, their types and ranges. Imports no torch; names of parts are checked later."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from assignbench.config.base import Config
from assignbench.config.cell import LARGEST_SEED
from assignbench.config.cluster import Cluster
from assignbench.config.data import DataSpec
from assignbench.config.evaluation import LEAST_OBJECTS, Evaluation
from assignbench.config.images import Side
from assignbench.config.method import QualityKind, Ranking
from assignbench.config.pictured import MOST_PICTURES, Pictured
from assignbench.config.recipe import Schedule, laid_over
from assignbench.config.words import complaints, shown
from assignbench.study.published import as_tables

# Keys of earlier versions, and what is written in their place.
_MOVED_METHOD_KEYS = {
    "nms_kind": "nms: {kind: ...}",
    "prior_prob": "head_init: {prior_prob: ...}",
    "zero_box": "head_init: {zero_box: ...}",
}
_SCENES = ("train_images", "test_images", "val_images", "scenes_seed", "factors")
_FILES = ("train", "test", "val", "classes", "use_difficult")  # root and on_bad go to all sets of a study by --set
# What a kind of data does not read; a value that would do nothing is refused.
NOT_READ: dict[str, tuple[str, ...]] = {
    "shapes": (*_FILES, "crowd"),
    "voc": (*_SCENES, "crowd"),
    "coco": (*_SCENES, "use_difficult"),
    "csv": (*_SCENES, "use_difficult", "crowd"),
}
_SPLITS = {
    "voc": "a list of [folder under root, image set], e.g. [[VOC2007, trainval]]",
    "coco": "a list of [annotation file, image folder], e.g. [[annotations/train.json, train]]",
    "csv": "a list of [table, image folder], e.g. [[annotations/train.csv, images]]",
}
MOST_SEEDS = 1000
MOST_NAME = 60  # three of them, a seed and a hash make the name of a folder, of which file systems take 255 bytes
# Names stand in claims, in globs of --only, in folders and in tables: no spaces, slashes or wild cards.
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
Name = Annotated[str, Field(pattern=_NAME, max_length=MOST_NAME)]
Area = Annotated[float, Field(ge=0, le=1e12)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Row = Annotated[int, Field(ge=1, le=1000)]
Rows = Annotated[list[Row], Field(min_length=1)]
# By printed table: which cells are which of its rows, e.g. {mlc_table1: {fcos-resnet50/mlc_fcos: [3]}}. What is empty
# would say nothing.
Tables = Annotated[dict[Name, Annotated[dict[str, Rows], Field(min_length=1)]], Field(min_length=1)]
Across = dict[Name, Annotated[list[tuple[Row, Row]], Field(min_length=1)]]
PARTS = ("assigner", "criterion", "quality", "ranking", "floor_on", "nms", "voting", "head_init", "coder")


class DetectorEntry(Config):
    """A detector of the grid: its name or `module:function`, a label for tables, a weights file (or `torchvision`),
    changed parts of its `spec`.

    `schedule` changes entries of the schedule for its cells, whatever their method is. In a variant of a study, which
    has other detectors, `stands_for` names those whose place this one takes wherever the study names a detector.
    """

    name: str = Field(min_length=1)
    label: str = Field("", pattern=rf"^$|{_NAME}", max_length=MOST_NAME)
    weights: str = ""
    spec: dict[str, Any] = {}
    schedule: dict[str, Any] = {}
    stands_for: list[Name] = []

    @model_validator(mode="before")
    @classmethod
    def _no_parameters(cls, given: Any) -> Any:
        if isinstance(given, dict) and "parameters" in given:
            raise ValueError(
                "'parameters' is now written spec: {...}, by part, e.g. spec: {head: {depth: 2}, neck: {width: 64}}"
            )
        return _no_published(given, "{}/METHOD")

    @property
    def shown(self) -> str:
        """What tables call it: its label or its name, of `module:function` the function."""
        return self.label or self.name.rpartition(":")[2]

    @property
    def called(self) -> frozenset[str]:
        """By what a study may name it."""
        return frozenset((self.shown, self.name, *self.stands_for))


class MethodEntry(Config):
    """A method of the grid: a label, the preset that it starts from, what it is compared with, its detectors, changes.

    `baseline` is the name of another method of the study. The parts are those of a MethodConfig: an assigner or a
    criterion by name or as a mapping of parameters, `nms` as a mapping or as its IoU, the others as they are there.
    `evaluation` changes entries of the study's evaluation for this method's cells: a row that differs at test time.
    `schedule` changes entries of the schedule for them, over those of data set and detector.
    """

    name: Name
    preset: str = ""
    baseline: str = ""
    detectors: list[str] = []  # labels or names of the detectors that it goes with; all if empty
    assigner: str | dict[str, Any] = {}
    criterion: str | dict[str, Any] = {}
    quality: QualityKind | None = None
    ranking: Ranking | None = None
    floor_on: Literal["cls", "ranking"] | None = None
    nms: float | dict[str, Any] = {}
    voting: dict[str, Any] | None = None
    head_init: dict[str, Any] = {}
    coder: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    schedule: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _no_old_keys(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for key, new in _MOVED_METHOD_KEYS.items():
            if key in given:
                raise ValueError(f"'{key}' is now written {new}")
        return _no_published(given, "DETECTOR/{}")

    @field_validator("voting", mode="before")
    @classmethod
    def _no_number(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"the number {value} is now written voting: {{sigma: ...}}")
        return value

    @property
    def start(self) -> str:
        """The preset that it starts from: its own name unless it says so."""
        return self.preset or self.name

    def overrides(self) -> dict[str, Any]:
        """The parts that this entry changes; `voting: {}` is voting as it is by default, where there was none."""
        given = self.model_dump(include=set(PARTS), exclude_unset=True)
        return {k: v for k, v in given.items() if v != {} or k == "voting"}


class DataEntry(DataSpec):
    """A data set of the grid; it may be kept to some detectors and methods, and change entries of the schedule."""

    name: Name
    detectors: list[str] = []  # labels or names; all if empty
    methods: list[str] = []
    schedule: dict[str, Any] = {}
    image_size: Side | None = None  # the older word for a `size` of one side

    @model_validator(mode="after")
    def _one_size(self) -> DataEntry:
        if self.image_size is not None and "size" in self.model_fields_set:
            raise ValueError(f"image_size: {self.image_size} is the older word for size; leave one of the two out")
        return self

    @model_validator(mode="after")
    def _fits_the_kind(self) -> DataEntry:
        """A kind has what it reads, and nothing is written that it does not read."""
        for name in NOT_READ[self.kind]:
            # Entries of the catalogue and of --set may repeat a default.
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                raise ValueError(f"{name} has no meaning for data of kind '{self.kind}'; leave it out")
        missing = [name for name in ("train", "test") if not getattr(self, name)]
        if self.kind in _SPLITS and missing:
            raise ValueError(f"'{missing[0]}' is missing: data of kind '{self.kind}' needs {_SPLITS[self.kind]}")
        again = twice(self.classes)
        if again:
            raise ValueError(f"classes names '{again}' twice")
        if "" in self.classes:
            raise ValueError(f"classes.{self.classes.index('')} is empty; write the name of the class")
        return self

    def data_set(self) -> DataSpec:
        """What describes the data alone."""
        given = self.model_dump(exclude={"detectors", "methods", "schedule", "image_size"})
        return DataSpec.model_validate(given if self.image_size is None else {**given, "size": self.image_size})


class Claim(Config):
    """A statement that the study tests, in the language of analysis/claims.py, its source and the printed effect.

    `row` is the row of studies/published/claims.csv that it is, or a part of it.
    """

    claim: str
    row: Row | None = None
    paper: str = ""
    published: str = ""
    data: list[str] = []  # names of data sets that it is tested on; all if empty


class NotRun(Config):
    """Printed rows (by table) and claims (of studies/published/claims.csv) that no study tests, and why."""

    rows: dict[Name, Rows] = Field({}, min_length=1)
    claims: list[Row] = Field([], min_length=1)
    why: str

    @model_validator(mode="after")
    def _of_something(self) -> NotRun:
        if not self.rows and not self.claims:
            raise ValueError(
                "names neither rows nor claims; write rows: {TABLE: [row]} or claims: [row], or leave it out"
            )
        if not self.why.strip():
            raise ValueError(f"why is {self.why!r}; write the reason")
        return self


class PictureEntry(Pictured):
    """An image of a data set, whose name may be left out where the study has only one, and an object of it."""

    data: Name | Literal[""] = ""


class Tune(Config):
    """A sweep that is the same for each method, on the validation split, with seeds that no verdict rests on.

    `sweep`: values by the entry of a method that they are tried for, e.g. `schedule.lr: [4.0e-3, 8.0e-3]` or
    `criterion.box_weight: [1.0, 2.0]`; all combinations are trained. The best mean of `metric` is taken.
    """

    sweep: dict[str, Annotated[list[Any], Field(min_length=1, max_length=20)]] = Field(min_length=1, max_length=5)
    seeds: list[Seed] = Field([MOST_SEEDS], min_length=1, max_length=20)
    metric: Literal["AP", "AP50", "AP75"] = "AP"


class StudySpec(Config):
    """A study after presets and overrides are applied."""

    study: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=MOST_NAME)
    title: str = ""
    answers: str = ""  # the question; asked of all methods alike if empty
    cost: str = ""
    expect: str = ""
    detectors: list[DetectorEntry] = Field(min_length=1, max_length=50)
    methods: list[MethodEntry] = Field(min_length=1, max_length=200)
    method_defaults: dict[str, Any] = {}
    data: list[DataEntry] = Field(min_length=1, max_length=50)
    seeds: list[Seed] = Field([0], min_length=1, max_length=MOST_SEEDS)
    # A named one, under the schedule, the evaluation and the data sets; without a schedule that of the detectors.
    recipe: str = ""
    schedule: Schedule
    evaluation: Evaluation = Evaluation()
    tune: Tune | None = None
    cluster: Cluster | None = None  # for --launcher slurm and ray; changes no cell
    probe_images: int = Field(8, ge=0, le=1000)
    pictures: list[PictureEntry] = Field([], max_length=MOST_PICTURES)  # what the report shows of images
    published: str = ""  # "none: REASON" where its rows are printed nowhere that we know of
    tables: Tables | None = None
    # Cells that are the same rows by another reading of the paper, where it leaves open what it ran.
    readings: Tables | None = None
    # Rows that are compared with a row of another detector, by table: [row, with].
    across: Across = Field({}, min_length=1)
    not_run: list[NotRun] = Field([], max_length=100)
    analyses: list[str] = []  # names or module:function; all that come with the package if empty
    claims: list[Claim] = []
    least_objects: int = Field(LEAST_OBJECTS, ge=1, le=1_000_000)  # in a group that a trend rests on
    primary: str = "AP"  # the measure that answers the study's question; others are beside it
    areas: dict[Name, tuple[Area, Area]] = Field({}, max_length=50)  # px² of the original
    # detections per image and class for recall; 1, 10, 100 if empty
    max_dets: list[Annotated[int, Field(ge=1, le=10_000)]] = Field([], max_length=50)
    presets: dict[Name, dict[str, Any]] = Field({}, max_length=50)

    @field_validator("detectors", "methods", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """A bare name is an entry without changes."""
        return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        """A number n stands for the seeds 0 to n - 1."""
        if not isinstance(value, int | list) or isinstance(value, bool):
            raise ValueError(f"a number of seeds, or a list of them, got {value!r}")
        if isinstance(value, list):
            return value
        if not 1 <= value <= MOST_SEEDS:
            raise ValueError(f"a number of seeds is from 1 to {MOST_SEEDS}, got {value}")
        return list(range(value))

    @field_validator("published", mode="before")
    @classmethod
    def _none_alone(cls, value: Any) -> Any:
        """Printed tables are named by `tables` alone."""
        if value != "" and not (isinstance(value, str) and re.fullmatch(r"none: .*\S", value)):
            raise ValueError(f"{shown(value)} is neither empty nor 'none: REASON'; {as_tables(value)}")
        return value

    @field_validator("method_defaults")
    @classmethod
    def _parts_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        """The defaults are checked as a method's own changes are."""
        own = [key for key in value if key in MethodEntry.model_fields and key not in PARTS]
        if own:
            raise ValueError(f"'{own[0]}' is an entry of one method, not of all; defaults are {', '.join(PARTS)}")
        try:
            return MethodEntry.model_validate({"name": "any", **value}).overrides()
        except ValidationError as problem:
            raise ValueError(complaints(problem, MethodEntry)) from None


def _no_published(given: Any, cell: str) -> Any:
    """An entry without the key `published`; `cell` is how tables call its cells, with {} for its name."""
    if isinstance(given, dict) and "published" in given:
        told = as_tables(given["published"], cell.format(given.get("label") or given.get("name") or "..."))
        raise ValueError(f"published is {shown(given['published'])}, and stands in no entry; {told}")
    return given


def changed(base: Schedule, change: dict[str, Any]) -> Schedule:
    """A schedule with entries of a part of the study over it, each of which puts its alternative aside."""
    return Schedule.model_validate(laid_over(base.model_dump(), change))


def twice(names: list[str]) -> str:
    """The first name in the alphabet that is there twice; empty if none is."""
    seen: set[str] = set()
    return min((n for n in names if n in seen or seen.add(n)), default="")  # type: ignore[func-returns-value]
