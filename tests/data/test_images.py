"""Image files of every kind: their pixels come out right, or the file is refused with the reason."""

import io
import os

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from assignbench.data import images
from assignbench.data.images import Pictures, image_problem, read_pixels, surely_sound
from assignbench.errors import InputError

SIZE = (24, 16)


def scene() -> np.ndarray:
    """[16, 24, 3] with a gradient, and corners that tell every turn from every other."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[..., 0] = np.arange(24) * 10
    pixels[..., 1] = np.arange(16)[:, None] * 15
    pixels[:4, :4] = (255, 0, 0)
    return pixels


GREY = np.arange(16 * 24).reshape(16, 24) % 256


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp", "gif", "jpg", "jp2"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_modes_and_formats(tmp_path, ending, mode) -> None:
    path = tmp_path / f"a.{ending}"
    image = Image.fromarray(scene()).convert(mode)
    try:
        image.save(path, **({"lossless": True} if ending == "webp" else {}))
    except (OSError, ValueError, KeyError):
        pytest.skip(f"{ending} holds no {mode}")
    assert image_problem(path, SIZE) is None
    found = read_pixels(path, SIZE)
    with Image.open(path) as again:
        expected = np.asarray(again.convert("RGB"))
    assert found.shape == (16, 24, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    assert image_problem(path, (24, 17)) == "image is 24x16, its annotation says 24x17"


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_scaled_by_the_range_of_the_format(tmp_path, ending) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray((GREY * 257).astype(np.uint16)).save(path)
    assert image_problem(path, SIZE) is None
    np.testing.assert_array_equal(read_pixels(path, SIZE), np.repeat(GREY[:, :, None], 3, axis=2))


def test_a_pgm_of_sixteen_bits(tmp_path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 24 16 65535\n" + (GREY * 257).astype(">u2").tobytes())
    np.testing.assert_array_equal(read_pixels(path, SIZE)[..., 0], GREY)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_without_a_range_are_refused(tmp_path, kind) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(GREY.astype(kind)).save(path)
    assert "whose range is not defined" in image_problem(path, SIZE)
    with pytest.raises(InputError, match=r"a\.tif: image has pixels of mode"):
        read_pixels(path, SIZE)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation(tmp_path, ending, turn) -> None:
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(scene()).save(path, exif=exif, **({"lossless": True} if ending == "webp" else {"quality": 100}))
    turned = (SIZE[1], SIZE[0])
    if turn == 1:
        assert image_problem(path, SIZE) is None
    elif turn < 5 or ending == "tif":
        assert f"EXIF orientation {turn}" in image_problem(path, SIZE)
    else:
        assert image_problem(path, SIZE) is None and image_problem(path, turned) is None
        stored = read_pixels(path, SIZE)
        assert abs(stored[1, 1].astype(int) - (255, 0, 0)).max() < 60
        from PIL import ImageOps

        with Image.open(path) as image:
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        np.testing.assert_array_equal(read_pixels(path, turned), upright)


def test_a_square_turned_image_is_ambiguous(tmp_path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(scene()[:, :16]).save(tmp_path / "a.jpg", exif=exif)
    assert "turn the pixels and remove the tag" in image_problem(tmp_path / "a.jpg", (16, 16))


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "bmp", "tif", "ppm", "jp2"])
def test_truncated_files_are_found_at_every_length(tmp_path, ending) -> None:
    path = tmp_path / f"a.{ending}"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (16, 24, 3)).astype(np.uint8)).save(path)
    whole = path.read_bytes()
    for length in (0, 1, 10, len(whole) // 3, len(whole) // 2, len(whole) - 60):
        path.write_bytes(whole[:length])
        assert image_problem(path, SIZE) is not None, length


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=200), head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"BM"])
)
def test_noise_is_refused_and_never_raises(tmp_path_factory, content, head) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.png"
    path.write_bytes(head + content)
    assert image_problem(path, SIZE) is not None


def test_animations_large_and_foreign_files(tmp_path) -> None:
    frames = [Image.fromarray(scene() + np.uint8(i)) for i in range(3)]
    for ending in ("gif", "webp", "png", "tif"):
        path = tmp_path / f"moving.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert "frames; save the one" in image_problem(path, SIZE), ending
    for sides in ((20000, 20000), (9000, 10000)):
        path = tmp_path / "large.png"
        Image.new("1", sides).save(path)
        assert any(w in image_problem(path, sides) for w in ("more than 89478485 pixels", "decompression bomb"))
    (tmp_path / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 16\nshowpage\n")
    assert "cannot be read" in image_problem(tmp_path / "script.jpg", SIZE)
    Image.fromarray(scene()).save(tmp_path / "lies.jpg", format="PNG")
    assert image_problem(tmp_path / "lies.jpg", SIZE) is None
    np.testing.assert_array_equal(read_pixels(tmp_path / "lies.jpg", SIZE), scene())


def test_a_missing_file_says_what_is_there(tmp_path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    problem = Pictures().problem(tmp_path / "a.jpg", SIZE, "images/a.jpg")
    assert str(problem) == "images/a.jpg: image file is missing; .png files of those names exist"
    assert image_problem(tmp_path / ("x" * 300 + ".jpg"), SIZE).startswith("image cannot be read")
    assert image_problem(tmp_path, SIZE) == "image file is missing"


def test_a_flipped_byte_of_a_png_is_found(tmp_path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(scene()).save(path)
    whole = path.read_bytes()
    for place in range(8, len(whole) - 4, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert image_problem(path, SIZE) is not None, place


def jpegs() -> dict[str, bytes]:
    """JPEGs of many makes, by name."""
    grey, colour = Image.fromarray(GREY.astype(np.uint8)), Image.fromarray(scene())
    exif = Image.Exif()
    exif[274] = 6
    icc = b"\0" * 40
    makes = {
        "plain": (colour, {}),
        "grey": (grey, {}),
        "cmyk": (colour.convert("CMYK"), {}),
        "progressive": (colour, {"progressive": True}),
        "restarts": (colour, {"restart_marker_blocks": 1}),
        "comment": (colour, {"comment": b"\xff\xd9 made up"}),
        "profile": (colour, {"icc_profile": icc}),
        "two profiles": (colour, {"icc_profile": icc * 2000}),
        "turned": (colour, {"exif": exif}),
        "exif": (colour, {"exif": Image.Exif()}),
        "coarse": (colour, {"quality": 3, "subsampling": 0}),
        "tables": (colour, {"qtables": [[300] * 64, [1] * 64]}),
        "several": (colour, {"format": "MPO", "save_all": True, "append_images": [colour]}),
        "extra": (colour, {"extra": b"\xff\xed\x00\x10Photoshop 3.0\0"}),
        "adobe": (colour, {"extra": b"\xff\xee\x00\x0eAdobe\0d\0\0\0\0\1"}),
    }
    found = {}
    for name, (image, how) in makes.items():
        stream = io.BytesIO()
        image.save(stream, **{"format": "JPEG", **how})
        found[name] = stream.getvalue()
    return found


@pytest.mark.parametrize("name", jpegs())
def test_what_is_seen_at_once_is_what_pillow_finds(tmp_path, name) -> None:
    path, whole, rng = tmp_path / "a.jpg", jpegs()[name], np.random.default_rng(7)
    path.write_bytes(whole)
    plain = name not in ("cmyk", "two profiles", "turned", "exif", "tables", "several", "extra")
    assert surely_sound(str(path), SIZE) == plain and image_problem(path, SIZE) is None
    assert not surely_sound(str(path), (24, 17))
    scan = whole.index(b"\xff\xda")
    seen = 0
    for number in range(600):
        raw = bytearray(whole)
        for place in rng.integers(0, scan + 14, rng.choice([1, 1, 2, 6])).tolist():
            raw[place] = int(rng.choice([0, 1, 2, 8, 0xC0, 0xC2, 0xDB, 0xE1, 0xFF, *rng.integers(0, 256, 9)]))
        if not number % 3:
            at = int(rng.integers(0, len(raw)))
            raw[at : at + int(rng.integers(0, 40))] = rng.bytes(int(rng.integers(0, 3)))
        path.write_bytes(raw)
        if surely_sound(str(path), SIZE):
            seen += 1
            assert images._opened_problem(path, SIZE) is None, (number, bytes(raw[:scan]))
    assert seen > 50 or not plain


def test_nothing_is_seen_at_once_of_what_is_no_file(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "", "x" * 300, "nul\0l"):
        assert not surely_sound(f"{tmp_path}/{name}", SIZE)
