"""A page as one self-contained HTML file: figures inside, everything escaped, and one script, which is our own."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from PIL import Image

from assignbench.characters import printable
from assignbench.report.content import GROUPS
from assignbench.report.tables import BESIDE, INTERVAL, Table

if TYPE_CHECKING:
    from assignbench.report.content import Page

MIME = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}
MINUS = "\u2212"
BROAD_PICTURE = 800  # pixels; one of more is not read in half of the page
PHONE = 480  # pixels; a picture of more is scrolled there, since made to fit it could not be read
# Letters that fit beside each other on an upright page, there in small print, and in one cell of it.
PAPER_LETTERS, SMALL_LETTERS, LONGEST_LINE = 120, 170, 26
_COUNTED = re.compile(r"(.*) (\(\d+ (?:objects?|images?)\))")
_POINTS = re.compile(r'<svg [^>]*width="([\d.]+)pt"')
_NEGATIVE = re.compile(r"(?<=[ (:])-(?=\d)")


def to_html(page: Page, folder: Path) -> str:
    """The page with its figures, which lie under `folder`, as data addresses.

    The browser runs the script and the style sheet of this package, by their hashes, and nothing else.
    """
    environment = Environment(loader=PackageLoader("assignbench.report"), autoescape=True, finalize=_visible)
    environment.tests["broad"] = lambda table: letters(table) > PAPER_LETTERS
    environment.tests["broadest"] = lambda table: letters(table) > SMALL_LETTERS
    environment.tests["broad_picture"] = lambda picture: pixels_across(folder / picture.file) > BROAD_PICTURE
    environment.tests["wider_than_phones"] = lambda picture: pixels_across(folder / picture.file) > PHONE
    environment.filters["heading"] = heading
    environment.filters["breakable"] = breakable
    environment.filters["column_owner"] = lambda head: head.split(BESIDE)[0]  # a method's name, over its column
    environment.filters["by_code"] = lambda text: text.split("`")
    environment.filters["data_address"] = lambda file: data_address(folder / file)
    environment.filters["number"] = number
    environment.filters["minus"] = minus
    environment.filters["ending"] = lambda file: Path(file).suffix.removeprefix(".")
    script, sheet = _part("page.js"), _part("page.css") + _dots(page)
    known = {"page": page, "groups": GROUPS, "script": Markup(script), "sheet": Markup(sheet)}  # noqa: S704
    hashes = {"script_hash": _hash(script), "sheet_hash": _hash(sheet)}
    return environment.get_template("index.html.j2").render(**known, **hashes)


def _dots(page: Page) -> str:
    """Rules that give every method's dot its colour; a colour is digits of ours, never a record's text."""
    return "".join(f".m{k} {{ color: {page.colours[m]}; }}\n" for k, m in enumerate(page.methods))


@cache
def _part(name: str) -> str:
    """A file of the templates: our own text, which no record changes."""
    return (files("assignbench.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names what may be run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def number(cell: str) -> str:
    """A printed number with a real minus; any other text as it is."""
    parts = cell.split(INTERVAL)
    plain = parts[0].rstrip("†")
    if plain.startswith("-") and plain[1:].replace(".", "", 1).isdigit():
        return MINUS + cell[1:]
    return cell


def breakable(text: str) -> Markup:
    """A name that a line may end in behind each of its underscores."""
    return Markup("_<wbr>").join(escape(_visible(part)) for part in text.split("_"))


def heading(text: str) -> Markup:
    """A column's name, in a second line how many objects or images it is of, or what it is compared with."""
    found = _COUNTED.fullmatch(text)
    name, *more = text.split(BESIDE)
    if more:  # a method, then its baseline and the kind of their pair
        return breakable(name) + Markup(' <small class="pair-of">{}</small>').format(breakable(", ".join(more)))
    if found is None:
        return breakable(text)
    return breakable(found[1]) + Markup(" <small>{}</small>").format(found[2])


def letters(table: Table) -> int:
    """How many letters stand beside each other in a table, with the room between its columns."""
    cells = [table.header, *table.rows]
    widths = [max(min(len(row[k]), LONGEST_LINE) for row in cells) for k in range(len(table.header))]
    return sum(widths) + 3 * len(widths)


def pixels_across(path: Path) -> int:
    """How wide a picture is where nothing makes it smaller; 0 for one that does not say it."""
    if path.suffix == ".svg":
        found = _POINTS.search(path.read_text(encoding="utf-8")[:2000])
        return round(float(found[1]) * 4 / 3) if found else 0
    with Image.open(path) as picture:
        return int(picture.width)


def minus(text: str) -> str:
    """A sentence of ours, its numbers with a real minus."""
    return _NEGATIVE.sub(MINUS, text)


def _visible(value: object) -> object:
    """What a template prints: control characters and turned writing directions of a text are written out."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def data_address(path: Path) -> str:
    """A picture as a data: address."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
