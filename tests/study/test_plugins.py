"""What a study names as module:Name is imported from where Python finds it, checked, and only then called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from assignbench.analysis import ORDER, chosen
from assignbench.analysis.base import ANALYSES
from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.errors import InputError
from assignbench.plugins import imported
from tests.conftest import ROOT
from tests.study.test_words import study

SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
RULE = """
from dataclasses import dataclass
from assignbench.assigners.max_iou import MaxIoU
@dataclass(frozen=True)
class Mine(MaxIoU):
    extra: float = 1.5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the current folder; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    made: list[str] = []

    def write(text: str, name: str = "") -> str:
        name = name or f"plugin_{tmp_path.name.replace('-', '_')}_{len(made)}"
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


def refusal(path: str, kind: str = "assigner") -> str:
    """What is said about a name that must be refused."""
    before = Path.cwd()
    with pytest.raises(InputError) as problem:
        chosen([path], ORDER) if kind == "analysis" else {"assigner": ASSIGNERS, "criterion": CRITERIA}[kind].build(
            path
        )
    assert Path.cwd() == before and not Path("executed").exists()
    told = str(problem.value)
    assert told.startswith(f"{kind} '{path}'")
    return told


@pytest.mark.parametrize("kind", ["assigner", "criterion", "analysis"])
@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("raise SystemExit(0)", ("SystemExit", ".py:1")),
        ("x = 1\nraise KeyboardInterrupt", ("KeyboardInterrupt", ".py:2")),
        ("raise BaseException('why')", ("BaseException: why", ".py:1")),
        ("import sys\n\nsys.exit('left')", ("SystemExit: left", ".py:3")),
        ("1 / 0", ("ZeroDivisionError", ".py:1")),
        ("x = 1\ndef f(:\n", ("SyntaxError", ".py:2")),
        ("import no_such_module_at_all", ("No module named 'no_such_module_at_all'",)),
        ("from os import nothing_there", ("ImportError", ".py:1")),
        ("import os\nos.chdir('/')\nclass Mine: pass", ("changed the current folder",)),
        ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", ("Odd", ".py:3")),
        ("def __getattr__(name): raise SystemExit", ("SystemExit",)),
        ("class Mien: pass", ("has no 'Mine'", "did you mean 'Mien'")),
    ],
)
def test_modules_that_misbehave(module, kind, text, needed) -> None:
    told = refusal(f"{module(text)}:Mine", kind)
    assert all(n in told for n in needed), told


@pytest.mark.parametrize(
    "text",
    [
        "import pathlib\nclass Mine:\n    def __init__(self, **k): pathlib.Path('executed').touch()",
        "import pathlib\ndef Mine(*a, **k): pathlib.Path('executed').touch()",
        "Mine = 5",
        "from assignbench.assigners.max_iou import MaxIoU\nMine = MaxIoU()",
        "class Fake:\n    @property\n    def __class__(self): return type\n"
        "    def __call__(self, *a, **k): open('executed', 'w')\nMine = Fake()",
        "class Meta(type):\n    def __call__(cls, *a, **k): open('executed', 'w')\nclass Mine(metaclass=Meta): pass",
        "from functools import partial\nimport os\nMine = partial(os.mkdir, 'executed')",
    ],
)
@pytest.mark.parametrize("kind", ["assigner", "criterion", "analysis"])
def test_nothing_of_another_kind_is_called(module, kind, text) -> None:
    told = refusal(f"{module(text)}:Mine", kind)
    assert "not marked as an analysis" in told or "does not derive from" in told


def test_a_class_must_give_what_it_is(module) -> None:
    text = "from assignbench.assigners.max_iou import MaxIoU\nclass Mine(MaxIoU):\n    "
    assert "gave a int" in refusal(f"{module(text + 'def __new__(cls): return 5')}:Mine")
    odd = "a: 'nothing.there' = 3\n    def __init__(self, a: 'nothing.there' = 3): pass"
    assert "its parameters cannot be read" in refusal(f"{module(text + odd)}:Mine")
    assert "raised SystemExit" in refusal(f"{module(text + 'def __init__(self): raise SystemExit')}:Mine")


@given(st.from_regex(r"[a-z_.:/\\ *;()\[\]-]{0,12}:[a-z_.:/ ()-]{0,12}", fullmatch=True))
@SETTINGS
def test_odd_names(path) -> None:
    for kind in ("assigner", "analysis"):
        assert path in refusal(path, kind)


def test_no_module_of_python_is_imported(module) -> None:
    for name in ("antigravity:fly", "os:system", "builtins:eval", "idlelib.idle:main", "__main__:x", "os.path:join"):
        for kind in ("assigner", "criterion", "analysis"):
            assert "is a module of Python itself" in refusal(name, kind)
    assert "antigravity" not in sys.modules
    assert "rename your file" in refusal(f"{module(RULE, 'copy')}:Mine")


def test_a_file_never_stands_in_for_another_module(module) -> None:
    """The current folder comes last: `numpy.py` there is not what numpy is."""
    sys.path[:] = [p for p in sys.path if p not in ("", str(Path.cwd()))]
    module("raise SystemExit", "colorsys")
    module("raise SystemExit", "hypothesis")
    import colorsys

    assert colorsys.rgb_to_hsv
    assert "has no 'Mine'" in refusal("hypothesis:Mine")
    assert isinstance(imported(f"{module(RULE)}:Mine", "assigner"), type)


def test_marked_functions_are_analyses(module) -> None:
    text = (
        "from assignbench.analysis.base import analysis\n"
        "@analysis('{}', title='T', question='Q?', definition='D')\ndef mine(study): return []\n"
    )
    name = module(text.format("own_question"))
    try:
        (found,) = chosen([f"{name}:mine"], ORDER)
        assert (found.name, found.title) == ("own_question", "T")
        assert [a.name for a in chosen([], ORDER)] == list(ORDER)
        with pytest.raises(InputError, match="unknown analysis 'own_question'"):
            chosen(["own_question"], ORDER)
        assert "there is an analysis 'own_question' already" in refusal(
            f"{module(text.format('own_question'))}:mine", "analysis"
        )
    finally:
        del ANALYSES["own_question"]
    assert "there is an analysis 'nms' already" in refusal(f"{module(text.format('nms'))}:mine", "analysis")


SCRIPT = Path(sys.executable).with_name("assignbench")


@pytest.mark.parametrize("command", [[str(SCRIPT)], [sys.executable, "-m", "assignbench"]], ids=["script", "module"])
def test_the_command_finds_modules_of_the_current_folder(tmp_path, command) -> None:
    """Also beside a file that is called like one of Python's modules that the command itself needs."""
    if command[0] == str(SCRIPT) and not SCRIPT.is_file():
        pytest.skip("assignbench is not installed beside this Python")
    (tmp_path / "my_module.py").write_text("import my_helper\n" + RULE)
    (tmp_path / "my_helper.py").write_text("print('hello from a helper')\n")
    for name in ("copy", "secrets", "uuid"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(0)\n")
    method = {"name": "mine", "preset": "iou", "assigner": {"name": "my_module:Mine", "extra": 2.5}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(methods=["iou", method])))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, "plan", "study.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mine against iou: the assigner alone differs" in done.stdout and "hello" not in done.stdout
    assert not (tmp_path / "runs").exists()
