"""Which making of each component this version has: a number goes up when a component gives other numbers than before.

A cell records the rows that it was made with. When one of them goes up, the cell is stale and is trained again; a
change that leaves all numbers as they are (speed, names, messages) raises nothing.
"""

from __future__ import annotations

from assignbench.config.cell import CellConfig

# What every cell uses, or chooses by kind, family or backbone.
FORMATS: dict[str, int] = {
    "data shapes": 1,
    "data voc": 1,
    "data coco": 1,
    "data csv": 1,
    "augmentation": 1,
    "batches": 1,  # order of images, resizing, what is taught
    "detector retinanet": 1,  # network, priors, coder
    "detector fcos": 1,
    "detector rpn": 1,
    "detector fssd": 1,
    "detector mg-retinanet": 1,
    "detector rfbnet": 1,
    "detector own": 1,  # how the parts of the user's own are put together
    "initial weights": 1,
    "optimiser": 1,
    "evaluation": 1,  # ranking, NMS, voting, tables of the test split, AP
}
# Assigners, criteria and backbones begin at 1 when they are registered; here stands which ones were changed since:
# "assigner NAME", "criterion NAME" or "backbone NAME".
REVISED: dict[str, int] = {}


def formats_of(config: CellConfig) -> dict[str, int]:
    """The rows that a cell is made with. A part of the user's own has none: its source is its format."""
    shared = ("augmentation", "batches", "initial weights", "optimiser", "evaluation")
    found = {name: FORMATS[name] for name in shared}
    for name in (f"data {config.data.kind}", f"detector {config.detector.spec.family}"):
        found[name] = FORMATS[name]
    parts = (("assigner", config.method.assigner.name), ("criterion", config.method.criterion.name))
    for kind, name in (*parts, ("backbone", config.detector.spec.backbone.name)):
        if ":" not in name:
            found[f"{kind} {name}"] = REVISED.get(f"{kind} {name}", 1)
    return found
