"""Image files for tests."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image's file."""
    held = BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def noise(draw: np.random.Generator, width: int = 12, height: int = 10, mode: str = "RGB") -> Image.Image:
    """An image of random pixels, in any of Pillow's modes."""
    grey = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 65_536, (height, width), dtype=np.uint16))
    image = Image.fromarray(grey)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(draw.integers(0, 256, (height, width), dtype=np.uint8)))
    return image.convert(mode)


def turned(orientation: int) -> Image.Exif:
    """EXIF data with an orientation, from 1 to 8."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def random_files(rows: int, seed: int = 0) -> list[bytes]:
    """Files of many sizes, modes, formats and orientations."""
    draw, files = np.random.default_rng(seed), []
    for _ in range(rows):
        kind, modes = [
            ("PNG", ("RGB", "L", "RGBA", "LA", "P", "1", "I;16")),
            ("JPEG", ("RGB", "L", "CMYK")),
            ("WEBP", ("RGB", "RGBA")),
            ("GIF", ("P", "L")),
            ("BMP", ("RGB", "L")),
        ][draw.integers(5)]
        width, height = draw.integers(1, 90, 2).tolist()
        image = noise(draw, width, height, modes[draw.integers(len(modes))])
        more = {"exif": turned(int(draw.integers(1, 9)))} if kind in ("PNG", "JPEG", "WEBP") else {}
        files.append(encoded(image, kind, **more))
    return files
