"""Find rows with equal values among rows that need not fit into memory (docs/decisions/0602)."""

import tempfile
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from mlops_lib.errors import DataError
from mlops_lib.loaders.splitting import mix

if TYPE_CHECKING:
    import pandas as pd

#: Files that the hashes are spread over; one at a time is read back.
BUCKETS = 64
#: Hash of a missing value in a column of any type.
NO_VALUE = np.uint64(hash(None) % 2**64)


class Repeated:
    """Finds rows that share their values in some columns with another row.

    Call `see` with all rows first, then `among` with each part again. Eight bytes a row are written to a
    temporary folder, and one of its 64 files is in memory at once. Two different values may have the same
    64-bit hash, so `among` may mark a row too many, but never misses one.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self._folder = tempfile.TemporaryDirectory(prefix="mlops-unique-")
        self._files = [open(f"{self._folder.name}/{i:02}", "w+b") for i in range(BUCKETS)]  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    def see(self, frame: "pd.DataFrame") -> None:
        """Add the hashes of some rows."""
        hashes = np.sort(_hashes(frame[self.columns]))
        edges = np.searchsorted(hashes >> np.uint64(58), np.arange(BUCKETS + 1, dtype=np.uint64))
        for file, first, last in zip(self._files, edges[:-1], edges[1:], strict=True):
            file.write(hashes[first:last].tobytes())

    def among(self, frame: "pd.DataFrame") -> np.ndarray:
        """Which rows (bool [rows]) share their values with another row of all rows seen."""
        return np.isin(_hashes(frame[self.columns]), self.hashes)

    @cached_property
    def hashes(self) -> np.ndarray:
        """Hashes seen more than once; if there are none, no row needs to be read again."""
        return np.concatenate([self._repeated(i) for i in range(BUCKETS)])

    def _repeated(self, number: int) -> np.ndarray:
        file = self._files[number]
        file.seek(0)
        hashes = np.sort(np.frombuffer(file.read(), dtype=np.uint64))
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _hashes(frame: "pd.DataFrame") -> np.ndarray:
    """A 64-bit hash of each row [rows], the same for equal values in every part.

    The type of a column may differ between parts: pandas turns integers into floats where one is missing.
    """
    import pandas as pd
    from pandas.util import hash_pandas_object

    total = np.zeros(len(frame), dtype=np.uint64)
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        if pd.api.types.is_numeric_dtype(column):
            values = _of_numbers(column)
        elif column.dtype == object:
            # Python's hash is the same for equal values, 1 and Decimal(1) included; pandas hashes their text.
            try:
                values = column.where(column.notna(), None).map(hash).to_numpy(np.int64).view(np.uint64)
            except TypeError as error:
                raise DataError(
                    f"Column {name!r} cannot be checked for repeated values ({error}). Remove its `unique` from "
                    "data.checks."
                ) from None
        else:
            values = hash_pandas_object(column, index=False).to_numpy()
        total = mix(total + values, 1)
    return total


def _of_numbers(column: "pd.Series") -> np.ndarray:
    """A 64-bit hash of each number: the bits of its float, or of the integer if a
    float cannot hold it exactly."""
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # of -0.0 too
    bits = numbers.view(np.uint64).copy()
    bits[np.isnan(numbers)] = NO_VALUE
    wide = (np.abs(numbers) >= 2.0**53) & (np.abs(numbers) < 2.0**63)
    if wide.any():
        bits[wide] = column[wide].to_numpy(dtype=np.int64).view(np.uint64)
    return bits
