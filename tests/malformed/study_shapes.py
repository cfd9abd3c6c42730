"""Studies whose keys or whose YAML are wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.malformed.fields import Raw
from tests.malformed.harness import Case
from tests.malformed.studies import SHORT, SOUND, TEXT, case, put, written

_REQUIRED = ("study", "detectors", "methods", "data")
_MAPPINGS: tuple[tuple[str | int, ...], ...] = (
    (),
    ("detectors", 0),
    ("detectors", 0, "spec"),
    ("detectors", 0, "spec", "head"),
    ("methods", 1),
    ("methods", 1, "assigner"),
    ("methods", 1, "criterion"),
    ("methods", 1, "nms"),
    ("methods", 1, "head_init"),
    ("methods", 1, "coder"),
    ("methods", 2, "voting"),
    ("data",),
    ("data", "factors"),
    ("data", "augment"),
    ("data", "size"),
    ("data", "pixels"),
    ("schedule",),
    ("evaluation",),
    ("claims", 0),
    ("presets", "short", "schedule"),
)


def at(content: Any, place: tuple[str | int, ...]) -> Any:
    """What stands at a place."""
    for step in place:
        content = content[step]
    return content


def keys() -> Iterator[Case]:
    """Keys left out, misspelt, doubled, unknown or of another type, in every mapping of the study."""
    for key in _REQUIRED:
        content = {k: v for k, v in SOUND.items() if k != key}
        yield case(f"no {key}", written(content)[0], "study.yaml", f"'{key}'" if key != "data" else "data")
    for place in _MAPPINGS:
        here = ".".join(map(str, place)) or "study"
        options = SHORT if place[:1] == ("presets",) else ()
        held = at(SOUND, place)
        for key in sorted(held)[:6]:
            if len(key) < 4 or key == "name":
                continue
            spelt = key[:-2] + key[-1] + key[-2] if key[-1] != key[-2] else key[:-1]
            content = deepcopy(SOUND)
            target = at(content, place)
            target[spelt] = target.pop(key)
            text, line = written(content, (*place, spelt))
            yield case(
                f"{here}: {key} misspelt", text, "study.yaml", spelt, f"'{key}'", f"line {line}", options=options
            )
        for name, key in (("a number", 7), ("true", True), ("nothing", None), ("a day", Raw("2026-01-01"))):
            text, line = (
                written(put(SOUND, (*place, key), 1))
                if not isinstance(key, Raw)
                else written(put(SOUND, (*place, "RAWKEY"), 1))
            )
            text = text.replace("RAWKEY", "2026-01-01")
            shown = {7: ("7",), True: ("True", "true"), None: ("None", "null")}.get(
                key, ("2026-01-01", "datetime.date")
            )
            yield case(f"{here}: the key is {name}", text, "study.yaml", shown, options=options)
        text, line = written(SOUND, place)
        doubled, where = _doubled(text, held, place)
        yield case(
            f"{here}: a key stands twice",
            doubled,
            "study.yaml",
            f"line {where}",
            str(next(iter(held))),
            options=options,
        )


def _doubled(text: str, held: dict[str, Any], place: tuple[str | int, ...]) -> tuple[str, int]:
    """The study with the first key of a mapping written again behind it, and the line of the second one."""
    node: Any = yaml.compose(text)
    for step in place:
        if isinstance(node, yaml.MappingNode):
            node = next(v for k, v in node.value if k.value == str(step))
        else:
            node = node.value[step]
    first, behind = node.value[0], node.value[1][0] if len(node.value) > 1 else None
    line = behind.start_mark.line if behind is not None else first[1].end_mark.line
    column = first[0].start_mark.column
    lines = text.splitlines()
    lines.insert(line, " " * column + f"{first[0].value}: 1")
    return "\n".join(lines) + "\n", line + 1


def structure() -> Iterator[Case]:
    """What is no study at all, and YAML that means harm."""
    bare = {
        "an empty file": "",
        "only a comment": "# nothing\n",
        "a list": "- a\n- b\n",
        "a word": "study\n",
        "a number": "5\n",
        "an open bracket": "study: [a\n",
        "tabs": "study:\n\t- a\n",
        "two documents": TEXT + "---\nstudy: two\n",
        "a bare alias": "study: *nobody\n",
        "an unfinished quote": 'study: "abc\n',
        "JSON cut short": '{"study": "x", ',
        "null": "null\n",
        "only a document mark": "---\n",
        "colon in a value": TEXT.replace("title: A", "title: A: b"),
        "a percent directive": "%YAML 9.9\n---\nstudy: x\n",
        "an escape beyond Unicode": TEXT.replace("answers: nothing", 'answers: "\\U00110000"'),
        "an escape beyond all numbers": TEXT.replace("answers: nothing", 'answers: "\\UFFFFFFFF"'),
        "a number without digits": TEXT.replace("lr: 0.001", "lr: 0x_"),
        "a version of 5000 digits": f"%YAML 1.{'9' * 5000}\n---\n{TEXT}",
        "a tab between key and value": TEXT.replace("answers: nothing", "answers:\tnothing"),
        "indentation": TEXT.replace("  steps", "   steps"),
    }
    for name, text in bare.items():
        yield case(f"the file is {name}", text, "study.yaml")
    for name, data in {
        "latin-1": TEXT.replace("A sound", "Caf\xe9").encode("latin-1"),
        "NUL bytes": b"study: a\0b\n",
        "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "an escape": b"study: \x1b[31m\n",
        "a zip": b"PK\x03\x04" + b"\0" * 60,
        "half of a UTF-8 letter": TEXT.encode() + b"# \xc3",
        "UTF-32": TEXT.encode("utf-32"),
    }.items():
        yield case(f"the file is {name}", data, "study.yaml")
    for tag in (
        "python/object/apply:os.system ['touch canary']",
        "python/name:os.system",
        "python/module:os",
        "python/object/new:subprocess.Popen [['touch', 'canary']]",
        "binary abc",
        "set {a, b}",
        "unknown 5",
        "timestamp 2026-01-01",
        "python/tuple [1, 2]",
        "omap [a: 1]",
    ):
        text, line = written(put(SOUND, ("title",), Raw(f"!!{tag}")), ("title",))
        yield case(f"tag {tag.split()[0]}", text, "study.yaml", f"line {line}")
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )
    yield case("a bomb of aliases", laughs + TEXT, "study.yaml", apart=True)
    merges = "m0: &m0 {k: 1}\n" + "".join(
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}\n" for i in range(1, 8)
    )
    yield case("a bomb of merges", merges + TEXT, "study.yaml", apart=True)
    yield case(
        "a bomb of aliases in the title",
        laughs.replace("a9:", "title:") + TEXT.replace("title:", "old:"),
        "study.yaml",
        apart=True,
    )
    for name, text in {
        "an anchor twice": TEXT.replace("answers: ", "answers: &a ").replace("cost: ", "cost: &a "),
        "an escape beyond Unicode in a key": TEXT + '"\\U00110000": 1\n',
        "a claim twice": TEXT.replace("areas:", "- claim: guided  >  iou on AP\nareas:"),
        "a claim twice for every detector": TEXT.replace(
            "areas:", "- claim: guided > iou on AP for every detector\nareas:"
        ),
        "a list that holds itself": "title: &a [*a]\n" + TEXT.replace("title:", "expect_:"),
        "a mapping that holds itself": "title: &a {b: *a}\n" + TEXT.replace("title:", "expect_:"),
        "a merge of a number": TEXT + "<<: 5\n",
        "a merge of itself": "<<: &a {<<: *a}\n" + TEXT,
        "a key that is a list": TEXT + "? [a, b]\n: 1\n",
        "a key that is a mapping": TEXT + "? {a: b}\n: 1\n",
        "a merge of words": TEXT + "<<: abc\n",
        "a merge of a list of words": TEXT + "<<: [a, b]\n",
    }.items():
        yield case(name, text, "study.yaml", "line ")
    for name, deep in {
        "lists 100": "title: " + "[" * 100 + "]" * 100,
        "lists 20000": "title: " + "[" * 20000 + "]" * 20000,
        "mappings 5000": "title: " + "{a: " * 5000 + "1" + "}" * 5000,
        "indents 3000": "title:\n" + "".join(" " * (i + 1) + "a:\n" for i in range(3000)),
        "unclosed 20000": "title: " + "[" * 20000,
    }.items():
        yield case(f"nested {name}", TEXT.replace("title: A sound study", deep), "study.yaml", apart=True)
    for name, text in {
        "digits": "9" * 6000,
        "hexadecimal": "0x" + "f" * 6000,
        "exponent": "1e" + "9" * 30,
        "fraction": "0." + "0" * 5000 + "1",
    }.items():
        made, line = written(put(SOUND, ("schedule", "lr"), Raw(text)), ("schedule", "lr"))
        yield case(f"a number of many {name}", made, "study.yaml", f"line {line}", "lr")
    yield case("a file of 40 MB", b"# " + b"x" * (40 << 20) + b"\n" + TEXT.encode(), "study.yaml", apart=True)
    yield case(
        "ten thousand keys",
        TEXT + "".join(f"k{i}: 1\n" for i in range(10000)),
        "study.yaml",
        ("unknown key", "entries"),
        apart=True,
    )
    yield case(
        "ten thousand methods",
        TEXT.replace("methods:\n", "methods:\n" + "- iou\n" * 10000),
        "study.yaml",
        ("iou", "entries"),
        apart=True,
    )
    for kind in ("folder", "pipe", "loop", "missing", "dangling", "zeros"):
        yield Case(
            "study",
            f"the path is a {kind}",
            lambda folder, kind=kind: _special(folder, kind),
            ("study",),
            apart=kind in ("pipe", "zeros"),
        )


def _special(folder: Path, kind: str) -> list[str]:
    path = folder / "study.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(folder / "nowhere")
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    return ["plan", "study.yaml"]
