"""Tables of boxes (kind csv) with one thing wrong, and unusual ones that are sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.malformed.data_voc import _NUMBERS
from tests.malformed.datasets import HEIGHT, NAMES, OBJECTS, WIDTH, content_of, loaded, pixels, save, study_of
from tests.malformed.harness import Case, Check, Need, Told

COLUMNS = ("image_name", "x1", "y1", "x2", "y2", "class", "image_width", "image_height")
OVERLAP = ("both", "overlap", "train and test", "also in", "images too", "more than once", "same", "twice")


def rows(names: tuple[str, ...]) -> list[list[str]]:
    """A row per object."""
    return [
        [f"{n}.png", *(f"{v:g}" for v in box), kind, str(WIDTH), str(HEIGHT)]
        for n in names
        for kind, *box in OBJECTS[n]
    ]


def table(lines: list[list[str]], header: bool = True) -> str:
    """The file of some rows."""
    return "\n".join(",".join(line) for line in ([list(COLUMNS)] if header else []) + lines) + "\n"


@dataclass
class Csv:
    """A CSV data set in memory; `train` and `test` are the texts of its tables."""

    train: str | bytes | None = field(default_factory=lambda: table(rows(NAMES[:3])))
    test: str | bytes | None = field(default_factory=lambda: table(rows(NAMES[3:])))
    images: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> list[str]:
        """The set and its study below a folder; the command that checks them."""
        (folder / "sku" / "pictures").mkdir(parents=True)
        for split, content in (("train", self.train), ("test", self.test)):
            if content is not None:
                (folder / "sku" / f"{split}.csv").write_bytes(
                    content if isinstance(content, bytes) else content.encode()
                )
        for file, content in {**{f"{n}.png": pixels(n) for n in NAMES}, **self.images}.items():
            if content is not None:
                (folder / "sku" / "pictures" / file).parent.mkdir(parents=True, exist_ok=True)
                save(folder / "sku" / "pictures" / file, content)
        pairs = {split: [[f"{split}.csv", "pictures"]] for split in ("train", "test")}
        study_of(folder, {"name": "mine", "kind": "csv", "root": "sku", "image_size": 64, **pairs, **self.data})
        return ["doctor", "study.yaml"]


def bad(name: str, made: Csv, *needs: Need, **more: Any) -> Case:
    """A table that must be refused."""
    return Case("csv", name, made.write, needs, **more)


def sound(name: str, made: Csv, check: Check | None = None) -> Case:
    """A table that must be read right."""
    return Case("csv", f"sound: {name}", made.write, (), (0,), check or same_objects)


def same_objects(folder: Path, told: Told) -> list[str]:
    """The boxes and classes of the sound set."""
    found = loaded(folder)
    read = {**content_of(found["train"]), **content_of(found["test"])}
    wanted = {k: [(c, *map(float, b)) for c, *b in v] for k, v in OBJECTS.items()}
    return [] if read == wanted else [f"read {read}"[:400]]


def _with(line: int, column: str, value: str) -> str:
    made = rows(NAMES[:3])
    made[line][COLUMNS.index(column)] = value
    return table(made)


def fields() -> Iterator[Case]:
    """Every column with every wrong text; the second row stands in line 3."""
    for column in ("x1", "y1", "x2", "y2", "image_width", "image_height"):
        for name, text in _NUMBERS.items():
            shown = f'"{text}"' if "," in text else text
            needs: list[Need] = [
                "train.csv",
                ("line 3", "3 ("),
                (column, "box", "fields") if column[0] in "xy" else (column, "fields", "image is"),
            ]
            if text.strip() and "," not in text:
                needs.append({"huge": (text, "1e+11"), "beyond floats": (text, "inf")}.get(name, text))
            yield bad(f"{column} is {name}", Csv(train=_with(1, column, shown)), *needs)
    for name, box in (
        ("inverted", (40, 10, 20, 30)),
        ("without area", (20, 10, 20, 30)),
        ("outside", (10, 10, 90, 30)),
        ("far outside", (1000, 1000, 1100, 1100)),
    ):
        made = rows(NAMES[:3])
        made[1][1:5] = [str(v) for v in box]
        yield bad(f"a box {name}", Csv(train=table(made)), "train.csv", "line 3", "box")
    for name, text, needs in (
        ("climbs", "../../secret.png", ("secret.png",)),
        ("is absolute", "/etc/passwd", ("/etc/passwd",)),
        ("is empty", "", ("line 3", "image_name")),
        ("is not there", "gone.png", ("gone.png",)),
        ("has a NUL", "a\0b.png", ()),
        ("has an escape", "a\x1b[31m.png", ()),
        ("is a folder", ".", ()),
        ("is a formula", "=cmd|' /C calc'!A0", ("=cmd",)),
    ):
        yield bad(
            f"an image name that {name}", Csv(train=_with(1, "image_name", text)), ("train.csv", "pictures"), *needs
        )
    yield bad("no class", Csv(train=_with(1, "class", "")), "train.csv", "line 3", "class")
    yield bad(
        "a class that the study does not have",
        Csv(train=_with(1, "class", "cow"), data={"classes": ["cat", "dog"]}),
        "train.csv",
        "line 3",
        "cow",
    )
    yield bad(
        "a class in the test table alone", Csv(test=table(rows(NAMES[3:])).replace("dog", "wolf")), "test.csv", "wolf"
    )
    yield bad(
        "two sizes of one image", Csv(train=_with(1, "image_width", "65")), "train.csv", "65", ("64", "000001.png")
    )
    yield bad(
        "another size than the picture's",
        Csv(train=table([[*r[:6], "65", r[7]] for r in rows(NAMES[:3])])),
        "000001.png",
        "65",
        "64",
    )


def files() -> Iterator[Case]:
    """Tables that are none."""
    whole = table(rows(NAMES[:3]))
    lines = whole.splitlines()
    for name, made, needs in (
        ("empty", "", ()),
        ("a header alone", table([]), ()),
        ("a column less", "\n".join(line.rpartition(",")[0] for line in lines), ()),
        ("a column more", "\n".join(f"{line},1" for line in lines), ()),
        ("a row that is short", whole.replace(lines[2], "000001.png,1,2"), ("line 3",)),
        ("a row that is long", whole.replace(lines[2], lines[2] + ",9"), ("line 3",)),
        ("an unknown column", whole.replace("class", "klass"), ("klass", "class")),
        ("a column twice", whole.replace("y2", "x2"), ("x2",)),
        ("semicolons", whole.replace(",", ";"), ()),
        ("tabs", whole.replace(",", "\t"), ()),
        ("an open quote", whole.replace("000001.png", '"000001.png', 1), ()),
        ("NUL bytes", whole.replace("cat", "c\0t", 1), ()),
        ("latin-1", whole.replace("cat", "k\xe4tze").encode("latin-1"), ()),
        ("UTF-16", whole.encode("utf-16"), ()),
        ("binary", bytes(range(256)), ()),
        ("JSON", "[]", ()),
        ("a PNG", b"\x89PNG\r\n\x1a\n\0\0", ()),
        ("a field of 40 MB", whole + "x" * (40 << 20) + "\n", ()),
        ("a header in the middle", whole + whole, ("line 8",)),
    ):
        yield bad(
            f"a table that is {name}" if " " not in name else f"a table with {name}",
            Csv(train=made),
            "train.csv",
            *needs,
            apart="MB" in name,
        )
    yield bad("no table", Csv(train=None), "train.csv")
    empty = table([[f"{n}.png", "", "", "", "", "", "64", "48"] for n in NAMES[:3]])
    yield bad("no object in training", Csv(train=empty), "train", "object")
    for name, data, needs in (
        ("a table that climbs", {"train": [["../train.csv", "pictures"]]}, ("../train.csv",)),
        ("an unknown folder", {"train": [["train.csv", "picture"]]}, ("picture",)),
        ("use_difficult", {"use_difficult": False}, ("use_difficult",)),
        ("no training table in the study", {"train": []}, ("train",)),
    ):
        yield bad(name, Csv(data=data), *needs)
    yield bad(
        "an object twice", Csv(train=table([*rows(NAMES[:3]), rows(NAMES[:1])[0]])), "000001.png", OVERLAP, code=(0, 2)
    )
    yield bad("an image in both splits", Csv(test=table(rows(NAMES[2:]))), NAMES[2], OVERLAP, code=(0, 2))


def unusual() -> Iterator[Case]:
    """Sound tables that look odd."""
    whole = table(rows(NAMES[:3]))
    turned = "\n".join(",".join(line.split(",")[::-1]) for line in whole.splitlines())
    for name, made in {
        "as it is": whole,
        "no header": table(rows(NAMES[:3]), header=False),
        "a byte order mark": "\ufeff" + whole,
        "Windows line ends": whole.replace("\n", "\r\n"),
        "columns in another order": turned,
        "quotes": whole.replace("cat", '"cat"'),
        "no line end": whole.rstrip("\n"),
        "blank lines": whole.replace("\n", "\n\n"),
        "spaces around numbers": whole.replace(",10,", ", 10 ,"),
        "decimals": whole.replace(",10,", ",10.0,"),
        "exponents": whole.replace(",10,", ",1e1,"),
        "one picture written in three ways": whole.replace("000001.png", "./000001.png", 1).replace(
            "000002.png", ".//000002.png", 1
        ),
        "rows in another order": table(rows(NAMES[:3])[::-1]),
    }.items():
        check = _any_order if "another order" in name and "rows" in name else None
        yield sound(name, Csv(train=made), check)
    yield sound("classes in another order", Csv(data={"classes": ["dog", "cat"]}))
    other = "\n".join([table([]).strip(), *(",".join(r) for r in rows(NAMES[3:])[::-1])])
    yield sound("the other class first in the test table", Csv(test=other), _any_order)
    yield sound(
        "names in folders",
        Csv(
            train=whole.replace("000001.png", "sub/000001.png"),
            images={"000001.png": None, "sub/000001.png": pixels("000001")},
        ),
    )
    yield sound(
        "an image without objects",
        Csv(train=table([*rows(NAMES[1:3]), ["000001.png", "", "", "", "", "", "64", "48"]])),
        _empty,
    )
    comma = Csv(
        train=whole.replace("000001.png", '"a, b ü.png"'), images={"000001.png": None, "a, b ü.png": pixels("000001")}
    )
    yield sound("a comma in a name", comma, _comma)


def _any_order(folder: Path, told: Told) -> list[str]:
    found = loaded(folder)
    read = {k: sorted(v) for s in found.values() for k, v in content_of(s).items()}
    wanted = {k: sorted((c, *map(float, b)) for c, *b in v) for k, v in OBJECTS.items()}
    return [] if read == wanted else [f"read {read}"[:400]]


def _empty(folder: Path, told: Told) -> list[str]:
    found = {Path(i.name).stem: len(i.labels) for i in loaded(folder)["train"].images}
    return [] if found == {"000001": 0, "000002": 2, "000003": 2} else [f"objects {found}"]


def _comma(folder: Path, told: Told) -> list[str]:
    split = loaded(folder)["train"]
    return (
        []
        if split.images[0].name == "a, b ü.png" and (split.read(0) == pixels("000001")).all()
        else [f"read {split.images[0].name}"]
    )


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*fields(), *files(), *unusual())
