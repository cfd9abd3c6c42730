"""A study's named recipe: laid under what the study writes itself, and told by the commands that show a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from assignbench.config.data import SIZE_WORDS, DataSpec
from assignbench.config.detector import DETECTORS
from assignbench.config.recipe import laid_over
from assignbench.config.recipes import RECIPES, Recipe, default_recipe, recipe_of
from assignbench.errors import InputError
from assignbench.study.spec import NOT_READ, DataEntry, StudySpec
from assignbench.study.yaml_lines import Lines, line_of


def named_recipe(content: Mapping[str, Any], where: str) -> Recipe | None:
    """The recipe that a study's content names; None without one. Raises InputError for a name that is not known."""
    name = content.get("recipe", "")
    if not isinstance(name, str) or not name:
        return None  # what is no text is refused with the other keys
    try:
        return recipe_of(name)
    except InputError as problem:
        raise InputError(f"{where}: {problem}") from None


def default_name(content: Mapping[str, Any], where: Callable[[int], str]) -> str:
    """The recipe of a study that says nothing of its training: the one of its detectors.

    `where` names the place of a detector. Raises InputError for a detector of the user's own, of which nothing is known
    here, and for detectors that would train differently: their differences would not be those of the methods.
    """
    found: dict[str, int] = {}
    entries = content.get("detectors")
    for place, entry in enumerate(entries if isinstance(entries, list) else []):
        given = entry if isinstance(entry, dict) else {"name": entry}
        name = given.get("name")
        if isinstance(name, str) and ":" in name:
            told = f"detector '{name}' is your own, for which no schedule is known"
            raise InputError(f"{where(place)}: {told}; write `schedule: {{steps: ...}}`, or `recipe: light`")
        if isinstance(name, str) and name in DETECTORS:  # others are refused with their nearest name
            found.setdefault(default_recipe(DETECTORS[name], weights=bool(given.get("weights"))), place)
    if len(found) > 1:
        told = " and ".join(f"{name} for detectors.{place}" for name, place in found.items())
        raise InputError(
            f"{where(max(found.values()))}: the study writes no schedule, and its detectors would have different ones "
            f"({told}); write a `schedule` or a `recipe` for all of them"
        )
    return next(iter(found), "light")


def laid_under(content: dict[str, Any], lines: Lines, recipe: Recipe) -> Lines:
    """Puts the recipe's schedule and evaluation under the study's own; returns the lines, with those of the recipe."""
    found = dict(lines)
    for part, entries in (("schedule", recipe.schedule), ("evaluation", recipe.evaluation)):
        own = content.get(part, {})
        if not isinstance(own, dict):
            continue  # refused with the other keys
        laid = _OVER[part](dict(entries), own)
        line = line_of(lines, ("recipe",))
        if line is not None:
            found |= {place: line for place in [(part,), *((part, key) for key in laid)] if place not in lines}
        content[part] = laid
    return found


_OVER: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "schedule": laid_over,
    "evaluation": lambda base, own: {**base, **own},
}


def data_under(catalogue: Mapping[str, Any], entry: Mapping[str, Any], recipe: Recipe | None) -> dict[str, Any]:
    """What lies under a data set's own entry: the catalogue's, with the recipe's in place of it, key by key.

    What the kind of data does not read of a recipe, e.g. `crowd` of VOC, is left out: nobody wrote it for this data.
    """
    below = dict(catalogue)
    unread = NOT_READ.get(str(entry.get("kind", catalogue.get("kind"))), ())
    for key, value in ({} if recipe is None else recipe.data).items():
        if key in SIZE_WORDS:
            below = {k: v for k, v in below.items() if k not in SIZE_WORDS}
        if key not in unread:
            below[key] = value
    return below


def recipe_lines(spec: StudySpec) -> list[str]:
    """What the named recipe sets, by part, and what the study writes itself instead; nothing without a recipe."""
    if not spec.recipe:
        return []
    recipe = RECIPES[spec.recipe]
    told = [f"recipe: {recipe.name} ({recipe.about}; printed: {recipe.printed}; released: {recipe.released})"]
    for part, entries in (("schedule", recipe.schedule), ("evaluation", recipe.evaluation)):
        taken = getattr(spec, part).model_dump(mode="json")
        fields = type(getattr(spec, part)).model_validate(dict(entries)).model_dump(mode="json")
        changed = sorted(key for key in entries if taken[key] != fields[key])
        told.append(
            f"  {part}: {_shown(entries)}" + (f" (the study has its own {', '.join(changed)})" if changed else "")
        )
    others = [f"{entry.name} has its own {', '.join(own)}" for entry in spec.data if (own := _own_data(entry, recipe))]
    told.append(f"  data: {_shown(recipe.data)}" + (f" ({'; '.join(others)})" if others else ""))
    return told


def _own_data(entry: DataEntry, recipe: Recipe) -> list[str]:
    """What the study writes itself of a data set, in place of the recipe's; what its kind does not read is nobody's."""
    held, wanted = entry.data_set(), DataSpec.model_validate({"name": entry.name, "kind": entry.kind, **recipe.data})
    read = (key for key in recipe.data if key not in NOT_READ[entry.kind])
    return sorted(key for key in read if getattr(held, key) != getattr(wanted, key))


def _shown(entries: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(entries), default_flow_style=True, sort_keys=False, width=10_000).strip()
