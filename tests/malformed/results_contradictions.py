"""Files of `analyze` whose entries are sound one by one and do not fit together, and folders that are not its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.malformed.harness import Case
from tests.malformed.results import UNREPORTED, analyze, bad, changed, found, same_numbers, truth


def _by_name(before: str = "") -> list[dict[str, Any]]:
    rows = [{"file_name": f"{before}im{r['image_id'] - 10}.jpg", **r} for r in found()]
    return [{k: v for k, v in r.items() if k != "image_id"} for r in rows]


def _in_folders(*folders: str) -> dict[str, Any]:
    content = truth()
    for place, image in enumerate(content["images"]):
        image["file_name"] = f"{folders[place % len(folders)]}/{image['file_name']}"
    return content


def contradictions() -> Iterator[Case]:
    """Two fields of one entry that say different things, and files that hold two answers."""
    for name, more, words in (
        ("image_id and file_name", {"file_name": "im5.jpg"}, ("entry[1]", "image_id is 11", "im5.jpg", "image 15")),
        ("an unknown image_id and file_name", {"image_id": 1, "file_name": "im1.jpg"}, ("entry[1]", "1", "im1.jpg")),
        ("two names of images", {"image_id": "im1.jpg", "file_name": "im5.jpg"}, ("entry[1]", "im1.jpg", "im5.jpg")),
        ("category_id and category", {"category": "kind90"}, ("entry[1]", "category_id is 7", "kind90")),
        ("an unknown category_id and category", {"category_id": 0, "category": "kind7"}, ("entry[1]", "0", "kind7")),
    ):
        rows = found()
        rows[1].update(more)
        yield bad(f"contradiction: {name}", "found.json", *words, predictions=rows)
    for first, second in (("annotations", "predictions"), ("predictions", "detections"), ("detections", "annotations")):
        rows = {first: [], second: found()}
        yield bad(f"two lists: {first}, {second}", "found.json", f"'{first}'", f"'{second}'", predictions=rows)
    for key in ("ignore", "difficult"):
        marked = truth()
        for item in marked["annotations"]:
            item[key] = 1
        yield bad(f"every object has {key}", "gt.json", "object", "18 ignored", gt=marked)
    yield bad(
        "a name that may be two images",
        "entry[0]",
        "im0.jpg",
        "folder",
        gt=changed(_in_folders("a"), ("images", 1, "file_name"), "b/im0.jpg"),
        predictions=_by_name()[:1],
    )
    yield bad("names of another folder", "train/im0.jpg", gt=_in_folders("val"), predictions=_by_name("train/"))


def warned() -> Iterator[Case]:
    """What is accepted, and said."""
    mixed = [
        r if i % 2 else {**{k: v for k, v in r.items() if k != "score"}, "cls_score": 0.5, "iou_score": 0.5}
        for i, r in enumerate(found())
    ]
    far = {**found()[0], "bbox": [1e8, 1e8, 5, 5]}
    for name, words, files in (
        ("scores of two kinds", ("found.json", "9 of 18", "'cls_score'"), {"predictions": mixed}),
        ("a box far away", ("found.json", "entry[18]", "100000000.0"), {"predictions": [*found(), far]}),
        (
            "a box without area as stored",
            ("found.json", "1 boxes"),
            {"predictions": _with("bbox", [100, 50, 1e-20, 5])},
        ),
        (
            "an object that leaves its image",
            ("gt.json", "annotation 2", "200x160"),
            {"gt": _gt(bbox=[150, 100, 99, 99])},
        ),
        ("an object without area as stored", ("gt.json", "annotation 2"), {"gt": _gt(bbox=[100, 50, 1e-20, 5])}),
        ("an area of 0", ("gt.json", "annotation 2", "area 0"), {"gt": _gt(area=0)}),
        ("an area beyond the box", ("gt.json", "annotation 2", "100000"), {"gt": _gt(area=1e5)}),
    ):
        yield bad(f"warned: {name}", *words, **files, code=(0,), written=("runs",))
    for name, rows in (("fewer", found()[:4]), ("on one image", [{**r, "image_id": 10} for r in found()])):
        yield Case(
            "analyze",
            f"warned: candidates {name}",
            partial(_candidates, rows),
            ("before.json", "fewer boxes before NMS"),
            (0,),
            written=("runs",),
            instead=UNREPORTED,
        )
    for name, files in {
        "folders in the ground truth's names": {"gt": _in_folders("val"), "predictions": _by_name()},
        "Windows paths": {"predictions": _by_name("C:\\data\\val\\")},
        "id and name": {"predictions": [{**r, **n} for r, n in zip(found(), _by_name(), strict=True)]},
    }.items():
        check = None if "gt" in files else same_numbers
        yield bad(f"sound: {name}", "report", **files, code=(0,), check=check, written=("runs",))


def _with(key: str, value: Any) -> list[dict[str, Any]]:
    return [*found(), {**found()[0], key: value}]


def _gt(**more: Any) -> dict[str, Any]:
    content = truth()
    content["annotations"][1].update(more)
    return content


def _candidates(rows: list[dict[str, Any]], folder: Path) -> list[str]:
    arguments = analyze(folder, None, rows)
    (folder / "found.json").rename(folder / "before.json")
    analyze(folder, truth(), found())
    return [*arguments, "--candidates", "before.json"]


def _file(name: str, target: Path) -> None:
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / name).write_text("{}")


def _link(target: Path) -> None:
    (target.parent / "other").mkdir(parents=True)
    target.symlink_to("other")


def _plain(target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_text("mine")


def folders() -> Iterator[Case]:
    """Where the result would take the place of what `analyze` did not write."""
    made: dict[str, tuple[str, Callable[[Path], None]]] = {
        f"holds {name}": (name, partial(_file, name))
        for name in (
            *("mine.txt", "gt.json", "study.json", "imported-x", "report/mine.txt", "report/figures/mine.txt"),
            *("imported-found-gt/mine.txt", "imported-found-gt/report/mine.txt", ".hidden", "a/b/c"),
        )
    }
    made |= {"is a file": ("no folder", _plain), "is a link": ("link", _link)}
    for name, (word, make) in made.items():
        words = ("runs/analyze-gt", word.split("/")[0] if word.startswith("a/") else word.removesuffix("/mine.txt"))
        yield Case("analyze", f"the result's folder {name}", partial(_taken, make), words, instead=UNREPORTED)


def _taken(make: Callable[[Path], None], folder: Path) -> list[str]:
    make(folder / "runs" / "analyze-gt")
    return analyze(folder, truth(), found())


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*contradictions(), *warned(), *folders())
