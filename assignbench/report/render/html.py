"""A page as one self-contained HTML file: figures inside, everything escaped."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader

if TYPE_CHECKING:
    from assignbench.report.page import Page

LONG = 40  # rows from which on a table is folded
MIME = {".png": "image/png", ".jpg": "image/jpeg"}


def to_html(page: Page, folder: Path) -> str:
    """The page with its figures, which lie under `folder`, as data addresses."""
    environment = Environment(loader=PackageLoader("assignbench.report"), autoescape=True)
    environment.filters["data_address"] = lambda file: data_address(folder / file)
    return environment.get_template("index.html.j2").render(page=page, long=LONG)


def data_address(path: Path) -> str:
    """A picture as a data: address."""
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
