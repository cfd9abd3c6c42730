"""Ground truth and result files for `analyze` with one thing wrong, and unusual ones that are sound."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.malformed.harness import Case, Need, Told

Change = Callable[[Any], Any]


def truth() -> dict[str, Any]:
    """Six images of 200 px with three objects each, of three classes with sparse ids."""
    rng = np.random.default_rng(0)
    images = [{"id": 10 + i, "file_name": f"im{i}.jpg", "width": 200, "height": 160} for i in range(6)]
    items = []
    for i in range(18):
        box = [*rng.integers(0, 90, 2).tolist(), *rng.integers(20, 70, 2).tolist()]
        where = {"id": i + 1, "image_id": 10 + i % 6, "category_id": (3, 7, 90)[i % 3]}
        items.append({**where, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    return {"images": images, "annotations": items, "categories": [{"id": c, "name": f"kind{c}"} for c in (3, 7, 90)]}


def found() -> list[dict[str, Any]]:
    """A detection on every object, some a little off."""
    rows = []
    for i, item in enumerate(truth()["annotations"]):
        x, y, w, h = item["bbox"]
        where = {"image_id": item["image_id"], "category_id": item["category_id"]}
        rows.append({**where, "bbox": [x + i % 3, y, w, h], "score": round(0.95 - 0.04 * i, 2)})
    return rows


UNREPORTED = (("assignbench.commands.analyze.build_report", lambda *arguments: Path("report")),)


class Text(str):
    """JSON as it is written."""


def analyze(folder: Path, gt: Any, predictions: Any, more: Sequence[str] = ()) -> list[str]:
    """Writes both files; the command that analyses them."""
    for name, content in (("gt", gt), ("found", predictions)):
        if content is not None:
            made = content if isinstance(content, Text | bytes) else json.dumps(content)
            (folder / f"{name}.json").write_bytes(made if isinstance(made, bytes) else made.encode())
    return ["analyze", "--gt", "gt.json", "--predictions", "found.json", "--out", "runs", *more]


def bad(name: str, *needs: Need, gt: Any = None, predictions: Any = None, more: Sequence[str] = (), **rest: Any) -> Case:
    """Files that must be refused."""
    files = (truth() if gt is None else gt, found() if predictions is None else predictions)
    return Case("analyze", name, partial(_write, files, more), needs, **rest, instead=UNREPORTED)


def _write(files: tuple[Any, Any], more: Sequence[str], folder: Path) -> list[str]:
    return analyze(folder, *files, more)


def changed(content: Any, place: Sequence[Any], value: Any) -> Any:
    """A copy with one value replaced; `...` takes it away."""
    made = deepcopy(content)
    target = made
    for step in place[:-1]:
        target = target[step]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return made


_IDS: dict[str, Any] = {"a fraction": 1.5, "true": True, "words": "ten", "nothing": None, "a list": [10], "a mapping": {}, "missing": ..., "of 70 bits": 2**70}
_SIDES: dict[str, Any] = {"a fraction": 10.5, "true": True, "text": "200", "nothing": None, "zero": 0, "negative": -5, "missing": ..., "huge": 10**12}
_BOXES: dict[str, Any] = {
    "three numbers": [1, 2, 3], "five numbers": [1, 2, 3, 4, 5], "text": "1,2,3,4", "numbers as text": ["1", "2", "3", "4"], "a flag": [True, 2, 3, 4], "nothing": None,
    "empty": [], "nothings": [None] * 4, "not a number": [float("nan"), 2, 3, 4], "infinite": [1, 2, float("inf"), 4], "negative sides": [50, 50, -20, 10], "a mapping": {"x": 1},
    "nested": [[1, 2, 3, 4]], "missing": ..., "huge": [1, 2, 10**400, 4], "beyond all floats": [1, 2, 1e300, 1e300],
}  # fmt: skip
_FLAGS: dict[str, Any] = {"text": "0", "two": 2, "negative": -1, "nothing": None, "words": "yes", "a half": 0.5, "a list": []}
_AREAS: dict[str, Any] = {"not a number": float("nan"), "infinite": float("inf"), "negative": -5, "text": "5", "nothing": None, "true": True, "a list": [5]}
_NAMES: dict[str, Any] = {"a number": 5, "nothing": None, "empty": "", "missing": ..., "a list": ["a"], "true": True}


def _shown(value: Any) -> tuple[str, ...]:
    """The ways in which a value may be shown; an empty one can only be missed."""
    if value is ... or value in ("", [], {}):
        return ("",)
    if value is None:
        return ("None", "null", "neither", "has no", "missing", "empty")
    if unreadable(value):
        return ("nan", "NaN", "inf", "Infinity", "not finite", "digits", "beyond", "1000000000")
    if isinstance(value, float):
        return (repr(value), json.dumps(value), f"{value:g}")
    text = (repr(value), json.dumps(value), str(value))
    if isinstance(value, list) and all(type(v) is int for v in value):
        text += (repr([float(v) for v in value]),)
    return tuple(dict.fromkeys(t[:12] for t in text))


def words_for(key: str, value: Any = 0) -> tuple[str, ...]:
    """What an error may call a key; what no JSON number can be is told by line and column."""
    return (("column",) if unreadable(value) else ()) + {
        "bbox": ("bbox", "box"), "image_id": ("image_id", "image"), "category_id": ("category_id", "category id", "categor"),
    }.get(key, (key,))  # fmt: skip


def unreadable(value: Any) -> bool:
    """Whether the reader of JSON refuses a value before anybody knows what it is for."""
    if isinstance(value, list):
        return any(unreadable(v) for v in value)
    return (isinstance(value, float) and not math.isfinite(value)) or (type(value) is int and abs(value) > 1e308)


def ground_truth() -> Iterator[Case]:
    """Every field of the ground truth with every wrong value."""
    table: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("images", "id", _IDS), ("images", "width", _SIDES), ("images", "height", _SIDES), ("images", "file_name", _NAMES), ("annotations", "id", _IDS),
        ("annotations", "image_id", _IDS), ("annotations", "category_id", _IDS), ("annotations", "bbox", _BOXES), ("annotations", "area", _AREAS),
        ("annotations", "iscrowd", _FLAGS), ("categories", "id", _IDS), ("categories", "name", _NAMES),
    )  # fmt: skip
    for part, key, values in table:
        for name, value in values.items():
            made = changed(truth(), (part, 1, key), value)
            if value == 10**12:  # nothing is read of that size
                yield bad(f"sound or refused: {part}.{key} is {name}", gt=made, code=(0, 2), written=("runs",))
                continue
            yield bad(f"{part}.{key} is {name}", "gt.json", words_for(key, value), (f"{part}[1]", "column"), _shown(value), gt=made)
        if key == "id":
            yield bad(f"{part}: an entry is a number", "gt.json", f"{part}[1]", gt=changed(truth(), (part, 1), 5))
    for part in ("images", "annotations", "categories"):
        for name, value in (("missing", ...), ("nothing", None), ("a mapping", {}), ("text", "x"), ("a number", 5)):
            yield bad(f"{part} is {name}", "gt.json", part, gt=changed(truth(), (part,), value))
        if part != "annotations":
            yield bad(f"two {part} of one id", "gt.json", f"{part}[1]", str(truth()[part][0]["id"]), gt=changed(truth(), (part, 1, "id"), truth()[part][0]["id"]))
    yield bad("two annotations of one id", "gt.json", "annotations[1]", "1", gt=changed(truth(), ("annotations", 1, "id"), 1))
    yield bad("two categories of one name", "gt.json", "categories[1]", "kind3", gt=changed(truth(), ("categories", 1, "name"), "kind3"))
    yield bad("two images of one name", "gt.json", "images[1]", "im0.jpg", gt=changed(truth(), ("images", 1, "file_name"), "im0.jpg"))
    yield bad("an annotation of no image", "gt.json", "annotations[1]", words_for("image_id"), "99", gt=changed(truth(), ("annotations", 1, "image_id"), 99))
    yield bad("an annotation of no category", "gt.json", "annotations[1]", words_for("category_id"), "99", gt=changed(truth(), ("annotations", 1, "category_id"), 99))
    yield bad("a box far outside", "gt.json", "annotations[1]", words_for("bbox"), gt=changed(truth(), ("annotations", 1, "bbox"), [500, 500, 20, 20]))
    yield bad("no image", "gt.json", "image", gt={**truth(), "images": [], "annotations": []})
    yield bad("no object", "gt.json", ("annotations", "object"), gt={**truth(), "annotations": []})
    yield bad("no category", "gt.json", ("categor", "object"), gt={**truth(), "categories": [], "annotations": []})


def predictions() -> Iterator[Case]:
    """Every field of a result file with every wrong value."""
    scores: dict[str, Any] = {"text": "0.5", "nothing": None, "not a number": float("nan"), "infinite": float("inf"), "true": True, "a list": [0.5], "missing": ..., "negative": -0.5, "huge": 10**400}
    ids = {**_IDS, "text of a number": "10"}
    del ids["words"]
    for key, values in (("image_id", ids), ("category_id", {**_IDS, "text of a number": "3"}), ("bbox", _BOXES), ("score", scores)):
        for name, value in values.items():
            made = changed(found(), (1, key), value)
            if name == "text of a number":
                yield bad(f"sound or refused: {key} is {name}", predictions=made, code=(0, 2), written=("runs",))
                continue
            if name in ("of 70 bits", "negative"):  # an unknown id, or a logit: refused, or left out or kept with a note
                words = words_for(key)
                yield bad(f"noted: {key} is {name}", "found.json", words, predictions=made, code=(0, 2), written=("runs",))
                continue
            yield bad(f"{key} is {name}", "found.json", words_for(key, value), ("entry 1", "[1]", "column"), _shown(value), predictions=made)
    for name, value in (("a number", 5), ("nothing", None), ("text", "x"), ("a list", [])):
        yield bad(f"an entry is {name}", "found.json", ("entry 1", "[1]"), predictions=changed(found(), (1,), value))
    for name, value in (("a mapping", {}), ("a number", 5), ("text", Text('"x"')), ("nothing", Text("null")), ("a mapping of others", {"results": []})):
        yield bad(f"the file is {name}", "found.json", predictions=value)
    unknown = [{**r, "category_id": 55} for r in found()]
    yield bad("all categories unknown", "found.json", "55", predictions=unknown)
    yield bad("all images unknown", "found.json", "777", predictions=[{**r, "image_id": 777} for r in found()])
    yield bad("an unknown category by name", "found.json", "kind33", "kind3", predictions=[{k: v for k, v in {**r, "category": "kind33"}.items() if k != "category_id"} for r in found()])
    yield bad("no detection", "found.json", predictions=Text("[]"), code=(0, 2), written=("runs",))
    corners = [{**r, "bbox": [r["bbox"][0], r["bbox"][1], r["bbox"][0] + r["bbox"][2], r["bbox"][1] + r["bbox"][3]]} for r in found()]
    shares = [{**r, "bbox": [v / 200 for v in r["bbox"]]} for r in found()]
    zero = [{**r, "category_id": (3, 7, 90).index(r["category_id"])} for r in found()]
    swapped = [{**r, "image_id": r["image_id"] - 10} for r in found()]
    for name, rows, words in (
        ("corners for sizes", corners, ("corner", "x1")), ("shares of the image", shares, ("normal", "share", "0 to 1", "between 0 and 1")), ("scores in per cent", [{**r, "score": 100 * r["score"]} for r in found()], ("score", "above 1")),
        ("categories from zero", zero, ("categor",)), ("images from zero", swapped, ("image",)), ("every detection twice", found() * 2, ("twice", "duplicate", "same")),
    ):  # fmt: skip
        yield bad(f"suspicious: {name}", words, "found.json", predictions=rows, code=(0, 2), written=("runs",))
    yield bad("the image is named by a path", ("report",), predictions=[{"file_name": f"/data/im{r['image_id'] - 10}.jpg", **{k: v for k, v in r.items() if k != "image_id"}} for r in found()], code=(0,), written=("runs",), check=_numbers)
    for key in ("cls_score", "iou_score"):
        for name, value in (("text", "0.5"), ("not a number", float("nan")), ("true", True), ("negative", -0.1)):
            rows = changed([{**r, "cls_score": 0.5, "iou_score": 0.5} for r in found()], (1, key), value)
            if name == "negative":
                yield bad(f"noted: {key} is {name}", "found.json", key, predictions=rows, code=(0, 2), written=("runs",))
                continue
            yield bad(f"{key} is {name}", "found.json", words_for(key, value), ("entry 1", "[1]", "column"), _shown(value), predictions=rows)


def syntax() -> Iterator[Case]:
    """Files that are not the JSON that they should be, for both files."""
    whole = {"gt": json.dumps(truth()), "predictions": json.dumps(found())}
    for which, text in whole.items():
        file = "gt.json" if which == "gt" else "found.json"
        texts: dict[str, Any] = {
            "empty": Text(""), "cut": Text(text[: len(text) // 2]), "followed by more": Text(text + "{}"), "two documents": Text(text + "\n" + text), "not JSON": Text("hello"),
            "single quotes": Text(text.replace('"', "'")), "a comma too many": Text(text[:-1] + "," + text[-1]), "comments": Text("// x\n" + text), "binary": bytes(range(256)), "latin-1": text.replace("kind3", "k\xe4").replace("[{", '[{"x": "\xe4", ', 1).encode("latin-1"),
            "a NUL": Text(text + "\0"), "NaN": Text(text.replace("[", "[NaN, ", 3) if which == "gt" else text.replace("0.95", "NaN")), "Infinity": Text(text.replace(" 200", " Infinity", 1) if which == "gt" else text.replace("0.95", "Infinity")),
            "a float beyond all": Text(text.replace(" 200", " 1e999", 1) if which == "gt" else text.replace("0.95", "1e999")), "a number of 5000 digits": Text(text.replace(" 200", " " + "9" * 5000, 1) if which == "gt" else text.replace("0.95", "9" * 5000)),
            "a key twice": Text(text.replace('"id":', '"id": 99, "id":', 1) if which == "gt" else text.replace('"score":', '"score": 0.1, "score":', 1)), "nested 100000 deep": Text("[" * 100_000 + "]" * 100_000), "nested 100 deep": Text(text[:-1] + (', "x": ' if which == "gt" else ", ") + "[" * 100 + "]" * 100 + text[-1]),
            "half of a letter pair": Text(text.replace('"bbox"', '"x": "\\ud800", "bbox"', 1)), "NULs as white space": ("\0\0" + text).encode(), "UTF-32": text.encode("utf-32"), "half of a UTF-8 letter": text.encode() + b"\xc3",
        }  # fmt: skip
        for name, made in texts.items():
            if name in ("half of a letter pair", "UTF-32"):
                yield bad(f"sound or refused: {which}: {name}", **{which: made}, code=(0, 2), written=("runs",))
                continue
            yield bad(f"{which}: {name}", file, **{which: made}, apart="100000" in name)
        for kind in ("missing", "folder", "pipe", "zeros"):
            yield Case("analyze", f"{which} is a {kind}", partial(_special, file, kind), (file,), apart=kind in ("pipe", "zeros"))
    yield bad("a key that only looks like bbox", "found.json", "'box'", "'bbox'", predictions=[{("box" if k == "bbox" else k): v for k, v in r.items()} for r in found()])


def _special(file: str, kind: str, folder: Path) -> list[str]:
    import os

    arguments = analyze(folder, truth(), found())
    path = folder / file
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    return arguments


def options() -> Iterator[Case]:
    """Options of `analyze` that are wrong."""
    for more, needs in (
        (("--nms", "2"), ("--nms", "2")), (("--nms", "nan"), ("--nms", "nan")), (("--nms", "0"), ("--nms", "0")), (("--nms", "abc"), ("--nms", "abc")), (("--name", "../x"), ("--name", "../x")), (("--name", "/tmp/canary"), ("--name",)),
        (("--name", "a\x1b[31m"), ("--name",)), (("--name", "a/b"), ("--name", "a/b")), (("--name", "x" * 300), ("--name",)), (("--name", ".."), ("--name",)), (("--candidates", "gone.json"), ("gone.json",)), (("--candidates", "found.json", "found.json"), ("--candidates", "2")),
        (("--candidates", "gt.json"), ("gt.json",)), (("--out", "gt.json"), ("gt.json", "--out")),
    ):  # fmt: skip
        yield bad(f"{more[0]} {more[1][:20]!r}", *needs, more=more)
    yield Case("analyze", "no predictions", lambda f: analyze(f, truth(), found())[:3], ("--predictions",))
    yield Case("analyze", "no ground truth", lambda f: ["analyze", *analyze(f, truth(), found())[3:]], ("--gt",))
    yield Case("analyze", "one file twice", lambda f: [*analyze(f, truth(), found())[:5], "found.json"], ("found",), code=(2,))


def unusual() -> Iterator[Case]:
    """Sound files that look odd; their numbers must be those of the plain ones."""
    text, rows = json.dumps(truth()), json.dumps(found())
    variants: dict[str, dict[str, Any]] = {
        "as it is": {}, "byte order marks": {"gt": b"\xef\xbb\xbf" + text.encode(), "predictions": b"\xef\xbb\xbf" + rows.encode()}, "other keys": {"gt": {**truth(), "info": {"x": [1, {"y": None}]}, "licenses": []}},
        "under predictions": {"predictions": {"predictions": found()}}, "other order": {"gt": {k: v[::-1] for k, v in truth().items()}, "predictions": found()[::-1]}, "indented": {"gt": Text(json.dumps(truth(), indent=4))},
        "exponents": {"predictions": Text(rows.replace("0.95", "9.5e-1"))}, "names for ids": {"predictions": [{"file_name": f"im{r['image_id'] - 10}.jpg", "category": f"kind{r['category_id']}", "bbox": r["bbox"], "score": r["score"]} for r in found()]},
        "floats for boxes": {"predictions": [{**r, "bbox": [float(v) for v in r["bbox"]]} for r in found()]}, "no areas": {"gt": {**truth(), "annotations": [{k: v for k, v in a.items() if k != "area"} for a in truth()["annotations"]]}},
        "no iscrowd": {"gt": {**truth(), "annotations": [{k: v for k, v in a.items() if k != "iscrowd"} for a in truth()["annotations"]]}}, "negative and zero ids": {"gt": _shifted(truth(), -10), "predictions": [{**r, "image_id": r["image_id"] - 10} for r in found()]},
        "boxes one pixel over the edge": {"predictions": [*found(), {"image_id": 10, "category_id": 3, "bbox": [-1, -1, 3, 3], "score": 0.001}]}, "segmentations": {"gt": {**truth(), "annotations": [{**a, "segmentation": [[1, 2, 3, 4, 5, 6]]} for a in truth()["annotations"]]}},
    }  # fmt: skip
    for name, files in variants.items():
        yield bad(f"sound: {name}", "report", **files, code=(0,), check=None if "edge" in name else _numbers, written=("runs",))


def _shifted(content: dict[str, Any], by: int) -> dict[str, Any]:
    images = [{**i, "id": i["id"] + by} for i in content["images"]]
    return {**content, "images": images, "annotations": [{**a, "image_id": a["image_id"] + by} for a in content["annotations"]]}


def _numbers(folder: Path, told: Told) -> list[str]:
    """The tables hold what the sound files hold, whatever their order."""
    cell = next((folder / "runs").glob("*/imported-*"), None)
    if cell is None:
        return ["no records were written"]
    names = pd.read_parquet(cell / "images.parquet").set_index("image_id").name
    classes = json.loads((cell / "environment.json").read_text())["classes"]
    read = []
    for table in ("objects", "detections"):
        rows = pd.read_parquet(cell / f"{table}.parquet")
        read.append(sorted((names[r.image_id], classes[r.label], round(r.x1), round(r.y1), round(r.x2), round(r.y2)) for r in rows.itertuples()))
    wanted = []
    for rows in (truth()["annotations"], found()):
        wanted.append(sorted((f"im{r['image_id'] - 10}.jpg", f"kind{r['category_id']}", x, y, x + w, y + h) for r in rows for x, y, w, h in [r["bbox"]]))
    return [] if read == wanted else [f"read {read}"[:300]]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*ground_truth(), *predictions(), *syntax(), *options(), *unusual())
