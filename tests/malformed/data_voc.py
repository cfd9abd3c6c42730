"""VOC folders with one thing wrong, and unusual ones that are sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.malformed.datasets import NAMES, OBJECTS, Voc, content_of, loaded, pixels, voc_object, voc_xml
from tests.malformed.harness import Case, Check, Need, Told

FIRST = NAMES[0]
_SOUND = voc_xml(f"{FIRST}.jpg", OBJECTS[FIRST])


def bad(name: str, voc: Voc, *needs: Need, **more: Any) -> Case:
    """A VOC set that must be refused."""
    return Case("voc", name, voc.write, needs, **more)


def sound(name: str, voc: Voc, check: Check | None = None, **more: Any) -> Case:
    """A VOC set that must be read right."""
    return Case("voc", f"sound: {name}", voc.write, (), (0,), check or same_objects, **more)


def same_objects(folder: Path, told: Told) -> list[str]:
    """The boxes and classes of the sound set, in their splits."""
    found = loaded(folder)
    read = {**content_of(found["train"]), **content_of(found["test"])}
    wanted = {k: [(c, *map(float, b)) for c, *b in v] for k, v in OBJECTS.items()}
    return [] if read == wanted else [f"read {read}"[:400]]


_NUMBERS = {
    "words": "abc",
    "empty": "",
    "blank": "  ",
    "not a number": "nan",
    "infinity": "inf",
    "beyond floats": "1e999",
    "underscores": "1_0",
    "Chinese digits": "１２",
    "hexadecimal": "0x10",
    "two numbers": "1 2",
    "a comma": "1,5",
    "negative": "-5",
    "huge": "99999999999",
}


def numbers() -> Iterator[Case]:
    """Every number of an annotation file with every text that is none, or none that can be."""
    for tag, entry in (
        ("width", "size"),
        ("height", "size"),
        *((t, "object") for t in ("xmin", "ymin", "xmax", "ymax")),
    ):
        for name, text in _NUMBERS.items():
            needs: list[Need] = [f"{FIRST}.xml", (tag, "box")]
            if text.strip():
                needs.append({"huge": (text, "1e+11"), "beyond floats": (text, "inf")}.get(name, text))
            if entry == "object":
                needs.append(("object 0", "object 1", "cat"))
            yield bad(f"{tag} is {name}", Voc(xml={FIRST: _with(tag, text)}), *needs)
        start, end = _SOUND.index(f"<{tag}>"), _SOUND.index(f"</{tag}>") + len(tag) + 3
        yield bad(f"no {tag}", Voc(xml={FIRST: _SOUND[:start] + _SOUND[end:]}), f"{FIRST}.xml", tag)
        twice = _SOUND[:end] + f"<{tag}>3</{tag}>" + _SOUND[end:]
        yield bad(f"two of {tag}", Voc(xml={FIRST: twice}), f"{FIRST}.xml", tag)
    for name, text in (("zero", "0"), ("a fraction", "64.5")):
        yield bad(f"width is {name}", Voc(xml={FIRST: _with("width", text)}), f"{FIRST}.xml", "width", text)
    for name, text in (
        ("yes", "yes"),
        ("two", "2"),
        ("negative", "-1"),
        ("empty", " "),
        ("true", "true"),
        ("a half", "0.5"),
    ):
        code = (0, 2) if name == "empty" else (2,)  # nothing is said, so not difficult
        needs = () if name == "empty" else (f"{FIRST}.xml", "difficult", text)
        yield bad(f"difficult is {name}", Voc(xml={FIRST: _with("difficult", text)}), *needs, code=code)


def _with(tag: str, text: str) -> str:
    start, end = _SOUND.index(f"<{tag}>") + len(tag) + 2, _SOUND.index(f"</{tag}>")
    return _SOUND[:start] + text + _SOUND[end:]


def boxes() -> Iterator[Case]:
    """Boxes that are none, and classes that are not known."""
    for name, box in {
        "inverted in x": (40, 10, 20, 30),
        "inverted in y": (10, 40, 20, 20),
        "without width": (20, 10, 20, 30),
        "right of the image": (10, 10, 90, 30),
        "below the image": (10, 10, 20, 90),
        "far outside": (1000, 1000, 1100, 1100),
        "left of the image": (-20, 10, 20, 30),
    }.items():
        yield bad(
            f"a box {name}",
            Voc(xml={FIRST: voc_xml(f"{FIRST}.jpg", [("cat", *box)])}),
            f"{FIRST}.xml",
            "object 0",
            "box",
        )
    for name, kind, remedy in (
        ("unknown", "cow", "cow"),
        ("misspelt", "cta", "'cat'"),
        ("in capitals", "CAT", "'cat'"),
        ("empty", "", "object 0"),
        ("markup", "[red]x[/red]", "[red]x[/red]"),
        ("very long", "x" * 500, "xxx"),
    ):
        text = voc_xml(f"{FIRST}.jpg", [(kind, 10, 10, 20, 20)])
        yield bad(f"a class {name}", Voc(xml={FIRST: text}), f"{FIRST}.xml", remedy)
    no_name = _SOUND.replace("<name>cat</name>", "")
    yield bad("an object without a name", Voc(xml={FIRST: no_name}), f"{FIRST}.xml", "object 0", "name")
    yield bad(
        "an object with two names",
        Voc(xml={FIRST: _SOUND.replace("<name>cat</name>", "<name>cat</name><name>dog</name>")}),
        f"{FIRST}.xml",
        "name",
    )
    yield bad(
        "an object without a box", Voc(xml={FIRST: _SOUND.replace("bndbox", "polygon")}), f"{FIRST}.xml", "bndbox"
    )
    yield bad("no size", Voc(xml={FIRST: _SOUND.replace("size>", "sise>")}), f"{FIRST}.xml", "size")
    both = Voc(xml={FIRST: voc_xml("a.jpg", [("cow", 1, 1, 5, 5)]), NAMES[1]: voc_xml("b.jpg", [("cat", 30, 5, 3, 9)])})
    yield bad("several problems at once", both, f"{FIRST}.xml", f"{NAMES[1]}.xml")


def files() -> Iterator[Case]:
    """Annotation files, image lists and folders that are not what they should be."""
    bomb = (
        '<!DOCTYPE a [<!ENTITY x "ha">'
        + "".join(f'<!ENTITY x{i} "{"&x%s;" % (i - 1 or "") * 10}">' for i in range(1, 10))
        + "]>"
    )
    for name, text in {
        "empty": "",
        "cut": _SOUND[: len(_SOUND) // 2],
        "another document": "<html><body/></html>",
        "JSON": "{}",
        "binary": bytes(range(256)),
        "two roots": _SOUND + _SOUND,
        "NUL bytes": _SOUND.replace("cat", "c\0t"),
        "not UTF-8": _SOUND.replace("cat", "c\xe4t").encode("latin-1"),
        "an entity from a file": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + _SOUND.replace("cat", "&x;"),
        "an entity from the net": '<!DOCTYPE a SYSTEM "http://localhost:9/x.dtd">' + _SOUND.replace("cat", "&x;"),
        "a bomb of entities": bomb + _SOUND.replace("cat", "&x9;"),
        "an unknown encoding": '<?xml version="1.0" encoding="nonsense"?>' + _SOUND,
        "very deep": "<a>" * 50000 + "</a>" * 50000,
        "a wrong root": _SOUND.replace("annotation", "notes"),
    }.items():
        yield bad(
            f"an annotation that is {name}",
            Voc(xml={FIRST: text}),
            f"{FIRST}.xml",
            apart=name in ("a bomb of entities", "very deep"),
        )
    many = voc_xml(f"{FIRST}.jpg", []).replace(
        "</annotation>", voc_object("cat", 1, 1, 9, 9) * 300_000 + "</annotation>"
    )
    yield bad("an annotation of 40 MB", Voc(xml={FIRST: many}), f"{FIRST}.xml", apart=True)
    for name, listed, needs in (
        ("empty", "", (("train.txt", "VOC2007/train"),)),
        ("blank", "\n \n", (("train.txt", "VOC2007/train"),)),
        ("names a missing file", f"{FIRST}\n000009\n", ("000009",)),
        ("names one twice", f"{FIRST}\n{FIRST}\n", (FIRST,)),
        ("climbs", "../../secret\n", ("../../secret", "train.txt")),
        ("is absolute", "/etc/passwd\n", ("/etc/passwd",)),
        ("has NUL bytes", f"{FIRST}\0\n", ("train.txt",)),
        ("is not UTF-8", b"\xff\xfe\xff\n", ("train.txt",)),
        ("has a suffix", f"{FIRST}.jpg\n", (f"{FIRST}.jpg",)),
        ("has an escape", f"{FIRST}\x1b[31m\n", ("train.txt",)),
        ("climbs inside", f"x/../{FIRST}\n", ("x/..",)),
        ("is a class list", f"{FIRST} maybe\n", ("maybe",)),
        ("has a backslash", f"..\\{FIRST}\n", (FIRST,)),
    ):
        yield bad(f"a list that {name}", Voc(lists={"train": listed, "test": NAMES[3]}), *needs)
    for name, line in (("a dot", f"./{FIRST}"), ("two slashes", f".//{FIRST}"), ("a slash behind", f"{FIRST}/")):
        lists = {"train": "\n".join((*NAMES[:3], line)), "test": NAMES[3]}
        yield bad(
            f"a list that names an image again, by {name}", Voc(lists=lists), "train.txt, line 4", f"'{FIRST}' again"
        )
    for length in (252, 300):
        lists = {"train": "\n".join((*NAMES[:3], "x" * length + " 1")), "test": NAMES[3]}
        yield bad(f"a list with a name of {length} letters", Voc(lists=lists), "xxx.xml", ("too long", "missing"))
    other = Voc(xml={FIRST: _SOUND.replace(f"{FIRST}.jpg", f"{NAMES[1]}.jpg")}, images={f"{FIRST}.jpg": None})
    yield bad("a picture of two annotations", other, f"{NAMES[1]}.xml", f"is that of '{FIRST}' too")
    long = Voc(xml={FIRST: _SOUND.replace(f"{FIRST}.jpg", "x" * 300 + ".jpg")}, images={f"{FIRST}.jpg": None})
    yield bad("a picture's name of 300 letters", long, f"{FIRST}.jpg", "missing")
    for tag in ("object", "size", "width", "filename", "name", "difficult", "bndbox", "xmin"):
        for name, written in (("capital letters", tag.title()), ("a namespace", f"a:{tag}")):
            text = _SOUND.replace(f"<{tag}>", f"<{written}>").replace(f"</{tag}>", f"</{written}>")
            text = text.replace("<annotation>", '<annotation xmlns:a="urn:x">')
            yield bad(f"{tag} with {name}", Voc(xml={FIRST: text}), f"{FIRST}.xml", f"expected <{tag}>")
    for tag in ("width", "filename", "name", "difficult", "xmin"):
        text = _SOUND.replace(f"</{tag}>", f"<b>1</b></{tag}>", 1)
        yield bad(f"{tag} with an element in it", Voc(xml={FIRST: text}), f"{FIRST}.xml", "holds <b>")
    yield bad("no list", Voc(lists={"test": NAMES[3]}), "train.txt", "test")
    nothing = Voc(objects={**OBJECTS, NAMES[3]: []})
    yield bad("no object in the test split", nothing, "test", "object")
    yield bad(
        "no object in the training split",
        Voc(objects={n: o if n == NAMES[3] else [] for n, o in OBJECTS.items()}),
        "train",
        "object",
    )
    for name, data, needs in (
        ("no root", {"root": "gone"}, ("gone", "data.root")),
        ("a root that is a file", {"root": "study.yaml"}, ("study.yaml",)),
        ("an empty root", {"root": ""}, ("root",)),
        ("a folder that climbs", {"train": [["../x", "train"]]}, ("../x",)),
        ("an absolute folder", {"train": [["/etc", "train"]]}, ("/etc",)),
        ("a set that climbs", {"train": [["VOC2007", "../../x"]]}, ("../../x",)),
        ("an unknown set", {"train": [["VOC2007", "tran"]]}, ("tran", "train")),
        ("an unknown folder", {"train": [["VOC2077", "train"]]}, ("VOC2077",)),
        ("a pair of one", {"train": [["VOC2007"]]}, ("train",)),
        ("text for a pair", {"train": ["VOC2007"]}, ("train",)),
        ("a class twice", {"classes": ["cat", "cat"]}, ("cat",)),
        ("an empty class", {"classes": ["cat", ""]}, ("classes",)),
        ("a class less", {"classes": ["cat"]}, ("dog", f"{FIRST}.xml")),
        ("a class nobody has", {"classes": ["cat", "dog", "cow"]}, ("cow",)),
        ("a class of control characters", {"classes": ["cat", "dog", "a\x1b[31m"]}, ("classes",)),
        ("a NUL in the root", {"root": "a\0b"}, ("root",)),
        ("the same split twice", {"train": [["VOC2007", "train"], ["VOC2007", "train"]]}, (FIRST,)),
    ):
        code = (0, 2) if name == "a class nobody has" else (2,)
        yield bad(name, Voc(data=data), *needs, code=code)
    overlap = Voc(lists={"train": "\n".join(NAMES[:3]), "test": "\n".join(NAMES[2:])})
    yield bad(
        "an image in both splits",
        overlap,
        NAMES[2],
        ("both", "overlap", "train and test", "also in", "images too", "more than once", "same"),
        code=(0, 2),
    )
    copy = Voc(images={f"{NAMES[3]}.jpg": pixels(NAMES[0])})
    yield bad(
        "a picture in both splits under two names",
        copy,
        NAMES[3],
        ("both", "overlap", "train and test", "also in", "images too", "more than once", "same"),
        code=(0, 2),
    )
    yield bad(
        "a picture twice in one split",
        Voc(images={f"{NAMES[1]}.jpg": pixels(NAMES[0])}),
        NAMES[1],
        ("twice", "duplicate", "more than once", "same"),
        code=(0, 2),
    )
    # Public sets name paths of the machine that they were made on: refused, or the picture of the annotation's name.
    for name, file in (
        ("that climbs", "../../../secret.jpg"),
        ("that is absolute", "/etc/passwd"),
        ("of Windows", "C:\\data\\x.jpg"),
    ):
        made = Voc(xml={FIRST: voc_xml(file, OBJECTS[FIRST])})
        yield Case("voc", f"sound or refused: a filename {name}", made.write, (), (0, 2), _own_picture)
    yield bad(
        "a filename that is not there",
        Voc(xml={FIRST: voc_xml("gone.jpg", OBJECTS[FIRST])}, images={f"{FIRST}.jpg": None}),
        "gone.jpg",
        FIRST,
    )


def unusual() -> Iterator[Case]:
    """Sound sets that look odd."""
    yield sound("as it is", Voc())
    yield sound(
        "Windows line ends and blank lines", Voc(lists={"train": "\r\n".join(NAMES[:3]) + "\r\n\r\n", "test": NAMES[3]})
    )
    yield sound(
        "a byte order mark in the list", Voc(lists={"train": "\ufeff" + "\n".join(NAMES[:3]), "test": NAMES[3]})
    )
    yield sound("a list with ones", Voc(lists={"train": "".join(f"{n}  1\n" for n in NAMES[:3]), "test": NAMES[3]}))
    yield sound(
        "a list that says which have no object of a class",
        Voc(lists={"train": "".join(f"{n} -1\n" for n in NAMES[:3]), "test": NAMES[3]}),
    )
    for suffix in (".png", ".jpeg", ".JPG", ".bmp", ".webp"):
        yield sound(f"{suffix} pictures", Voc(suffix=suffix))
    yield sound("spaces in numbers", Voc(xml={FIRST: _SOUND.replace("<xmin>9<", "<xmin> 9 \n<")}))
    yield sound("decimals", Voc(xml={FIRST: _SOUND.replace("<xmin>9<", "<xmin>9.0<")}))
    yield sound("UTF-16", Voc(xml={FIRST: ('<?xml version="1.0" encoding="UTF-16"?>' + _SOUND).encode("utf-16")}))
    yield sound("a byte order mark", Voc(xml={FIRST: "\ufeff" + _SOUND}))
    yield sound(
        "comments and other tags",
        Voc(
            xml={
                FIRST: _SOUND.replace(
                    "<object>",
                    "<!-- x --><owner/><object><pose>Left</pose><part><name>head</name><bndbox>"
                    "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>",
                    1,
                )
            }
        ),
    )
    yield sound("no difficult", Voc(xml={FIRST: _SOUND.replace("<difficult>0</difficult>", "")}))
    yield sound("no filename", Voc(xml={FIRST: _SOUND.replace(f"<filename>{FIRST}.jpg</filename>", "")}))
    yield sound("no classes in the study", Voc(data={"classes": []}))
    yield sound("classes in another order", Voc(data={"classes": ["dog", "cat"]}))
    yield sound(
        "a filename of another picture",
        Voc(xml={FIRST: voc_xml("other.png", OBJECTS[FIRST])}, images={f"{FIRST}.jpg": None, "other.png": pixels("7")}),
        _pixels_of_other,
    )
    yield sound(
        "names in a folder",
        Voc(
            objects={f"sub/{n}": o for n, o in OBJECTS.items()},
            lists={"train": "".join(f"sub/{n}\n" for n in NAMES[:3]), "test": f"sub/{NAMES[3]}"},
        ),
    )
    nested = Voc(
        objects={**OBJECTS, f"sub/{FIRST}": [("dog", 1, 1, 9, 9)]},
        images={f"sub/{FIRST}.jpg": pixels("9")},
        lists={"train": f"sub/{FIRST}\n{NAMES[1]}", "test": NAMES[3]},
    )
    yield sound("the same name in a folder and above it", nested, _nested)
    odd = {"my picture ü 箱": OBJECTS[FIRST], "a.b.c": OBJECTS[NAMES[1]], NAMES[3]: OBJECTS[NAMES[3]]}
    pictures = {f"{n}.jpg": pixels(str(i + 5)) for i, n in enumerate(odd)}
    yield sound(
        "dots and unicode in names",
        Voc(objects=odd, images=pictures, lists={"train": "a.b.c\n", "test": NAMES[3]}),
        _dots,
    )
    # A box with xmin == xmax is a slip of the mouse in every public set that has one, and refused (decision G16).
    small = Voc(
        xml={FIRST: voc_xml(f"{FIRST}.jpg", [("cat", 0, 0, 2, 2), ("dog", 62, 46, 64, 48), ("cat", 0, 0, 64, 48)])}
    )
    yield sound("boxes of two pixels and of the whole image", small, _small)
    yield sound("an image without objects", Voc(objects={**OBJECTS, FIRST: []}), _empty_first)
    yield sound("difficult objects", Voc(xml={FIRST: _SOUND.replace("<difficult>0<", "<difficult>1<", 1)}), _difficult)
    yield sound("a zero where pixels count from one", Voc(xml={FIRST: _SOUND.replace("<xmin>9<", "<xmin>0<")}), _zero)


def _own_picture(folder: Path, told: Told) -> list[str]:
    if told.code == 2:
        return [] if f"{FIRST}.xml" in told.text else ["does not name the annotation"]
    return [] if _gap(loaded(folder)["train"].read(0)) < 20 else ["read another picture"]


def _pixels_of_other(folder: Path, told: Told) -> list[str]:
    split = loaded(folder)["train"]
    return [] if (split.read(0) == pixels("7")).all() else ["read another picture than <filename> names"]


def _nested(folder: Path, told: Told) -> list[str]:
    split = loaded(folder)["train"]
    if split.images[0].boxes.tolist() != [[1, 1, 9, 9]]:
        return [f"read the boxes {split.images[0].boxes.tolist()}"]
    gap = abs(split.read(0).astype(int) - pixels("9").astype(int)).mean()
    return (
        []
        if gap < 30 and split.read(0)[20:28, 10:20].mean() > 200 and gap < _gap(split.read(0))
        else ["read another picture"]
    )


def _gap(found: Any) -> float:
    return float(abs(found.astype(int) - pixels(FIRST).astype(int)).mean())


def _dots(folder: Path, told: Told) -> list[str]:
    split = loaded(folder)["train"]
    found = [i.boxes.tolist() for i in split.images]
    return [] if found == [[list(map(float, b)) for _, *b in OBJECTS[NAMES[1]]]] else [f"read {found}"]


def _small(folder: Path, told: Told) -> list[str]:
    found = loaded(folder)["train"].images[0].boxes.tolist()
    return [] if found == [[0, 0, 2, 2], [62, 46, 64, 48], [0, 0, 64, 48]] else [f"read {found}"]


def _empty_first(folder: Path, told: Told) -> list[str]:
    found = [len(i.labels) for i in loaded(folder)["train"].images]
    return [] if found == [0, 2, 2] else [f"objects per image {found}"]


def _difficult(folder: Path, told: Told) -> list[str]:
    found = loaded(folder)["train"].images[0].difficult.tolist()
    return [] if found == [True, False] else [f"difficult {found}"]


def _zero(folder: Path, told: Told) -> list[str]:
    found = loaded(folder)["train"].images[0].boxes[0].tolist()
    return [] if found == [0, 10, 28, 30] else [f"read {found}"]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*numbers(), *boxes(), *files(), *unusual())
