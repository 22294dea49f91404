"""Images as tensors: decoded, resized and scaled, by the same code in training, in the service and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np

from ..columns.images import ImageFile, pillow, upright
from ..columns.schema import Column
from .spec import InputSpec

#: Bytes of files from which decoding in threads takes less time. Pillow releases Python's lock while it decodes.
THREADED_BYTES = 64 * 1024
#: Bytes of a file that is too large for a model's example.
LARGE_BYTES = 64 * 1024


class Images:
    """The tensor of a column of images.

    Attributes:
        threads: Decode large batches; None: they are decoded one by one.

    Args:
        column: The column.
        spec: Its input: ``shape`` [channels, height, width], ``dtype``, ``resize``, ``mean`` and ``std``.

    Raises:
        ImportError: Pillow is not installed.
    """

    def __init__(self, column: Column, spec: InputSpec) -> None:
        pillow()
        self.threads: ThreadPoolExecutor | None = None
        self._part, self._resize, self._dtype = ImageFile(column, {}), spec.resize, spec.dtype
        self.channels, self.height, self.width = (size or 0 for size in spec.shape)
        self._at_least = spec.draft * max(self.width, self.height)
        self._mean, self._std = (_of_channels(one) for one in (spec.mean, spec.std))

    def files(self, values: Sequence[Any] | np.ndarray, rows: int) -> np.ndarray:
        """The bytes of each value, objects [rows]. They are decoded when a batch is made.

        A value may be an image of `tensor` already, an array; it stays one.

        Raises:
            BadValue: A value is no bytes, no base64 and no such array.
        """
        found, shape = np.empty(rows, dtype=object), (self.channels, self.height, self.width)
        for row, value in enumerate(values):
            is_made = isinstance(value, np.ndarray) and (value.shape, value.dtype) == (shape, self._dtype)
            found[row] = value if is_made else self._part.file(row, value)
        return found

    def tensor(
        self, files: np.ndarray, empty: Callable[[tuple[int, ...], Any], np.ndarray] = np.empty
    ) -> np.ndarray:
        """The images [rows, channels, height, width]: uint8, or float32 from 0 to 1, less ``mean`` and divided by ``std``.

        Args:
            files: Of `files`.
            empty: Makes the array of a shape and dtype.

        Raises:
            BadValue: A file is no image, or is broken; the row is counted from the first of `files`.
        """
        found = empty((len(files), self.channels, self.height, self.width), self._dtype)

        def decode(row: int) -> None:
            file = files[row]
            if isinstance(file, np.ndarray):
                found[row] = file
                return
            try:
                self._scale(self.pixels(file), found[row])
            except ValueError as error:
                self._part.refused(row, f"{len(file):,} bytes ({error})")

        is_large = sum(map(len, files)) >= THREADED_BYTES
        each = self.threads.map if self.threads and is_large else map
        for _ in each(decode, range(len(files))):
            pass
        return found

    def _scale(self, pixels: np.ndarray, into: np.ndarray) -> None:
        if self._dtype == "uint8":
            into[:] = pixels
            return
        np.divide(pixels, np.float32(255), out=into)
        if self._mean is not None:
            into -= self._mean
        if self._std is not None:
            into /= self._std

    def small(self, file: bytes) -> bytes:
        """A file with the same `pixels`: a PNG of them, if the file is larger than that."""
        from PIL import Image

        if len(file) <= LARGE_BYTES:
            return file
        pixels, held = self.pixels(file), BytesIO()
        Image.fromarray(pixels[0] if self.channels == 1 else pixels.transpose(1, 2, 0)).save(held, "PNG")
        return min(file, held.getvalue(), key=len)

    def pixels(self, file: bytes) -> np.ndarray:
        """The resized image of a file, uint8 [channels, height, width].

        Raises:
            ValueError: The file is no image, or is broken.
        """
        from PIL import Image, ImageOps

        size, mode = (self.width, self.height), "L" if self.channels == 1 else "RGB"
        image = upright(file, self._at_least)
        if image.mode != mode:  # convert would copy it
            image = image.convert(mode)
        if self._resize == "crop":
            image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
        elif self._resize == "pad":
            width, height = image.size
            if round(height / width * self.width) == 0:  # Pillow would leave nothing of a thin image
                image = image.resize((self.width, 1), Image.Resampling.BILINEAR)
            elif round(width / height * self.height) == 0:
                image = image.resize((1, self.height), Image.Resampling.BILINEAR)
            image = ImageOps.pad(image, size, Image.Resampling.BILINEAR)
        else:
            image = image.resize(size, Image.Resampling.BILINEAR)
        found = np.asarray(image)
        return found[None] if self.channels == 1 else found.transpose(2, 0, 1)


def _of_channels(values: Sequence[float]) -> np.ndarray | None:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1) if values else None
