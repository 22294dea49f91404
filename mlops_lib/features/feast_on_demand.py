"""On-demand features of Feast, computed in training and in serving by the same calls.

Columns are lists of Python's values, None where one is missing (docs/decisions/0106-on-demand-features.md).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureService
from mlops_lib.features.feast_values import as_declared
from mlops_lib.features.feast_views import OnDemandView

#: Rows of a training set that are computed once more, each alone.
CHECKED_ROWS = 5
Columns = Mapping[str, Sequence[Any]]


def computed(
    service: FeatureService, view: OnDemandView, columns: Columns, rows: int
) -> dict[str, list[Any]]:
    """The features of an on-demand view for each row.

    Args:
        columns: The view's inputs, the request's columns and those entity keys that are known.
        rows: Length of each column.

    Raises:
        FeatureStoreError: The view's function failed, left out a value,
            or gave one of another type than declared.
    """
    names = {key: [key] for key in (*service.entity_keys, *view.request) if key in columns} | view.inputs
    found: dict[str, list[Any]] = {column: [None] * rows for column in view.columns.values()}
    for group in _same_gaps([columns[name] for name in names], rows):
        given: dict[str, list[Any]] = {}
        for column, known_as in names.items():
            part = [columns[column][row] for row in group]
            if column in service.structured:
                part = [value if value is None else json.loads(value) for value in part]
            given |= dict.fromkeys(known_as, part)
        made = _call(view, given, _dtypes(service, names), group)
        for feature, column in view.columns.items():
            for row, value in zip(group, made[feature], strict=True):
                try:
                    found[column][row] = as_declared(
                        value, service.dtypes[column], column in service.structured
                    )
                except (ValueError, TypeError):
                    raise FeatureStoreError(
                        f"On-demand feature view {view.view.name!r} gives {feature!r} of row {row} the value {value!r}, "
                        f"which is no {service.dtypes[column]}, the type in its schema."
                    ) from None
    return found


def require_rowwise(service: FeatureService, view: OnDemandView, columns: Columns, made: Columns) -> None:
    """Raise FeatureStoreError when a row alone, as the service computes it,
    gets other values than among all rows."""
    rows = len(next(iter(made.values())))
    for row in range(0, rows, -(-rows // CHECKED_ROWS)):
        alone = computed(service, view, {name: [values[row]] for name, values in columns.items()}, 1)
        for name, (one,) in alone.items():
            if one != (among := made[name][row]):
                raise FeatureStoreError(
                    f"On-demand feature view {view.view.name!r} gives {name!r} of row {row} the value {one!r} alone and "
                    f"{among!r} among other rows. Its function must use one row at a time: the service computes the "
                    "rows of each request."
                )


def _same_gaps(columns: Sequence[Sequence[Any]], rows: int) -> Iterable[list[int]]:
    """Numbers of rows in groups with gaps in the same columns.

    pandas gives a column with gaps another type. In such a group each row has the types that it has alone.
    """
    groups: dict[tuple[bool, ...], list[int]] = {}
    if not columns and rows:
        return [list(range(rows))]
    for row, gaps in enumerate(
        zip(*([value is None for value in column] for column in columns), strict=True)
    ):
        groups.setdefault(gaps, []).append(row)
    return groups.values()


def _dtypes(service: FeatureService, names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The pandas dtype of each name by which a view's function knows a column."""
    dtypes = {**service.key_dtypes, **service.request_dtypes, **service.stored_dtypes}
    return {name: dtypes[column] for column, known_as in names.items() for name in known_as}


def _call(
    view: OnDemandView, given: dict[str, list[Any]], dtypes: Mapping[str, str], group: Sequence[int]
) -> Mapping[str, Any]:
    """The answer of a view's function: feature -> values of the rows of `group`."""
    udf, rows = view.view.feature_transformation.udf, len(group)
    made: Mapping[str, Any]
    try:
        if view.view.mode == "pandas":
            made = udf(_frame(given, dtypes))
        elif view.view.singleton:
            answers = [udf({name: values[row] for name, values in given.items()}) for row in range(rows)]
            made = {name: [answer[name] for answer in answers] for name in answers[0]}
        else:
            made = udf(given)
    except Exception as error:  # the user's function may raise anything
        if rows > 1:  # the half that fails names its row
            for half in (slice(0, rows // 2), slice(rows // 2, rows)):
                _call(view, {name: values[half] for name, values in given.items()}, dtypes, group[half])
        values = ", ".join(f"{name}={values[0]!r}" for name, values in given.items())
        raise FeatureStoreError(
            f"On-demand feature view {view.view.name!r} failed on row {group[0]}: {type(error).__name__}: {error}. Its "
            f"function gets {values}."
        ) from error
    if not hasattr(made, "keys"):
        raise FeatureStoreError(
            f"On-demand feature view {view.view.name!r} returned a {type(made).__name__}, not columns by name."
        )
    for feature in view.columns:
        if feature not in made or len(made[feature]) != rows:
            count = len(made[feature]) if feature in made else "no"
            raise FeatureStoreError(
                f"On-demand feature view {view.view.name!r} returned {count} values of {feature!r} for {rows} rows."
            )
    return made


def _frame(given: Mapping[str, Sequence[Any]], dtypes: Mapping[str, str]) -> Any:
    """Rows with gaps in the same columns as Feast gives them to a function of pandas."""
    import pandas as pd

    return pd.DataFrame({name: _array(values, dtypes[name]) for name, values in given.items()}, copy=False)


def _array(values: Sequence[Any], dtype: str) -> Any:
    """One column in NumPy's types; a missing integer is a float,
    any other missing value but a time is None or NaN."""
    import numpy as np
    import pandas as pd

    empty = values[0] is None
    if dtype.startswith("datetime"):
        return pd.DatetimeIndex(values, dtype=dtype)
    if "float" in dtype and "list" not in dtype:
        return np.array(values, dtype)
    if dtype.startswith("int"):
        return np.array(values, "float64" if empty else dtype)
    if dtype == "bool" and not empty:
        return np.array(values, bool)
    array = np.empty(len(values), object)
    array[:] = values
    return array
