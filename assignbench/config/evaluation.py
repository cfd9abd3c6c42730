"""How the test split is read: how many boxes, from which score on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from assignbench.config.base import Config


class Evaluation(Config):
    """`floor` on scores, `pre_nms` best boxes per image (or per level) before NMS, `max_detections` per image after it,
    images per `batch`.
    """

    floor: float = Field(0.01, ge=0, lt=1)
    pre_nms: int = Field(1000, ge=1, le=1_000_000)
    pre_nms_per: Literal["image", "level"] = "image"
    max_detections: int = Field(100, ge=1, le=10_000)
    batch: int = Field(8, ge=1, le=1024)
