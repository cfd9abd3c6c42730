"""The source files of a user's own part: found without running them, helpers beside it in, installed packages out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assignbench.config import sources
from assignbench.config.sources import own_parts, sources_of
from tests.engine.cells import tiny


def plant(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


CASES: dict[str, tuple[dict[str, str], str, set[str]]] = {
    # files, the module that a study names, the files that it is made of
    "alone": ({"mine.py": "import torch\nimport os, json\n", "other.py": ""}, "mine", {"mine.py"}),
    "helper": ({"mine.py": "import helper\n", "helper.py": "from third import f\n", "third.py": "def f(): ..."}, "mine",
               {"mine.py", "helper.py", "third.py"}),
    "in a function": ({"mine.py": "def f():\n    from helper import x\n", "helper.py": ""}, "mine",
                      {"mine.py", "helper.py"}),
    "package": ({"p/__init__.py": "from p import first\n", "p/first.py": "", "p/mine.py": "", "p/other.py": ""},
                "p.mine", {"p/__init__.py", "p/first.py", "p/mine.py"}),
    "relative": ({"p/__init__.py": "", "p/a/__init__.py": "", "p/a/mine.py": "from . import one\nfrom ..two import x\n",
                  "p/a/one.py": "from .deep.er import y\n", "p/two.py": "", "p/a/deep/er.py": "import beside\n",
                  "beside.py": ""}, "p.a.mine",
                 {"p/__init__.py", "p/a/__init__.py", "p/a/mine.py", "p/a/one.py", "p/two.py", "p/a/deep/er.py",
                  "beside.py"}),
    "namespace": ({"space/mine.py": "from space import other\n", "space/other.py": ""}, "space.mine",
                  {"space/mine.py", "space/other.py"}),
    "circle": ({"mine.py": "import helper\n", "helper.py": "import mine\n"}, "mine", {"mine.py", "helper.py"}),
    "broken": ({"mine.py": "def (:\n"}, "mine", {"mine.py"}),
    "raises": ({"mine.py": "import helper\nraise SystemExit\n", "helper.py": "1 / 0\n"}, "mine",
               {"mine.py", "helper.py"}),
    "ours beside it": ({"mine.py": "import assignbench.boxes\n", "assignbench/__init__.py": "",
                        "assignbench/boxes.py": ""}, "mine", {"mine.py"}),
    "environment beside it": ({"mine.py": "import big\n", "venv/lib/site-packages/big.py": ""}, "mine", {"mine.py"}),
    "missing": ({}, "mine", set()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_files_of_a_part(here, name) -> None:
    files, module, wanted = CASES[name]
    plant(here, files)
    sys.path.append(str(here / "venv/lib/site-packages"))
    before = set(sys.modules)
    found = sources_of(module)
    assert set(found) == wanted
    assert all(path == here / name for name, path in found.items())
    assert {m for m in set(sys.modules) - before if m.partition(".")[0] in {"mine", "helper", "p", "space"}} == set()


@pytest.mark.parametrize("shape", ["package", "module"])
def test_of_an_installed_part_only_its_own_package_counts(here, shape) -> None:
    lib = here / "lib" / "site-packages"
    plant(lib, {"big/__init__.py": "", "plug/__init__.py": "import big\nfrom plug import part\n", "plug/part.py": ""})
    plant(lib, {"single.py": "import big\nimport plug\n"})
    sys.path.insert(0, str(lib))
    if shape == "package":
        assert set(sources_of("plug")) == {"__init__.py", "part.py"}
    else:
        assert set(sources_of("single")) == {"single.py"}


def test_own_parts_are_those_with_a_module_or_an_entry_point(monkeypatch) -> None:
    config = tiny("iou")
    assert own_parts(config) == {}
    named = {"assigner": {"name": "p.mine:Rule", "parameters": {}}}
    own = config.model_copy(update={"method": config.method.model_validate(config.method.model_dump() | named)})
    assert own_parts(own) == {"assigner p.mine:Rule": "p.mine"}
    plugged = {"assignbench.criteria": {"dense": "plug.part:Rule"}}
    monkeypatch.setattr(sources, "_entry_points", lambda group: plugged.get(group, {}))
    assert own_parts(config) == {"criterion dense": "plug.part"}
