"""One annotation file of a VOC folder: strict about what it holds, within limits of size, depth and number."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException, ElementTree

from assignbench.data.base import Problem
from assignbench.data.checks import box_problem

LARGEST = 16 << 20  # bytes of one file
DEEPEST = 32
MOST = 100_000  # objects in one file
_KNOWN = {
    "annotation": ("filename", "size", "object"),
    "size": ("width", "height"),
    "object": ("name", "difficult", "bndbox"),
    "bndbox": ("xmin", "ymin", "xmax", "ymax"),
}
_WHOLE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?|[+-]?\.[0-9]+")

Box = tuple[float, float, float, float]


@dataclass
class Annotation:
    """What one file says: the picture's name and size, and its sound objects with their numbers in the file."""

    filename: str
    size: tuple[int, int]
    names: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


def read_annotation(path: Path, short: str, problems: list[Problem]) -> Annotation | None:
    """The annotation of one image, or None if the whole image has to be left out; problems are appended.

    Pixels are 1-based and inclusive in the file: a box becomes (xmin - 1, ymin - 1, xmax, ymax), clipped to the image.
    """
    try:
        tree = _tree(path)
        width, height = (_size(tree, side) for side in ("width", "height"))
        filename = _only(tree, "filename", needed=False)
    except FileNotFoundError:
        problems.append(Problem(short, "annotation file is missing", image_lost=True))
        return None
    except (OSError, ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as problem:
        problems.append(Problem(short, f"not a usable VOC annotation: {problem!s:.160}", image_lost=True))
        return None
    found = Annotation(filename, (width, height))
    for number, item in enumerate(tree.findall("object")):
        where = f"object {number}"
        try:
            kind = _only(item, "name")
            where = f"object {number} ('{kind}')"
            box, difficult = _box(item, width, height), _flag(item, "difficult")
        except ValueError as problem:
            problems.append(Problem(short, str(problem), where))
            continue
        found.names.append(kind)
        found.boxes.append(box)
        found.difficult.append(difficult)
        found.numbers.append(number)
    return found


def class_names(path: Path) -> set[str]:
    """The classes of the objects in a file; none if it cannot be read, which `read_annotation` tells."""
    try:
        tree = _tree(path)
    except (OSError, ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return set()
    return {n for n in ((item.findtext("name") or "").strip() for item in tree.findall("object")) if n}


def _tree(path: Path) -> Element:
    if path.exists() and not path.is_file():
        raise ValueError("is no regular file")
    if path.exists() and path.stat().st_size > LARGEST:
        raise ValueError(f"the file has more than {LARGEST} bytes")
    tree: Element | None = ElementTree.parse(path).getroot()
    if tree is None:
        raise ValueError("the file is empty")
    if tree.tag != "annotation":
        raise ValueError(f"its outermost element is <{tree.tag:.40}>, expected <annotation>")
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
        level = [child for element in level for child in element]
    _check_tags(tree)
    objects = len(tree.findall("object"))
    if objects > MOST:
        raise ValueError(f"holds {objects} objects, at most {MOST} are read")
    if objects != sum(1 for _ in tree.iter("object")):
        raise ValueError("holds an <object> that is not directly under <annotation>")
    return tree


def _check_tags(tree: Element) -> None:
    """Raises ValueError for a tag that would be read in small letters and without a namespace."""
    for element in tree.iter():
        known = _KNOWN.get(element.tag, ())
        for child in element:
            meant = child.tag.rpartition("}")[2].lower()
            if meant in known and child.tag != meant:
                raise ValueError(f"holds <{child.tag:.60}>, expected <{meant}>")


def _only(element: Element, path: str, *, needed: bool = True) -> str:
    """The text of the only element at a path; empty if it is not there and not needed."""
    parent = path.partition("/")[0]
    if len(element.findall(parent)) > 1:
        raise ValueError(f"has {len(element.findall(parent))} elements <{parent}>, expected one")
    found = element.findall(path)
    text = (found[0].text or "").strip() if found else ""
    if len(found) > 1:
        raise ValueError(f"has {len(found)} elements <{path}>, expected one")
    if found and len(found[0]):
        raise ValueError(f"<{path}> holds <{found[0][0].tag:.40}>, expected text alone")
    if not text and needed:
        raise ValueError(f"no <{path}>")
    if text and not text.isprintable():
        raise ValueError(f"<{path}> is {text!r:.80}, which cannot be printed")
    return text


def _size(tree: Element, side: str) -> int:
    text = _only(tree, f"size/{side}")
    if not _WHOLE.fullmatch(text) or not int(text):
        raise ValueError(f"<size/{side}> is '{text:.40}', expected a whole number of pixels")
    return int(text)


def _flag(item: Element, name: str) -> bool:
    text = _only(item, name, needed=False)
    if text not in ("", "0", "1"):
        raise ValueError(f"<{name}> is '{text:.40}', expected 0 or 1")
    return text == "1"


def _box(item: Element, width: int, height: int) -> Box:
    values = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        text = _only(item, f"bndbox/{side}")
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"<bndbox/{side}> is '{text:.40}', expected a finite number")
        values.append(float(text))
    x1, y1, x2, y2 = values
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    # A box one pixel wide would be sound by the letter; in public sets it is a slip of the mouse.
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"{shown} is {'inverted' if x1 > x2 or y1 > y2 else 'without area'}")
    wrong = box_problem((x1 - 1, y1 - 1, x2, y2), width, height)
    if wrong:
        raise ValueError(f"{shown}{wrong.partition(')')[2]}")
    # The file counts pixels from 1 and includes the last one. A zero is the same slip in many public sets.
    return max(x1 - 1, 0.0), max(y1 - 1, 0.0), min(x2, width), min(y2, height)
