"""Figures as files: what a page shows, what a paper prints and what a talk shows, under names that nothing else has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assignbench.records.names import file_name
from assignbench.report.content import Picture
from assignbench.report.kinds import save
from assignbench.report.style import Drawn

# A drawing is shown as SVG, which is sharp at every size, unless it is so large; photographs are JPEG.
DRAWING, PHOTO = (".svg", ".pdf", ".png"), (".jpg", ".pdf")
LARGEST_SVG = 250_000  # bytes


@dataclass(frozen=True)
class Target:
    """Where figures go, of which data sets no image is shown, and the names that are taken.

    `print_too`: whether the kinds for print are written beside those that a page shows.
    """

    folder: Path
    hidden: frozenset[str]
    print_too: bool = True
    taken: set[str] = field(default_factory=set)

    def save(self, drawn: list[Drawn]) -> list[Picture]:
        """Writes the figures; what the page needs of each."""
        pictures = []
        for one in drawn:
            if one.figure is None:
                continue
            if one.photo_of in self.hidden:
                continue
            stem = self.free(one.name)
            kinds = [k for k in (PHOTO if one.photo_of else DRAWING) if self.print_too or k != ".pdf"]
            files = [self.folder / "figures" / f"{stem}{kind}" for kind in kinds]
            save(one.figure, files)
            if files[0].suffix == ".svg" and files[0].stat().st_size > LARGEST_SVG:
                files.reverse()
            names = [f"figures/{path.name}" for path in files]
            pictures.append(Picture(one.caption, names[0], tuple(names[1:])))
        return pictures

    def free(self, text: str) -> str:
        """A file name that no other figure has: "a-b" on "c" and "a" on "b-c" read alike."""
        name, number = file_name(text), 2
        while name in self.taken:
            name, number = file_name(f"{text}-{number}"), number + 1
        self.taken.add(name)
        return name
