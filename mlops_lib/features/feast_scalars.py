"""Values of pandas and NumPy as values of Python."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def python_values(column: "pd.Series") -> list[Any]:
    """A column as values of Python, None where one is missing."""
    return column.astype(object).where(column.notna(), None).tolist()


def python_value(value: Any) -> Any:
    """A value of pandas or NumPy as a value of Python; None for a missing one."""
    import numpy as np
    import pandas as pd

    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    elif isinstance(value, np.generic):
        value = value.item()
    missing = value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    return None if missing else value
