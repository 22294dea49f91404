"""On-demand features of Feast, computed in training and in serving by the same calls (docs/decisions/0106-*.md)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureService
from mlops_lib.features.feast_values import python_value, typed
from mlops_lib.features.feast_views import OnDemandView

if TYPE_CHECKING:
    import pandas as pd

#: Rows of a training set that are computed once more, each alone.
CHECKED_ROWS = 5


def computed(service: FeatureService, view: OnDemandView, rows: "pd.DataFrame") -> "pd.DataFrame":
    """The features of an on-demand view for each row.

    Args:
        rows: Typed columns: the view's inputs, the request's columns and those entity keys that are known.

    Raises:
        FeatureStoreError: The view's function failed, or left out a feature or a row.
    """
    import pandas as pd

    names = {key: [key] for key in (*service.entity_keys, *view.request) if key in rows.columns}
    names |= view.inputs
    parts = []
    for part in _same_gaps(rows[list(names)]):
        given = {
            name: _as_feast_gives(part[column], column in service.structured)
            for column, known_as in names.items()
            for name in known_as
        }
        made = _call(view, pd.DataFrame(given, index=part.index))
        columns = {
            column: pd.Series(made[feature], index=part.index) for feature, column in view.columns.items()
        }
        parts.append(pd.DataFrame(columns).astype(object))  # of one type in all parts
    whole = pd.concat(parts).loc[rows.index] if len(parts) > 1 else parts[0]
    return pd.DataFrame({n: typed(whole[n], service.dtypes[n], n in service.structured) for n in whole})


def require_rowwise(
    service: FeatureService, view: OnDemandView, rows: "pd.DataFrame", made: "pd.DataFrame"
) -> None:
    """Raise FeatureStoreError when a row alone, as the service computes it, gets other values than among `rows`."""
    for position in range(0, len(rows), -(-len(rows) // CHECKED_ROWS)):
        here = slice(position, position + 1)
        alone = computed(service, view, rows.iloc[here])
        for name in alone:
            one, among = python_value(alone[name].iloc[0]), python_value(made[name].iloc[position])
            if one != among:
                raise FeatureStoreError(
                    f"On-demand feature view {view.view.name!r} gives {name!r} of row {position} the value {one!r} "
                    f"alone and {among!r} among other rows. Its function must use one row at a time: the service "
                    "computes the rows of each request."
                )


def frame(service: FeatureService, rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Rows of a request as typed columns; a column that a row lacks is missing there."""
    import pandas as pd

    dtypes = {**service.key_dtypes, **service.stored_dtypes, **service.request_dtypes}
    names = [name for name in dtypes if any(name in row for row in rows)]
    return pd.DataFrame(
        {
            name: typed(pd.Series([row.get(name) for row in rows], dtype=object, name=name), dtypes[name])
            for name in names
        },
        index=range(len(rows)),
    )


def _same_gaps(rows: "pd.DataFrame") -> Iterator["pd.DataFrame"]:
    """Rows in groups with gaps in the same columns.

    pandas gives a column with gaps another type. In such a group each row has the types that it has alone.
    """
    import numpy as np

    gaps = rows.isna().to_numpy()
    if not gaps.any():
        yield rows
        return
    _, group = np.unique(gaps, axis=0, return_inverse=True)
    for number in range(group.max() + 1):
        yield rows[group.ravel() == number]


def _as_feast_gives(values: "pd.Series", structured: bool) -> "pd.Series":
    """Values as Feast passes them to a view's function: NumPy's types, floats for missing integers, parsed JSON."""
    if structured:
        return values.map(json.loads, na_action="ignore")
    if values.dtype.name in ("Int32", "Int64"):
        return values.astype("float64") if values.isna().any() else values.astype(values.dtype.name.lower())
    if values.dtype.name == "boolean":
        return (
            values.astype(object).where(values.notna(), None) if values.isna().any() else values.astype(bool)
        )
    return values


def _call(view: OnDemandView, given: "pd.DataFrame") -> Mapping[str, Any]:
    """The answer of a view's function: feature -> values of all rows."""
    udf = view.view.feature_transformation.udf
    try:
        if view.view.mode == "pandas":
            answer = udf(given.reset_index(drop=True))
            made = {str(name): answer[name].to_numpy() for name in answer}
        else:
            columns = {name: [python_value(value) for value in given[name]] for name in given}
            made = _each(udf, columns, len(given)) if view.view.singleton else udf(columns)
    except Exception as error:  # the user's function may raise anything
        for half in (given.iloc[: len(given) // 2], given.iloc[len(given) // 2 :]):
            if 0 < len(half) < len(given):
                _call(view, half)  # names the row, if it is one row that fails
        row = f" on row {given.index[0]}" if len(given) == 1 else ""
        values = ", ".join(f"{name}={python_value(given[name].iloc[0])!r}" for name in given) if row else ""
        raise FeatureStoreError(
            f"On-demand feature view {view.view.name!r} failed{row}: {type(error).__name__}: {error}. Its function gets "
            f"{values or 'the columns ' + ', '.join(map(str, given))}."
        ) from error
    for feature in view.columns:
        if feature not in made or len(made[feature]) != len(given):
            found = f"{len(made[feature])} values" if feature in made else "no value"
            raise FeatureStoreError(
                f"On-demand feature view {view.view.name!r} returned {found} of {feature!r} for {len(given)} rows."
            )
    return made


def _each(udf: Any, columns: Mapping[str, list[Any]], rows: int) -> dict[str, list[Any]]:
    """A function of one row, called for each."""
    answers = [udf({name: values[row] for name, values in columns.items()}) for row in range(rows)]
    return {name: [answer[name] for answer in answers] for name in answers[0]} if answers else {}
