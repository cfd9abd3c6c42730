"""Studies whose keys, YAML, names, compositions or options are wrong; and unusual ones that are sound."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.malformed.fields import Raw
from tests.malformed.harness import Case, Told
from tests.malformed.studies import SOUND, case, plan, put, written

_REQUIRED = ("study", "answers", "cost", "expect", "detectors", "methods", "data", "schedule")
_MAPPINGS: tuple[tuple[str | int, ...], ...] = (
    (), ("detectors", 0), ("detectors", 0, "spec"), ("detectors", 0, "spec", "head"), ("methods", 1),
    ("methods", 1, "assigner"), ("methods", 1, "criterion"), ("methods", 1, "nms"), ("methods", 1, "head_init"),
    ("methods", 1, "coder"), ("methods", 2, "voting"), ("data",), ("data", "factors"), ("data", "augment"),
    ("schedule",), ("evaluation",), ("claims", 0), ("presets", "short", "schedule"),
)  # fmt: skip
_NO_TYPOS = {(), ("areas",), ("presets",)}
SHORT = ("--preset", "short")


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
            yield case(f"{here}: {key} misspelt", text, "study.yaml", spelt, f"'{key}'", f"line {line}", options=options)
        for name, key in (("a number", 7), ("true", True), ("nothing", None), ("a day", Raw("2026-01-01"))):
            text, line = written(put(SOUND, (*place, key), 1)) if not isinstance(key, Raw) else written(put(SOUND, (*place, "RAWKEY"), 1))
            text = text.replace("RAWKEY", "2026-01-01")
            shown = {7: ("7",), True: ("True", "true"), None: ("None", "null")}.get(key, ("2026-01-01", "datetime.date"))
            yield case(f"{here}: the key is {name}", text, "study.yaml", shown, options=options)
        text, line = written(SOUND, place)
        doubled, where = _doubled(text, held, place)
        yield case(f"{here}: a key stands twice", doubled, "study.yaml", f"line {where}", str(next(iter(held))), options=options)


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


_TEXT = written(SOUND)[0]


def structure() -> Iterator[Case]:
    """What is no study at all, and YAML that means harm."""
    bare = {
        "an empty file": "", "only a comment": "# nothing\n", "a list": "- a\n- b\n", "a word": "study\n", "a number": "5\n",
        "an open bracket": "study: [a\n", "tabs": "study:\n\t- a\n", "two documents": _TEXT + "---\nstudy: two\n",
        "a bare alias": "study: *nobody\n", "an unfinished quote": 'study: "abc\n', "JSON cut short": '{"study": "x", ',
        "null": "null\n", "only a document mark": "---\n", "colon in a value": _TEXT.replace("title: A", "title: A: b"),
        "a percent directive": "%YAML 9.9\n---\nstudy: x\n", "indentation": _TEXT.replace("  steps", "   steps"),
    }  # fmt: skip
    for name, text in bare.items():
        yield case(f"the file is {name}", text, "study.yaml")
    for name, data in {
        "latin-1": _TEXT.replace("A sound", "Caf\xe9").encode("latin-1"), "NUL bytes": b"study: a\0b\n",
        "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "an escape": b"study: \x1b[31m\n", "a zip": b"PK\x03\x04" + b"\0" * 60,
        "half of a UTF-8 letter": _TEXT.encode() + b"# \xc3", "UTF-32": _TEXT.encode("utf-32"),
    }.items():  # fmt: skip
        yield case(f"the file is {name}", data, "study.yaml")
    for tag in ("python/object/apply:os.system ['touch canary']", "python/name:os.system", "python/module:os",
                "python/object/new:subprocess.Popen [['touch', 'canary']]", "binary abc", "set {a, b}", "unknown 5",
                "timestamp 2026-01-01", "python/tuple [1, 2]", "omap [a: 1]"):  # fmt: skip
        text, line = written(put(SOUND, ("title",), Raw(f"!!{tag}")), ("title",))
        yield case(f"tag {tag.split()[0]}", text, "study.yaml", f"line {line}")
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )
    yield case("a bomb of aliases", laughs + _TEXT, "study.yaml", apart=True)
    merges = "m0: &m0 {k: 1}\n" + "".join(
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}\n" for i in range(1, 8)
    )
    yield case("a bomb of merges", merges + _TEXT, "study.yaml", apart=True)
    yield case("a bomb of aliases in the title", laughs.replace("a9:", "title:") + _TEXT.replace("title:", "old:"), "study.yaml", apart=True)
    for name, text in {
        "a list that holds itself": "title: &a [*a]\n" + _TEXT.replace("title:", "expect_:"),
        "a mapping that holds itself": "title: &a {b: *a}\n" + _TEXT.replace("title:", "expect_:"),
        "a merge of a number": _TEXT + "<<: 5\n", "a merge of itself": "<<: &a {<<: *a}\n" + _TEXT,
        "a key that is a list": _TEXT + "? [a, b]\n: 1\n", "a key that is a mapping": _TEXT + "? {a: b}\n: 1\n",
        "a merge of words": _TEXT + "<<: abc\n", "a merge of a list of words": _TEXT + "<<: [a, b]\n",
    }.items():  # fmt: skip
        yield case(name, text, "study.yaml", "line ")
    for name, deep in {
        "lists 100": "title: " + "[" * 100 + "]" * 100, "lists 20000": "title: " + "[" * 20000 + "]" * 20000,
        "mappings 5000": "title: " + "{a: " * 5000 + "1" + "}" * 5000,
        "indents 3000": "title:\n" + "".join(" " * (i + 1) + "a:\n" for i in range(3000)),
        "unclosed 20000": "title: " + "[" * 20000,
    }.items():  # fmt: skip
        yield case(f"nested {name}", _TEXT.replace("title: A sound study", deep), "study.yaml", apart=True)
    for name, text in {
        "digits": "9" * 6000, "hexadecimal": "0x" + "f" * 6000, "exponent": "1e" + "9" * 30, "fraction": "0." + "0" * 5000 + "1",
    }.items():  # fmt: skip
        made, line = written(put(SOUND, ("schedule", "lr"), Raw(text)), ("schedule", "lr"))
        yield case(f"a number of many {name}", made, "study.yaml", f"line {line}", "lr")
    yield case("a file of 40 MB", b"# " + b"x" * (40 << 20) + b"\n" + _TEXT.encode(), "study.yaml", apart=True)
    yield case("ten thousand keys", _TEXT + "".join(f"k{i}: 1\n" for i in range(10000)), "study.yaml", ("unknown key", "entries"), apart=True)
    yield case("ten thousand methods", _TEXT.replace("methods:\n", "methods:\n" + "- iou\n" * 10000), "study.yaml", ("iou", "entries"), apart=True)
    for kind in ("folder", "pipe", "loop", "missing", "dangling", "zeros"):
        yield Case("study", f"the path is a {kind}", lambda folder, kind=kind: _special(folder, kind), ("study",), apart=kind in ("pipe", "zeros"))


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


def names() -> Iterator[Case]:
    """Names that no table, folder or claim can hold, or that nothing is known by."""
    bad = {
        "climbs": "../x", "is absolute": "/tmp/x", "has a slash": "a/b", "has a backslash": "a\\b", "is a dot": ".", "is two dots": "..",
        "has an escape": "a\x1b[31m", "has a line break": "a\nb", "has a NUL": "a\0b", "has a wild card": "a*", "is a space": " ",
        "is empty": "", "is a script": "<script>", "is markup": "[red]x[/red]", "is long": "x" * 300, "turns right to left": "a\u202eb",
        "is a dash": "-rf",
    }  # fmt: skip
    for what, place in (("study", ("study",)), ("label", ("detectors", 0, "label")), ("method", ("methods", 1, "name")),
                        ("data set", ("data", "name"))):  # fmt: skip
        for name, value in bad.items():
            if what == "label" and not value:
                continue
            content = put(SOUND, place, value)
            if what == "data set":
                content = put(content, ("data", "kind"), "shapes")
                content["claims"] = []
            if what == "method":
                content["claims"] = []
            text, line = written(content, place)
            yield case(f"the name of the {what} {name}", text, "study.yaml", str(place[-1]), f"line {line}", family="study names")
    for name, value in (("area", "a/b"), ("area", "../x"), ("area", "a\x1b[0m")):
        text, line = written(put(SOUND, ("areas",), {value: [0, 5]}), ("areas",))
        yield case(f"{name} {value!r}", text, "study.yaml", "areas", family="study names")
    for name, value in (("climbs", "../x"), ("has an escape", "a\x1b[0m"), ("has a slash", "a/b")):
        yield case(f"a preset {name}", written(put(SOUND, ("presets",), {value: {"schedule": {"steps": 2}}}))[0], "study.yaml",
                   "presets", family="study names", options=("--preset", value))  # fmt: skip
    near = {
        ("detectors", 0, "name"): ("retinanet-slin", "retinanet-slim"), ("methods", 1, "preset"): ("mutual_guidence", "mutual_guidance"),
        ("methods", 1, "baseline"): ("iuo", "iou"), ("methods", 1, "assigner", "name"): ("mutual_guidanc", "mutual_guidance"),
        ("methods", 1, "detectors", 0): ("slin", "slim"), ("data", "name"): ("shape", "shapes"), ("analyses", 0): ("averags", "averages"),
        ("claims", 0, "claim"): ("guided > iuo on AP", "iou"), ("claims", 0, "data", 0): ("shaps", "shapes"),
        ("published",): ("mutual_guidance_table", ""), ("methods", 1, "criterion", "name"): ("dens", "dense"),
    }  # fmt: skip
    for place, (value, remedy) in near.items():
        text, line = written(put(SOUND, place, value), place)
        wrong = "iuo" if "claim" in place else value
        yield case(f"unknown {'.'.join(map(str, place))}", text, "study.yaml", wrong, remedy, f"line {line}", family="study names")
    for claim in ("guided > guided on AP", "guided > nobody on AP", "guided > iou on APX", "gain grows with size of moon", "", "guided>iou on AP",
                  "gain of nobody grows with area", "AP gain of guided > APX gain", "x" * 5000, "guided > iou on AP; rm -rf", "divergence predicts nothing"):  # fmt: skip
        text, line = written(put(SOUND, ("claims", 0, "claim"), claim), ("claims", 0, "claim"))
        shown = claim.split()[-1] if claim else "claim"
        yield case(f"claim {claim[:30]!r}", text, "study.yaml", "claim", (shown[:40], claim[:40]), ("line ", ), family="study names")


def compositions() -> Iterator[Case]:
    """Entries that fit alone and not together."""
    changes: dict[str, tuple[tuple[str | int, ...], Any, tuple[Any, ...]]] = {
        "steps and epochs": (("schedule", "epochs"), 2, ("epochs", "steps")),
        "milestones that fall": (("schedule", "milestones"), [0.8, 0.5], ("milestones",)),
        "milestones twice": (("schedule", "milestones"), [0.5, 0.5], ("milestones",)),
        "momentum for adamw": (("schedule", "optimizer"), "adamw", ("momentum",)),
        "areas that fall": (("areas", "tiny"), [256, 0], ("areas", "0")), "an area of one bound": (("areas", "tiny"), [5], ("areas",)),
        "an empty area": (("areas", "tiny"), [5, 5], ("areas",)), "an area of three": (("areas", "tiny"), [1, 2, 3], ("areas",)),
        "two equal seeds": (("seeds",), [1, 1], ("seeds", "1")), "no seeds": (("seeds",), [], ("seeds",)),
        "zero seeds": (("seeds",), 0, ("seeds", "0")), "a negative number of seeds": (("seeds",), -1, ("seeds", "-1")),
        "ten million seeds": (("seeds",), 10_000_000, ("seeds",)), "a seed of 65 bits": (("seeds",), [2**64], ("seeds",)),
        "no methods": (("methods",), [], ("methods",)), "no detectors": (("detectors",), [], ("detectors",)),
        "no data": (("data",), [], ("data",)), "a method twice": (("methods",), ["iou", "iou"], ("iou", "twice", )[:1]),
        "a detector twice": (("detectors",), ["retinanet-slim", "retinanet-slim"], ("retinanet-slim",)),
        "a data set twice": (("data",), [{"name": "shapes"}, {"name": "shapes"}], ("shapes",)),
        "max_dets twice": (("max_dets",), [10, 10], ("max_dets", "10")), "max_dets that fall": (("max_dets",), [100, 1], ("max_dets",)),
        "an analysis twice": (("analyses",), ["averages", "averages"], ("averages",)),
        "its own baseline": (("methods", 1, "baseline"), "guided", ("baseline", "guided")),
        "a method on no detector": (("methods", 1, "detectors"), ["nobody"], ("nobody",)),
        "points for an anchor method": (("detectors",), ["fcos-slim"], ("fcos-slim",)),
        "stds of one": (("methods", 1, "coder", "stds"), [0.1], ("stds",)), "stds of three": (("methods", 1, "coder", "stds"), [0.1, 0.1, 0.1], ("stds",)),
        "positive below negative": (("methods", 1, "assigner", "positive"), 0.2, ("positive", "0.2")),
        "a parameter of another assigner": (("methods", 1, "assigner", "topk"), 9, ("topk",)),
        "quality without a head": (("methods", 1, "ranking"), "quality", ("ranking", "quality")),
        "a threshold of soft NMS": (("methods", 1, "nms", "kind"), "soft", ("nms.iou",)),
        "classes of scenes": (("data", "classes"), ["a"], ("classes",)), "train of scenes": (("data", "train"), [["a", "b"]], ("train",)),
        "objects larger than the scene": (("data", "factors", "max_size"), 100, ("max_size", "100")),
        "min above max": (("data", "factors", "min_size"), 50, ("min_size", "50")), "ssd and zoom": (("data", "augment", "ssd"), True, ("zoom",)),
        "no scales": (("detectors", 0, "spec", "priors"), {"scales": []}, ("scales",)),
        "infinite scales": (("detectors", 0, "spec", "priors"), {"scales": [float("inf")]}, ("scales", "inf")),
        "a billion channels": (("detectors", 0, "spec", "neck", "width"), 10**9, ("width",)),
        "a head for an rpn": (("detectors", 0, "name"), "rpn-slim", ("head",)),
        "the old key parameters": (("detectors", 0, "parameters"), {"weights": "f"}, ("parameters", "spec")),
        "a preset of itself": (("presets", "short"), {"presets": {}}, ("presets",)),
        "a million threads": (("schedule", "threads"), 10**6, ("threads",)),
        "a million loaders": (("schedule", "loader_workers"), 10**6, ("loader_workers",)),
        "ten to the twelve images": (("data", "train_images"), 10**12, ("train_images",)),
        "a batch larger than all images": (("schedule", "batch_size"), 10**9, ("batch_size",)),
        "prior_prob 2": (("methods", 1, "head_init", "prior_prob"), 2, ("prior_prob", "2")),
        "a negative loss weight": (("methods", 1, "criterion", "box_weight"), -1.0, ("box_weight", "-1")),
        "no loss at all": (("methods", 1, "criterion", "focal_alpha"), 2.0, ("focal_alpha", "2")),
        "an infinite clip": (("schedule", "clip_grad"), float("inf"), ("clip_grad", "inf")),
    }  # fmt: skip
    for name, (place, value, needs) in changes.items():
        options = SHORT if place[0] == "presets" else ()
        yield case(name, written(put(SOUND, place, value))[0], "study.yaml", *needs, family="study compositions", options=options)


def options() -> Iterator[Case]:
    """Options of the command line that are wrong beside a sound study."""
    for given, needs in (
        ("schedule.lr", ()), ("=5", ()), ("", ()), ("schedule..lr=1", ()), (".=1", ()), ("schedule.lr=", ("lr",)), ("schedule.lr=abc", ("lr", "abc")),
        ("schedule.lr=.nan", ("lr", "nan")), ("schedule.lr=-1", ("lr", "-1")), ("schedule.ler=1", ("ler", "lr")), ("schedule=5", ("schedule",)),
        ("schedule.steps=0", ("steps", "0")), ("schedule.steps.x=1", ("steps",)), ("seeds=0", ("seeds", "0")), ("seeds=[]", ("seeds",)),
        ("methods=[]", ("methods",)), ("methods=iou", ("methods", "iou")), ("methods.9.name=x", ("methods",)), ("methods.0.name=x", ()), ("methods=[iuo]", ("iuo", "'iou'")),
        ("data=nobody", ("nobody",)), ("data=[]", ("data",)), ("data=5", ("data", "5")), ("data.image_size=5", ("image_size", "5")), ("data.root.x=1", ("root",)),
        ("data.kind=vok", ("vok", "voc")), ("detectors=[x]", ("x",)), ("presets.short=5", ("presets",)), ("study=../x", ("study", "../x")),
        ("title=[", ("title",)), ("title=!!python/object/apply:os.system ['touch canary']", ("title",)), ("title=&a [*a]", ("title",)),
        ("x" * 3000 + "=1", ()), (".".join("a" * 3000) + "=1", ()), ("schedule.lr=\x1b[31m", ("lr",)), ("[red]x[/red]=1", ("[red]",)),
        ("areas.x=[5, 1]", ("areas",)), ("probe_images=-1", ("probe_images", "-1")), ("evaluation.floor=1", ("floor", "1")), ("claims=[{claim: x}]", ("claim", "x")),
    ):  # fmt: skip
        needed = [f"--set {given}"[:40].split("\x1b")[0].rstrip()] if given else ["--set"]
        yield case(f"--set {given[:40]!r}", _TEXT, *needed, *needs, options=("--set", given), family="options")
    for option, value, needs in (
        ("--seeds", "0", ("--seeds", "0")), ("--seeds", "-1", ("--seeds", "-1")), ("--seeds", "abc", ("abc",)), ("--seeds", "1.5", ("1.5",)),
        ("--seeds", "²", ("--seeds", "²")), ("--seeds", "9" * 40, ("--seeds",)), ("--seeds", "", ("--seeds",)), ("--only", "nobody", ("nobody", "guided")),
        ("--only", "", ("--only",)), ("--only", "[", ("--only", "[")), ("--data", "nobody", ("nobody",)), ("--data", "../x", ("../x",)), ("--data", "", ("--data",)),
        ("--preset", "nobody", ("nobody", "short")), ("--preset", "shrt", ("shrt", "short")), ("--preset", "", ("preset",)), ("--preset", "../x", ("../x",)),
        ("--preset", "a\x1b[31m", ("preset",)), ("--onyl", "x", ("--onyl",)), ("--device", "gpu", ("gpu",)),
    ):  # fmt: skip
        yield case(f"{option} {value[:30]!r}", _TEXT, *needs, options=(option, value), family="options")
    for name, arguments, needs in (
        ("no command", [], ()), ("an unknown command", ["pln", "study.yaml"], ("pln", "plan")), ("no study", ["plan"], ("STUDY",)),
        ("two studies", ["plan", "a.yaml", "b.yaml"], ("b.yaml",)), ("a study that is not there", ["plan", "gone.yaml"], ("gone.yaml",)),
        ("an unknown list", ["list", "methds"], ("methds", "methods")), ("show of nothing", ["show", "assign", "gone.yaml"], ("gone.yaml",)),
        ("status of nothing", ["status", "gone.yaml"], ("gone.yaml",)), ("report of nothing", ["report", "gone.yaml"], ("gone.yaml",)),
        ("doctor of nothing", ["doctor", "gone.yaml"], ("gone.yaml",)), ("run of nothing", ["run", "gone.yaml"], ("gone.yaml",)),
        ("compare of nothing", ["compare", "a", "b"], ("a",)), ("compare of one", ["compare", "a"], ("CELL",)),
        ("report of a study that never ran", ["report", "study.yaml"], ("run",)), ("status of a study that never ran", ["status", "study.yaml"], ("run",)),
        ("zero workers", ["run", "study.yaml", "--workers", "0"], ("--workers", "0")), ("quiet and verbose", ["run", "study.yaml", "--quiet", "--verbose"], ("--verbose",)),
        ("show with an unknown method", ["show", "assign", "study.yaml", "--methods", "iuo"], ("iuo", "'iou'")),
        ("show with an unknown data set", ["show", "assign", "study.yaml", "--data", "nobody"], ("nobody",)),
        ("show of an object far away", ["show", "anchors", "study.yaml", "--object", "-5"], ("-5",)),
        ("a study with a NUL", ["plan", "a\0b"], ()), ("a study with a very long name", ["plan", "x" * 5000], ()), ("an empty study", ["plan", ""], ()),
    ):  # fmt: skip
        yield Case("options", name, lambda folder, a=arguments: [*plan(folder, _TEXT)[:0], *a], needs)
    for command in ("plan", "run", "status", "report"):
        yield Case("options", f"{command} --out is a file", lambda folder, c=command: _out_is_a_file(folder, c), ("--out", "taken"))


def _out_is_a_file(folder: Path, command: str) -> list[str]:
    (folder / "taken").write_text("mine")
    return [command, *plan(folder, _TEXT, "--out", "taken")[1:]]


def unusual() -> Iterator[Case]:
    """Sound studies that look odd; they must be planned, with the right cells."""
    ascii_title = "A sound study"
    texts: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
        "as it is": (_TEXT, ("guided against iou",)), "with a byte order mark": (b"\xef\xbb\xbf" + _TEXT.encode(), ("guided",)),
        "with Windows line ends": (_TEXT.replace("\n", "\r\n"), ("guided",)), "in flow style": (yaml.safe_dump(SOUND, default_flow_style=True), ("guided",)),
        "with anchors": (yaml.safe_dump(put(SOUND, ("data",), "shapes"), sort_keys=False).replace("lr: 0.001", "lr: &lr 0.001").replace("clip_grad: 5.0", "clip_grad: *lr"), ("guided",)),
        "with a unicode title": (_TEXT.replace(ascii_title, "Böcke, 箱, ящики 🐐"), ("箱",)), "with markup in the title": (_TEXT.replace(ascii_title, "'[/red] $\\frac{a}$ <b>'"), ("[/red] $\\frac{a}$ <b>",)),
        "as JSON": (json.dumps(SOUND), ("guided",)), "with a document mark": ("---\n" + _TEXT, ("guided",)), "without a newline at the end": (_TEXT.rstrip("\n"), ("guided",)),
        "with lr 1e-3": (_TEXT.replace("lr: 0.001", "lr: 1e-3"), ("guided",)), "with comments": ("# one\n" + _TEXT.replace("\nschedule:", "\n# two\nschedule: # three"), ("guided",)),
    }  # fmt: skip
    for name, (text, needs) in texts.items():
        yield case(f"a study {name}", text, *needs, code=(0,), family="sound studies", check=_cells)
    for key, place, shown in (("one seed as a number", ("seeds",), 1), ("a bare data name", ("data",), "shapes"), ("nms as a number", ("methods", 1, "nms"), 0.55)):
        content = put(SOUND, place, shown)
        yield case(f"a study with {key}", written(content)[0], "guided", code=(0,), family="sound studies")
    yield Case("sound studies", "a file name with spaces", lambda f: _renamed(f, "my study [1] $x.yaml"), ("guided",), (0,), _cells)
    yield Case("sound studies", "a file name in Greek", lambda f: _renamed(f, "μελέτη.yaml"), ("guided",), (0,), _cells)


def _renamed(folder: Path, name: str) -> list[str]:
    (folder / name).write_text(_TEXT)
    return ["plan", name]


def _cells(folder: Path, told: Told) -> list[str]:
    """A sound study has two seeds of three methods."""
    lines = [line for line in told.out.splitlines() if line.startswith("pending")]
    wanted = {f"slim-{m}-shapes-seed{s}" for m in ("iou", "guided", "with_quality") for s in (0, 1)}
    found = {line.split()[1].rpartition("-")[0] for line in lines}
    return [] if found == wanted else [f"cells are {sorted(found)}"]


def structure_cases() -> list[Case]:
    """Keys and YAML."""
    return [*keys(), *structure()]


def name_cases() -> list[Case]:
    """Names and claims."""
    return list(names())
