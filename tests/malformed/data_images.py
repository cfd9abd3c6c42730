"""Picture files of every mode: read with the right pixels, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.malformed.datasets import HEIGHT, NAMES, OBJECTS, WIDTH, Voc, loaded, pixels, voc_xml
from tests.malformed.harness import Case, Told

FIRST = NAMES[0]
ROW = 1 + 3 * WIDTH  # bytes of a line of a PNG
_PLAIN = pixels(FIRST)
_GREY = np.asarray(Image.fromarray(_PLAIN).convert("L"))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a picture file."""
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def png(width: int, height: int, data: bytes, colour: int = 2, interlaced: int = 0) -> bytes:
    """A PNG of 8 bits that says a size and holds these compressed pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _set(content: bytes, suffix: str = ".png", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Voc:
    file = f"{FIRST}{suffix}"
    objects = OBJECTS[FIRST] if size == (WIDTH, HEIGHT) else [("cat", 4.0, 4.0, 20.0, 20.0)]
    return Voc(images={f"{FIRST}.jpg": None, file: content}, xml={FIRST: voc_xml(file, objects, size)})


def broken() -> Iterator[Case]:
    """Files that hold no whole picture."""
    jpeg, whole = encoded(Image.fromarray(_PLAIN), "JPEG", quality=95), encoded(Image.fromarray(_PLAIN), "PNG")
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 0xFF
    burnt = bytearray(jpeg)
    burnt[len(jpeg) // 2 : len(jpeg) // 2 + 40] = b"\xff" * 40
    huge = png(50_000, 50_000, zlib.compress(b"\0" * 1000))
    bomb = png(20_000, 20_000, zlib.compress(b"\0" * (20_000 * 3 + 1) * 2000, 9))
    for name, content, suffix in (
        ("empty", b"", ".png"),
        ("text", b"hello", ".png"),
        ("a cut PNG", whole[: len(whole) // 2], ".png"),
        ("a PNG cut by 30 bytes", whole[:-30], ".png"),
        ("a PNG with a flipped byte", bytes(spoilt), ".png"),
        ("a header alone", whole[:33], ".png"),
        ("a PNG without compressed pixels", png(WIDTH, HEIGHT, b"garbage" * 10), ".png"),
        ("a PNG of no pixels", png(WIDTH, HEIGHT, b""), ".png"),
        ("a PNG of one row", png(WIDTH, HEIGHT, zlib.compress(b"\0" * ROW)), ".png"),
        ("a PNG of a byte less", png(WIDTH, HEIGHT, zlib.compress(b"\0" * (ROW * HEIGHT - 1))), ".png"),
        ("a PNG whose stream is cut", png(WIDTH, HEIGHT, zlib.compress(_PLAIN.tobytes())[:-400]), ".png"),
        (
            "a PNG without a checksum of its pixels",
            png(WIDTH, HEIGHT, zlib.compress(b"\0" * ROW * HEIGHT)[:-4]),
            ".png",
        ),
        ("a PNG of an unknown filter", png(WIDTH, HEIGHT, zlib.compress(b"\7" * ROW * HEIGHT)), ".png"),
        ("a palette PNG without one", png(WIDTH, HEIGHT, zlib.compress(b"\0" * (WIDTH + 1) * HEIGHT), 3), ".png"),
        ("an interlaced PNG of one row", png(WIDTH, HEIGHT, zlib.compress(b"\0" * ROW), 2, 1), ".png"),
        ("a cut JPEG", jpeg[: len(jpeg) // 2], ".jpg"),
        ("a JPEG cut by 40 bytes", jpeg[:-40], ".jpg"),
        ("a cut GIF", encoded(Image.fromarray(_GREY), "GIF")[:400], ".gif"),
        ("a cut BMP", encoded(Image.fromarray(_PLAIN), "BMP")[:3000], ".bmp"),
        ("a cut TIFF", encoded(Image.fromarray(_PLAIN), "TIFF")[:5000], ".tif"),
        ("a cut WebP", encoded(Image.fromarray(_PLAIN), "WEBP", lossless=True)[:800], ".webp"),
        ("HTML", b"<html>404</html>", ".jpg"),
        ("an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ".svg"),
        ("an LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ".jpg"),
        ("a pickle", b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.", ".png"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n(canary) (w) file closefile\n", ".eps"),
    ):
        yield Case("images", f"{name} ({suffix})", _set(content, suffix).write, (f"{FIRST}{suffix}",))
    yield Case(
        "images", "a PNG of 2.5 gigapixels", _set(huge, size=(50_000, 50_000)).write, (f"{FIRST}.png",), apart=True
    )
    yield Case(
        "images", "a bomb of 400 megapixels", _set(bomb, size=(20_000, 20_000)).write, (f"{FIRST}.png",), apart=True
    )
    text = Image.fromarray(_PLAIN)
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("x", "a" * (80 << 20), zip=True)
    yield Case(
        "images", "a bomb of text in a PNG", _set(encoded(text, "PNG", pnginfo=info)).write, (), (0, 2), apart=True
    )
    yield Case("images", "a folder for a picture", _folder, (f"{FIRST}.jpg",))
    yield Case("images", "a picture that links to itself", _loop, (f"{FIRST}.jpg",))
    yield Case("images", "a picture that is a pipe", _pipe, (f"{FIRST}.jpg",), apart=True)


def _replaced(folder: Path) -> tuple[list[str], Path]:
    command = Voc().write(folder)
    path = folder / "devkit" / "VOC2007" / "JPEGImages" / f"{FIRST}.jpg"
    path.unlink()
    return command, path


def _folder(folder: Path) -> list[str]:
    command, path = _replaced(folder)
    path.mkdir()
    return command


def _loop(folder: Path) -> list[str]:
    command, path = _replaced(folder)
    path.symlink_to(path)
    return command


def _pipe(folder: Path) -> list[str]:
    import os

    command, path = _replaced(folder)
    os.mkfifo(path)
    return command


def modes() -> Iterator[Case]:
    """Every mode that a picture file may have; read right or refused by name."""
    wide = _GREY.astype(np.uint16) * 257
    grey3 = np.repeat(_GREY[..., None], 3, 2)
    alpha = Image.fromarray(_PLAIN)
    clear = alpha.copy()
    clear.putalpha(255)
    palette = Image.fromarray(_PLAIN).quantize(32)
    shades = Image.fromarray(_GREY).convert("P")
    # The pixels are all there, so it may be read. (A JPEG whose end was cut and marked cannot be told from a whole one:
    # libjpeg fills it up, and Pillow says nothing.)
    yield _mode("a PNG without its end mark", encoded(Image.fromarray(_PLAIN), "PNG")[:-12], _PLAIN)
    # The passes of an interlaced picture of 64x48.
    lines = sum(h * (1 + 3 * w) for w, h in ((8, 6), (8, 6), (16, 6), (16, 12), (32, 12), (32, 24), (64, 24)))
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    yield _mode("an interlaced PNG", png(WIDTH, HEIGHT, zlib.compress(b"\0" * lines), 2, 1), black)
    yield _mode("a PNG with more pixels than it says", png(WIDTH, HEIGHT, zlib.compress(b"\0" * ROW * 99)), black)
    yield _mode("8-bit grey", encoded(Image.fromarray(_GREY), "PNG"), grey3)
    yield _mode("16-bit grey", encoded(Image.fromarray(wide), "PNG"), grey3)
    yield _mode("16-bit grey TIFF", encoded(Image.fromarray(wide), "TIFF"), grey3, ".tif")
    yield _mode("16-bit grey TIFF in its lower range", encoded(Image.fromarray(wide // 4), "TIFF"), grey3 // 4, ".tif")
    yield _mode("32-bit integers", encoded(Image.fromarray(_GREY.astype(np.int32) * 1000), "TIFF"), None, ".tif")
    yield _mode("floats from 0 to 1", encoded(Image.fromarray((_GREY / 255).astype(np.float32)), "TIFF"), grey3, ".tif")
    yield _mode(
        "floats with NaN",
        encoded(Image.fromarray(np.where(_GREY > 200, np.nan, 0.5).astype(np.float32)), "TIFF"),
        None,
        ".tif",
    )
    yield _mode(
        "one bit", encoded(Image.fromarray(_GREY > 128), "PNG"), np.repeat(((_GREY > 128) * 255)[..., None], 3, 2)
    )
    yield _mode("a palette", encoded(palette, "PNG"), np.asarray(palette.convert("RGB")))
    yield _mode("a palette of greys", encoded(shades, "PNG"), np.asarray(shades.convert("RGB")))
    yield _mode("alpha, opaque", encoded(clear, "PNG"), _PLAIN)
    yield _mode("grey with alpha", encoded(Image.fromarray(_GREY).convert("LA"), "PNG"), grey3)
    yield _mode("a GIF", encoded(palette, "GIF"), np.asarray(palette.convert("RGB")), ".gif")
    yield _mode("a colour BMP", encoded(Image.fromarray(_PLAIN), "BMP"), _PLAIN, ".bmp")
    yield _mode("a lossless WebP", encoded(Image.fromarray(_PLAIN), "WEBP", lossless=True), _PLAIN, ".webp")
    yield _mode("a JPEG called PNG", encoded(Image.fromarray(_PLAIN), "JPEG", quality=95), _PLAIN, ".png", 20)
    yield _mode("a CMYK JPEG", encoded(Image.fromarray(_PLAIN).convert("CMYK"), "JPEG", quality=95), _PLAIN, ".jpg", 20)
    yield _mode("a CMYK TIFF", encoded(Image.fromarray(_PLAIN).convert("CMYK"), "TIFF"), _PLAIN, ".tif", 3)
    yield _mode("a YCbCr TIFF", encoded(Image.fromarray(_PLAIN).convert("YCbCr"), "TIFF"), _PLAIN, ".tif", 4)
    yield _mode("a Lab TIFF", encoded(Image.new("LAB", (WIDTH, HEIGHT), (128, 0, 0)), "TIFF"), None, ".tif")
    yield _mode(
        "a progressive JPEG", encoded(Image.fromarray(_PLAIN), "JPEG", quality=95, progressive=True), _PLAIN, ".jpg", 20
    )
    yield _mode(
        "a JPEG followed by more",
        encoded(Image.fromarray(_PLAIN), "JPEG", quality=95) + b"\0" * 500,
        _PLAIN,
        ".jpg",
        20,
    )
    for turn in range(1, 9):
        # The stored picture that shows as _PLAIN when it is turned as its tag says.
        stored = Image.fromarray(_PLAIN)
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
        if turn in undo:
            stored = stored.transpose(Image.Transpose(undo[turn]))
        tags = Image.Exif()
        tags[0x0112] = turn
        yield _mode(f"turned by EXIF {turn}", encoded(stored, "PNG", exif=tags), _PLAIN)


def _mode(name: str, content: bytes, wanted: Any, suffix: str = ".png", near: float = 1.0) -> Case:
    def check(folder: Path, told: Told) -> list[str]:
        if told.code == 2:
            return [] if f"{FIRST}{suffix}" in told.text else [f"does not say '{FIRST}{suffix}': {told.text[-200:]}"]
        if wanted is None:
            return ["accepted, though nobody knows how its values are meant"]
        read = loaded(folder)["train"].read(0)
        if read.shape != wanted.shape:
            return [f"read a picture of {read.shape}"]
        off = float(np.abs(read.astype(int) - wanted.astype(int)).mean())
        return [] if off <= near else [f"read other pixels, {off:.1f} off in the mean"]

    return Case("images", f"sound or refused: {name}", _set(content, suffix).write, (), (0, 2), check)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*broken(), *modes())
