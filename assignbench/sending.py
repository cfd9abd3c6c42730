"""Between host and device: what is sent is not waited for, and what is fetched is waited for once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Kinds of device whose numbers the host may look at whenever that saves work: there is nothing to be waited for.
NEAR = {"cpu"}


def near(values: Tensor) -> bool:
    """Whether the host may look at these without waiting."""
    return values.device.type in NEAR


def sent(values: Tensor, device: torch.device | str) -> Tensor:
    """The values on a device. A GPU takes those of the host from pinned memory: neither of the two waits."""
    if torch.device(device).type != "cuda" or values.device.type != "cpu" or torch.compiler.is_compiling():
        return values.to(device)  # a graph cannot pin memory
    return _pinned(values).to(device, non_blocking=True)


def fetched(values: Sequence[Tensor]) -> list[Tensor]:
    """The values on the host, which waits once for all of them."""
    there = [v for v in values if v.device.type != "cpu"]
    found = [v.to("cpu", non_blocking=True) for v in values]
    _wait(there)
    return found


def _pinned(values: Tensor) -> Tensor:
    return values.pin_memory()


def _wait(there: Sequence[Tensor]) -> None:
    """Until what is asked for on the device of these is there."""
    if there:
        torch.cuda.current_stream(there[0].device).synchronize()
