"""What is known of a cell that AssignBench did not train: the predictions of any detector, read by `analyze`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from assignbench.config.base import Config
from assignbench.config.cell import FORMAT, LARGEST_SEED
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import Nms, QualityKind, Ranking, Voting

# Nothing of an imported file was cut by us: no floor, no limit before NMS; after it COCO's hundred boxes per image.
UNCUT = Evaluation(floor=0.0, pre_nms=1_000_000)


class ImportedDetector(Config):
    """Nothing is known of an imported cell's detector but the word for it."""

    name: Literal["imported"] = "imported"
    label: str = "imported"


class ImportedMethod(Config):
    """The file's name is the method's name. `nms` says how the file's boxes were thinned out, as far as the user told.

    `quality` is "iou" where the file holds an IoU score beside the class score; then `ranking` is their product.
    """

    name: str
    preset: Literal["imported"] = "imported"
    quality: QualityKind | None = None
    ranking: Ranking = "cls"
    floor_on: Literal["cls", "ranking"] = "cls"
    nms: Nms = Nms()
    voting: Voting | None = None


class ImportedData(Config):
    """The ground truth file's name, and its kind: an instances file of COCO's shape."""

    name: str
    kind: Literal["coco"] = "coco"
    title: str = ""


class ImportedConfig(Config):
    """The part of a CellConfig that analyses read; `imported` tells the two apart in config.json.

    `seed` is the place of the file among those of its method: files of one place are compared with each other.
    """

    format: int = FORMAT
    imported: Literal[True] = True
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    detector: ImportedDetector = ImportedDetector()
    method: ImportedMethod
    data: ImportedData
    evaluation: Evaluation = UNCUT

    @property
    def slug(self) -> str:
        """Detector, method and data set, readable."""
        return f"{self.detector.label}/{self.method.name}/{self.data.name}"
