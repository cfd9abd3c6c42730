"""Imports go one way, file by file, as DESIGN section 2 draws it; the lower half of the package knows no torch.

A row of `ALLOWED` says what the files of a place (a file or a folder of the package) may import. The longest place
that fits a file decides, so that a single file can have a stricter row than its folder. Imports inside of functions and
under TYPE_CHECKING are arrows like any other.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "assignbench"
LONGEST_FILE = 450

TENSORS = {"boxes", "priors", "coders", "losses", "contract", "select", "padding", "sending"}
# What all assigners share. No one but assigners themselves and `methods` may name a single rule's or paper's file.
NEUTRAL = {"assigners.__init__", "assigners.base", "assigners.criteria", "assigners.candidates"}
BELOW_ANALYSIS = {"errors", "json_files", "config", "records", "measure"}

ALLOWED: dict[str, set[str]] = {
    # descriptions and the tensors that everyone shares
    "errors": set(),
    "characters": set(),
    "json_files": {"errors"},
    "starting": set(),
    "config": {"config", "errors"},
    "config.detector": {"config", "errors", "plugins"},
    "plugins": {"errors"},
    "registry": {"config", "errors", "plugins"},
    "boxes": set(),
    "sending": set(),
    "padding": set(),
    "priors": {"config", "padding", "sending"},
    "contract": {"config", "priors", "padding", "sending"},
    "coders": {"config", "priors", "boxes"},
    "losses": {"boxes"},
    "select": {"config", "boxes", "priors", "contract", "coders"},
    "examples": {"config", "contract", "priors"},
    # what is built from them
    "assigners": {"assigners", "config", "registry", "errors", *TENSORS},
    "methods": {"assigners", "config", "errors", "plugins", "registry", "contract"},
    "conformance": {"assigners", "methods", "config", "errors", "registry", "examples", "conformance_cases", *TENSORS},
    "conformance_cases": {"config", "errors", *TENSORS},
    "detectors": {"detectors", "config", "errors", "boxes", "priors", "coders", "contract", "padding"},
    "data": {"data", "config", "errors", "json_files"},
    "data.kept": {"data", "errors", "records.files", "records.hashes"},
    "data.kinds.shapes": {"data", "config", "errors", "records.files"},
    "data.stream": {"data", "config", "errors", "contract"},
    "data.profile": {"data", "config", "errors", "measure"},
    # description's other users: none of them knows tensors
    "records": {"records", "config", "errors", "json_files"},
    "records.hashes": {"records", "starting"},
    "measure": {"measure", "config", "errors"},
    "study": {"study", "config", "errors", "__init__"},
    "analysis": {"analysis", "plugins", "starting", *BELOW_ANALYSIS},
    "report": {"report", "analysis", "characters", *BELOW_ANALYSIS},
    "launch": {"launch", "records", "config", "errors", "starting"},
    "downloads": {"downloads", "records", "errors"},
    # what trains: knows no single paper
    "engine": {
        *{"engine", "config", "errors", "data", "detectors", "measure", "records", "methods", "starting", *TENSORS},
        *NEUTRAL,
    },
    # looking at one image, and the command line
    "view": {
        *{"config", "errors", "study", "records", "data", "methods", "contract", "engine", "report", "assigners.base"},
    },
    "commands": {
        *{
            "view",
            "commands",
            "config",
            "errors",
            "registry",
            "study",
            "records",
            "launch",
            "data",
            "methods",
            "detectors",
        },
        *{"contract", "engine", "measure", "analysis", "report", "examples", "characters", "json_files", "__init__"},
        "downloads",
    },
    "commands.status": {"commands", "config", "errors", "study", "records", "launch", "__init__"},
    "commands.report": {"commands", "config", "errors", "study", "records", "report", "analysis", "__init__"},
    "commands.analyze": {"commands", "data", "report", "analysis", "__init__", *BELOW_ANALYSIS},
    "commands.compare": {"commands", "data", "report", "analysis", "__init__", *BELOW_ANALYSIS},
    "commands.meanwhile": {"starting", "launch", "report", "errors"},
    "commands.pixels": {"commands", "data", "analysis", *BELOW_ANALYSIS},
    "commands.recorded": {"commands", "report", "analysis", *BELOW_ANALYSIS},
    "cli": {"commands", "characters", "errors", "config", "__init__"},
    "__main__": {"cli"},
    "calling": {"cli", "analysis", "errors"},
    "__init__": {
        *{"contract", "methods", "priors", "assigners.base", "conformance", "view", "calling", "analysis", "records"},
    },
}

# What these places reach is without torch: by any import of their own, and by what other files import at their top.
NO_TORCH = (
    *("config", "study", "records", "measure", "analysis", "report"),
    *("commands.status", "commands.report", "commands.analyze", "commands.compare"),
    *("commands.pixels", "commands.recorded"),
)


@cache  # here and below: no file changes while tests run
def modules(package: Path) -> dict[str, Path]:
    """Every file of a package by its dotted name inside of it; a folder's own file is `folder.__init__`."""
    return {".".join(p.relative_to(package).with_suffix("").parts): p for p in sorted(package.rglob("*.py"))}


def statements(tree: ast.AST, running: bool, functions: bool) -> Iterator[ast.AST]:
    """All nodes; `running`: without what only type checkers or a module's own `__getattr__` import."""
    for node in ast.iter_child_nodes(tree):
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if running and (typing or (function and node.name == "__getattr__")):
            continue
        if function and not functions:
            continue
        yield node
        yield from statements(node, running, functions)


@cache
def imports(package: Path, path: Path, *, running: bool = False, functions: bool = True) -> set[str]:
    """What a file imports: files of the package by their dotted name, others as `!name`.

    `running` leaves out what only type checkers or a module's `__getattr__` import, `functions` = False what is
    imported inside of functions.
    """
    known = modules(package)
    found: set[str] = set()

    def enter(dotted: str) -> None:
        head, *rest = dotted.split(".")
        if head != package.name:
            found.add(f"!{head}")
            return
        inside = ".".join(rest)
        for name in (inside, f"{inside}.__init__" if inside else "__init__"):
            if name in known:
                found.add(name)
                return
        found.add(f"!{dotted}")

    for node in statements(ast.parse(path.read_text()), running, functions):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                own = path.relative_to(package.parent).with_suffix("").parts[: -node.level]
                base = ".".join((*own, *([base] if base else [])))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                here = inner.split(".", 1)[1]
                enter(inner if here in known or f"{here}.__init__" in known else base)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                enter(alias.name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    enter(argument.value)
    return found


def lies_in(name: str, place: str) -> bool:
    """Whether a file is the place or lies in its folder."""
    return name == place or name.startswith(f"{place}.")


def place_of(name: str, places: dict[str, set[str]]) -> str | None:
    """The longest place that a file lies in."""
    return max((p for p in places if lies_in(name, p)), key=len, default=None)


def arrows_back(package: Path, name: str) -> list[str]:
    """The imports of a file that its row does not allow."""
    place = place_of(name, ALLOWED)
    if place is None:
        return [f"{name}: no row of ALLOWED says what it may import"]
    targets = sorted(t for t in imports(package, modules(package)[name]) if not t.startswith("!"))
    wrong = [t for t in targets if not any(lies_in(t, p) for p in ALLOWED[place])]
    return [f"{name} imports {t}, which {place} must not know" for t in wrong]


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """Every cycle that a walk through the graph meets, once per entry."""
    found: list[str] = []
    state: dict[str, int] = {}

    def walk(name: str, way: tuple[str, ...]) -> None:
        state[name] = 1
        for target in sorted(graph[name]):
            if state.get(target) == 1:
                found.append(" -> ".join((*way[way.index(target) :], target)) if target in way else target)
            elif target not in state:
                walk(target, (*way, target))
        state[name] = 2

    for name in sorted(graph):
        if name not in state:
            walk(name, (name,))
    return found


def graph_of(package: Path, *, running: bool) -> dict[str, set[str]]:
    """Which file imports which."""
    return {
        n: {t for t in imports(package, p, running=running) if not t.startswith("!")} - {n}
        for n, p in modules(package).items()
    }


def way_to(package: Path, start: str, library: str) -> list[str]:
    """A way of imports from a file to a library; empty if there is none.

    Importing a file runs the `__init__` of every folder that it lies in. Imports inside of functions count in the files
    of `NO_TORCH` alone: others may offer functions with torch beside those without.
    """
    known = modules(package)
    waiting, seen = [[start]], {start}
    while waiting:
        way = waiting.pop(0)
        name = way[-1]
        strict = name == start or any(lies_in(name, p) for p in NO_TORCH)
        found = imports(package, known[name], running=True, functions=strict)
        if f"!{library}" in found:
            return [*way, library]
        parts = name.split(".")
        parents = {".".join((*parts[:n], "__init__")) for n in range(len(parts))} & set(known)
        for target in sorted({t for t in found if not t.startswith("!")} | parents):
            if target not in seen:
                seen.add(target)
                waiting.append([*way, target])
    return []


@pytest.mark.parametrize("name", modules(PACKAGE))
def test_no_arrow_points_back(name) -> None:
    assert arrows_back(PACKAGE, name) == []


def test_every_row_is_about_a_file_that_is_there() -> None:
    known = modules(PACKAGE)
    rows = {*ALLOWED, *(t for row in ALLOWED.values() for t in row)}
    gone = sorted(r for r in rows if not any(lies_in(n, r) for n in known))
    assert gone == []


def test_no_cycle_between_files() -> None:
    assert cycles(graph_of(PACKAGE, running=True)) == []


def test_no_relative_imports() -> None:
    relative = [
        f"{n}:{node.lineno}"
        for n, p in modules(PACKAGE).items()
        for node in ast.walk(ast.parse(p.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


@pytest.mark.parametrize("name", [n for n in modules(PACKAGE) if any(lies_in(n, p) for p in NO_TORCH)])
def test_no_way_leads_to_torch(name) -> None:
    assert way_to(PACKAGE, name, "torch") == []


def torch_after(statement: str) -> bool:
    """Whether torch is loaded after a statement, in a process of its own."""
    code = f"{statement}; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1] == "True"


def test_the_lower_half_runs_without_torch() -> None:
    names = ("config", "study", "records", "measure", "analysis", "report")
    assert not torch_after("import " + ", ".join(f"assignbench.{n}" for n in names))


def test_every_file_of_the_lower_half_can_be_imported_without_torch() -> None:
    """Not only the packages: analyses, figures and commands register themselves when they are imported."""
    names = [n for n in modules(PACKAGE) if any(lies_in(n, p) for p in NO_TORCH)]
    assert not torch_after("import " + ", ".join("assignbench." + n.removesuffix(".__init__") for n in names))


def test_torch_would_be_noticed() -> None:
    assert torch_after("import assignbench.contract")


def test_the_engine_names_no_paper() -> None:
    """No word of any paper's file in code or comments: rules come to the engine as data, through the contract."""
    rules = [p for p in (PACKAGE / "assigners").glob("*.py") if "PRESETS: tuple" in p.read_text()]
    papers = sorted({p.stem for p in rules} - {"controls", "max_iou", "fcos"})  # also words of detectors
    assert {"mutual_guidance", "mlc", "musu", "ltm", "paa"} <= set(papers)
    words = [*papers, "freeanchor", "mutual_labeling", "MutualLabeling", "MutualGuidance", "tood", "yolox"]
    pattern = re.compile(
        "|".join(rf"(?<![A-Za-z]){w.replace('_', '[ _-]?')}(?![A-Za-z])" for w in words), re.IGNORECASE
    )
    named = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted((PACKAGE / "engine").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert named == []


def test_files_fit_a_head() -> None:
    lengths = {n: len(p.read_text().splitlines()) for n, p in modules(PACKAGE).items()}
    assert {n: length for n, length in lengths.items() if length > LONGEST_FILE} == {}


# The walk itself, on a planted package.


@pytest.fixture
def planted(tmp_path) -> Path:
    package = tmp_path / "planted"
    files = {
        "__init__": "def __getattr__(name):\n    import torch\n",
        "records/__init__": "from planted.records.store import Cell\n",
        "records/store": "import json\n",
        "analysis/__init__": "",
        "analysis/nms": "def f():\n    from planted.measure import boxes\n",
        "analysis/bad": "from planted.assigners import paa\nfrom planted.records import Cell\n",
        "analysis/late": "def f():\n    from planted.engine.run import go\n",
        "analysis/via": "from planted.data import lazy\n",
        "data/__init__": "",
        "data/lazy": "def f():\n    import torch\n",
        "measure/__init__": "",
        "measure/boxes": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n",
        "assigners/__init__": "import torch\n",
        "assigners/paa": "from ..measure import boxes\n",
        "engine/__init__": "",
        "engine/run": "import importlib as i\ni.import_module('planted.engine.loop')\nimport planted.assigners.paa\n",
        "engine/loop": "import planted.engine.run\n",
    }
    for name, text in files.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("records.store", []),
        ("records.__init__", []),
        ("analysis.nms", []),
        ("analysis.bad", ["assigners.paa"]),
        ("analysis.late", ["engine.run"]),
        ("engine.run", ["assigners.paa"]),
        ("engine.loop", []),
        ("assigners.paa", ["measure.boxes"]),
    ],
)
def test_a_planted_arrow_is_found(planted, name, wrong) -> None:
    found = arrows_back(planted, name)
    assert len(found) == len(wrong)
    assert all(f"imports {target}," in line for target, line in zip(wrong, found, strict=True))


def test_a_planted_cycle_is_found(planted) -> None:
    assert cycles(graph_of(planted, running=True)) == ["engine.run -> engine.loop -> engine.run"]


def test_a_planted_way_to_torch_is_found(planted) -> None:
    assert way_to(planted, "analysis.nms", "torch") == []
    assert way_to(planted, "analysis.bad", "torch") == ["analysis.bad", "assigners.paa", "assigners.__init__", "torch"]
    assert way_to(planted, "analysis.late", "torch")[-2:] == ["assigners.__init__", "torch"]
    assert way_to(planted, "analysis.via", "torch") == []
