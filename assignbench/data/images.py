"""Image files: what is wrong with one, found without decoding where that is possible, and its pixels as RGB.

8-bit grey, palette, alpha (dropped) and CMYK pixels are converted; 16-bit grey is scaled from the range of its format.
What has no defined range (float, 32-bit integers) or no single picture (animations) is refused.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from assignbench.data.base import Pixels, Problem
from assignbench.errors import InputError

# Formats that hold pixels and nothing to be executed (Pillow hands PostScript to another program).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2")
LARGEST = 89_478_485  # pixels of one image; Pillow's own warning starts here
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
_EIGHT = ("RGB", "L", "1", "P", "RGBA", "RGBX", "RGBa", "LA", "La", "PA", "CMYK", "YCbCr", "HSV")
_ORIENTATION = 274  # the tag of EXIF
_TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)

Size = tuple[int, int]


class Pictures:
    """The files beside an expected image, folder by folder; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[str]]] = {}

    def named(self, path: Path) -> list[Path]:
        """The image files in the folder of `path` that have its name, whatever their extension, in order."""
        if path.parent not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                with os.scandir(path.parent) as entries:
                    for entry in entries:
                        name = PurePath(entry.name)
                        if name.suffix.lower() in EXTENSIONS:
                            names.setdefault(name.stem, []).append(entry.name)
            except OSError:
                names = {}
            self._folders[path.parent] = names
        return [path.parent / name for name in sorted(self._folders[path.parent].get(path.stem, []))]

    def problem(self, path: Path, size: Size, file: str, entry: str = "") -> Problem | None:
        """What is wrong with an image file of the annotated size (width, height), or None."""
        what = image_problem(path, size)
        if what is None:
            return None
        others = [p for p in self.named(path) if p != path] if what == MISSING else []
        kinds = ", ".join(dict.fromkeys(p.suffix for p in others))
        return Problem(file, what, entry, image_lost=True, hint=f"{kinds} files of those names exist" if kinds else "")


MISSING = "image file is missing"


def image_problem(path: Path, size: Size) -> str | None:
    """What is wrong with an image file, or None: missing, unreadable, truncated, not of the annotated size.

    Only the header and the end of the file are read; where the end is not as it should be, the file is decoded.
    """
    try:
        if not path.is_file():
            return MISSING
        if not path.stat().st_size:
            return "image file is empty"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                wrong = _refusal(image, size)
                whole = wrong is not None or _is_whole(path, image)
        if not whole:
            read_pixels(path, size)
    except (UnidentifiedImageError, *_UNREADABLE) as problem:
        return f"image cannot be read: {_short(problem)}"
    return wrong


def read_pixels(path: Path, size: Size) -> Pixels:
    """RGB pixels [H, W, 3] as they were annotated with `size` (width, height): turned as EXIF says if that fits.

    Raises InputError naming the file if it cannot be decoded whole or has no defined conversion.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            wrong = _refusal(image, size)
            if wrong:
                raise InputError(f"{path}: {wrong}")
            turn = None if image.size == size else _TURNS[_orientation(image)]
            pixels = _rgb(image)
    except InputError:
        raise
    except (UnidentifiedImageError, *_UNREADABLE) as problem:
        raise InputError(f"{path}: image cannot be decoded ({_short(problem)}); replace the file") from problem
    return pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))


def _rgb(image: Image.Image) -> Pixels:
    if image.mode in _SIXTEEN or image.mode == "I":  # "I" is a 16-bit PGM here, which Pillow scales to 65535
        grey = (np.asarray(image).astype(np.int64) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _refusal(image: Image.Image, size: Size) -> str | None:
    """Why an opened image cannot be used, from its header alone."""
    width, height = image.size
    if width * height > LARGEST:
        return f"image is {width}x{height}, more than {LARGEST} pixels; cut it into tiles"
    if image.mode not in (*_EIGHT, *_SIXTEEN) and not (image.mode == "I" and image.format == "PPM"):
        return f"image has pixels of mode {image.mode}, whose range is not defined; save it with 8 or 16 bits"
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the other pictures of an MPO file are other views
        return f"image holds {frames} frames; save the one that was annotated"
    turned = _orientation(image)
    sizes = [(width, height)]
    if turned in _TURNS and width != height and image.format != "TIFF":  # Pillow turns TIFF itself, others do not
        sizes.append((height, width))
    elif turned > 1:
        return (
            f"image has EXIF orientation {turned}, and its size does not tell whether the boxes were drawn before or "
            "after turning; turn the pixels and remove the tag"
        )
    return None if size in sizes else f"image is {width}x{height}, its annotation says {size[0]}x{size[1]}"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none."""
    tagged = any(k in image.info for k in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"))
    if not tagged and image.format != "TIFF":
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_whole(path: Path, image: Image.Image) -> bool:
    """Whether the end of the file is where its format says; False where only decoding can tell.

    Raises ValueError for a PNG that is not.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(max(0, length - 256))
        tail = file.read()
    if image.format in ("JPEG", "MPO"):
        return b"\xff\xd9" in tail
    if image.format == "PNG":
        _check_png(path)
        return True
    if image.format == "GIF":
        return tail.endswith(b"\x3b")
    if image.format == "WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= length
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        starts, counts = (tags.get(a) or tags.get(b) or () for a, b in ((273, 324), (279, 325)))
        return bool(starts) and len(starts) == len(counts) and max(map(sum, zip(starts, counts, strict=True))) <= length
    return False


def _check_png(path: Path) -> None:
    """Raises ValueError unless every chunk up to the end mark is there, and those that pixels need have their checksum.

    Pillow skips over some chunks that are cut or changed, and shows other pixels.
    """
    content = memoryview(path.read_bytes())
    place, kind = 8, b""
    while kind != b"IEND":
        if place + 12 > len(content):
            raise ValueError("the PNG is cut off")
        (length,) = struct.unpack_from(">I", content, place)
        end, kind = place + 8 + length, bytes(content[place + 4 : place + 8])
        if end + 4 > len(content):
            raise ValueError("the PNG is cut off")
        (told,) = struct.unpack_from(">I", content, end)
        if kind[:1].isupper() and zlib.crc32(content[place + 4 : end]) != told:
            raise ValueError(f"the PNG's chunk at byte {place} does not fit its checksum")
        place = end + 4


def _short(problem: Exception) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
