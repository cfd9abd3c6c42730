"""What made a cell's numbers and is not in its configuration, and in words what of it has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from assignbench.config.base import Config

FileGroup = Literal[
    "train annotations", "train images", "val annotations", "val images", "test annotations", "test images"
]
# Per group the sha256 of every file by its name below the data root; empty for a file that is not there.
Listing = Mapping[FileGroup, Mapping[str, str]]


class FileSet(Config):
    """How many files a group has, and one hash over their names and contents."""

    count: int = Field(ge=0, le=1_000_000_000)
    sha256: str


class Inputs(Config):
    """The files of both splits, the weights file, the user's own source, and the making of each component.

    `weights`: sha256 by the file's name. `sources`: per part of the user's own ("assigner my_module:Mine") the sha256
    of each source file that it is made of. `formats`: see config/formats.py.
    """

    files: dict[FileGroup, FileSet] = {}
    weights: dict[str, str] = {}
    sources: dict[str, dict[str, str]] = {}
    formats: dict[str, int] = {}


def file_sets(listing: Listing) -> dict[FileGroup, FileSet]:
    """The groups of a listing, each as one hash."""
    return {
        group: FileSet(count=len(files), sha256=hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest())
        for group, files in listing.items()
    }


def of_training(inputs: Inputs) -> Inputs:
    """Those that the training reads: without the split that is measured on and the making of the evaluation."""
    files: dict[FileGroup, FileSet] = {g: f for g, f in inputs.files.items() if g.startswith("train")}
    formats = {name: number for name, number in inputs.formats.items() if name != "evaluation"}
    return inputs.model_copy(update={"files": files, "formats": formats})


def stale_reasons(
    recorded: Inputs, now: Inputs, before: Listing | None = None, after: Listing | None = None
) -> list[str]:
    """A sentence for everything that differs; none if nothing does. The listings name the files of a group."""
    found = []
    for group in dict.fromkeys((*recorded.files, *now.files)):
        if recorded.files.get(group) != now.files.get(group):
            found += _files(group, (before or {}).get(group, {}), (after or {}).get(group, {}))
    found += _by_name("weights file {}", recorded.weights, now.weights)
    for part in dict.fromkeys((*recorded.sources, *now.sources)):
        found += _by_name(f"{{}}, source of {part},", recorded.sources.get(part, {}), now.sources.get(part, {}))
    for name in dict.fromkeys((*recorded.formats, *now.formats)):
        one, other = recorded.formats.get(name), now.formats.get(name)
        if one != other:
            found.append(f"{name}: this version makes other numbers (format {_shown(one)} → {_shown(other)})")
    return found


def _shown(number: int | None) -> str:
    return "none" if number is None else str(number)


def _by_name(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A sentence for every name whose hash differs."""
    found = []
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            found.append(f"{what.format(name)} {_how(before.get(name), after.get(name))}")
    return found


def _how(before: str | None, after: str | None) -> str:
    if not after:
        return "is missing" if after == "" else "is no longer used"
    if not before:
        return "was missing and is there now" if before == "" else "is new"
    return "changed"


def _files(group: FileGroup, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What happened to the files of a group: the same for many is said once, with an example."""
    split, kind = group.split()
    what = {"annotations": "annotation file", "images": "image file"}[kind]
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            alike.setdefault(_how(before.get(name), after.get(name)), []).append(name)
    if not alike:
        return [f"the {what}s of the {split} split changed"]
    return [
        f"{what} {names[0]} of the {split} split {how}"
        if len(names) == 1
        else f"{len(names)} {what}s of the {split} split: each {how}, e.g. {names[0]}"
        for how, names in alike.items()
    ]
