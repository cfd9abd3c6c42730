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
from markupsafe import Markup

from assignbench.characters import printable
from assignbench.report.content import GROUPS
from assignbench.report.tables import INTERVAL

if TYPE_CHECKING:
    from assignbench.report.content import Page

MIME = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}
MINUS = "\u2212"
_NEGATIVE = re.compile(r"(?<=[ (:])-(?=\d)")


def to_html(page: Page, folder: Path) -> str:
    """The page with its figures, which lie under `folder`, as data addresses.

    The browser runs the script and the style sheet of this package, by their hashes, and nothing else.
    """
    environment = Environment(loader=PackageLoader("assignbench.report"), autoescape=True, finalize=_visible)
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
    return "".join(f".m{k} {{ background: {page.colours[m]}; }}\n" for k, m in enumerate(page.methods))


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


def minus(text: str) -> str:
    """A sentence of ours, its numbers with a real minus."""
    return _NEGATIVE.sub(MINUS, text)


def _visible(value: object) -> object:
    """What a template prints: control characters and turned writing directions of a text are written out."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def data_address(path: Path) -> str:
    """A picture as a data: address."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
