"""Images by what people call them: an id, a file name, or a file name without its ending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from assignbench.commands.pixels import training_names
from assignbench.errors import InputError
from assignbench.records import CellRecord

MOST_IMAGES = 12  # that an error names


def meant(wanted: str, names: Mapping[int, str]) -> int | None:
    """The image whose id, file name or file name without its ending was written."""
    return next((i for i, name in names.items() if wanted in (str(i), name, Path(name).stem)), None)


def named(split: str, image: int, name: str = "") -> str:
    """An image for people: its split, its id, and its name where that says more."""
    kind = {"train": "training"}.get(split, split)
    return f"{kind} image {image}" + (f" ({name})" if name not in ("", str(image)) else "")


def probe_image(cell: CellRecord, wanted: str, images: Sequence[int]) -> int:
    """The probe image of that id or name. Raises InputError, which tells of an image of the test split."""
    if wanted in map(str, images):
        return int(wanted)
    everywhere = training_names(cell)  # records know probe images by their ids alone
    names = {image: everywhere.get(image, "") for image in images}
    found = meant(wanted, names)
    if found is not None:
        return found
    tested = cell.table("images")
    if meant(wanted, everywhere) is not None:
        told = "is a training image, but only the probe images were looked at while training"
    elif meant(wanted, dict(zip(tested.image_id.tolist(), tested.name.tolist(), strict=True))) is not None:
        told = "is a test image, which `show detections` draws; only the probe images were looked at while training"
    else:
        told = "only the probe images were looked at while training"
    shown = "; ".join(f"{i} ({name})" if name else str(i) for i, name in list(names.items())[:MOST_IMAGES])
    more = f" and {len(names) - MOST_IMAGES} more" if len(names) > MOST_IMAGES else ""
    remedy = "or name another one in the study's `pictures` before it is trained"
    raise InputError(f"--image {wanted:.80}: {told}; name one of {shown}{more}, {remedy}")
