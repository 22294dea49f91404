"""Convert rows to a matrix or a DataFrame. A list of rows becomes a matrix without importing pandas."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.encode import BadValue, Encoder
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import InputError
from mlops_lib.network_inputs.encode import InputEncoder

if TYPE_CHECKING:
    import pandas as pd


def to_matrix(input_data: "pd.DataFrame | Sequence[dict[str, Any]]", features: Sequence[str]) -> np.ndarray:
    """float32 [rows, features], columns in the order of `features`; None becomes NaN.

    Raises:
        InputError: A row lacks a feature, or has a value that is not a number.
    """
    if hasattr(input_data, "columns"):  # a DataFrame, recognised without importing pandas
        frame: pd.DataFrame = input_data
        _require_columns(frame, features)
        try:
            return frame[list(features)].to_numpy(dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"The features must be numbers: {error}") from error
    try:
        return np.array([[row[name] for name in features] for row in input_data], dtype=np.float32)
    except (KeyError, TypeError, ValueError):
        raise _first_problem(input_data, features) from None


def encoded(encoder: Encoder, input_data: "pd.DataFrame | Sequence[dict[str, Any]]") -> np.ndarray:
    """float64 [rows, outputs of the encoder].

    Raises:
        InputError: A row lacks a feature.
        BadValue: A value does not fit its column.
    """
    features = list(encoder.schema.features)
    if hasattr(input_data, "columns"):
        from mlops_lib.columns.encode import encode_frame

        _require_columns(input_data, features)
        return encode_frame(encoder, input_data)
    try:
        return encoder.encode([[row[name] for name in features] for row in input_data])
    except (KeyError, TypeError):
        raise _lacking(input_data, features) from None


class RefusedValue(InputError, BadValue):
    """A value that a column cannot have, for callers of a model; a server reads row,
    column and value from it."""

    @classmethod
    def of(cls, error: BadValue) -> "RefusedValue":
        """The same error."""
        return cls(error.row, error.column, error.value, error.wanted)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn each `BadValue` of the block into a `RefusedValue`."""
    try:
        yield
    except BadValue as error:
        raise RefusedValue.of(error) from None


def prepared(
    encoder: InputEncoder, input_data: "pd.DataFrame | Sequence[dict[str, Any]]"
) -> list[np.ndarray]:
    """`InputEncoder.prepared` of rows.

    Raises:
        InputError: A row lacks a feature, or has a value that its column cannot have.
    """
    features = list(encoder.schema.features)
    try:
        with refusals():
            if hasattr(input_data, "columns"):
                _require_columns(input_data, features)
                return encoder.prepared_frame(input_data)
            columns = {name: [row[name] for row in input_data] for name in features}
            return encoder.prepared(columns, len(input_data))
    except (KeyError, TypeError):
        if hasattr(input_data, "columns"):
            raise
        raise _lacking(input_data, features) from None


def to_frame(
    input_data: "pd.DataFrame | Sequence[dict[str, Any]]",
    features: Sequence[str],
    columns: Schema | None = None,
) -> "pd.DataFrame":
    """A DataFrame with the columns `features`; of a list, with the types that the training data had.

    Raises:
        InputError: A row lacks a feature.
    """
    import pandas as pd

    if isinstance(input_data, pd.DataFrame):
        _require_columns(input_data, features)
        frame = input_data[list(features)]
        return frame.assign(**_without_marks(frame, columns)) if columns else frame
    frame = pd.DataFrame.from_records(list(input_data))
    _require_columns(frame, features)
    frame = frame[list(features)]
    if columns:
        frame = frame.assign(**_without_marks(frame, columns))
    for name in features:
        column = columns.features.get(name) if columns else None
        kind = column.kind if column else ""
        if column and column.stored.startswith(("timestamp", "date")):
            frame[name] = (
                pd.to_datetime(frame[name], utc=True, format="ISO8601")
                .dt.tz_localize(None)
                .astype("datetime64[us]")
            )
        elif kind in ("number", "integer") and frame[name].dtype == object:
            frame[name] = pd.to_numeric(frame[name])
    return frame


def _without_marks(frame: "pd.DataFrame", columns: Schema) -> "dict[str, pd.Series]":
    """The columns that the dataset has gaps in, without the values that mean one."""
    from mlops_lib.columns.source_rows import without_marks

    found = columns.features
    return {
        name: without_marks(frame[name], found[name])
        for name in frame
        if name in found and found[name].missing
    }


def _require_columns(frame: "pd.DataFrame", features: Sequence[str]) -> None:
    if missing := [name for name in features if name not in frame.columns]:
        raise InputError(f"The rows have no feature {', '.join(map(repr, missing))}.")


def _lacking(rows: Sequence[dict[str, Any]], features: Sequence[str]) -> InputError:
    for number, row in enumerate(rows):
        for name in features:
            if not isinstance(row, dict) or name not in row:
                return InputError(f"Row {number} has no feature {name!r}.")
    return InputError(f"The rows are not tables of the features {', '.join(features)}.")


def _first_problem(rows: Sequence[dict[str, Any]], features: Sequence[str]) -> InputError:
    for number, row in enumerate(rows):
        for name in features:
            if name not in row:
                return InputError(f"Row {number} has no feature {name!r}.")
            if not isinstance(row[name], int | float | np.number | None):
                return InputError(f"Row {number}: feature {name!r} is {row[name]!r}, not a number.")
    return InputError(f"The rows are not tables of the features {', '.join(features)}.")
