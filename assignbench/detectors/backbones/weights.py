"""Pretrained backbones from files: nothing but tensors is ever unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assignbench.detectors.backbones.base import Backbone
from assignbench.errors import InputError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of an npz, safetensors or pth file. Raises InputError for a file that holds anything else."""
    if not path.is_file():
        raise InputError(f"no weights file {path}; set detector.weights to a .npz, .safetensors or .pth file")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {k: torch.from_numpy(arrays[k]) for k in arrays.files}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:
        raise InputError(f"{path}: not a readable weights file ({problem!s:.200})") from problem
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, expected a dictionary of tensors")
    return {k: v for k, v in loaded.get("state_dict", loaded).items() if isinstance(v, Tensor)}


def load_weights(backbone: Backbone, path: Path) -> int:
    """Copies what fits by name and shape into the backbone; returns how many tensors that were.

    Raises InputError if a tensor of the backbone is left without a value.
    """
    given = {backbone.published_name(k): v for k, v in read_weights(path).items()}
    own = backbone.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    missing = [k for k in own if k not in fitting and not k.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(own)} tensors of {type(backbone).__name__} are missing or of another "
            f"shape, first '{missing[0]}'; give the weights of this backbone"
        )
    backbone.load_state_dict({**own, **fitting})
    return len(fitting)
