"""How a split is read: which one, at which sizes, how many boxes, from which score on, and what is recorded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from assignbench.config.base import Config
from assignbench.config.images import AspectSize, Side
from assignbench.config.method import Voting

Fusion = Literal["nms", "voting"]
LEAST_OBJECTS = 30  # in a group that a trend rests on, unless a study says another number: the AP of fewer says little


class Evaluation(Config):
    """`split`: what is measured on; `val` is for choosing settings, `test` for what is reported.

    `floor` on scores, `pre_nms` best boxes per image (or per level) before NMS, `max_detections` per image after it,
    images per `batch`.

    `test_scales` are the sizes at which every test image is seen, instead of the data's one: short sides where images
    keep their aspect (the longest allowed side grows in proportion), sides where they are stretched. With `test_flip`
    each is seen mirrored, too. The boxes of all of them enter NMS together, and `fuse: voting` lets them vote after
    it, also in a method without voting.

    `candidates`: of each object's predictions so many are recorded that overlap it best, and so many with the best
    ranking score, beside its set J_k, which is recorded whole.
    """

    split: Literal["test", "val"] = "test"
    floor: float = Field(0.01, ge=0, lt=1)
    pre_nms: int = Field(1000, ge=1, le=1_000_000)
    pre_nms_per: Literal["image", "level"] = "image"
    max_detections: int = Field(100, ge=1, le=10_000)
    batch: int = Field(8, ge=1, le=1024)
    test_scales: Annotated[list[Side], Field(max_length=50)] = []
    test_flip: bool = False
    fuse: Fusion = "nms"
    candidates: int = Field(100, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _several_views(self) -> Self:
        if self.test_scales != sorted(set(self.test_scales)):
            raise ValueError(f"test_scales must rise, got {self.test_scales}")
        if self.fuse == "voting" and not self.test_flip and len(self.test_scales) < 2:
            raise ValueError(
                "fuse: voting does nothing without several views of an image; name test_scales, or set test_flip: true"
            )
        return self

    def sizes(self, size: int | AspectSize) -> list[int | AspectSize]:
        """The sizes at which test images of data of this size are seen, rising; its own where none is named."""
        if not self.test_scales:
            return [size]
        if isinstance(size, int):
            return list(self.test_scales)
        return [AspectSize(short=side, long=_in_proportion(size, side)) for side in self.test_scales]

    def voting(self, own: Voting | None) -> Voting | None:
        """The box voting behind NMS of a method whose own is `own`: that, else the one of `fuse`."""
        return own or (Voting() if self.fuse == "voting" else None)


def _in_proportion(size: AspectSize, side: int) -> int:
    """The longest allowed side beside another short side: as many times longer, rounded, as in the data's size."""
    return max(side, min(LONGEST, (2 * size.long * side + size.largest) // (2 * size.largest)))


LONGEST = 4096  # px, as AspectSize allows


def entry_differences(part: str, ours: Config, theirs: Config) -> tuple[str, ...]:
    """The entries in which two descriptions of a part differ, for people: "evaluation.floor 0.01 -> 0.05" from theirs
    to ours.
    """
    before, after = (e.model_dump(mode="json") for e in (theirs, ours))
    return tuple(f"{part}.{k} {before[k]} -> {after[k]}" for k in after if before[k] != after[k])
