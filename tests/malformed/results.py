"""Ground truth and result files for `analyze` with one thing wrong, and unusual ones that are sound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.malformed.harness import Case, Need, Told
from tests.malformed.wrong_json import (
    AREAS,
    BOXES,
    FLAGS,
    IDS,
    NAMES,
    SIDES,
    changed,
    shown,
    words_for,
)


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


UNREPORTED = (("assignbench.commands.analyze.build_report", lambda folder, *more: folder / "report" / "index.html"),)


class Text(str):
    """JSON as it is written."""


def analyze(folder: Path, gt: Any, predictions: Any, more: Sequence[str] = ()) -> list[str]:
    """Writes both files; the command that analyses them."""
    for name, content in (("gt", gt), ("found", predictions)):
        if content is not None:
            made = content if isinstance(content, Text | bytes) else json.dumps(content)
            (folder / f"{name}.json").write_bytes(made if isinstance(made, bytes) else made.encode())
    return ["analyze", "--gt", "gt.json", "--predictions", "found.json", "--out", "runs", *more]


def bad(
    name: str, *needs: Need, gt: Any = None, predictions: Any = None, more: Sequence[str] = (), **rest: Any
) -> Case:
    """Files that must be refused."""
    files = (truth() if gt is None else gt, found() if predictions is None else predictions)
    return Case("analyze", name, partial(_write, files, more), needs, **rest, instead=UNREPORTED)


def _write(files: tuple[Any, Any], more: Sequence[str], folder: Path) -> list[str]:
    return analyze(folder, *files, more)


def same_numbers(folder: Path, told: Told) -> list[str]:
    """The tables hold what the sound files hold, whatever their order."""
    cell = next((folder / "runs").glob("*/imported-*"), None)
    if cell is None:
        return ["no records were written"]
    names = pd.read_parquet(cell / "images.parquet").set_index("image_id").name
    classes = json.loads((cell / "environment.json").read_text())["classes"]
    read = []
    for table in ("objects", "detections"):
        rows = pd.read_parquet(cell / f"{table}.parquet")
        read.append(
            sorted(
                (names[r.image_id], classes[r.label], round(r.x1), round(r.y1), round(r.x2), round(r.y2))
                for r in rows.itertuples()
            )
        )
    wanted = []
    for rows in (truth()["annotations"], found()):
        wanted.append(
            sorted(
                (f"im{r['image_id'] - 10}.jpg", f"kind{r['category_id']}", x, y, x + w, y + h)
                for r in rows
                for x, y, w, h in [r["bbox"]]
            )
        )
    return [] if read == wanted else [f"read {read}"[:300]]


def ground_truth() -> Iterator[Case]:
    """Every field of the ground truth with every wrong value."""
    table: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("images", "id", IDS),
        ("images", "width", SIDES),
        ("images", "height", SIDES),
        ("images", "file_name", NAMES),
        ("annotations", "id", IDS),
        ("annotations", "image_id", IDS),
        ("annotations", "category_id", IDS),
        ("annotations", "bbox", BOXES),
        ("annotations", "area", AREAS),
        ("annotations", "iscrowd", FLAGS),
        ("categories", "id", IDS),
        ("categories", "name", NAMES),
    )
    for part, key, values in table:
        for name, value in values.items():
            made = changed(truth(), (part, 1, key), value)
            if value == 10**12:  # nothing is read of that size
                yield bad(f"sound or refused: {part}.{key} is {name}", gt=made, code=(0, 2), written=("runs",))
                continue
            yield bad(
                f"{part}.{key} is {name}",
                "gt.json",
                words_for(key, value),
                (f"{part}[1]", "column"),
                shown(value),
                gt=made,
            )
        if key == "id":
            yield bad(f"{part}: an entry is a number", "gt.json", f"{part}[1]", gt=changed(truth(), (part, 1), 5))
    for part in ("images", "annotations", "categories"):
        for name, value in (("missing", ...), ("nothing", None), ("a mapping", {}), ("text", "x"), ("a number", 5)):
            yield bad(f"{part} is {name}", "gt.json", part, gt=changed(truth(), (part,), value))
        if part != "annotations":
            yield bad(
                f"two {part} of one id",
                "gt.json",
                f"{part}[1]",
                str(truth()[part][0]["id"]),
                gt=changed(truth(), (part, 1, "id"), truth()[part][0]["id"]),
            )
    yield bad(
        "two annotations of one id", "gt.json", "annotations[1]", "1", gt=changed(truth(), ("annotations", 1, "id"), 1)
    )
    yield bad(
        "two categories of one name",
        "gt.json",
        "categories[1]",
        "kind3",
        gt=changed(truth(), ("categories", 1, "name"), "kind3"),
    )
    yield bad(
        "two images of one name",
        "gt.json",
        "images[1]",
        "im0.jpg",
        gt=changed(truth(), ("images", 1, "file_name"), "im0.jpg"),
    )
    yield bad(
        "an annotation of no image",
        "gt.json",
        "annotations[1]",
        words_for("image_id"),
        "99",
        gt=changed(truth(), ("annotations", 1, "image_id"), 99),
    )
    yield bad(
        "an annotation of no category",
        "gt.json",
        "annotations[1]",
        words_for("category_id"),
        "99",
        gt=changed(truth(), ("annotations", 1, "category_id"), 99),
    )
    yield bad(
        "a box far outside",
        "gt.json",
        "annotations[1]",
        words_for("bbox"),
        gt=changed(truth(), ("annotations", 1, "bbox"), [500, 500, 20, 20]),
    )
    yield bad("no image", "gt.json", "image", gt={**truth(), "images": [], "annotations": []})
    yield bad("no object", "gt.json", ("annotations", "object"), gt={**truth(), "annotations": []})
    yield bad("no category", "gt.json", ("categor", "object"), gt={**truth(), "categories": [], "annotations": []})


def predictions() -> Iterator[Case]:
    """Every field of a result file with every wrong value."""
    scores: dict[str, Any] = {
        "text": "0.5",
        "nothing": None,
        "not a number": float("nan"),
        "infinite": float("inf"),
        "true": True,
        "a list": [0.5],
        "missing": ...,
        "negative": -0.5,
        "huge": 10**400,
    }
    ids = {**IDS, "text of a number": "10"}
    del ids["words"]
    for key, values in (
        ("image_id", ids),
        ("category_id", {**IDS, "text of a number": "3"}),
        ("bbox", BOXES),
        ("score", scores),
    ):
        for name, value in values.items():
            made = changed(found(), (1, key), value)
            if name == "text of a number":
                yield bad(f"sound or refused: {key} is {name}", predictions=made, code=(0, 2), written=("runs",))
                continue
            if name in (
                "of 70 bits",
                "negative",
            ):  # an unknown id, or a logit: refused, or left out or kept with a note
                words = words_for(key)
                yield bad(
                    f"noted: {key} is {name}", "found.json", words, predictions=made, code=(0, 2), written=("runs",)
                )
                continue
            yield bad(
                f"{key} is {name}",
                "found.json",
                words_for(key, value),
                ("entry 1", "[1]", "column"),
                shown(value),
                predictions=made,
            )
    for name, value in (("a number", 5), ("nothing", None), ("text", "x"), ("a list", [])):
        yield bad(f"an entry is {name}", "found.json", ("entry 1", "[1]"), predictions=changed(found(), (1,), value))
    for name, value in (
        ("a mapping", {}),
        ("a number", 5),
        ("text", Text('"x"')),
        ("nothing", Text("null")),
        ("a mapping of others", {"results": []}),
    ):
        yield bad(f"the file is {name}", "found.json", predictions=value)
    unknown = [{**r, "category_id": 55} for r in found()]
    yield bad("all categories unknown", "found.json", "55", predictions=unknown)
    yield bad("all images unknown", "found.json", "777", predictions=[{**r, "image_id": 777} for r in found()])
    yield bad(
        "an unknown category by name",
        "found.json",
        "kind33",
        "kind3",
        predictions=[{k: v for k, v in {**r, "category": "kind33"}.items() if k != "category_id"} for r in found()],
    )
    yield bad("no detection", "found.json", predictions=Text("[]"), code=(0, 2), written=("runs",))
    corners = [
        {**r, "bbox": [r["bbox"][0], r["bbox"][1], r["bbox"][0] + r["bbox"][2], r["bbox"][1] + r["bbox"][3]]}
        for r in found()
    ]
    shares = [{**r, "bbox": [v / 200 for v in r["bbox"]]} for r in found()]
    zero = [{**r, "category_id": (3, 7, 90).index(r["category_id"])} for r in found()]
    swapped = [{**r, "image_id": r["image_id"] - 10} for r in found()]
    for name, rows, words in (
        ("corners for sizes", corners, ("corner", "x1")),
        ("shares of the image", shares, ("normal", "share", "0 to 1", "between 0 and 1")),
        ("scores in per cent", [{**r, "score": 100 * r["score"]} for r in found()], ("score", "above 1")),
        ("categories from zero", zero, ("categor",)),
        ("images from zero", swapped, ("image",)),
        ("every detection twice", found() * 2, ("twice", "duplicate", "same")),
    ):
        yield bad(f"suspicious: {name}", words, "found.json", predictions=rows, code=(0, 2), written=("runs",))
    yield bad(
        "the image is named by a path",
        ("report",),
        predictions=[
            {"file_name": f"/data/im{r['image_id'] - 10}.jpg", **{k: v for k, v in r.items() if k != "image_id"}}
            for r in found()
        ],
        code=(0,),
        written=("runs",),
        check=same_numbers,
    )
    for key in ("cls_score", "iou_score"):
        for name, value in (("text", "0.5"), ("not a number", float("nan")), ("true", True), ("negative", -0.1)):
            rows = changed([{**r, "cls_score": 0.5, "iou_score": 0.5} for r in found()], (1, key), value)
            if name == "negative":
                yield bad(
                    f"noted: {key} is {name}", "found.json", key, predictions=rows, code=(0, 2), written=("runs",)
                )
                continue
            yield bad(
                f"{key} is {name}",
                "found.json",
                words_for(key, value),
                ("entry 1", "[1]", "column"),
                shown(value),
                predictions=rows,
            )
