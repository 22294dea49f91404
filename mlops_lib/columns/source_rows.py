"""Rows of the source on their way through ``data.prepare``, in training and wherever the model answers.

Pandas is imported on use: a logged model carries this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from .dates import microseconds
from .json_rows import example_rows
from .part import BadValue
from .schema import TEXT_TYPES, Column, Schema
from .text import is_missing

if TYPE_CHECKING:
    import pandas as pd

#: Start of the Arrow types that rows of a request can have.
SENDABLE = ("int64", "double", "bool", "timestamp", "time", *TEXT_TYPES)


@dataclass(frozen=True)
class SourceRows:
    """How a row of the source becomes the features of a model.

    Attributes:
        prepare: ``data.prepare``, as ``package.module:function``.
        schema: The columns of the source. Its features are the columns that a row must have.
        constants: Column that ``prepare`` reads, and no feature depends on (the label, say) -> a value for it.
        features: The columns that ``prepare`` makes and the model takes.
        example: Rows as a caller would send them.
        made: Their features, in the same form.
        code_sha256: Digest of the modules of `prepare` when they were made.
    """

    prepare: str
    schema: Schema
    constants: Mapping[str, Any]
    features: tuple[Column, ...]
    example: Sequence[Mapping[str, Any]] = ()
    made: Sequence[Mapping[str, Any]] = ()
    code_sha256: str = ""

    def prepared(self, prepare: Callable[[Any], Any], rows: Any) -> pd.DataFrame:
        """The features of rows of the source, with the types of the dataset.

        Args:
            prepare: The function itself.
            rows: A DataFrame, or a list of ``{column: value}``.

        Raises:
            BadValue: A value does not fit its column.
            ValueError: A column is missing, or `prepare` did not return a row for each row.
        """
        frame = self.frame(rows)
        made = prepare(frame)
        if len(made) != len(rows):
            raise ValueError(
                f"data.prepare ({self.prepare}) returned {len(made)} rows for {len(rows)}. It must return one for each."
            )
        return typed(made, self.features, f"what data.prepare ({self.prepare}) returned")

    def features_of_example(self, prepare: Callable[[Any], Any]) -> list[dict[str, Any]]:
        """The features of the example, in the forms of JSON."""
        return example_rows(self.prepared(prepare, self.example), Schema(self.features))

    def frame(self, rows: Any) -> pd.DataFrame:
        """Rows as the DataFrame that ``prepare`` got in training: the same columns, order and types."""
        import pandas as pd

        frame = rows if hasattr(rows, "columns") else pd.DataFrame.from_records(list(rows))
        frame = frame.assign(**{name: [value] * len(frame) for name, value in self.constants.items()})
        columns = [one for one in self.schema.columns if one.role == "feature" or one.name in self.constants]
        return typed(frame, columns, "the rows")

    def to_dict(self) -> dict[str, Any]:
        """This object as values that JSON has."""
        features = Schema(self.features).to_dict()["columns"]
        return {
            "prepare": self.prepare,
            "source": self.schema.to_dict(),
            "constants": dict(self.constants),
            "features": features,
            "example": list(self.example),
            "made": list(self.made),
            "code_sha256": self.code_sha256,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> SourceRows:
        """The object of `to_dict`."""
        features = Schema.from_dict({"columns": found["features"], "classes": ()}).columns
        source = Schema.from_dict(found["source"])
        return cls(
            found["prepare"],
            source,
            found["constants"],
            features,
            found["example"],
            found.get("made", ()),
            found.get("code_sha256", ""),
        )


def typed(frame: pd.DataFrame, columns: Sequence[Column], name: str) -> pd.DataFrame:
    """The columns of a DataFrame, with the types that the dataset has in memory.

    Args:
        columns: The columns, in order.
        name: What the rows are, for errors.

    Raises:
        BadValue: A value does not fit its column.
        ValueError: A column is missing.
    """
    import pandas as pd

    if missing := [one.name for one in columns if one.name not in frame.columns]:
        raise ValueError(f"There is no column {', '.join(map(repr, missing))} in {name}.")
    found = {one.name: _values(without_marks(frame[one.name], one), one) for one in columns}
    return pd.DataFrame(found, index=pd.RangeIndex(len(frame)))


def without_marks(values: pd.Series, column: Column) -> pd.Series:
    """The values of a column, with None or NaN for those that mean a missing value."""
    has_no_text = isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufbmM"
    marks = [*column.missing_numbers, *([] if has_no_text else column.missing_texts)]
    is_mark = values.isin(marks)
    return values.where(~is_mark, None) if marks and is_mark.any() else values


def _values(values: pd.Series, column: Column) -> np.ndarray:
    stored = column.stored
    if stored.startswith("timestamp"):
        return _instants(values, column)
    if stored in ("int64", "double") and isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        numbers = values.to_numpy()
        whole = stored == "int64" and not column.nullable
        if whole and numbers.dtype.kind == "f" and not (numbers % 1 == 0).all():
            _refuse(values, column, lambda value: value % 1 != 0)
        return numbers.astype("int64" if whole else "float64")
    one = _ONE.get("string" if stored in TEXT_TYPES else "time" if stored.startswith("time") else stored)
    if one is None:
        return values.to_numpy(dtype=object)
    return _each(values, column, *one)


def _each(
    values: pd.Series, column: Column, convert: Callable[[Any], Any], dtype: str, wanted: str
) -> np.ndarray:
    gap = math.nan if dtype in ("int64", "float64") else None
    made = np.empty(len(values), dtype=object)
    for row, value in enumerate(values.tolist()):
        try:
            if is_missing(value):
                if not column.nullable and dtype in ("int64", "bool"):
                    raise ValueError
                made[row] = gap
            else:
                made[row] = convert(value)
        except (ValueError, TypeError):
            raise BadValue(row, column.name, value, wanted) from None
    if column.nullable:
        dtype = {"int64": "float64", "bool": "object"}.get(dtype, dtype)
    return made.astype(dtype)


def _instants(values: pd.Series, column: Column) -> np.ndarray:
    if values.dtype.kind == "M":
        if getattr(values.dtype, "tz", None) is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        return values.to_numpy().astype("datetime64[us]")
    made = np.empty(len(values), dtype="datetime64[us]")
    for row, value in enumerate(values.tolist()):
        try:
            made[row] = "NaT" if is_missing(value) else np.datetime64(microseconds(value), "us")
        except (ValueError, TypeError, OverflowError):
            raise BadValue(row, column.name, value, "a date or time in ISO form") from None
    return made


def _refuse(values: pd.Series, column: Column, is_bad: Callable[[Any], bool]) -> None:
    row = next(row for row, value in enumerate(values.tolist()) if is_bad(value))
    raise BadValue(row, column.name, values.iloc[row], "a whole number")


def _integer(value: Any) -> int:
    if isinstance(value, str) or value != int(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError
    return float(str(value)) if isinstance(value, Decimal) else float(value)


def _boolean(value: Any) -> bool:
    if value not in (True, False):
        raise ValueError
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _time(value: Any) -> time:
    return time.fromisoformat(value) if isinstance(value, str) else value


#: Stored type -> converter of one value, NumPy's type, and what the column takes.
_ONE: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "int64": (_integer, "int64", "a whole number"),
    "double": (_number, "float64", "a number"),
    "bool": (_boolean, "bool", "true or false"),
    "string": (_text, "object", "text: read the column as text (dtype=str)"),
    "time": (_time, "object", "a time of day such as 08:30:00"),
}
