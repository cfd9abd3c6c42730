"""What studies say that they cost agrees with what `assignbench plan` reckons without any data."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from assignbench import methods
from assignbench.commands.costs import Costs
from assignbench.study.grid import cells_of
from assignbench.study.reading import Study, read_study
from assignbench.study.trainings import trainings_of
from tests.conftest import ROOT

STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
WITHIN = 1.5
# What a run on CPU cores takes beside its trainings, which alone `plan` knows: of one core for a cell's start and
# tests, and once for the report. From the rehearsal of paa_ablation, of which the trainings were 25 of 30 minutes of
# processors.
CELL, REPORT = 0.2, 1.0  # minutes
NUMBERS = {"three": 3.0, "four": 4.0, "half an": 0.5, "one": 1.0, "two": 2.0}
NUMBER = r"(\d[\d,.]*|three|four|half an|one|two)"
ON_CORES = re.compile(
    rf"(?:about )?(?:{NUMBER} to )?{NUMBER}(?: and a (half))? (minute|hour)s?( per method)? on {NUMBER} (?:CPU )?cores?"
)
ON_GPU = re.compile(r"(\d+) (?:cells|trainings) per seed of .*, about (\d+) GPU hours of a V100 each")
LENGTH = re.compile(r" of ([\d,]+) (steps|epochs|COCO epochs)(?: of ([\d,]+) images)?")
PART = re.compile(r"a (tenth|quarter) of the full cost, for one seed")


@cache
def reckoned(path: Path, preset: str | None) -> tuple[Study, int, int, float, dict[str, float]]:
    """The study; its cells, seeds and trainings; hours by device."""
    study = read_study(path, preset=preset)
    cells = cells_of(study, methods)
    trainings = trainings_of(cells)
    costs = Costs({})
    for group in trainings:
        costs.add(group[0])
    assert not costs.unknown
    return study, len(cells), len({c.config.seed for c in cells}), len(trainings), costs.hours


def number(text: str) -> float:
    return NUMBERS[text] if text in NUMBERS else float(text.replace(",", ""))


CASES = [
    pytest.param(path, preset, id=f"{path.stem}-{preset}" if preset else path.stem)
    for path in STUDIES
    for preset in (None, *(yaml.safe_load(path.read_text()).get("presets") or {}))
]


@pytest.mark.parametrize(("path", "preset"), CASES)
def test_a_stated_cost_is_what_plan_reckons(path, preset, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(tmp_path))
    study, cells, seeds, trainings, hours = reckoned(path, preset)
    stated = study.spec.cost
    if found := ON_CORES.match(stated):
        least, most, half, unit, per_method, cores = found.groups()
        ends = [number(n) + (0.5 if half else 0.0) for n in (least or most, most)]
        stated_minutes = sum(ends) / 2 * {"minute": 1, "hour": 60}[unit]
        stated_minutes *= len(study.spec.methods) if per_method else 1
        ours = (60 * hours["CPU core"] + CELL * cells) / number(cores) + REPORT
        assert ours / WITHIN <= stated_minutes <= ours * WITHIN, ours
    elif found := ON_GPU.match(stated):
        assert int(found[1]) == trainings / seeds
        ours = hours["V100"] / trainings
        assert ours / WITHIN <= number(found[2]) <= ours * WITHIN, ours
    else:
        share = {"tenth": 0.1, "quarter": 0.25}[PART.fullmatch(stated)[1]]
        _, _, whole_seeds, _, whole = reckoned(path, None)
        assert seeds == 1
        assert share / WITHIN <= hours["V100"] / (whole["V100"] / whole_seeds) <= share * WITHIN


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_stated_length_of_a_training_is_its_schedule_s(path) -> None:
    study = read_study(path)
    found = LENGTH.search(study.spec.cost)
    if found is None:
        assert ON_CORES.match(study.spec.cost)
        return
    count, unit, images = found.groups()
    cells = cells_of(study, methods)
    for schedule in (c.config.schedule for c in cells):
        if unit == "steps":
            assert schedule.steps == number(count) and schedule.update_size == number(images)
        else:
            assert schedule.epochs == number(count)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_head_of_a_study_says_the_same_cost(path) -> None:
    """The comment at the top repeats the number of the key that people read in plan."""
    head = re.sub(r"\n# +", " ", path.read_text().partition("\nstudy:")[0])
    cost = read_study(path).spec.cost
    told = [m.group(0) for m in re.finditer(rf"{NUMBER}(?: and a half)? (?:GPU hours|minutes|hours)", cost)]
    assert all(text in head for text in told)


def test_the_table_of_studies_says_what_they_cost() -> None:
    """One row of docs/studies.md for each study or two: the words of its cost, or the numbers of those of GPU hours."""
    page = (ROOT / "docs" / "studies.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|.*\| ([^|]+) \|$", page.partition("come along")[2], re.M)
    told = {tuple(re.findall(r"\w+", names)): time for names, time in rows}
    paths = {path.stem: path for path in STUDIES}
    told = {names: time for names, time in told.items() if names[0] in paths}
    assert sorted(name for names in told for name in names) == sorted(paths)
    for names, time in told.items():
        costs = [read_study(paths[name]).spec.cost for name in names]
        counted = [found.groups() for found in map(ON_GPU.match, costs) if found]
        if counted:
            trainings, hours = (" and ".join(part) for part in zip(*counted, strict=True))
            assert time == f"{trainings} trainings a seed, {hours} GPU hours each"
        else:
            assert [time] == costs
