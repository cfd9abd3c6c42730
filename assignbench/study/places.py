"""A read study, and how an error names a place of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assignbench.config.detector import FROM_TORCHVISION, PUBLISHED, BackboneSpec
from assignbench.config.folders import located
from assignbench.config.precision import Precision
from assignbench.errors import InputError
from assignbench.study.spec import StudySpec
from assignbench.study.yaml_lines import Lines, line_of

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Study:
    """A read study: its specification, its file, and the line of every key of the file.

    `precision` is what `amp: auto` stands for in all its cells: what suits this machine, or what it was begun with.
    """

    spec: StudySpec
    path: Path
    lines: Lines = field(default_factory=dict, repr=False, compare=False)
    precision: Precision = "bf16"

    def where(self, *place: str | int) -> str:
        """How an error names a place of the study: the file, the line if the file has it, and the key."""
        if place[:2] == ("data", 0) and len(self.spec.data) == 1:
            # A single data set is usually written without a list.
            place = place if place in self.lines else ("data", *place[2:])
        return where(self.path, self.lines, place)

    def refused(
        self, problem: InputError, place: Place, *, below: Place = (), others: Sequence[Place] = ()
    ) -> InputError:
        """The problem of the entry at `place` with the line of the very key that it is about.

        Keys of the problem lie `below` the entry; a key that is not written there is looked for in `others`.
        """
        at = (*place, *below, *problem.place) if problem.place else place
        found = [p for p in (at, *((*o, *problem.place) for o in others)) if p in self.lines]
        line = line_of(self.lines, found[0] if found else at)
        return InputError(f"{at_line(self.path, line)}: {'.'.join(str(p) for p in place)}: {problem}")


def where(path: Path, lines: Lines, place: Place) -> str:
    """File, line and dotted key of a place."""
    return f"{at_line(path, line_of(lines, place))}: {'.'.join(str(p) for p in place)}"


def at_line(path: Path, line: int | str | None) -> str:
    """The file and the line; the option alone for what the command line says."""
    if isinstance(line, str):
        return line
    return f"{path}: line {line}" if line else str(path)


def weights_path(written: str, backbone: BackboneSpec, study_folder: Path) -> Path:
    """A weights file named in a study; `torchvision` is torchvision's own of the backbone, in torch's cache."""
    if written != FROM_TORCHVISION:
        return located(written, study_folder)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("TORCH_HOME") or Path(cache, "torch")).expanduser()
    return home / "hub" / "checkpoints" / PUBLISHED[backbone.name]
