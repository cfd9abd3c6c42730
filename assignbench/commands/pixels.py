"""Pixels of a finished cell's test images, wherever they can be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from assignbench.analysis import CellData
from assignbench.commands.scenes import scene_cache
from assignbench.config import CellConfig, LocalPaths
from assignbench.data.base import DetectionData
from assignbench.data.catalog import load
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json


def training_names(cell: CellRecord) -> dict[int, str]:
    """The names of a cell's training images by id, from its data set; nothing where that is not there any more."""
    written = read_json(cell.folder / "local.json")
    if not written:
        return {}
    root = Path(LocalPaths.model_validate(written).root or ".")
    try:
        data = load(cell.trained.data, "train", root, scene_cache(cell.folder))
    except InputError:
        return {}
    return {image.id: image.name for image in data.images}


class Pixels:
    """Pixels of a test image by id: from the cell's data set, from a folder of pictures, or a grey ground."""

    def __init__(self, cell: CellData, folder: Path | None) -> None:
        self.cell, self.folder = cell, folder
        self.data: DetectionData | None = None
        written = read_json(cell.cell.folder / "local.json")
        if folder is None and written and isinstance(cell.config, CellConfig):
            root = Path(LocalPaths.model_validate(written).root or ".")
            self.data = load(cell.config.data, cell.config.evaluation.split, root, scene_cache(cell.cell.folder))
        self.place = {} if self.data is None else {r.id: i for i, r in enumerate(self.data.images)}

    def __call__(self, image_id: int) -> npt.NDArray[np.uint8]:
        if image_id in self.place and self.data is not None:
            return self.data.read(self.place[image_id])
        about = self.cell.images.set_index("image_id").loc[image_id]
        if self.folder is not None:
            from PIL import Image

            path = self.folder / Path(str(about["name"])).name
            if not path.is_file():
                raise InputError(f"--images {self.folder}: no picture {path.name}")
            return np.asarray(Image.open(path).convert("RGB"))
        return np.full((int(about.height), int(about.width), 3), 160, np.uint8)
