"""What a page is made of: sections with tables and pictures in four groups, and the card that answers first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from assignbench.report.tables import Table

Group = Literal["Answer", "Where", "Why", "Appendix"]
GROUPS: tuple[Group, ...] = ("Answer", "Where", "Why", "Appendix")
Tone = Literal["up", "down", "open", "none"]


@dataclass(frozen=True)
class Picture:
    """A saved figure: its file below the report's folder, what it shows, and the other files of it.

    Without a file ("") it is a sentence that stands where a figure would show nothing. `changed_by`: the method whose
    lost and gained assignments it shows. `fold`: what it is folded under; "" for one that everybody sees.
    """

    caption: str
    file: str
    others: tuple[str, ...] = ()
    changed_by: str = ""
    fold: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """All its files."""
        return (self.file, *self.others)


@dataclass(frozen=True)
class Section:
    """One question with its tables and figures; `name` is the analysis' ("" for a section that is none).

    `answer` is the sentence that it begins with; `raw` holds all rows and columns of its tables, for those who look.
    """

    name: str
    title: str
    question: str = ""
    definition: str = ""
    paper: str = ""
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    group: Group = "Answer"
    answer: str = ""
    raw: list[Table] = field(default_factory=list)

    @property
    def common(self) -> list[str]:
        """What is the same for all its tables that say anything of the kind, such as the number of seeds, so that it
        need be said once: sentences that two of its tables have, and none another one that begins alike.
        """
        if not self.tables:
            return []
        kinds: dict[str, list[str]] = {}
        for told in (line for table in (*self.tables, *self.raw) if table.rows for line in table.constants):
            kinds.setdefault(told.split(" ")[0], []).append(told)
        return [told[0] for told in kinds.values() if len(told) > 1 and len(set(told)) == 1]

    @property
    def anchor(self) -> str:
        """Where links to it lead: letters, digits and dashes of its name, or of its title where it has none."""
        kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in (self.name or self.title).lower())
        return "-".join(["section", *filter(None, kept.split("-"))])


@dataclass(frozen=True)
class Verdict:
    """What the study found of one method, in a sentence: who, what, and what else is to be known of it."""

    method: str
    tone: Tone
    sentence: str
    aside: str = ""


@dataclass(frozen=True)
class Card:
    """The answer: a verdict per method, how many cells it rests on, and what became of what was expected.

    `aside`: what would stand beside every one of several verdicts.
    """

    verdicts: list[Verdict]
    aside: str
    finished: int
    asked: int
    states: str  # of the cells that are not finished
    claims: str  # how many were supported, ...; "" without any


@dataclass(frozen=True)
class Page:
    """A report: plain text throughout, which the renderers escape.

    `date`: when its cells were made, from their records. `contradictions`: what is wrong with it (`lint`);
    `recompute`: where its numbers lie cell by cell, "" for nowhere. `colours`, `glyphs`: of the methods, as in figures.
    `forest` and `lost`: the pictures that stand first, and only there. `untested`: what was asked and has no verdict,
    each with its reason, for those who read no page.
    """

    title: str
    answers: str
    expect: str
    cost: str
    version: str
    date: str
    fair: str
    unfair: bool
    warnings: list[str]
    card: Card
    methods: list[str]
    colours: dict[str, str]
    glyphs: dict[str, str]
    sections: list[Section]
    skipped: list[str]
    cells: Table
    runs: Table
    forest: Picture | None = None
    lost: Picture | None = None
    contradictions: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    recompute: str = ""

    def of_group(self, group: Group) -> list[Section]:
        """The sections of a group, in order."""
        return [s for s in self.sections if s.group == group]

    def pictures_of(self, section: Section) -> list[Picture]:
        """The pictures of a section, less those that stand first."""
        return [p for p in section.pictures if p not in (self.forest, self.lost)]

    @property
    def sentences(self) -> list[str]:
        """What it says of its numbers outside of tables: its card, its sections' answers, what its pictures show."""
        said = [t for v in self.card.verdicts for t in (v.sentence, v.aside)]
        shown = [p for p in (self.forest, self.lost) if p is not None]
        pictures = [*shown, *(p for s in self.sections for p in s.pictures)]
        answers = [s.answer for s in self.sections]
        return [*said, self.card.aside, self.card.claims, *answers, *(p.caption for p in pictures), *self.untested]

    @property
    def tables(self) -> list[Table]:
        """Every table that is printed."""
        return [t for s in self.sections for t in (*s.tables, *s.raw)] + [self.cells, self.runs]
