"""Rows as the DataFrames that MLflow takes, in the types of the signature.

MLflow leaves a column out of the frame when a request lacks it. So rows that lack different columns go into
different frames: a row's answer does not depend on the rows beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.encode import BadValue
from mlops_lib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.types import ColSpec

#: MLflow's column types that pandas cannot hold missing values in. Null counts as absent there.
WITHOUT_GAPS = ("boolean", "integer", "long")
WANTED = {
    "boolean": "true or false",
    "integer": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "float": "a number of 32 bits",
    "double": "a number",
    "datetime": "a date or time in ISO form between 1677-09-22 and 2262-04-11",
}


class FrameMaker:
    """Makes frames of rows: ``{column: value}``, or for columns without names a list of values,
    or the only value.

    Args:
        columns: Columns of the signature. Some names are numbers, which rows have as text.
        fill: Whether a column that a row lacks has a missing value, in the types that can hold one:
            an estimator needs all its columns, and Python code can tell null from absent.
    """

    def __init__(self, columns: "Sequence[ColSpec]", fill: bool) -> None:
        named = [
            (column.name if column.name is not None else at, column) for at, column in enumerate(columns)
        ]
        #: Name in rows -> name in the frame.
        self._names = {str(name): name for name, _ in named}
        self._kinds = {str(name): getattr(column.type, "name", "") for name, column in named}
        self._fill = fill
        self._optional = [str(name) for name, column in named if not column.required]
        self._has_names = all(column.name is not None for column in columns)

    def __call__(self, rows: Sequence[Any]) -> "list[tuple[list[int], pd.DataFrame]]":
        """Frames, each with the numbers of its rows.

        Raises:
            InputError: A row lacks a column.
            BadValue: A value does not fit its column.
        """
        rows = list(map(self._named, rows))
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, row in enumerate(rows):
            groups.setdefault(self._absent(row) if self._optional else (), []).append(number)
        return [(numbers, self._frame(rows, numbers, absent)) for absent, numbers in groups.items()]

    def _named(self, row: Any) -> Mapping[Any, Any]:
        if self._has_names and isinstance(row, Mapping):
            return row
        values = [row] if len(self._names) == 1 else row
        if not isinstance(values, list | tuple) or len(values) != len(self._names):
            raise InputError(f"A row must be a list of {len(self._names)} values: {', '.join(self._names)}.")
        return dict(zip(self._names, values, strict=True))

    def _absent(self, row: Mapping[Any, Any]) -> tuple[str, ...]:
        """The optional columns that a row lacks, or has null in where null counts as absent."""
        return tuple(
            name
            for name in self._optional
            if (
                row.get(name) is None
                if self._kinds[name] in WITHOUT_GAPS
                else name not in row and not self._fill
            )
        )

    def _frame(
        self, rows: Sequence[Mapping[Any, Any]], numbers: list[int], absent: tuple[str, ...]
    ) -> "pd.DataFrame":
        import pandas as pd

        made = {}
        for name, in_frame in self._names.items():
            if name in absent:
                continue
            try:
                if self._fill and name in self._optional:
                    values = [rows[number].get(name) for number in numbers]
                else:
                    values = [rows[number][name] for number in numbers]
            except KeyError:
                number = next(number for number in numbers if name not in rows[number])
                raise InputError(f"Row {number} has no column {name!r}, which the model takes.") from None
            made[in_frame] = self._column(name, values, numbers)
        return pd.DataFrame(made, index=range(len(numbers)))

    def _column(self, name: str, values: list[Any], numbers: list[int]) -> Any:
        kind = self._kinds[name]
        convert = CONVERT.get(kind, _objects)
        try:
            return convert(values)
        except (TypeError, ValueError, OverflowError):
            for number, value in zip(numbers, values, strict=True):
                try:
                    convert([value])
                except (TypeError, ValueError, OverflowError):
                    raise BadValue(number, name, value, WANTED[kind]) from None
            raise


def exact(values: Any, dtype: Any) -> np.ndarray:
    """Values as an array.

    Raises:
        OverflowError: A number is beyond the dtype: NumPy would make an infinity of it.
    """
    with np.errstate(over="raise"):
        try:
            return np.asarray(values, dtype=dtype)
        except FloatingPointError:
            raise OverflowError(f"a number is beyond {np.dtype(dtype)}") from None


def _numbers(dtype: Any) -> Callable[[list[Any]], np.ndarray]:
    def convert(values: list[Any]) -> np.ndarray:
        if any(isinstance(value, str | bytes | list) for value in values):
            raise TypeError("text or a list is no number")
        return exact(values, dtype)

    return convert


def _whole(bits: int) -> Callable[[list[Any]], np.ndarray]:
    def convert(values: list[Any]) -> np.ndarray:
        if any(isinstance(value, str | bytes) or value != int(value) for value in values):
            raise ValueError("not a whole number")
        return np.array(list(map(int, values)), dtype=f"int{bits}")

    return convert


def _booleans(values: list[Any]) -> np.ndarray:
    if not all(isinstance(value, bool | np.bool_) for value in values):
        raise TypeError("not true or false")
    return np.array(values, dtype=bool)


def _times(values: list[Any]) -> Any:
    """Nanoseconds since 1970 in UTC, without a zone."""
    import pandas as pd

    return pd.to_datetime(values, utc=True, format="ISO8601").tz_localize(None).as_unit("ns")


def _objects(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):  # an assignment of all at once would unpack lists
        column[number] = value
    return column


CONVERT: dict[str, Callable[[list[Any]], Any]] = {
    "boolean": _booleans, "integer": _whole(32), "long": _whole(64),
    "float": _numbers(np.float32), "double": _numbers(np.float64), "datetime": _times,
}  # fmt: skip
