"""Weights and training state on disk: a kill at any moment leaves either the old pair or the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from assignbench.engine.learner import Learner

STATE = "training.pt"
FINAL = "weights.safetensors"


def save(folder: Path, step: int, learner: Learner, seconds: float) -> None:
    """Writes weights-STEP and then the state that names them; older weights go last."""
    folder.mkdir(parents=True, exist_ok=True)
    state = learner.state()
    weights = folder / f"weights-{step:08d}.safetensors"
    _save_weights(weights, state["weights"])
    partial = folder / (STATE + ".partial")
    content = {"step": step, "weights": weights.name, "optimiser": state["optimiser"], "seconds": seconds}
    torch.save(content, partial)
    partial.replace(folder / STATE)
    for old in folder.glob("weights-*.safetensors"):
        if old != weights:
            old.unlink()


def restore(folder: Path, learner: Learner) -> tuple[int, float]:
    """The step to go on from and the seconds that were spent before; (0, 0) without a checkpoint."""
    if not (folder / STATE).is_file():
        return 0, 0.0
    state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    learner.restore({"weights": load_file(folder / state["weights"]), "optimiser": state["optimiser"]})
    return int(state["step"]), float(state["seconds"])


def finish(folder: Path, model: nn.Module) -> None:
    """Leaves the final weights alone in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_weights(folder / FINAL, model.state_dict())
    for old in [folder / STATE, *folder.glob("weights-*.safetensors")]:
        old.unlink(missing_ok=True)


def load_final(folder: Path, model: nn.Module) -> None:
    """Reads what `finish` wrote."""
    model.load_state_dict(load_file(folder / FINAL))


def _save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, partial)
    partial.replace(path)
