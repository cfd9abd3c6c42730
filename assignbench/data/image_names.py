"""Images by the name that a result file gives them: the ground truth's own, or with more or fewer folders before it."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pandas as pd


class ImageNames:
    """The ids of images (image_id, name) by name. Of two paths that mean one image, one is the end of the other."""

    def __init__(self, images: pd.DataFrame) -> None:
        self._whole: dict[str, int] = dict(zip(images.name, images.image_id.tolist(), strict=True))
        self._last: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for name, image in self._whole.items():
            steps = PurePosixPath(name).parts
            self._last.setdefault(steps[-1] if steps else "", []).append((steps, image))

    def find(self, name: str) -> int | None:
        """The image that a name means; None where it means none, or may be several."""
        if name in self._whole:
            return self._whole[name]
        found = self._alike(name)
        return found[0] if len(found) == 1 else None

    def several(self, name: str) -> bool:
        """Whether a name may be several images."""
        return name not in self._whole and len(self._alike(name)) > 1

    def _alike(self, name: str) -> list[int]:
        steps = PureWindowsPath(name).parts  # takes both kinds of slash
        there = self._last.get(steps[-1], []) if steps else []
        return [image for known, image in there if known[-len(steps) :] == steps[-len(known) :]]
