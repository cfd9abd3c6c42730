"""torchvision's own ImageNet weights: a file of torch's cache, downloaded where it is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from assignbench.config.network import PUBLISHED, BackboneName
from assignbench.errors import InputError

Download = Callable[[str, str, str], None]  # from an address to a file, whose hash must begin so

# How torchvision calls the networks of PUBLISHED; their weights are those of its first training recipe.
_NAMES: dict[BackboneName, str] = {
    "squeezenet": "squeezenet1_1",
    "vgg16": "vgg16_bn",
    "resnext101-64x4d": "resnext101_64x4d",
    "resnext101-32x8d": "resnext101_32x8d",
    "mobilenet_v3": "mobilenet_v3_large",
}


def address(name: BackboneName) -> str:
    """Where torchvision has the file of a backbone in PUBLISHED."""
    from torchvision.models import get_model_weights

    return str(get_model_weights(_NAMES.get(name, name))["IMAGENET1K_V1"].url)


def fetch(name: BackboneName, path: Path, download: Download | None = None) -> None:
    """Makes sure that torchvision's file of a backbone in PUBLISHED lies at `path`.

    Raises InputError, with the remedy, where it cannot be downloaded or what comes is not that file.
    """
    if path.is_file():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (download or _download)(address(name), str(path), PUBLISHED[name].rpartition("-")[2].removesuffix(".pth"))
    except Exception as problem:  # of networks, servers, disks and hashes
        told = (str(problem).splitlines() or [""])[0] or type(problem).__name__
        raise InputError(
            f"weights: torchvision: {PUBLISHED[name]} is not at {path} and cannot be downloaded ({told:.200}); put the "
            "file there, or name another file of this backbone's ImageNet weights"
        ) from problem


def _download(source: str, path: str, start: str) -> None:
    from torch.hub import download_url_to_file

    download_url_to_file(source, path, hash_prefix=start, progress=False)
