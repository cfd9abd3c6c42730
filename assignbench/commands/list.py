"""`assignbench list`: names and one line about each."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rich.console import Console

from assignbench.commands.printed_tables import Rows, tables
from assignbench.config.catalog import CATALOG
from assignbench.study.reading import study_folders
from assignbench.study.yaml_lines import read


def listing(options: argparse.Namespace, console: Console) -> int:
    """Prints what there is of a kind."""
    rows = tables(options.out) if options.what == "tables" else LISTS[options.what]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        console.print(f"{name:{width}}  {text}", markup=False)
    return 0


def _detectors() -> Rows:
    from assignbench.config.detector import DETECTORS

    return [
        (name, f"{spec.family} with {spec.backbone.name}, {spec.priors.kind}s, {spec.priors.count} at a location")
        for name, spec in DETECTORS.items()
    ]


def _methods() -> Rows:
    """With where a preset's choices come from, and the baseline that differs in the assigner alone."""
    from assignbench.methods import PRESETS

    told = ((p, f"{p.source}; baseline {p.baseline}" if p.baseline else p.source) for p in PRESETS.values())
    return [(p.name, f"{p.about} [{origin}]") for p, origin in told]


def _datasets() -> Rows:
    return [
        (name, f"{c['title']} [{c['kind']}{', root ' + c['root'] if c.get('root') else ''}]")
        for name, c in CATALOG.items()
    ]


def _recipes() -> Rows:
    from assignbench.config.recipes import RECIPES

    return [(r.name, f"{r.about} [printed: {r.printed}; released: {r.released}]") for r in RECIPES.values()]


def _analyses() -> Rows:
    from assignbench.analysis import ANALYSES

    return [(a.name, a.question) for a in ANALYSES.values()]


def _studies() -> Rows:
    found = {p.stem: p for folder in reversed(study_folders()) for p in sorted(folder.glob("*.yaml"))}
    return [(str(p), str(read(p)[0].get("answers", ""))) for p in found.values()]


LISTS: dict[str, Callable[[], Rows]] = {
    "detectors": _detectors,
    "methods": _methods,
    "datasets": _datasets,
    "recipes": _recipes,
    "analyses": _analyses,
    "studies": _studies,
}
