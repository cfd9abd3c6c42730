"""Which images and objects a report shows, where a study names some."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from assignbench.config.base import Config

MOST_PICTURES = 20  # each leaves a picture and its records in every cell


class Pictured(Config):
    """An image by its file name, its stem or its id, and one of its objects.

    `object` is the place among the image's objects as `assignbench show assign` counts them, from 0; without it the
    image's largest one is shown. An image of the training split is probed, one of the test split is kept as an example.
    """

    image: str = Field(min_length=1, max_length=1000)
    object: int | None = Field(None, ge=0, le=1_000_000)

    @field_validator("image", mode="before")
    @classmethod
    def _numbers_are_quoted(cls, value: Any) -> Any:
        """YAML reads 000010 as 8, which would be another image."""
        if type(value) is int:
            raise ValueError(f"{value} is a number; write the name or id in quotes, since YAML reads 000010 as 8")
        return value
