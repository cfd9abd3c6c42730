"""A study's named recipe: laid under what the study writes itself, and told by the commands that show a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from assignbench.config.data import SIZE_WORDS, DataSpec
from assignbench.config.recipe import Schedule, laid_over
from assignbench.config.recipes import RECIPES, Recipe, recipe_of
from assignbench.errors import InputError
from assignbench.study.spec import NOT_READ, StudySpec
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


def laid_under(content: dict[str, Any], lines: Lines, recipe: Recipe) -> Lines:
    """Puts the recipe's schedule and evaluation under the study's own; returns the lines, with those of the recipe.

    What the study writes makes some of the recipe idle, e.g. its milestones under a cosine: that is left out.
    """
    found = dict(lines)
    for part, entries in (("schedule", recipe.schedule), ("evaluation", recipe.evaluation)):
        own = content.get(part, {})
        if not isinstance(own, dict):
            continue  # refused with the other keys
        laid = laid_over(dict(entries), own)
        idle = _idle(part, laid).keys() - own.keys()
        line = line_of(lines, ("recipe",))
        if line is not None:
            found |= {place: line for place in [(part,), *((part, key) for key in laid)] if place not in lines}
        content[part] = {key: value for key, value in laid.items() if key not in idle}
    return found


def _idle(part: str, entries: dict[str, Any]) -> dict[str, str]:
    try:
        return Schedule.model_validate(entries).idle() if part == "schedule" else {}
    except ValidationError:
        return {}  # told when the study is checked


def data_under(catalogue: Mapping[str, Any], entry: Mapping[str, Any], recipe: Recipe | None) -> dict[str, Any]:
    """What lies under a data set's own entry: the catalogue's, with the recipe's in place of it, key by key.

    What the set's kind does not read is left out of the recipe: COCO's crowd regions on another kind of data.
    """
    below = dict(catalogue)
    kind = entry.get("kind", catalogue.get("kind"))
    for key, value in ({} if recipe is None else recipe.data).items():
        if isinstance(kind, str) and key in NOT_READ.get(kind, ()):
            continue
        if key not in SIZE_WORDS:
            below[key] = value
        elif not any(word in entry for word in SIZE_WORDS):
            below = {k: v for k, v in below.items() if k not in SIZE_WORDS} | {key: value}
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
        changed = [key for key in entries if taken[key] != fields[key]]
        told.append(f"  {part}: {_shown(entries)}{_own(changed)}")
    written = DataSpec.model_validate({"name": "any", "kind": "coco", **recipe.data})
    own = {
        key
        for entry in spec.data
        for key in recipe.data
        if key not in NOT_READ[entry.kind] and getattr(entry.data_set(), key) != getattr(written, key)
    }
    told.append(f"  data: {_shown(recipe.data)}{_own(own)}")
    return told


def _own(keys: Iterable[str]) -> str:
    return f" (the study has its own {', '.join(sorted(keys))})" if keys else ""


def _shown(entries: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(entries), default_flow_style=True, sort_keys=False, width=10_000).strip()
