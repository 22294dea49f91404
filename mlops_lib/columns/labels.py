"""Labels as numbers: codes of the classes of the train split, or values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.errors import DataError
from mlops_lib.wording import listed

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 5


def labels_of(frame: "pd.DataFrame", labels: Sequence[str], classes: Sequence[Any], split: str) -> np.ndarray:
    """float64 [rows]: see `to_numbers`. Of several labels float64 [rows, labels]: their values.

    Raises:
        DataError: See `to_numbers`.
    """
    if len(labels) == 1:
        return to_numbers(frame[labels[0]], classes, split)
    return np.stack([to_numbers(frame[name], (), split) for name in labels], axis=1)


def to_numbers(column: "pd.Series", classes: Sequence[Any], split: str) -> np.ndarray:
    """float64 [rows]: each label's position in `classes`, or for a regression (no classes) its value.

    Raises:
        DataError: A label is missing, is no number, or is of a class that the train split does not have.
    """
    if not classes:
        try:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(f"The label {column.name!r} must be a number: {error}") from None
        if np.isfinite(values).all():
            return values
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"Row {row} of the {split} split has the label {values[row]} in {column.name!r}, which is no number."
        )
    codes = {value: code for code, value in enumerate(classes)}
    found = [codes.get(value, -1) for value in column.tolist()]
    if -1 in found:
        rows = [row for row, code in enumerate(found) if code < 0]
        value = column.tolist()[rows[0]]
        raise DataError(
            f"The train split has no rows of class {value!r}, which {len(rows)} row(s) of the {split} split have "
            f"({listed(rows, MAX_SHOWN)}). Give the train split rows of it, or set data.split: {{by: label}}."
        )
    return np.array(found, dtype=np.float64)
