"""A page as one self-contained HTML file: figures inside, everything escaped, nothing that could run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from assignbench.characters import printable

if TYPE_CHECKING:
    from assignbench.report.page import Page

LONG = 40  # rows from which on a table is folded
MIME = {".png": "image/png", ".jpg": "image/jpeg"}


def to_html(page: Page, folder: Path) -> str:
    """The page with its figures, which lie under `folder`, as data addresses."""
    environment = Environment(loader=PackageLoader("assignbench.report"), autoescape=True, finalize=_visible)
    environment.filters["by_code"] = lambda text: text.split("`")
    environment.filters["data_address"] = lambda file: data_address(folder / file)
    return environment.get_template("index.html.j2").render(page=page, long=LONG)


def _visible(value: object) -> object:
    """What a template prints: control characters and turned writing directions of a text are written out."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def data_address(path: Path) -> str:
    """A picture as a data: address."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
