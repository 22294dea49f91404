"""Convert rows to a matrix or a DataFrame. A list of rows becomes a matrix without importing pandas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.errors import InputError

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


def to_frame(
    input_data: "pd.DataFrame | Sequence[dict[str, Any]]", features: Sequence[str]
) -> "pd.DataFrame":
    """A DataFrame with the columns `features`.

    Raises:
        InputError: A row lacks a feature.
    """
    import pandas as pd

    frame = (
        input_data if isinstance(input_data, pd.DataFrame) else pd.DataFrame.from_records(list(input_data))
    )
    _require_columns(frame, features)
    return frame[list(features)]


def _require_columns(frame: "pd.DataFrame", features: Sequence[str]) -> None:
    if missing := [name for name in features if name not in frame.columns]:
        raise InputError(f"The rows have no feature {', '.join(map(repr, missing))}.")


def _first_problem(rows: Sequence[dict[str, Any]], features: Sequence[str]) -> InputError:
    for number, row in enumerate(rows):
        for name in features:
            if name not in row:
                return InputError(f"Row {number} has no feature {name!r}.")
            if not isinstance(row[name], int | float | np.number | None):
                return InputError(f"Row {number}: feature {name!r} is {row[name]!r}, not a number.")
    return InputError(f"The rows are not tables of the features {', '.join(features)}.")
