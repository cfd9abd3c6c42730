"""What the commands on studies share: the study that the options mean, its folder, its cells, and their checks."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from assignbench.commands.folders import check_out
from assignbench.commands.precisions import precision_of
from assignbench.commands.questions import check_answerable, check_classes, check_questions
from assignbench.config.method import MethodConfig
from assignbench.config.tuned import Tuned
from assignbench.errors import InputError
from assignbench.records import read_json
from assignbench.study.about import Stale, about
from assignbench.study.baselines import baselines_of
from assignbench.study.grid import Cell, cells_of, chosen, methods_of
from assignbench.study.printed import cells_of_table, table_named
from assignbench.study.reading import Study, read_study, variants
from assignbench.study.tuning import FILE, Trial, read_tuned, trials_of, tuned


@dataclass(frozen=True)
class Opened:
    """A study with everything in it checked: all its cells, those that were asked for, its methods and their pairs.

    `trials` are those of its sweep, and `tuned` is what was chosen from them: its methods have it. `untuned` says why
    nothing was; then the methods are as the study writes them. `table` is the printed table that alone was asked for.
    """

    study: Study
    folder: Path
    everything: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    methods: dict[str, MethodConfig]
    baselines: dict[str, str]
    trials: tuple[Trial, ...] = ()
    tuned: Tuned | None = None
    untuned: str = ""
    table: str = ""

    def about(self, stale: Stale) -> dict[str, object]:
        """The content of study.json."""
        configs = {c.id: c.config for c in self.everything}
        grid = {
            name: {"data": c.data.name, "detector": c.detector.label, "method": c.method.name}
            for name, c in configs.items()
        }
        found = None if self.tuned is None else self.tuned.model_dump(mode="json")
        here, elsewhere = asked(self.study, self.table)
        return about(here, list(configs), grid, self.baselines, stale, found, self.table, elsewhere)


def read(options: argparse.Namespace) -> Study:
    """The study that the options mean, with the names checked that need no method. Loads no torch for a sound one."""
    study = read_study(options.study, sets=options.sets, preset=options.preset, data=options.data, seeds=options.seeds)
    try:
        check_questions(study)
    except InputError:
        if isinstance(study.lines.get(("methods",)), str):
            # The methods stand in an option: where one of them is wrong, a claim about the others is not to blame.
            from assignbench import methods

            methods_of(study, methods)
        raise
    return study


def open_study(options: argparse.Namespace) -> Opened:
    """The study and its cells, checked as a whole. Loads the methods and with them torch."""
    study, others = read(options), variants(options.study)
    for variant in others:
        check_questions(variant)
    from assignbench import methods  # after what needs no torch: a broken study is refused at once

    for variant in others:
        cells_of(variant, methods)
        trials_of(variant, methods)
        check_answerable(variant, baselines_of(variant, methods))
    folder, cache = run_folder(options, study), (options.out / ".cache").resolve()
    study = replace(study, precision=precision_of(options, study, folder))
    trials = trials_of(study, methods, cache=cache)
    found, untuned = None, ""
    if trials:
        path = tuning_folder(folder) / FILE
        try:
            found = read_tuned(read_json(path), path)
            study = tuned(study, found, trials)
        except InputError as problem:
            found, untuned = None, str(problem)
    everything, baselines = cells_of(study, methods, cache=cache), baselines_of(study, methods)
    check_answerable(study, baselines)
    if not options.preset and not options.data:  # else a study's claims may be about classes of other data
        check_classes(study, everything)
    table = wanted_table(options, study)
    needed = everything
    if table:
        places = cells_of_table(study, table)
        needed = [c for c in everything if (c.config.detector.label, c.config.method.name) in places]
    return Opened(
        study=study,
        folder=folder,
        everything=tuple(everything),
        cells=tuple(chosen(needed, options.only)),
        methods=methods_of(study, methods),
        baselines=baselines,
        trials=tuple(trials),
        tuned=found,
        untuned=untuned,
        table=table,
    )


def wanted_table(options: argparse.Namespace, study: Study) -> str:
    """The printed table that `--table` means; "" without the option. Raises InputError for an unknown one."""
    return table_named(study, options.table) if getattr(options, "table", None) else ""


def asked(study: Study, table: str) -> tuple[Study, int]:
    """The study with the claims that the cells of a printed table can tell of, and how many it leaves out; the whole
    one without a table.
    """
    if not table:
        return study, 0
    from assignbench.analysis.claim_forms import parse

    cells = cells_of_table(study, table)
    there = {*cells, *(("", method) for _, method in cells)}
    claims = [c for c in study.spec.claims if set(parse(c.claim).sides) <= there]
    here = replace(study, spec=study.spec.model_copy(update={"claims": claims}))
    return here, len(study.spec.claims) - len(claims)


def tuning_folder(folder: Path) -> Path:
    """Where the sweep of a run folder's study is trained, and where what it chose is kept."""
    return folder.with_name(f"{folder.name}-tune")


def run_folder(options: argparse.Namespace, study: Study) -> Path:
    """runs/<study>, with the variant's name behind it, so that a rehearsal never mixes with the real thing.

    Raises InputError where something else than a folder is in its way.
    """
    parts = [study.spec.study, *(p for p in (options.preset, options.data) if p)]
    folder: Path = options.out / "-".join(parts)
    check_out(folder)
    return folder
