"""Which images and objects a report shows, where a study names some."""

from __future__ import annotations

from pydantic import Field

from assignbench.config.base import Config

MOST_PICTURES = 20  # each leaves a picture and its records in every cell


class Pictured(Config):
    """An image by its file name, its stem or its id, and one of its objects.

    `object` is the place among the image's objects as `assignbench show assign` counts them, from 0; without it the
    image's largest one is shown. An image of the training split is probed, one of the test split is kept as an example.
    """

    image: str = Field(min_length=1, max_length=1000)
    object: int | None = Field(None, ge=0, le=1_000_000)
