"""Images in the rows of a request: encoded files, as bytes or base64, or the tensors that a network makes of them.

A value is checked here as far as it can be without opening it. `mlops_lib` decodes the files, with the rest of a batch.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
from msgspec import UNSET

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.images import MAX_PIXELS, Described, decoded, opened
from mlops_lib.network_inputs.spec import InputSpec
from serving.inference.fields import Field, shape_text
from serving.web.problems import Problem

#: Most pixels of all files in a request: files of a few kB may take minutes to decode.
MAX_REQUEST_PIXELS = 4 * MAX_PIXELS
#: Characters of a text for an error.
MAX_TEXT = 60


class ImageColumn:
    """The values of one column of images.

    Args:
        field: The column.
        inputs: Of the network, by name.
    """

    def __init__(self, field: Field, inputs: Mapping[str, InputSpec]) -> None:
        self.name, self.nullable = field.name, field.nullable
        specs = [spec for spec in inputs.values() if spec.form == "image" and spec.columns == (field.name,)]
        #: Shape and dtype of the network's tensor for one row; None where two inputs make different ones of the column.
        self.tensor = (
            (tuple(size or 0 for size in specs[0].shape), np.dtype(specs[0].dtype))
            if len(specs) == 1
            else None
        )
        self.wanted = field.wanted
        if self.tensor:
            self.wanted += (
                f", or {self.tensor[1]} of shape {shape_text(self.tensor[0])}, which is not decoded"
            )

    def read(self, row: int, value: Any) -> Any:
        """The file's bytes, or the tensor as an array; a missing value as it is.

        Raises:
            BadValue: It is neither.
        """
        if isinstance(value, bytes) and value:
            return value
        if isinstance(value, str):
            return self._of_text(row, value)
        if isinstance(value, list | np.ndarray):
            return self._of_numbers(row, value)
        if value is UNSET or (value is None and self.nullable):
            return value
        missing = "; the training data had no gaps in this column" if value is None else ""
        raise self._bad(row, Described("an empty file") if value == b"" else value, missing)

    def _of_text(self, row: int, text: str) -> bytes:
        try:
            found = decoded(text)
        except ValueError as error:
            raise self._bad(row, text[:MAX_TEXT], f". This text is not base64: {error}") from None
        if not found:
            raise self._bad(row, Described("an empty text"))
        return found

    def _of_numbers(self, row: int, values: "list[Any] | np.ndarray") -> np.ndarray:
        if not self.tensor:
            raise self._bad(row, Described("a list"))
        shape, dtype = self.tensor
        try:
            given = np.asarray(values)
        except ValueError:  # lists of different lengths
            raise self._bad(row, Described("lists of different lengths")) from None
        if given.shape != shape or given.dtype.kind not in ("uif" if dtype.kind == "f" else "ui"):
            raise self._bad(row, Described(f"{given.dtype} of shape {shape_text(given.shape)}"))
        with np.errstate(over="ignore"):
            made = given.astype(dtype)
        if dtype.kind == "f" and not np.isfinite(made).all():
            raise self._bad(row, Described("numbers that are not all finite"))
        if dtype.kind != "f" and (made != given).any():
            raise self._bad(row, Described(f"numbers beyond {dtype}"))
        return made

    def _bad(self, row: int, value: Any, more: str = "") -> BadValue:
        return BadValue(row, self.name, value, self.wanted + (" or null" if self.nullable else "") + more)


def read_all(rows: Sequence[Any], columns: Mapping[str, ImageColumn]) -> None:
    """Replace the images in rows (structs) by the values of `ImageColumn.read`.

    Args:
        columns: Attribute of a row -> its column.

    Raises:
        BadValue: A value is no image.
        Problem: 413 for files of more than `MAX_REQUEST_PIXELS`.
    """
    files: list[bytes] = []
    for attribute, column in columns.items():
        for number, row in enumerate(rows):
            value = column.read(number, getattr(row, attribute))
            setattr(row, attribute, value)
            if isinstance(value, bytes):
                files.append(value)
    if (
        len(files) * MAX_PIXELS > MAX_REQUEST_PIXELS
        and (pixels := sum(map(_pixels, files))) > MAX_REQUEST_PIXELS
    ):
        detail = (
            f"The {len(files)} images have {pixels:,} pixels, and a request may have {MAX_REQUEST_PIXELS:,}. "
            "Send fewer rows a request."
        )
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_pixels", detail)


def _pixels(file: bytes) -> int:
    """Pixels of a file, by its head; 0 for one that cannot be opened: decoding it refuses its row."""
    try:
        image = opened(file)
    except (ValueError, ImportError):
        return 0
    return int(image.width * image.height)
