"""The rules of ``data.checks`` as a Pandera schema, and the rows of a table that break them."""

from numbers import Number
from typing import TYPE_CHECKING, Any

from mlops_lib.settings import CheckSettings, ColumnCheck

if TYPE_CHECKING:
    import pandas as pd

#: Columns of a table of failures.
COLUMNS = ["row", "column", "rule", "value"]


def failures(frame: "pd.DataFrame", checks: CheckSettings) -> "pd.DataFrame":
    """One line for each rule that a row of `frame` breaks.

    Returns:
        Columns `COLUMNS`: row (its position), column, rule, value.
    """
    import pandas as pd
    import pandera.pandas as pa

    frame = frame.reset_index(drop=True)
    schema = pa.DataFrameSchema(
        {name: _column(check) for name, check in checks.columns.items()},
        unique=list(checks.unique) or None,
    )
    try:
        schema.validate(frame, lazy=True)
        found = pd.DataFrame(columns=COLUMNS)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        found = pd.DataFrame(
            {
                "row": cases["index"],
                "column": cases["column"],
                "rule": cases["check"].replace(
                    {
                        "not_nullable": "not missing",
                        "field_uniqueness": "unique",
                        "multiple_fields_uniqueness": "unique together",
                    }
                ),
                "value": cases["failure_case"],
            }
        )
    found["row"] = found["row"].astype("Int64")
    return found.sort_values(["row", "column"], kind="stable").reset_index(drop=True)


def _column(check: ColumnCheck) -> Any:
    import pandas as pd
    import pandera.pandas as pa

    rules: list[Any] = []
    if kind := check.type:
        rules.append(pa.Check(lambda column: ~_not_of(kind, column), name=f"is {kind}"))
    if (low := check.min) is not None:
        rules.append(pa.Check(lambda c: ~(pd.to_numeric(c, errors="coerce") < low), name=f"min {low:g}"))
    if (high := check.max) is not None:
        rules.append(pa.Check(lambda c: ~(pd.to_numeric(c, errors="coerce") > high), name=f"max {high:g}"))
    if check.values:
        rules.append(pa.Check(lambda c: _among(c, check.values), name=f"one of {list(check.values)}"))
    return pa.Column(None, rules, nullable=check.nullable, unique=check.unique, required=True)


def _among(column: "pd.Series", values: tuple[Any, ...]) -> "pd.Series":
    """Which values [rows] are among `values`; a date equals the midnight that it begins with."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return column.isin(pd.to_datetime(list(values)))
    return column.isin(values)


def _not_of(kind: str, column: "pd.Series") -> "pd.Series":
    """Which values [rows] are not of `kind`.

    Of text in a column of numbers only the values that are no number, unless all are numbers written as text.
    """
    import pandas as pd
    from pandas.api import types

    everything = pd.Series(True, index=column.index)
    if kind == "text":
        return ~column.map(lambda value: isinstance(value, str)).astype(bool)
    if kind == "boolean":
        return ~everything if types.is_bool_dtype(column) else ~column.isin([True, False]).astype(bool)
    if kind == "datetime":
        if types.is_datetime64_any_dtype(column):
            return ~everything
        # A number could count seconds or days, from any start.
        number = column.map(lambda value: isinstance(value, Number)).astype(bool)
        times = pd.to_datetime(column.where(~number), errors="coerce", utc=True, format="mixed")
        return number | times.isna()
    if types.is_bool_dtype(column) or types.is_datetime64_any_dtype(column):
        return everything
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna()
    if not wrong.any() and types.infer_dtype(column, skipna=True) == "string":
        return everything
    return wrong | (numbers % 1 != 0) if kind == "integer" else wrong
