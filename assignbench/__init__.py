"""AssignBench: detectors that differ in the label assigner alone, measured and reported.

The public names are those in `__all__`; they are stable. By what they are for:

    assign by hand      Priors, Objects, Predictions, Context -> build_method(name).assigner -> Assignment, Targets
    bring your own      Assigner, BACKGROUND, IGNORE, check_assigner
    look at an image    open_view, View
    run and report      command
    read records        read_records, StudyRecord, CellRecord, analyse, Result
"""

# Little is imported here: `python -m assignbench` reads this file with the current folder first on its path.
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from assignbench.analysis import StudyRecord, read_study_record as read_records
    from assignbench.analysis.result import Result
    from assignbench.assigners.base import Assigner
    from assignbench.calling import analyse, command
    from assignbench.conformance import run_checks as check_assigner
    from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
    from assignbench.methods import build_method
    from assignbench.priors import Priors
    from assignbench.records.store import CellRecord
    from assignbench.view import View, open_view

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "Assigner",
    "Assignment",
    "CellRecord",
    "Context",
    "Objects",
    "Predictions",
    "Priors",
    "Result",
    "StudyRecord",
    "Targets",
    "View",
    "__version__",
    "analyse",
    "build_method",
    "check_assigner",
    "command",
    "open_view",
    "read_records",
]

# Where a public name is defined, and what it is called there.
_HOMES = {
    **dict.fromkeys(
        ("BACKGROUND", "IGNORE", "Assignment", "Context", "Objects", "Predictions", "Targets"), ("contract", "")
    ),
    "Priors": ("priors", ""),
    "build_method": ("methods", ""),
    "Assigner": ("assigners.base", ""),
    "check_assigner": ("conformance", "run_checks"),
    "View": ("view", ""),
    "open_view": ("view", ""),
    "command": ("calling", ""),
    "analyse": ("calling", ""),
    "CellRecord": ("records.store", ""),
    "StudyRecord": ("analysis", ""),
    "read_records": ("analysis", "read_study_record"),
    "Result": ("analysis.result", ""),
}


def __getattr__(name: str) -> Any:
    """Loads the public names on first use, so that the command line's help does not wait for them."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("assignbench")
        except PackageNotFoundError:  # a source tree that was not installed
            return "0+source"
    if name in _HOMES:
        from importlib import import_module

        home, called = _HOMES[name]
        return getattr(import_module(f"assignbench.{home}"), called or name)
    raise AttributeError(f"module 'assignbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)
