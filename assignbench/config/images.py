"""How images reach the network: the size that they are brought to, and how their pixels are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from assignbench.config.base import Config

MULTIPLE = 32  # padded sides are a multiple of it: what backbones and pyramids halve five times stays aligned
HW = tuple[int, int]  # height, width

Side = Annotated[int, Field(ge=32, le=2048)]
Channel = Annotated[float, Field(ge=0, le=255)]
Spread = Annotated[float, Field(ge=1, le=255)]


class SideRange(Config):
    """Every whole number of px from `from` to `to`, both of them too."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Side = Field(alias="from")
    to: Side

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.from_ >= self.to:
            raise ValueError(f"needs from < to, got {self.from_} and {self.to}; write one number for one side")
        return self


def _kind_of_short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[list]"
    return "[range]" if isinstance(value, dict | SideRange) else "[side]"


class AspectSize(Config):
    """An image is scaled, its aspect kept, so that its shorter side is `short` px, unless the longer one would exceed
    `long`: then that one is `long` px.

    Training draws `short` anew for every image of every epoch where it is a list or a range; the test split has the
    largest.
    """

    short: Annotated[
        Annotated[Side, Tag("[side]")]
        | Annotated[tuple[Side, ...], Field(min_length=1, max_length=100), Tag("[list]")]
        | Annotated[SideRange, Tag("[range]")],
        Discriminator(_kind_of_short),
    ]
    long: int = Field(1333, ge=32, le=4096)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if isinstance(self.short, tuple) and list(self.short) != sorted(set(self.short)):
            raise ValueError(f"the sides of short must rise, got {list(self.short)}")
        if self.largest > self.long:
            raise ValueError(f"needs short <= long, got {self.largest} and {self.long}; raise long")
        return self

    @property
    def choices(self) -> Sequence[int]:
        """The short sides that training draws from, rising."""
        if isinstance(self.short, SideRange):
            return range(self.short.from_, self.short.to + 1)
        return self.short if isinstance(self.short, tuple) else (self.short,)

    @property
    def largest(self) -> int:
        """The short side of the test split."""
        return self.choices[-1]


def _kind_of_size(value: Any) -> str:
    return "[aspect]" if isinstance(value, dict | AspectSize) else "[side]"


ImageSize = Annotated[
    Annotated[Side, Tag("[side]")] | Annotated[AspectSize, Tag("[aspect]")], Discriminator(_kind_of_size)
]


class Pixels(Config):
    """What is taken from pixels of 0 to 255 before the network sees them, and by what the rest is divided.

    `mean` and `std` stand in `order`, which is the order of the network's input channels.
    """

    mean: tuple[Channel, Channel, Channel] = (123.675, 116.28, 103.53)  # of ImageNet
    std: tuple[Spread, Spread, Spread] = (58.395, 57.12, 57.375)
    order: Literal["rgb", "bgr"] = "rgb"

    @property
    def fill(self) -> tuple[int, int, int]:
        """The mean as an RGB pixel: what lies outside an image."""
        red, green, blue = (round(value) for value in (self.mean if self.order == "rgb" else self.mean[::-1]))
        return red, green, blue


def network_hw(size: int | AspectSize, width: int, height: int, short: int | None = None) -> HW:
    """(height, width) px to which an image is resized; for the test split, unless a `short` side is given.

    Sides are rounded to whole px, halves up, and never below 1.
    """
    if isinstance(size, int):
        return size, size
    least, most = min(width, height), max(width, height)
    wanted = size.largest if short is None else short
    # In whole numbers, so that no rounding error decides: the new side belongs to the old one of `over`.
    side, over = (wanted, least) if wanted * most <= size.long * least else (size.long, most)
    return _scaled(height, side, over), _scaled(width, side, over)


def _scaled(length: int, side: int, over: int) -> int:
    return max(1, (2 * length * side + over) // (2 * over))


def padded_hw(size: int | AspectSize, hw: HW, multiple: int = MULTIPLE) -> HW:
    """The sides that a resized image has with its own padding; a stretched one has none."""
    if isinstance(size, int):
        return hw
    return -(-hw[0] // multiple) * multiple, -(-hw[1] // multiple) * multiple


def nominal_hw(size: int | AspectSize) -> HW:
    """The input that a size stands for where one must be named: of an image of `short` x `long`, padded."""
    hw = (size, size) if isinstance(size, int) else (size.largest, size.long)
    return padded_hw(size, hw)


def shown_size(size: int | AspectSize) -> str:
    """A size in words: "320 px", "800/1333 px", "640-800/1333 px"."""
    if isinstance(size, int):
        return f"{size} px"
    sides = size.choices
    return f"{sides[0]}-{sides[-1]}/{size.long} px" if len(sides) > 1 else f"{sides[0]}/{size.long} px"
