"""Feast's types as types of pandas, and values in the type and precision of their declaration."""

from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features.feast_json import json_text
from mlops_lib.features.feast_scalars import python_value

if TYPE_CHECKING:
    import pandas as pd

#: Feast's value types -> pandas dtypes; the second is for columns with a missing value.
DTYPES = {
    "INT32": ("int32", "Int32"),
    "INT64": ("int64", "Int64"),
    "FLOAT": ("float32", "float32"),
    "DOUBLE": ("float64", "float64"),
    "DECIMAL": ("float64", "float64"),
    "BOOL": ("bool", "boolean"),
    "STRING": ("object", "object"),
    "UUID": ("object", "object"),
    "TIME_UUID": ("object", "object"),
    "UNIX_TIMESTAMP": ("datetime64[ns, UTC]", "datetime64[ns, UTC]"),
}
NULLABLE = dict(DTYPES.values())
#: Feast's types of lists of numbers -> NumPy's type of a number.
LISTS = {"FLOAT_LIST": "float32", "DOUBLE_LIST": "float64", "INT32_LIST": "int32", "INT64_LIST": "int64"}
LIST = "list of "
#: Above it, neighbouring integers are one float.
LARGEST_IN_FLOAT = 2**53


def dtype(field: Any) -> str:
    """The pandas dtype of a feature, an entity's column or a column of a request.

    "list of float32" and the like for lists of numbers, which pandas has no type for;
    object for other values of several parts.
    """
    if number := LISTS.get(type_name(field)):
        return LIST + number
    return DTYPES.get(type_name(field), ("object", "object"))[0]


def type_name(field: Any) -> str:
    """Feast's name for the type of a field."""
    return field.dtype.to_value_type().name


def is_structured(field: Any) -> bool:
    """Whether a value has several parts (Map, Json, Struct, lists of texts) or is bytes."""
    return type_name(field) not in {**DTYPES, **LISTS}


def typed(values: "pd.Series", dtype: str, structured: bool = False) -> "pd.Series":
    """Values in the type that their view declares; a join turns integers with gaps into floats."""
    import pandas as pd

    if structured or dtype.startswith(LIST):
        one = json_text if structured else partial(_numbers, dtype.removeprefix(LIST))
        return pd.Series([one(value) for value in values], index=values.index, name=values.name, dtype=object)
    if dtype.startswith("datetime"):
        # Online stores keep seconds.
        return pd.to_datetime(values, utc=True).dt.floor("s").astype(dtype)
    if dtype == "object":
        given = values.astype(object)
        return given.where(given.notna(), None).map(str, na_action="ignore")
    if "int" in dtype and values.dtype.kind == "f" and (values.abs() > LARGEST_IN_FLOAT).any():
        raise FeatureStoreError(
            f"Feature {values.name!r} has gaps and integers beyond 2**53: Feast returns them as floats, which changes "
            "them. Store them as text (String)."
        )
    return values.astype(NULLABLE[dtype] if values.isna().any() else dtype)


def as_declared(value: Any, dtype: str, structured: bool = False) -> Any:
    """One value as a value of Python, in the type and precision of its declaration; None for a missing one.

    Raises:
        ValueError, TypeError: The type has no such value.
    """
    import numpy as np
    import pandas as pd

    if (value := python_value(value)) is None:
        return None
    if structured or dtype.startswith(LIST):
        return json_text(value) if structured else _numbers(dtype.removeprefix(LIST), value)
    if dtype in ("int32", "int64", "bool"):
        number, limits = int(value), np.iinfo(dtype if dtype != "bool" else "int8")
        if (
            number != value
            or not limits.min <= number <= limits.max
            or (dtype == "bool" and number not in (0, 1))
        ):
            raise ValueError(value)
        return bool(number) if dtype == "bool" else number
    if dtype == "float32":
        return float(np.float32(value))
    if dtype == "float64":
        return float(value)
    if dtype.startswith("datetime"):
        moment = pd.Timestamp(value)
        return (moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")).floor("s")
    return str(value)


def _numbers(dtype: str, value: Any) -> list[Any] | None:
    """A list of numbers in the precision of the online store."""
    import numpy as np

    return None if python_value(value) is None else np.asarray(value, dtype=dtype).tolist()


def instants(values: "pd.Series") -> "pd.Series":
    """The times of rows in UTC. Text must be in ISO form: 01/02/2026 could be in January or in February.

    Raises:
        FeatureStoreError: A value is no time; names the first.
    """
    import pandas as pd

    def read(some: "pd.Series") -> "pd.Series":
        if pd.api.types.is_numeric_dtype(some):  # of any unit, from any start
            raise ValueError
        return pd.to_datetime(some, utc=True, format="ISO8601")

    try:
        return read(values)
    except (ValueError, TypeError, OverflowError):
        for row in range(len(values)):
            try:
                read(values.iloc[[row]])
            except (ValueError, TypeError, OverflowError):
                raise FeatureStoreError(
                    f"Row {row} (counted from 0) of the labelled rows: {values.name!r} is {values.iloc[row]!r}, and must "
                    "be a time in ISO form, such as 2026-01-31 12:00:00."
                ) from None
        raise
