"""Checks of labels and numbers."""

import numpy as np
import pandas as pd
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs


@pytest.mark.parametrize(
    ("values", "classes", "codes"),
    [
        ([1, 0, 1], [0, 1], [1, 0, 1]),
        (np.array([True, False]), [False, True], [1, 0]),
        (["b", "c", "a"], ["a", "b", "c"], [1, 2, 0]),
        (pd.Series(["y", "n"], dtype="category"), ["n", "y"], [1, 0]),
        (pd.Series([10, 9, 10], dtype="Int64", index=[5, 5, 5]), [9, 10], [1, 0, 1]),
    ],
)
def test_labels_are_coded_in_sorted_order(values, classes, codes):
    """Whatever holds the labels, the code of each is its place among the sorted classes."""
    found, got = inputs.labels(values)
    assert found == classes and got.tolist() == codes


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA, pd.NaT])
def test_missing_labels_are_named_by_row(gap):
    """The first five positions are listed, the rest counted."""
    with pytest.raises(EvaluationError, match=r"rows 1, 2, 3, 4, 5 and 2 more"):
        inputs.labels([0] + [gap] * 7 + [1])
    with pytest.raises(EvaluationError, match=r"row 2 \(counted from 0\)"):
        inputs.labels(["a", "b", gap])


@pytest.mark.parametrize("values", [[], [[0, 1]], 3])
def test_labels_are_one_a_row(values):
    """An empty split, a table and a scalar are no labels."""
    with pytest.raises(EvaluationError, match="shape"):
        inputs.labels(values)


def test_labels_of_mixed_types_are_refused():
    """There is no order between 1 and '1', so none is invented."""
    with pytest.raises(EvaluationError, match="mixes int and str"):
        inputs.labels([1, "1"])


@pytest.mark.parametrize(
    "values",
    [
        [0.5, np.nan, 0.5, np.inf],
        [0.5, None, 0.5, -np.inf],
        pd.Series([0.5, None, 0.5, None], dtype="Float64"),
    ],
)
def test_numbers_that_are_not_finite_are_named_by_row(values):
    """NaN, None, pandas.NA and infinities are found wherever they hide."""
    with pytest.raises(EvaluationError, match=r"y_pred is not finite in rows 1, 3"):
        inputs.numbers(values, "y_pred")


@pytest.mark.parametrize("values", [["high", "low"], [[1.0], [1.0, 2.0]]])
def test_what_is_no_number_is_refused(values):
    """Words and ragged lists say that they cannot be read."""
    with pytest.raises(EvaluationError, match="y_pred cannot be read as numbers"):
        inputs.numbers(values, "y_pred")
