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


def entry_differences(ours: Evaluation, theirs: Evaluation) -> tuple[str, ...]:
    """The entries in which two evaluations differ, for people: "evaluation.floor 0.01 -> 0.05" from theirs to ours."""
    before, after = (e.model_dump(mode="json") for e in (theirs, ours))
    return tuple(f"evaluation.{k} {before[k]} -> {after[k]}" for k in after if before[k] != after[k])
