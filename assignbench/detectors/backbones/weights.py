"""Pretrained backbones from files: nothing but tensors is ever unpickled, and only what fits is taken."""

from __future__ import annotations

import pickle
import stat
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assignbench.detectors.backbones.base import Backbone
from assignbench.errors import InputError

MOST_BYTES = 2 << 30  # of a file, and of what it unpacks to
_REMEDY = "give a .npz, .safetensors or .pth file of this network's ImageNet weights"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of an npz, safetensors or pth file by their names there. Raises InputError for anything else."""
    _check_file(path)
    try:
        if path.suffix.lower() == ".npz":
            return _arrays(path)
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which the error tells
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as problem:  # torch's own words advise to run what is in the file
        why = "it is damaged, or holds more than tensors, and nothing else is read from a file"
        raise InputError(f"{path}: not a readable weights file ({why}); save a state_dict, or {_REMEDY}") from problem
    except Exception as problem:
        told = str(problem).strip().splitlines() or [type(problem).__name__]
        raise InputError(f"{path}: not a readable weights file ({told[0]:.200}); {_REMEDY}") from problem
    loaded = _state_of(loaded)
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, not a dictionary of tensors; {_REMEDY}")
    return {k: v for k, v in loaded.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _state_of(loaded: object) -> object:
    """What a checkpoint holds of a network: its `state_dict`, or the one entry that is a mapping with tensors."""
    if not isinstance(loaded, dict) or any(isinstance(v, Tensor) for v in loaded.values()):
        return loaded
    inner = [v for v in loaded.values() if isinstance(v, dict) and any(isinstance(t, Tensor) for t in v.values())]
    return loaded.get("state_dict", inner[0] if len(inner) == 1 else loaded)


def fitting(backbone: Backbone, path: Path) -> dict[str, Tensor]:
    """The file's tensors that the backbone takes, by the backbone's names and of its types.

    Raises InputError if one is missing, of another shape or type, or holds values that no trained network has, and if
    the file is of a larger network; the error's `place` is the tensor's name where the fault is in its values.
    """
    given = {backbone.published_name(name): (name, tensor) for name, tensor in read_weights(path).items()}
    own = _needed(backbone)
    kind = type(backbone).__name__
    wrong = [n for n, t in own.items() if n not in given or given[n][1].shape != t.shape]
    if wrong:
        first = wrong[0]
        there = f"has the shape {list(given[first][1].shape)}" if first in given else "is not there"
        raise InputError(
            f"{path}: {len(wrong)} of {len(own)} tensors of {kind} are missing or of another shape, first '{first}', "
            f"which {there} and should have {list(own[first].shape)}; give the weights of this backbone"
        )
    strange = _strange(backbone, given)
    if strange:
        raise InputError(
            f"{path}: {len(strange)} tensors are of a larger network than this {kind}, first "
            f"'{given[strange[0]][0]}'; give the weights of this backbone"
        )
    others = {n: t for n, t in backbone.state_dict().items() if n not in own and n in given}
    fit = {n: t.dtype for n, t in {**own, **others}.items() if given[n][1].shape == t.shape}
    return {
        name: _checked(path, *given[name], dtype) if dtype.is_floating_point else given[name][1]
        for name, dtype in fit.items()
    }


def _strange(backbone: Backbone, given: Collection[str]) -> list[str]:
    """Names that belong to a part of the backbone and are not there: resnet101's blocks beyond those of resnet50."""
    parts = {name for name, _ in backbone.named_children()}
    known = backbone.state_dict()
    return [n for n in given if n.partition(".")[0] in parts and n not in known and not backbone.is_taken_out(n)]


def _needed(backbone: Backbone) -> dict[str, Tensor]:
    """The tensors that a file must have, by the backbone's names: not what counts batches, nor what was added here."""
    return {
        name: tensor
        for name, tensor in backbone.state_dict().items()
        if not name.endswith("num_batches_tracked") and not backbone.is_added(name)
    }


def load_weights(backbone: Backbone, path: Path) -> int:
    """Copies a file's tensors into the backbone; returns how many that were.

    Raises InputError if a tensor of the backbone is left without a sound value.
    """
    found = fitting(backbone, path)
    backbone.load_state_dict({**backbone.state_dict(), **found})
    return len(found)


def _check_file(path: Path) -> None:
    """Raises InputError for what is no regular file of a sensible size, also once it is unpacked."""
    try:
        about = path.stat()
    except (OSError, ValueError) as problem:
        told = "no weights file" if isinstance(problem, FileNotFoundError) else "cannot read the weights file"
        raise InputError(f"{told} {path}; put it there, or name another under `weights` of the detector") from None
    if not stat.S_ISREG(about.st_mode):
        what = "a folder" if stat.S_ISDIR(about.st_mode) else "no regular file"
        raise InputError(f"the weights file {path} is {what}; {_REMEDY}")
    size = about.st_size
    if not size:
        raise InputError(f"{path}: the weights file is empty; {_REMEDY}")
    if size <= MOST_BYTES and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
        except (OSError, zipfile.BadZipFile, ValueError) as problem:
            raise InputError(f"{path}: not a readable weights file ({problem}); is it complete?") from problem
    if size > MOST_BYTES:
        raise InputError(f"{path}: {size / 2**30:.1f} GiB of weights; {MOST_BYTES >> 30} GiB are the most")


def _arrays(path: Path) -> dict[str, Tensor]:
    """The arrays of an npz file. Raises InputError for one that is not plain numbers."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a readable weights file (no zip archive, or cut short); {_REMEDY}")
    found = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            try:
                found[name] = torch.from_numpy(np.asarray(arrays[name]))
            except Exception as problem:  # objects, text, foreign byte orders, cut or damaged entries
                told = (str(problem).splitlines() or [type(problem).__name__])[0]
                raise InputError(f"{path}: the array '{name}' cannot be read ({told:.200}); {_REMEDY}") from problem
    return found


def _checked(path: Path, name: str, tensor: Tensor, wanted: torch.dtype) -> Tensor:
    """The tensor in the backbone's type."""
    at = (name,)
    if tensor.is_sparse or tensor.is_quantized or not tensor.is_floating_point():
        raise InputError(f"{path}: the tensor '{name}' is of type {tensor.dtype}, not floating point; {_REMEDY}", at)
    # float64 may hold what float32 cannot.
    value = tensor.to(wanted)
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        what = f"{bad} of {value.numel()} values of the tensor '{name}' are NaN or infinite"
        raise InputError(f"{path}: {what}; {_REMEDY}", at)
    if name.endswith("running_var") and bool((value < 0).any()):
        raise InputError(f"{path}: the variances '{name}' go down to {float(value.min()):g}; {_REMEDY}", at)
    return value


def looks_like(path: Path, networks: Mapping[str, Callable[[], Backbone]]) -> str:
    """Which of the networks a file's tensors are of, if all of one are there, else the first tensor, in brackets.

    Empty for a file that cannot be read.
    """
    try:
        given = {name: tuple(tensor.shape) for name, tensor in read_weights(path).items()}
    except InputError:
        return ""
    for name, make in networks.items():
        with torch.device("meta"):
            backbone = make()
        shapes = {backbone.published_name(key): shape for key, shape in given.items()}
        whole = all(shapes.get(key) == tuple(tensor.shape) for key, tensor in _needed(backbone).items())
        if whole and not _strange(backbone, shapes):
            return f" (these look like the weights of {name})"
    if not given:
        return " (the file holds no tensor)"
    first, shape = next(iter(given.items()))
    return f" (the file has {len(given)} tensors, the first is '{first}' {list(shape)})"
