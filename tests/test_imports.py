"""Imports go one way: no arrow points back."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "assignbench"

# What each part may import, besides itself. Parts are top-level modules or folders of the package.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "registry": {"errors"},
    "boxes": set(),
    "priors": set(),
    "coders": {"priors"},
    "losses": {"boxes"},
    "contract": {"priors"},
    "assigners": {"boxes", "priors", "coders", "losses", "contract", "registry"},
    "criteria": {"assigners", "boxes", "priors", "coders", "losses", "contract", "registry"},
    "methods": {"assigners", "criteria", "contract", "errors", "registry"},
    "conformance": {"assigners", "priors", "coders", "contract"},
    "detectors": {"priors", "coders", "contract", "errors", "registry"},
    "data": {"contract", "errors", "priors"},
    "postprocess": {"boxes", "contract"},
    "records": set(),
    "evaluation": {"matching"},
    "engine": {
        *(
            "assigners",
            "boxes",
            "contract",
            "coders",
            "criteria",
            "data",
            "detectors",
            "errors",
            "evaluation",
            "losses",
        ),
        *("matching", "methods", "postprocess", "priors", "records"),
    },
    "study": {"assigners", "criteria", "data", "detectors", "engine", "errors", "methods", "registry"},
    "matching": set(),
    "examples": {"contract", "priors"},
    "imports": {"data", "errors", "matching", "records", "report"},
    "compare": {"analysis", "data", "errors", "evaluation", "matching", "records", "report"},
    # Analyses of formulas and mixtures use the code that trains; never the engine or the detectors.
    "analysis": {"assigners", "errors", "evaluation", "matching", "records"},
    "report": {"analysis", "errors", "matching", "records"},
    "commands": {
        *("analysis", "data", "detectors", "engine", "errors", "methods", "records", "report", "study"),
    },
    "show": {"contract", "data", "engine", "errors", "methods", "records", "report", "study"},
    "cli": {"commands", "compare", "errors", "imports", "show"},
    "__main__": {"cli"},
    "__init__": {"contract", "methods", "priors"},
}
# Only the schedule's definition may be used by the study; the rest of the engine imports torch and trains.
FINE = {"study": {"engine": {"assignbench.config.recipe"}}}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "assignbench":
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "assignbench" else [node.module]
            found += names
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.startswith("assignbench.")]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_arrow_points_back(path) -> None:
    own = part_of(path)
    assert own in ALLOWED, f"{own}: add it to the map with what it may import"
    for name in imported(path):
        target = name.split(".")[1]
        assert target == own or target in ALLOWED[own], f"{path.name} imports {name}"
        exact = FINE.get(own, {}).get(target)
        assert exact is None or name in exact, f"{path.name} imports {name}"


def test_the_map_has_no_cycle() -> None:
    def reach(part: str, seen: tuple[str, ...]) -> None:
        assert part not in seen, f"cycle: {' -> '.join((*seen, part))}"
        for target in ALLOWED[part]:
            reach(target, (*seen, part))

    for part in ALLOWED:
        reach(part, ())


def test_files_fit_a_head() -> None:
    long = {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}
    assert not long
