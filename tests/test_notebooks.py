"""The notebooks: their code runs from start to end, uses public names alone, and is committed without outputs."""

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import assignbench
from tests.conftest import ROOT

PATIENT_SECONDS, WAITED_SECONDS = 240.0, 600.0  # the first time, and the second
ALONE = "assignment_maps"  # its one cell is trained in a process of its own, those of the others in the notebook's
HERE = """\
from assignbench.commands import run

def here(device):
    from assignbench.report import saving
    from tests.in_process import InProcess

    saving.DRAWING, saving.PHOTO = (".svg",), (".jpg",)  # as a page shows them
    return InProcess(device)

run.LocalProcesses = here
"""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, object]]:
    return list(json.loads(path.read_text())["cells"])


def code(path: Path) -> str:
    return "\n".join("".join(c["source"]) for c in cells(path) if c["cell_type"] == "code")


def test_there_are_three() -> None:
    assert [p.stem for p in NOTEBOOKS] == ["anatomy_of_an_assigner", "assignment_maps", "read_a_report"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stripped(path) -> None:
    for cell in cells(path):
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None, "commit notebooks without outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_public_names_alone(path) -> None:
    """The package is imported as a whole, and whatever is taken from it is in its `__all__`."""
    taken = set()
    for node in ast.walk(ast.parse(code(path))):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] != "assignbench"
        elif isinstance(node, ast.Import):
            assert all(a.name == "assignbench" or not a.name.startswith("assignbench") for a in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ab":
            taken.add(node.attr)
    assert taken and taken <= set(assignbench.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs(path, tmp_path) -> None:
    """As `jupyter execute` runs it, in a folder of its own; no cell ends with an error, and pictures come out."""
    copied = Path(shutil.copy(path, tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    if path.stem != ALONE:
        started = tmp_path / "ipython" / "profile_default" / "startup" / "here.py"
        started.parent.mkdir(parents=True)
        started.write_text(HERE)
        environment["IPYTHONDIR"] = str(tmp_path / "ipython")
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", copied.name]
    run = partial(subprocess.run, command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    try:
        done = run(timeout=PATIENT_SECONDS)
    except subprocess.TimeoutExpired:  # on a loaded machine jupyter may miss an answer of its kernel, and wait for ever
        done = run(timeout=WAITED_SECONDS)
    assert done.returncode == 0, done.stderr
    outputs = [kind for cell in cells(copied) for out in cell.get("outputs", []) for kind in out.get("data", {})]
    assert "text/plain" in outputs and ("image/png" in outputs or path.stem == "anatomy_of_an_assigner")
