"""Which device cells are trained on: the one place of the commands that asks torch."""

from __future__ import annotations

import os

from assignbench.config.precision import Precision, precision_here
from assignbench.errors import InputError


def choose_device(wanted: str) -> tuple[str, str]:
    """The device for `auto`, `cpu` or `cuda`, and a line that says what was chosen and why."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise InputError("--device cuda: torch finds no usable GPU here; use --device cpu or auto")
    if wanted == "cuda" or (wanted == "auto" and available):
        return "cuda", f"device: cuda ({torch.cuda.get_device_name(0)})"
    why = "asked for" if wanted == "cpu" else "no GPU found"
    return "cpu", f"device: cpu ({why}; {os.cpu_count()} cores)"


def precision_for(wanted: str) -> Precision:
    """What `amp: auto` stands for on the device that `wanted` means; raises InputError as `choose_device` does."""
    import torch

    if choose_device(wanted)[0] == "cpu":
        return precision_here()
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "none"
