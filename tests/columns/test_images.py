"""Files of images: those that open, with the pixels they must have, and those that are refused with a reason."""

import base64
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlops_lib.columns.image_checks import checked
from mlops_lib.columns.images import PIECE, ImageFile, decoded, is_image_file, upright
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.json_rows import json_value
from mlops_lib.columns.part import BadValue
from mlops_lib.columns.schema import Column
from mlops_lib.errors import DataError
from tests.support.pictures import encoded, noise, turned

DRAW = np.random.default_rng(0)
PHOTO = ImageFile(Column("photo", "image"), {})
JPEG, PNG = (encoded(noise(DRAW, 40, 30), kind) for kind in ("JPEG", "PNG"))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG file that claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (png_of(60_000, 60_000), "60000 x 60000 pixels|decompression bomb"),
        (png_of(8_000, 7_000), "8000 x 7000 pixels, more than 50,000,000"),
        (png_of(0, 5), "broken"),
        (png_of(100, 100, b"\0" * 50), "broken"),
        (JPEG[: len(JPEG) // 2], "broken: image file is truncated"),
        (PNG[: len(PNG) // 2], "broken"),
        (PNG[:20], "broken"),
        (b"", "an empty file"),
        (b"<html>404</html>", "no file of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no file of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no file of a known format"),
        (encoded(noise(DRAW), "TIFF"), "no file of a known format"),
        (b"BM, said the man", "broken"),
        (b"\xff\xd8\xff" + b"\0" * 50, "broken"),
    ],
)
def test_hostile_files_are_refused_with_a_reason(file, reason):
    """Bombs, cut files, other formats and empty ones; nothing but ValueError."""
    with pytest.raises(ValueError, match=reason):
        upright(file)


def test_modes_become_grey_or_colours():
    """Transparent is white; of 16 bits the upper 8; CMYK and palettes are RGB; black and white is grey."""
    clear = Image.new("RGBA", (4, 3), (255, 0, 0, 0))
    assert np.unique(np.asarray(upright(encoded(clear)))).tolist() == [255]
    palette = Image.new("P", (4, 3))
    palette.putpalette([10, 20, 30])
    assert np.asarray(upright(encoded(palette)))[0, 0].tolist() == [10, 20, 30]
    assert upright(encoded(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert upright(encoded(Image.new("L", (4, 3), 7), transparency=7)).getpixel((0, 0)) == (255, 255, 255)
    deep = np.array([[0, 255, 256, 65_535]], dtype=np.uint16)
    assert np.asarray(upright(encoded(Image.fromarray(deep)))).tolist() == [[0, 0, 1, 255]]
    assert upright(encoded(Image.new("CMYK", (4, 3), (0, 0, 0, 0)), "JPEG")).getpixel((0, 0)) == (
        255,
        255,
        255,
    )
    assert upright(encoded(Image.new("1", (4, 3), 1))).mode == "L"


def test_an_animation_is_its_first_frame():
    """GIF and WebP."""
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert np.asarray(upright(file))[0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)


@pytest.mark.parametrize("turn", range(1, 9))
def test_images_are_turned_as_their_camera_says(turn):
    """As Pillow's own function turns them, in PNG and JPEG."""
    from PIL import ImageOps

    for kind in ("PNG", "JPEG"):
        file = encoded(noise(DRAW, 9, 7), kind, exif=turned(turn))
        import io

        wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
        assert np.array_equal(np.asarray(upright(file)), np.asarray(wanted))


def test_broken_exif_data_do_not_matter():
    """The pixels are fine."""
    file = encoded(noise(DRAW), "JPEG", exif=b"Exif\0\0MM\0*garbage" + b"\xff" * 40)
    assert upright(file).size == (12, 10)


def test_values_are_bytes_or_base64():
    """Also in a data URL, and in lines; a path, a number or nothing are refused, in few letters."""
    text = base64.b64encode(PNG).decode()
    lines = base64.encodebytes(PNG).decode()
    urls = [f"data:{kind};base64,{text}" for kind in ("image/png", "image/png;charset=utf-8", "")]
    for value in (PNG, bytearray(PNG), text, lines, f"  {text}\r", *urls):
        assert PHOTO.file(0, value) == PNG
    assert json_value(PNG, PHOTO.column) == text
    for value, shown in (("cat/1.png", "'cat/1.png', which is no base64"), (None, "None"), (3, "3"), (float("nan"), "nan")):  # fmt: skip
        with pytest.raises(BadValue, match=f"Row 5: 'photo' is {shown}, and must be an image"):
            PHOTO.file(5, value)
    large = bytes(range(256)) * 3_000
    pieces = base64.b64encode(large).decode()
    assert decoded(pieces) == decoded(base64.encodebytes(large).decode()) == large
    for broken in (
        pieces[: PIECE - 1] + "=" + pieces[PIECE:],
        pieces[:PIECE] + "!" + pieces[PIECE:],
        pieces[:-1],
    ):
        with pytest.raises(ValueError, match=r"\w"):
            decoded(broken)
    with pytest.raises(BadValue) as refused:
        PHOTO.file(0, "é" * 10_000)
    assert len(str(refused.value)) < 300


def test_a_binary_column_of_image_files_is_one_of_images():
    """By its first bytes; other bytes have no kind, as before."""
    rows = pa.table({"photo": [PNG, JPEG, None], "blob": [b"a", b"b", b"c"], "y": [0, 1, 0]})
    schema = infer(rows, Declared("y"))
    assert schema.kinds == {"photo": "image"}
    assert next(one for one in schema.columns if one.name == "blob").role == "ignored"
    assert is_image_file(JPEG) and not is_image_file(b"a")


def test_all_broken_files_are_named(tmp_path):
    """By their keys, the first ten with the reasons; good ones give the shape that all have."""
    names = [f"고양이/{i}.png" for i in range(30)]
    good = [encoded(noise(DRAW)) for _ in names]
    file = tmp_path / "train.parquet"
    column = Column("photo", "image", reason="files of images")

    def check(values):
        pq.write_table(pa.table({"key": names, "photo": values}), file, row_group_size=7)
        return checked(column, {"train": file, "validation": file}, "key")

    found = check(good)
    assert found.shape == (3, 10, 12) and found.reason == "files of images; 60 PNG, all of 12 x 10"
    grey = noise(DRAW, mode="L")
    palette = grey.quantize(16)
    as_grey = [
        encoded(palette, "GIF"),
        encoded(palette),
        encoded(grey.convert("LA")),
        encoded(grey, transparency=7),
    ]
    assert check([*as_grey, *[encoded(grey)] * 26]).shape == (1, 10, 12)
    assert check([*as_grey, *good[4:]]).shape == (3, 10, 12)
    sizes = check([*good[1:], encoded(noise(DRAW, 40, 10, "L"), "JPEG")])
    assert sizes.shape == (3, 10, -1)
    assert (
        "2 sizes from 12 x 10, as 고양이/0.png (train) to 40 x 10, as 고양이/29.png (train)" in sizes.reason
    )
    with pytest.raises(DataError) as refused:
        check([one[:50] if i % 2 else one for i, one in enumerate(good)])
    message = str(refused.value)
    assert message.startswith("30 of 60 values of column 'photo' are no images")
    assert "고양이/1.png (train): 50 bytes, broken" in message and "... and 20 more." in message
