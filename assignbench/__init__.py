"""AssignBench: detectors that differ in the label assigner alone, measured and reported.

The public names are those of the contract and `build_method`; they are stable.
"""

# Little is imported here: `python -m assignbench` reads this file with the current folder first on its path.
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
    from assignbench.methods import build_method
    from assignbench.priors import Priors

__all__ = ["Assignment", "Context", "Objects", "Predictions", "Priors", "Targets", "__version__", "build_method"]


def __getattr__(name: str) -> Any:
    """Loads the public names on first use, so that the command line's help does not wait for them."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("assignbench")
        except PackageNotFoundError:  # a source tree that was not installed
            return "0+source"
    if name == "build_method":
        from assignbench.methods import build_method

        return build_method
    if name == "Priors":
        from assignbench.priors import Priors

        return Priors
    if name in __all__:
        from assignbench import contract

        return getattr(contract, name)
    raise AttributeError(f"module 'assignbench' has no attribute '{name}'")
