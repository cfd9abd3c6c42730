"""Ground truth and result files that are no JSON, wrong options of `analyze`, and unusual files that are sound."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.malformed.harness import Case, Told
from tests.malformed.results import Text, analyze, bad, found, ground_truth, predictions, same_numbers, truth


def syntax() -> Iterator[Case]:
    """Files that are not the JSON that they should be, for both files."""
    whole = {"gt": json.dumps(truth()), "predictions": json.dumps(found())}
    for which, text in whole.items():
        file = "gt.json" if which == "gt" else "found.json"
        texts: dict[str, Any] = {
            "empty": Text(""),
            "cut": Text(text[: len(text) // 2]),
            "followed by more": Text(text + "{}"),
            "two documents": Text(text + "\n" + text),
            "not JSON": Text("hello"),
            "single quotes": Text(text.replace('"', "'")),
            "a comma too many": Text(text[:-1] + "," + text[-1]),
            "comments": Text("// x\n" + text),
            "binary": bytes(range(256)),
            "latin-1": text.replace("kind3", "k\xe4").replace("[{", '[{"x": "\xe4", ', 1).encode("latin-1"),
            "a NUL": Text(text + "\0"),
            "NaN": Text(text.replace("[", "[NaN, ", 3) if which == "gt" else text.replace("0.95", "NaN")),
            "Infinity": Text(
                text.replace(" 200", " Infinity", 1) if which == "gt" else text.replace("0.95", "Infinity")
            ),
            "a float beyond all": Text(
                text.replace(" 200", " 1e999", 1) if which == "gt" else text.replace("0.95", "1e999")
            ),
            "a number of 5000 digits": Text(
                text.replace(" 200", " " + "9" * 5000, 1) if which == "gt" else text.replace("0.95", "9" * 5000)
            ),
            "a key twice": Text(
                text.replace('"id":', '"id": 99, "id":', 1)
                if which == "gt"
                else text.replace('"score":', '"score": 0.1, "score":', 1)
            ),
            "nested 100000 deep": Text("[" * 100_000 + "]" * 100_000),
            "nested 100 deep": Text(
                text[:-1] + (', "x": ' if which == "gt" else ", ") + "[" * 100 + "]" * 100 + text[-1]
            ),
            "half of a letter pair": Text(text.replace('"bbox"', '"x": "\\ud800", "bbox"', 1)),
            "gzip": gzip.compress(text.encode()),
            "zip": b"PK\x03\x04" + text.encode(),
            "UTF-16": text.encode("utf-16"),
            "NULs as white space": ("\0\0" + text).encode(),
            "UTF-32": text.encode("utf-32"),
            "half of a UTF-8 letter": text.encode() + b"\xc3",
        }
        for name, made in texts.items():
            if name in ("half of a letter pair", "UTF-32"):
                yield bad(f"sound or refused: {which}: {name}", **{which: made}, code=(0, 2), written=("runs",))
                continue
            yield bad(f"{which}: {name}", file, **{which: made}, apart="100000" in name)
        for kind in ("missing", "folder", "pipe", "zeros"):
            yield Case(
                "analyze",
                f"{which} is a {kind}",
                partial(_special, file, kind),
                (file,),
                apart=kind in ("pipe", "zeros"),
            )
    yield bad(
        "a key that only looks like bbox",
        "found.json",
        "'box'",
        "'bbox'",
        predictions=[{("box" if k == "bbox" else k): v for k, v in r.items()} for r in found()],
    )


def _special(file: str, kind: str, folder: Path) -> list[str]:
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
        (("--nms", "2"), ("--nms", "2")),
        (("--nms", "nan"), ("--nms", "nan")),
        (("--nms", "0"), ("--nms", "0")),
        (("--nms", "abc"), ("--nms", "abc")),
        (("--candidates", "gone.json"), ("gone.json",)),
        (("--candidates", "found.json", "found.json"), ("--candidates", "2")),
        (("--candidates", "gt.json"), ("gt.json",)),
        (("--out", "gt.json"), ("gt.json", "--out")),
    ):
        yield bad(f"{more[0]} {more[1][:20]!r}", *needs, more=more)
    for name in ("../x", "/tmp/canary", "a\x1b[31m", "a/b", "x" * 300, "..", "-rf", "CON", "a\nb", "ü 箱"):
        yield bad(
            f"sound or refused: --name {name[:20]!r}",
            more=(f"--name={name}",),
            code=(0, 2),
            check=_one_folder,
            written=("runs",),
        )
    yield Case("analyze", "no predictions", lambda f: analyze(f, truth(), found())[:3], ("--predictions",))
    yield Case("analyze", "no ground truth", lambda f: ["analyze", *analyze(f, truth(), found())[3:]], ("--gt",))
    yield Case(
        "analyze", "one file twice", lambda f: [*analyze(f, truth(), found())[:5], "found.json"], ("found",), code=(2,)
    )
    for given, words in (
        ("=found.json", ("--predictions", "name")),
        ("a\x1b[31m=found.json", ("--predictions", "name")),
        ("a=found.json,", ("--predictions", "comma")),
        ("a=found.json,found.json", ("--predictions", "found.json", "seed")),
        ("a=found.json,gone.json", ("gone.json",)),
        ("../a=found.json", ("../a=found.json",)),
    ):
        yield Case("analyze", f"--predictions {given!r}", partial(_given, given), words)


def _given(text: str, folder: Path) -> list[str]:
    return [*analyze(folder, truth(), found())[:4], text, "--out", "runs"]


def _one_folder(folder: Path, told: Told) -> list[str]:
    """A name of the command line makes one folder, of letters that every system takes, or none."""
    made = [p.name for p in (folder / "runs").glob("*")] if told.code == 0 else []
    sound = all(re.fullmatch(r"analyze-[A-Za-z0-9_.+-]{1,120}", name) for name in made)
    return [] if sound and len(made) == (told.code == 0) else [f"made the folders {made}"]


def unusual() -> Iterator[Case]:
    """Sound files that look odd; their numbers must be those of the plain ones."""
    text, rows = json.dumps(truth()), json.dumps(found())
    variants: dict[str, dict[str, Any]] = {
        "as it is": {},
        "byte order marks": {"gt": b"\xef\xbb\xbf" + text.encode(), "predictions": b"\xef\xbb\xbf" + rows.encode()},
        "other keys": {"gt": {**truth(), "info": {"x": [1, {"y": None}]}, "licenses": []}},
        "under predictions": {"predictions": {"predictions": found()}},
        "other order": {"gt": {k: v[::-1] for k, v in truth().items()}, "predictions": found()[::-1]},
        "indented": {"gt": Text(json.dumps(truth(), indent=4))},
        "exponents": {"predictions": Text(rows.replace("0.95", "9.5e-1"))},
        "names for ids": {
            "predictions": [
                {
                    "file_name": f"im{r['image_id'] - 10}.jpg",
                    "category": f"kind{r['category_id']}",
                    "bbox": r["bbox"],
                    "score": r["score"],
                }
                for r in found()
            ]
        },
        "floats for boxes": {"predictions": [{**r, "bbox": [float(v) for v in r["bbox"]]} for r in found()]},
        "no areas": {
            "gt": {
                **truth(),
                "annotations": [{k: v for k, v in a.items() if k != "area"} for a in truth()["annotations"]],
            }
        },
        "no iscrowd": {
            "gt": {
                **truth(),
                "annotations": [{k: v for k, v in a.items() if k != "iscrowd"} for a in truth()["annotations"]],
            }
        },
        "negative and zero ids": {
            "gt": _shifted(truth(), -10),
            "predictions": [{**r, "image_id": r["image_id"] - 10} for r in found()],
        },
        "boxes one pixel over the edge": {
            "predictions": [*found(), {"image_id": 10, "category_id": 3, "bbox": [-1, -1, 3, 3], "score": 0.001}]
        },
        "segmentations": {
            "gt": {
                **truth(),
                "annotations": [{**a, "segmentation": [[1, 2, 3, 4, 5, 6]]} for a in truth()["annotations"]],
            }
        },
    }
    for name, files in variants.items():
        yield bad(
            f"sound: {name}",
            "report",
            **files,
            code=(0,),
            check=None if "edge" in name else same_numbers,
            written=("runs",),
        )


def _shifted(content: dict[str, Any], by: int) -> dict[str, Any]:
    images = [{**i, "id": i["id"] + by} for i in content["images"]]
    return {
        **content,
        "images": images,
        "annotations": [{**a, "image_id": a["image_id"] + by} for a in content["annotations"]],
    }


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*ground_truth(), *predictions(), *syntax(), *options(), *unusual())
