"""Keys and request data of the user's rows in the types that the store declares for them."""

from typing import TYPE_CHECKING, Any

from mlops_lib.columns.text import text_of
from mlops_lib.errors import FeatureStoreError
from mlops_lib.features.feast_values import typed
from mlops_lib.wording import listed

if TYPE_CHECKING:
    import pandas as pd

BOOLEANS = {"true": True, "false": False}


def declared(values: "pd.Series", dtype: str, where: str) -> "pd.Series":
    """Values of the user's rows in the type that the store declares for their column.

    Raises:
        FeatureStoreError: Values that the type does not have, with their rows;
            `where` says whose column it is.
    """
    import pandas as pd

    if str(values.dtype) == dtype and dtype != "object":
        return values
    made, wrong = [], []
    for row, value in values.items():
        try:
            made.append(None if pd.isna(value) else _declared(value, dtype))
        except (ValueError, TypeError, KeyError):
            wrong.append((row, value))
    if wrong:
        shown = listed((f"{value!r} (row {row})" for row, value in wrong), 5)
        raise FeatureStoreError(
            f"Column {values.name!r}, {where}, is {dtype} in the feature store; {len(wrong)} values are not: {shown}."
        )
    return typed(pd.Series(made, index=values.index, name=values.name, dtype=object), dtype)


def _declared(value: Any, dtype: str) -> Any:
    """One value in a declared type.

    Raises:
        ValueError, KeyError: The type has no such value: 3.5 or "007" as an integer, say.
    """
    import numpy as np
    import pandas as pd

    if "int" in dtype:
        number, limits = int(text_of(value)), np.iinfo(dtype)
        if text_of(number) != text_of(value) or not limits.min <= number <= limits.max:
            raise ValueError(value)
        return number
    if "float" in dtype:
        return float(value)
    if dtype == "bool":
        return BOOLEANS[text_of(value).lower()]
    return pd.Timestamp(value) if dtype.startswith("datetime") else text_of(value)
