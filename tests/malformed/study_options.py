"""Options of the command line that are wrong, and unusual studies that are sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.malformed.harness import Case, Told
from tests.malformed.studies import SOUND, TEXT, case, plan, put, written


def options() -> Iterator[Case]:
    """Options of the command line that are wrong beside a sound study."""
    for given, needs in (
        ("schedule.lr", ()),
        ("=5", ()),
        ("", ()),
        ("schedule..lr=1", ()),
        (".=1", ()),
        ("schedule.lr=", ("lr",)),
        ("schedule.lr=abc", ("lr", "abc")),
        ("schedule.lr=.nan", ("lr", "nan")),
        ("schedule.lr=-1", ("lr", "-1")),
        ("schedule.ler=1", ("ler", "lr")),
        ("schedule=5", ("schedule",)),
        ("schedule.steps=0", ("steps", "0")),
        ("schedule.steps.x=1", ("steps",)),
        ("seeds=0", ("seeds", "0")),
        ("seeds=[]", ("seeds",)),
        ("methods=[]", ("methods",)),
        ("methods=iou", ("methods", "iou")),
        ("methods.9.name=x", ("methods",)),
        ("methods.0.name=x", ()),
        ("methods=[iuo]", ("iuo", "'iou'")),
        ("data=nobody", ("nobody",)),
        ("data=[]", ("data",)),
        ("data=5", ("data", "5")),
        ("data.image_size=5", ("image_size", "5")),
        ("data.size=5", ("size", "5")),
        ("data.size=half", ("size", "half")),
        ("data.size={}", ("size.short",)),
        ("data.size={short: 31}", ("size.short", "31")),
        ("data.size={short: []}", ("size.short", "empty")),
        ("data.size={short: [64, 32]}", ("size", "rise")),
        ("data.size={short: [64, 64]}", ("size", "rise")),
        ("data.size={short: {from: 64}}", ("size.short.to",)),
        ("data.size={short: {from: 64, to: 32}}", ("size.short", "from < to")),
        ("data.size={short: {form: 32, to: 64}}", ("form", "'from'")),
        ("data.size={short: 64, long: 32}", ("short <= long",)),
        ("data.size={short: 64, lng: 80}", ("lng", "'long'")),
        ("data.size.short.from=5", ("short",)),
        ("data.pixels={std: [0, 1, 1]}", ("pixels.std.0", "0")),
        ("data.pixels={mean: [1, 2]}", ("pixels.mean",)),
        ("data.pixels={mean: [1, 2, 3, 4]}", ("pixels.mean",)),
        ("data.pixels={order: gbr}", ("order", "gbr")),
        ("data.crowd=keep", ("crowd", "keep")),
        ("data.min_side=-1", ("min_side", "-1")),
        ("data.root.x=1", ("root",)),
        ("data.kind=vok", ("vok", "voc")),
        ("detectors=[x]", ("x",)),
        ("presets.short=5", ("presets",)),
        ("study=../x", ("study", "../x")),
        ("title=[", ("title",)),
        ("title=!!python/object/apply:os.system ['touch canary']", ("title",)),
        ("title=&a [*a]", ("title",)),
        ("x" * 3000 + "=1", ()),
        (".".join("a" * 3000) + "=1", ()),
        ("schedule.lr=\x1b[31m", ("lr",)),
        ("[red]x[/red]=1", ("[red]",)),
        ("areas.x=[5, 1]", ("areas",)),
        ("probe_images=-1", ("probe_images", "-1")),
        ("evaluation.floor=1", ("floor", "1")),
        ("claims=[{claim: x}]", ("claim", "x")),
        ("claims=[{claim: guided > iou on AP}, {claim: guided > iou on AP}]", ("claims.1", "claims.0", "one of them")),
        ('title="\\U00110000"', ("escape",)),
    ):
        needed = [f"--set {given}"[:40].split("\x1b")[0].rstrip()] if given else ["--set"]
        yield case(f"--set {given[:40]!r}", TEXT, *needed, *needs, options=("--set", given), family="options")
    for option, value, needs in (
        ("--seeds", "0", ("--seeds", "0")),
        ("--seeds", "-1", ("--seeds", "-1")),
        ("--seeds", "abc", ("abc",)),
        ("--seeds", "1.5", ("1.5",)),
        ("--seeds", "²", ("--seeds", "²")),
        ("--seeds", "8" * 40, ("--seeds",)),
        ("--seeds", "", ("--seeds",)),
        ("--only", "nobody", ("nobody", "guided")),
        ("--only", "", ("--only",)),
        ("--only", "[", ("--only", "[")),
        ("--data", "nobody", ("nobody",)),
        ("--data", "../x", ("../x",)),
        ("--data", "", ("--data",)),
        ("--preset", "nobody", ("nobody", "short")),
        ("--preset", "shrt", ("shrt", "short")),
        ("--preset", "", ("preset",)),
        ("--preset", "../x", ("../x",)),
        ("--preset", "a\x1b[31m", ("preset",)),
        ("--onyl", "x", ("--onyl",)),
        ("--seeds", "\x1b[31m", ("--seeds", "\\x1b[31m")),
        ("--seeds", "1_0", ("--seeds", "1_0")),
        ("--seeds", "9" * 5000, ("--seeds", "999")),
        ("--\x1b[31m", "x", ("\\x1b[31m",)),
        ("--device", "\u202e\x1b", ("\\x1b",)),
        ("x", "\x1b[31m", ("\\x1b[31m",)),
        ("--device", "gpu", ("gpu",)),
    ):
        yield case(f"{option} {value[:30]!r}", TEXT, *needs, options=(option, value), family="options")
    for name, arguments, needs in (
        ("no command", [], ()),
        ("an unknown command", ["pln", "study.yaml"], ("pln", "plan")),
        ("no study", ["plan"], ("STUDY",)),
        ("two studies", ["plan", "a.yaml", "b.yaml"], ("b.yaml",)),
        ("a study that is not there", ["plan", "gone.yaml"], ("gone.yaml",)),
        ("an unknown list", ["list", "methds"], ("methds", "methods")),
        ("show of nothing", ["show", "assign", "gone.yaml"], ("gone.yaml",)),
        ("status of nothing", ["status", "gone.yaml"], ("gone.yaml",)),
        ("report of nothing", ["report", "gone.yaml"], ("gone.yaml",)),
        ("doctor of nothing", ["doctor", "gone.yaml"], ("gone.yaml",)),
        ("run of nothing", ["run", "gone.yaml"], ("gone.yaml",)),
        ("compare of nothing", ["compare", "a", "b"], ("a",)),
        ("compare of one", ["compare", "a"], ("CELL",)),
        ("report of a study that never ran", ["report", "study.yaml"], ("run",)),
        ("status of a study that never ran", ["status", "study.yaml"], ("run",)),
        ("zero workers", ["run", "study.yaml", "--workers", "0"], ("--workers", "0")),
        ("quiet and verbose", ["run", "study.yaml", "--quiet", "--verbose"], ("--verbose",)),
        ("show with an unknown method", ["show", "assign", "study.yaml", "--methods", "iuo"], ("iuo", "'iou'")),
        ("show with an unknown data set", ["show", "assign", "study.yaml", "--data", "nobody"], ("nobody",)),
        ("show of an object far away", ["show", "anchors", "study.yaml", "--object", "-5"], ("-5",)),
        ("escapes for a command", ["\x1b[31m"], ("\\x1b[31m",)),
        ("escapes for workers", ["run", "study.yaml", "--workers", "\x1b"], ("--workers", "\\x1b")),
        ("escapes for an IoU", ["analyze", "--gt", "a", "--predictions", "b", "--nms", "\x1b"], ("--nms", "\\x1b")),
        ("an object in other digits", ["show", "anchors", "study.yaml", "--object", "²"], ("--object", "²")),
        *(
            (f"a picture called {name!r:.20}", ["show", "assign", "study.yaml", "--picture", name], ("--picture", word))
            for name, word in (
                *(("x.txt", ".png"), ("x", ".png"), ("x.svg", ".png"), (".png", ".png")),
                *(("study.yaml/x.png", "study.yaml"), ("a\0.png", "called"), ("x" * 300 + ".png", "called")),
            )
        ),
        ("a study with a NUL", ["plan", "a\0b"], ()),
        ("a study with a very long name", ["plan", "x" * 5000], ()),
        ("an empty study", ["plan", ""], ()),
    ):
        yield Case("options", name, lambda folder, a=arguments: [*plan(folder, TEXT)[:0], *a], needs)
    for command in ("plan", "run", "status", "report"):
        yield Case(
            "options",
            f"{command} --out is a file",
            lambda folder, c=command: _out_is_a_file(folder, c),
            ("--out", "taken"),
        )


def _out_is_a_file(folder: Path, command: str) -> list[str]:
    (folder / "taken").write_text("mine")
    return [command, *plan(folder, TEXT, "--out", "taken")[1:]]


def unusual() -> Iterator[Case]:
    """Sound studies that look odd; they must be planned, with the right cells."""
    ascii_title = "A sound study"
    texts: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
        "as it is": (TEXT, ("guided against iou",)),
        "with a byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), ("guided",)),
        "with Windows line ends": (TEXT.replace("\n", "\r\n"), ("guided",)),
        "in flow style": (yaml.safe_dump(SOUND, default_flow_style=True), ("guided",)),
        "with anchors": (
            yaml.safe_dump(put(SOUND, ("data",), "shapes"), sort_keys=False)
            .replace("lr: 0.001", "lr: &lr 0.001")
            .replace("clip_grad: 5.0", "clip_grad: *lr"),
            ("guided",),
        ),
        "with a unicode title": (TEXT.replace(ascii_title, "Böcke, 箱, ящики 🐐"), ("箱",)),
        "with markup in the title": (
            TEXT.replace(ascii_title, "'[/red] $\\frac{a}$ <b>'"),
            ("[/red] $\\frac{a}$ <b>",),
        ),
        "as JSON": (json.dumps(SOUND), ("guided",)),
        "with a document mark": ("---\n" + TEXT, ("guided",)),
        "without a newline at the end": (TEXT.rstrip("\n"), ("guided",)),
        "with lr 1e-3": (TEXT.replace("lr: 0.001", "lr: 1e-3"), ("guided",)),
        "with a tab at a line's end": (TEXT.replace("study: corpus\n", "study: corpus\t\n\t\n"), ("guided",)),
        "with a tab before a comment": (TEXT.replace("study: corpus\n", "study: corpus\t# one\n"), ("guided",)),
        "as JSON indented by tabs": (json.dumps(SOUND, indent="\t"), ("guided",)),
        "with comments": ("# one\n" + TEXT.replace("\nschedule:", "\n# two\nschedule: # three"), ("guided",)),
    }
    for name, (text, needs) in texts.items():
        yield case(f"a study {name}", text, *needs, code=(0,), family="sound studies", check=_cells)
    for key, place, shown in (
        ("one seed as a number", ("seeds",), 1),
        ("a bare data name", ("data",), "shapes"),
        ("nms as a number", ("methods", 1, "nms"), 0.55),
    ):
        content = put(SOUND, place, shown)
        yield case(f"a study with {key}", written(content)[0], "guided", code=(0,), family="sound studies")
    yield Case(
        "sound studies",
        "a file name with spaces",
        lambda f: _renamed(f, "my study [1] $x.yaml"),
        ("guided",),
        (0,),
        _cells,
    )
    yield Case("sound studies", "a file name in Greek", lambda f: _renamed(f, "μελέτη.yaml"), ("guided",), (0,), _cells)


def _renamed(folder: Path, name: str) -> list[str]:
    (folder / name).write_text(TEXT)
    return ["plan", name]


def _cells(folder: Path, told: Told) -> list[str]:
    """A sound study has two seeds of three methods."""
    lines = [line for line in told.out.splitlines() if line.startswith("pending")]
    wanted = {f"slim-{m}-shapes-seed{s}" for m in ("iou", "guided", "with_quality") for s in (0, 1)}
    found = {line.split()[1].rpartition("-")[0] for line in lines}
    return [] if found == wanted else [f"cells are {sorted(found)}"]
