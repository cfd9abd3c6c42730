"""Weights and training state on disk: a kill at any moment leaves either the old pair or the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

STATE = "training.pt"
FINAL = "weights.safetensors"


def save(folder: Path, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, extra: dict[str, Any]) -> None:
    """Writes weights-STEP and then the state that names them; older weights go last."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"weights-{step:08d}.safetensors"
    _save_weights(weights, model)
    partial = folder / (STATE + ".partial")
    torch.save({"step": step, "weights": weights.name, "optimiser": optimiser.state_dict(), "extra": extra}, partial)
    partial.replace(folder / STATE)
    for old in folder.glob("weights-*.safetensors"):
        if old != weights:
            old.unlink()


def restore(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, dict[str, Any]]:
    """The step to go on from and what `extra` held; (0, {}) without a checkpoint."""
    if not (folder / STATE).is_file():
        return 0, {}
    state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    model.load_state_dict(load_file(folder / state["weights"]))
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), dict(state["extra"])


def finish(folder: Path, model: nn.Module) -> None:
    """Leaves the final weights alone in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_weights(folder / FINAL, model)
    for old in [folder / STATE, *folder.glob("weights-*.safetensors")]:
        old.unlink(missing_ok=True)


def load_final(folder: Path, model: nn.Module) -> None:
    """Reads what `finish` wrote."""
    model.load_state_dict(load_file(folder / FINAL))


def _save_weights(path: Path, model: nn.Module) -> None:
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, partial)
    partial.replace(path)
