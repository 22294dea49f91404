"""Images: a value is the bytes of an encoded file, in JSON as base64. Pillow opens them, and is imported on use."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from contextlib import nullcontext
from io import BytesIO
from threading import Lock
from typing import Any, NoReturn

import numpy as np

from .part import BadValue, Part
from .schema import Column
from .text import is_missing

#: Pillow's names of the formats that are opened, and the first bytes of their files.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
STARTS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP|GIF8[79]a|BM", re.DOTALL)
#: Letters of a text in an error.
MAX_SHOWN = 60
#: Most pixels of an image: a small file may hold an image that fills the memory.
MAX_PIXELS = 50_000_000
#: An image of more is decoded alone in its process: of odd modes, it takes up to 16 bytes a pixel.
LARGE_PIXELS = 12_000_000
_decodes_large = Lock()
#: Characters of base64 that are decoded at once: binascii holds Python's lock, and the event
#: loop may wait for it.
PIECE = 2**18
#: Number of the orientation in EXIF data, and the number of Pillow's operation for each of its values.
_ORIENTATION, _TURNS = 0x0112, {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
#: Start of the base64 in a data URL.
_BASE64 = ";base64,"


def is_image_file(value: bytes) -> bool:
    """Whether bytes start as a file of one of `FORMATS` does."""
    return STARTS.match(value) is not None


def decoded(text: str) -> bytes:
    """The bytes of base64, plain or in a data URL; it may be in lines.

    Raises:
        ValueError: It is no base64.
    """
    if text.startswith("data:"):
        _, found, text = text.partition(_BASE64)
        if not found:
            raise ValueError(f"a data URL without {_BASE64}")
    try:
        return _in_pieces(text)
    except ValueError:  # whitespace is rare, and to search for it takes as long as to decode
        return _in_pieces("".join(text.split()))


def _in_pieces(text: str) -> bytes:
    starts = range(0, len(text), PIECE)
    found = [binascii.a2b_base64(text[at : at + PIECE], strict_mode=True) for at in starts]
    if any(len(piece) != PIECE // 4 * 3 for piece in found[:-1]):
        raise ValueError("padding in the middle")
    return b"".join(found)


def opened(file: bytes) -> Any:
    """The image of a file as Pillow opens it: size and mode are known, and no pixel is decoded.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: The file is none of `FORMATS`, is broken, or has more than `MAX_PIXELS`.
    """
    Image = pillow()
    if not is_image_file(file):
        raise ValueError("no file of a known format" if file else "an empty file")
    try:
        image = Image.open(BytesIO(file), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise ValueError("broken") from None
    except Exception as error:  # a broken file makes decoders raise anything
        raise ValueError(f"broken: {error}") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def pillow() -> Any:
    """The module ``PIL.Image``.

    Raises:
        ImportError: Pillow is not installed; says how to install it.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "Images need Pillow. Install it with: pip install 'mlops-lib[images]' (elsewhere: pip install pillow)"
        ) from None
    return Image


def upright(file: bytes, at_least: int = 0) -> Any:
    """The decoded image of a file in mode L or RGB: turned as its EXIF data say, transparent parts on white.

    The first frame of an animation. Of 16 bits a pixel, the upper 8.

    Args:
        file: The bytes.
        at_least: A JPEG may be decoded at a half, quarter or eighth of its size, if its sides stay this long; 0: it
            is decoded whole.

    Raises:
        ValueError: As of `opened`, or the pixels are broken.
    """
    image = opened(file)
    try:
        if at_least:
            image.draft(None, (at_least, at_least))
        is_large = image.width * image.height > LARGE_PIXELS
        with _decodes_large if is_large else nullcontext():
            return _loaded(image)
    except Exception as error:  # a broken file makes decoders raise anything
        raise ValueError(f"broken: {error}") from None


def _loaded(image: Any) -> Any:
    """The decoded image; raises whatever a broken file makes decoders raise."""
    from PIL import Image

    image.load()
    image = _turned(image)
    if image.mode.startswith("I"):  # Pillow would cut off at 255
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def _turned(image: Any) -> Any:
    """The image with its top up."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # of broken EXIF data, which say nothing about the pixels
        return image
    return image if turn is None else image.transpose(turn)


class ImageFile(Part):
    """The bytes of an image file. No encoder makes columns of it: a network takes it as an input."""

    wanted = "an image: the bytes of a PNG, JPEG, WebP, GIF or BMP file, in JSON as base64"

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self.outputs = ()

    def file(self, row: int, value: Any) -> bytes:
        """The bytes of one value; `row` is for the error."""
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            try:
                return decoded(value)
            except ValueError:
                self.refused(
                    row, f"{value[:MAX_SHOWN]!r}{'...' * (len(value) > MAX_SHOWN)}, which is no base64"
                )
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        if is_missing(value):
            raise BadValue(row, self.name, value, f"{self.wanted}; none may be missing")
        self.bad(row, value)

    def refused(self, row: int, described: str) -> NoReturn:
        """Raise a BadValue with a description of the value, which may be long."""
        raise BadValue(row, self.name, Described(described), self.wanted) from None


class Described(str):
    """A description in the place of a value, shown without quotes."""

    def __repr__(self) -> str:
        return str(self)
