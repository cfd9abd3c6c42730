"""What a cell is, as plain frozen data without torch, so that studies, records, analyses and reports need none."""

from assignbench.config.base import Config
from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.data import DataSpec
from assignbench.config.detector import DetectorConfig
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import CoderConfig, HeadInit, MethodConfig, Needs, Nms, Part, Preset, Voting
from assignbench.config.recipe import Schedule

__all__ = [
    "CellConfig",
    "CoderConfig",
    "Config",
    "DataSpec",
    "DetectorConfig",
    "Evaluation",
    "HeadInit",
    "LocalPaths",
    "MethodConfig",
    "Needs",
    "Nms",
    "Part",
    "Preset",
    "Schedule",
    "Voting",
]
