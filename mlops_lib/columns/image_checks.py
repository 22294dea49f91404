"""Decode every image of a dataset once, before a model is trained: broken files are named, and sizes are measured."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlops_lib.columns.images import ImageFile, opened, upright
from mlops_lib.columns.memory import rows_at_once
from mlops_lib.columns.part import BadValue
from mlops_lib.columns.schema import Column
from mlops_lib.errors import DataError

#: Rows that are looked at together, and files that an error lists.
BATCH_ROWS, LISTED = 4_096, 10


@dataclass
class _Found:
    """What all splits hold.

    Attributes:
        formats: Pillow's name of a format -> files.
        sizes: (width, height) -> the first file of that size.
        colour: Whether a file has colours.
        refused: A line for each file that cannot be read.
        files: Digest of a file -> its first name, and the split that this is in.
        twice: Files that are in the test split too.
    """

    formats: Counter[str] = field(default_factory=Counter)
    sizes: dict[tuple[int, int], str] = field(default_factory=dict)
    colour: bool = False
    refused: list[str] = field(default_factory=list)
    files: dict[bytes, tuple[str, Any]] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)


def checked(column: Column, splits: Mapping[Any, Path], key: str) -> Column:
    """The column with the shape of its images ([channels, height, width]; -1 where they differ) and what they are.

    Args:
        column: Of images.
        splits: The Parquet file of each split.
        key: Column that names the rows; "": their numbers do.

    Raises:
        DataError: Files cannot be read as images; names the first ten. Pillow is missing.
    """
    found, rows = _Found(), 0
    with ThreadPoolExecutor() as pool:  # Pillow decodes without the GIL
        for split, path in splits.items():
            for names, values in _parts(path, column.name, key):
                rows += len(values)
                for name, value, result in zip(names, values, pool.map(_measured, values), strict=True):
                    _add(found, f"{name} ({split})", result)
                    _compare(found, name, value, split)
    if found.refused:
        listed = "\n".join(found.refused[:LISTED])
        more = len(found.refused) - LISTED
        raise DataError(
            f"{len(found.refused)} of {rows} values of column {column.name!r} are no images that can be read:\n{listed}\n"
            + (f"... and {more} more.\n" if more > 0 else "")
            + "Replace or remove them in the source, or leave the column out with data.columns (drop)."
        )
    reason = f"{column.reason}; {_described(found)}"
    if found.twice:
        reason += f"; WARNING: {len(found.twice)} files of test are in another split too: {found.twice[0]}"
    return replace(column, shape=_shape(found), reason=reason)


def _parts(path: Path, column: str, key: str) -> Iterator[tuple[list[str], list[Any]]]:
    """Names and values of some rows at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as stored:
        first = 0
        for batch in stored.iter_batches(
            rows_at_once(stored, BATCH_ROWS), columns=[*dict.fromkeys([column, *([key] if key else [])])]
        ):
            values = batch.column(column).to_pylist()
            numbers = range(first, first + len(values))
            first += len(values)
            yield [str(one) for one in (batch.column(key).to_pylist() if key else numbers)], values


def _measured(value: Any) -> tuple[str, tuple[int, int], bool] | str | None:
    """Format, size and whether it has colours; the reason why it cannot be read; None without a value."""
    if value is None:
        return None
    try:
        file = _FILE.file(0, value)
        image, stored = upright(file), opened(file)
        return stored.format, image.size, image.mode != "L" and _has_colour(image, stored.mode)
    except BadValue as error:
        return str(error.value)
    except ValueError as error:
        return f"{len(file):,} bytes, {error}"
    except ImportError as error:
        raise DataError(str(error)) from None


def _has_colour(image: Any, stored: str) -> bool:
    """Whether an image has colours; of a palette, and of grey with transparency, its pixels say so."""
    if stored not in ("P", "PA", "L", "LA", "1"):
        return True
    pixels = np.asarray(image)
    return bool((pixels != pixels[..., :1]).any())


def _add(found: _Found, name: str, result: tuple[str, tuple[int, int], bool] | str | None) -> None:
    if isinstance(result, str):
        found.refused.append(f"  {name}: {result}")
    elif result:
        kind, size, has_colour = result
        found.formats[kind] += 1
        found.sizes.setdefault(size, name)
        found.colour |= has_colour


def _compare(found: _Found, name: str, value: Any, split: Any) -> None:
    """Note a file of the test split that another split has too."""
    if isinstance(value, bytes):
        other, where = found.files.setdefault(hashlib.sha256(value).digest()[:16], (name, split))
        if split == "test" != where:
            found.twice.append(f"{name} is {other} of {where}")


def _shape(found: _Found) -> tuple[int, ...]:
    if not found.sizes:
        return ()
    sides = (set(lengths) for lengths in zip(*found.sizes, strict=True))
    width, height = (one.pop() if len(one) == 1 else -1 for one in sides)
    return (3 if found.colour else 1, height, width)


def _described(found: _Found) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.formats.most_common()) or "none"
    by_area = sorted(found.sizes, key=lambda size: (size[0] * size[1], size))
    if len(by_area) < 2:
        return kinds + "".join(f", all of {width} x {height}" for width, height in by_area)
    ends = (f"{w} x {h}, as {found.sizes[w, h]}" for w, h in (by_area[0], by_area[-1]))
    return f"{kinds}, of {len(by_area):,} sizes from {' to '.join(ends)}"


_FILE = ImageFile(Column("image", "image"), {})
