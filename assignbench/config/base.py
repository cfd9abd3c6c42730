"""The base of every description: frozen, no unknown key, no number that is not finite."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen plain data that survives JSON: `model_dump(mode="json")` and `model_validate` are each other's inverse."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
