"""Features of any kind as columns for the linear baselines."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.features import Features, kind_of, left_out


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "number"),
        ([True, False], "number"),
        (pd.array([1, None], dtype="Int64"), "number"),
        ([Decimal("1.5"), None], "number"),
        ([None, None], "number"),
        (pd.to_datetime(["2020-01-01", None]), "time"),
        ([dt.date(2020, 1, 1), None], "time"),
        (["a", None], "text"),
        ([True, "x"], "text"),
        (pd.Categorical(["a", "b"]), "text"),
        (pd.array(["a", None], dtype="string"), "text"),
        ([[1.0], None], "other"),
        ([np.zeros(2), np.zeros(2)], "other"),
        ([{"a": 1}, {}], "other"),
        ([b"raw", b""], "other"),
    ],
)
def test_each_column_has_a_kind(values, kind):
    """Whatever pandas holds, a baseline uses it as a number, a time or text, or leaves it out."""
    assert kind_of(pd.Series(values)) == kind


def test_features_become_finite_or_missing_floats():
    """Booleans, nullable integers and infinities reach the imputer as plain floats and NaN."""
    frame = pd.DataFrame({"a": [True, False], "b": pd.array([1, None], dtype="Int64"), "c": [np.inf, 2.0]})
    table = Features(frame).table(frame)
    assert table.dtypes.tolist() == [float] * 3
    assert table.fillna(-1).to_numpy().tolist() == [[1, 1, -1], [0, -1, 2]]


def test_dates_beyond_nanoseconds_are_days():
    """Those end in the year 2262, and 9999-12-31 often marks an open end; the baselines failed."""
    days = np.array(["0001-01-01", "NaT", "2024-01-01", "9999-12-31"], "datetime64[us]")
    table = Features(frame := pd.DataFrame({"end": days})).table(frame)
    assert table["end"].fillna(0).tolist() == [-719_162, 0, 19_723, 2_932_896]


def test_feature_columns_are_reordered_or_missed_by_name():
    """The columns of the training rows decide the order, and their absence is an error."""
    frame = pd.DataFrame({"b": [2.0], "a": [1.0], "extra": ["x"]})
    assert Features(frame[["a", "b"]]).table(frame).to_numpy().tolist() == [[1.0, 2.0]]
    with pytest.raises(EvaluationError, match="The features lack extra"):
        Features(frame).table(frame[["a", "b"]])


def test_columns_without_use_are_named():
    """Lists are left out and named; a table of nothing else is an error."""
    frame = pd.DataFrame({"emb": [[1.0], [2.0]], "x": [1, 2]})
    assert left_out(frame) == ["emb"] and list(Features(frame).table(frame)) == ["x"]
    with pytest.raises(EvaluationError, match="emb"):
        Features(frame[["emb"]])
