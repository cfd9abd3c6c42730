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
from assignbench.data.jpeg_head import ends_as_jpeg, is_plain_jpeg
from assignbench.errors import InputError

# Formats that hold pixels and nothing to be executed (Pillow hands PostScript to another program).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2")
LARGEST = 89_478_485  # pixels of one image; Pillow's own warning starts here
LONGEST = 255  # bytes of a name
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
    return None if surely_sound(str(path), size) else _opened_problem(path, size)


def surely_sound(path: str, size: Size) -> bool:
    """Whether `image_problem` finds nothing, where that is seen at once; False where it has to be asked."""
    return size[0] * size[1] <= LARGEST and is_plain_jpeg(path, size)


def _opened_problem(path: Path, size: Size) -> str | None:
    """The same, as Pillow finds it."""
    try:
        if len(os.fsencode(path.name)) > LONGEST:
            return (
                f"image cannot be read: its name has more than {LONGEST} bytes, which no file system takes; rename it"
            )
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
        return ends_as_jpeg(tail)
    if image.format == "PNG":
        return _check_png(path)
    if image.format == "GIF":
        return tail.endswith(b"\x3b")
    if image.format == "WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= length
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        starts, counts = (tags.get(a) or tags.get(b) or () for a, b in ((273, 324), (279, 325)))
        return bool(starts) and len(starts) == len(counts) and max(map(sum, zip(starts, counts, strict=True))) <= length
    return False


def _check_png(path: Path) -> bool:
    """Whether the pixels are as long as the header says and can be unpacked; False where only decoding can tell.

    Raises ValueError unless every chunk up to the end mark is there, and those that pixels need have their checksum.
    Pillow skips over some chunks that are cut or changed, and shows other pixels.
    """
    content = memoryview(path.read_bytes())
    place, kind = 8, b""
    header, pixels, palette = b"", [], False
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
        if kind == b"IHDR":
            header = bytes(content[place + 8 : end])
        elif kind == b"IDAT":
            pixels.append(content[place + 8 : end])
        palette |= kind == b"PLTE"
        place = end + 4
    return _are_pixels(header, b"".join(pixels), palette=palette)


# Of each pass of an interlaced PNG: first column and row, and the steps to the next ones.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _are_pixels(header: bytes, packed: bytes, *, palette: bool) -> bool:
    """Whether compressed pixels are as long as the PNG's header says; False where only decoding can tell.

    Raises ValueError for what Pillow would fill up: too few of them, or no palette. Unpacking costs about half of what
    decoding does.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if colour == 3 and not palette:
        raise ValueError("the PNG has no palette (PLTE)")
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(max(0, -((x - width) // dx)), max(0, -((y - height) // dy))) for x, y, dx, dy in passes]
    parts = [(1 + (w * bits + 7) // 8, h) for w, h in sizes if w and h]
    wanted = sum(line * lines for line, lines in parts)
    stream = zlib.decompressobj()
    try:
        found = memoryview(stream.decompress(packed, wanted + 1))
    except zlib.error:
        return False
    if stream.eof and len(found) < wanted:
        raise ValueError(f"the PNG holds {len(found)} bytes of pixels where its header says {wanted}")
    if not stream.eof or len(found) != wanted:
        return False
    for line, lines in parts:
        if max(found[: line * lines : line]) > 4:  # how a line is filtered
            return False
        found = found[line * lines :]
    return True


def _short(problem: Exception) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
