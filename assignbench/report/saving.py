"""Figures as files: what a page shows, what a paper prints and what a talk shows, under names that nothing else has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assignbench.records.names import file_name
from assignbench.report.content import Picture
from assignbench.report.kept import Figure, Kept, copy, saved
from assignbench.report.kinds import save
from assignbench.report.style import Drawn

# A drawing is shown as SVG, which is sharp at every size, unless it is so large; photographs are JPEG.
DRAWING, PHOTO = (".svg", ".pdf", ".png"), (".jpg", ".pdf")
LARGEST_SVG = 250_000  # bytes


@dataclass(frozen=True)
class Target:
    """Where figures go, of which data sets no image is shown, and the names that are taken.

    `print_too`: whether the kinds for print are written beside those that a page shows. `kept`: the figures of the
    report before.
    """

    folder: Path
    hidden: frozenset[str]
    print_too: bool
    kept: Kept
    taken: set[str] = field(default_factory=set)

    def drawn(self, key: str, draw: Callable[[], list[Drawn]]) -> list[Picture]:
        """Writes the figures of a key (`Kept.key`): those of the report before, or else what `draw` gives."""
        held = self.kept.find(key)
        if held is not None:
            return [self._again(one) for one in held if one.photo_of not in self.hidden]
        made = [one for one in draw() if one.figure is not None or one.told]
        whole = all(one.photo_of not in self.hidden for one in made if one.figure is not None) and self.print_too
        figures = [self._save(one) for one in made if one.figure is None or one.photo_of not in self.hidden]
        self.kept.note(key if whole else "", figures)
        return [self._picture(one, [name for name, _ in one.files]) for one in figures]

    def _save(self, one: Drawn) -> Figure:
        """Writes a figure; a sentence in place of one that shows nothing has no files."""
        if one.figure is None:
            return saved(one.name, one.told, "", [], fold=one.fold)
        stem = self.free(one.name)
        kinds = [k for k in (PHOTO if one.photo_of else DRAWING) if self.print_too or k != ".pdf"]
        paths = [self.folder / "figures" / f"{stem}{kind}" for kind in kinds]
        save(one.figure, paths)
        if paths[0].suffix == ".svg" and paths[0].stat().st_size > LARGEST_SVG:
            paths.reverse()
        return saved(one.name, one.caption, one.photo_of, paths, one.changed_by, one.fold)

    def _again(self, one: Figure) -> Picture:
        """A kept figure, under the name that is free for it now."""
        if not one.files:
            return self._picture(one, [])
        stem = self.free(one.name)
        wanted = [name for name, _ in one.files if self.print_too or Path(name).suffix != ".pdf"]
        names = {name: f"{stem}{Path(name).suffix}" for name in wanted}
        copy(self.kept, {old: self.folder / "figures" / new for old, new in names.items()})
        return self._picture(one, list(names.values()))

    def _picture(self, one: Figure, names: Sequence[str]) -> Picture:
        first, *others = [f"figures/{name}" for name in names] or [""]
        return Picture(one.caption, first, tuple(others), one.changed_by, one.fold)

    def free(self, text: str) -> str:
        """A file name that no other figure has: "a-b" on "c" and "a" on "b-c" read alike."""
        name, number = file_name(text), 2
        while name in self.taken:
            name, number = file_name(f"{text}-{number}"), number + 1
        self.taken.add(name)
        return name
