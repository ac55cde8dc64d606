"""Every kind of image file becomes upright 8-bit RGB, or is refused with a reason."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.data.images import (
    ImageHeader,
    ImageTooLargeError,
    UnreadableImageError,
    decode,
    read_header,
    thumbnail,
)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
LOSSY = ("JPEG", "WEBP", "GIF")


def _picture(width: int = 40, height: int = 30) -> Image.Image:
    """Return pixels whose red grows to the right and green downwards; blue is constant."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 90)], axis=-1).astype(np.uint8))


def _bytes(image: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def _expected(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_is_read(file_format: str) -> None:
    data = _bytes(_picture(), file_format)

    pixels = decode(data)

    assert read_header(data) == ImageHeader(f"image/{file_format.lower()}", 40, 30)
    assert pixels.dtype == torch.uint8
    assert pixels.permute(1, 2, 0).is_contiguous()
    difference = (pixels.int() - _expected(_picture()).int()).abs().float().mean()
    assert difference <= (12 if file_format in LOSSY else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_are_turned_upright(file_format: str, orientation: int) -> None:
    upright = _picture()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = _bytes(stored, file_format, exif=exif, **options)

    pixels = decode(data)

    header = read_header(data)
    assert (header.width, header.height) == (40, 30)
    difference = (pixels.int() - _expected(upright).int()).abs().float().mean()
    assert difference <= (12 if file_format == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_invalid_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    assert decode(_bytes(_picture(), "JPEG", exif=exif)).shape == (3, 30, 40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_ignored() -> None:
    data = _bytes(_picture(), "PNG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff")

    assert decode(data).shape == (3, 30, 40)


def test_transparent_pixels_are_blended_with_white() -> None:
    pixels = [(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 127)]
    image = Image.new("RGBA", (3, 1))
    image.putdata(pixels)

    decoded = decode(_bytes(image, "PNG"))

    assert decoded[:, 0].T.tolist() == [[255, 0, 0], [255, 255, 255], [128, 128, 128]]


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_becomes_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 5 if mode != "RGB" else (5, 5, 5))
    if mode == "P":
        image.putpalette([0, 0, 0] + [5, 5, 5] * 255)
    transparency = 0 if mode != "RGB" else (0, 0, 0)

    decoded = decode(_bytes(image, "PNG", transparency=transparency))

    assert decoded[:, 0].T.tolist() == [[255, 255, 255], [5, 5, 5]]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_values_keep_their_upper_eight_bits(file_format: str) -> None:
    values = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], dtype=np.uint16)

    decoded = decode(_bytes(Image.fromarray(values), file_format))

    assert decoded[:, 0].T.tolist() == [[v >> 8] * 3 for v in values[0].tolist()]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = Image.new("RGB", (16, 16), (255, 255, 255)).convert(mode)

    decoded = decode(_bytes(grey, "JPEG" if mode in ("CMYK", "YCbCr") else "TIFF"))

    assert decoded.shape == (3, 16, 16)
    assert decoded.min() >= 250


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((4, 4), dtype=np.float32), "floating-point"),
        (np.full((4, 4), 70_000, dtype=np.int32), "more than 16 bits"),
    ],
)
def test_pixels_without_a_known_range_are_refused(values: np.ndarray, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        decode(_bytes(Image.fromarray(values), "TIFF"))


def test_the_first_frame_is_read() -> None:
    second = Image.new("RGB", (40, 30))

    data = _bytes(_picture(), "GIF", save_all=True, append_images=[second])

    assert decode(data).float().mean() > 50


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_truncated_file_is_refused(file_format: str) -> None:
    data = _bytes(_noise(), file_format)

    for share in (0.2, 0.5, 0.9):
        with pytest.raises(UnreadableImageError, match=r"damaged|not a JPEG"):
            decode(data[: int(len(data) * share)])


def _noise() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a JPEG, PNG, WebP, BMP, TIFF or GIF image"),
        (b"%PDF-1.7", "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        (b"\x89PNG\r\n\x1a\n", "damaged|not a JPEG"),
    ],
)
@pytest.mark.parametrize("read", [read_header, decode])
def test_other_bytes_are_refused(read: Callable[[bytes], object], data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        read(data)


def test_formats_outside_the_list_are_refused() -> None:
    with pytest.raises(UnreadableImageError, match="not a JPEG"):
        read_header(_bytes(_picture(), "PPM"))


@pytest.mark.parametrize(
    ("enough", "expected"),
    [
        ((30, 40), (30, 40)),
        ((16, 21), (30, 40)),
        ((15, 20), (15, 20)),
        ((7, 10), (8, 10)),
        ((1, 1), (4, 5)),
        ((99, 99), (30, 40)),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_sufficient_scale(
    enough: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert decode(_bytes(_picture(), "JPEG"), enough=enough).shape[1:] == expected
    assert decode(_bytes(_picture(), "PNG"), enough=enough).shape[1:] == (30, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_small_decode_is_upright_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _bytes(_picture(320, 160), "JPEG", exif=exif, quality=95)
    whole = decode(data)

    small = decode(data, enough=(whole.shape[1] // 4, whole.shape[2] // 4))

    assert (whole.shape[1] // 4, whole.shape[2] // 4) == small.shape[1:]
    averaged = torch.nn.functional.avg_pool2d(whole.float(), 4)
    assert (small.float() - averaged).abs().mean() < 1.5


def test_a_truncated_file_is_refused_at_any_size() -> None:
    data = _bytes(_picture(640, 480), "JPEG")

    with pytest.raises(UnreadableImageError, match="damaged"):
        decode(data[: len(data) * 2 // 3], enough=(1, 1))


def test_the_pixel_limit_applies_to_the_whole_image() -> None:
    with pytest.raises(ImageTooLargeError, match="40 x 30"):
        decode(_bytes(_picture(), "JPEG"), max_pixels=1199, enough=(1, 1))


def test_too_large_an_image_is_refused_before_decoding() -> None:
    fields = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + fields
    header += struct.pack(">I", zlib.crc32(fields)) + struct.pack(">I", 0) + b"IDAT"

    assert read_header(header) == ImageHeader("image/png", 30_000, 30_000)
    with pytest.raises(ImageTooLargeError, match="30000 x 30000 pixels are more than 1000000"):
        decode(header, max_pixels=1_000_000)


def test_a_thumbnail_is_small_and_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    small = thumbnail(_bytes(_picture(400, 200), "JPEG", exif=exif), 64)

    assert read_header(small) == ImageHeader("image/jpeg", 32, 64)


@pytest.mark.filterwarnings("ignore")  # Pillow warns about files that it then reads
@settings(max_examples=150, deadline=None)
@given(
    file_format=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0.1, 1),
)
def test_damaged_files_are_read_or_refused(
    file_format: str, edits: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(_bytes(_picture(), file_format))
    for position, value in edits:
        data[position % len(data)] = value

    pixels = None
    with contextlib.suppress(UnreadableImageError):
        pixels = decode(bytes(data[: int(len(data) * keep)]), max_pixels=100_000)

    assert pixels is None or pixels.shape[0] == 3


def test_a_photograph_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    _picture(640, 480).save(path, progressive=True, subsampling="4:2:0")

    assert decode(path.read_bytes()).shape == (3, 480, 640)
