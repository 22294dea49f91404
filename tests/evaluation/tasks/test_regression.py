"""Regression metrics against arithmetic, and what is refused."""

import numpy as np
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.tasks.regression import Regression

TASK = Regression()


def values(y_true, y_pred) -> dict[str, float | None]:
    return {name: score.value for name, score in TASK.score(y_true, y_pred).items()}


def test_four_rows_by_hand():
    """Errors 1, 0, -2, 5 on truths 1, 2, 3, 6 give these numbers on paper."""
    got = values([1, 2, 3, 6], [0, 2, 5, 1])
    assert got["rmse"] == pytest.approx(np.sqrt(30 / 4))
    assert got["mae"] == pytest.approx(2.0)
    assert got["median_absolute_error"] == pytest.approx(1.5)
    assert got["r2"] == pytest.approx(1 - 30 / 14)
    assert list(got) == list(TASK.metrics)


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_unit_scales_errors_and_leaves_r2(seed):
    """Predicting in cents instead of euros multiplies every error by 100 and explains as much."""
    truth, predicted = np.random.default_rng(seed).normal(size=(2, 50))
    one, hundred = values(truth, predicted), values(100 * truth, 100 * predicted)
    assert hundred["r2"] == pytest.approx(one["r2"])
    for metric in ("rmse", "mae", "median_absolute_error"):
        assert hundred[metric] == pytest.approx(100 * one[metric])


def test_perfect_and_mean_predictions_are_the_ends_of_the_scale():
    """The truth itself explains everything, its mean nothing."""
    assert values([1, 2, 3], [1, 2, 3]) == {"r2": 1.0, "rmse": 0.0, "mae": 0.0, "median_absolute_error": 0.0}
    assert values([1, 2, 3], [2, 2, 2])["r2"] == pytest.approx(0.0)


@pytest.mark.parametrize("y_true", [[3.0], [3.0, 3.0]])
def test_r2_has_no_value_without_variance(y_true):
    """One row, or equal rows, leave r2 undefined; the errors stand."""
    scores = TASK.score(y_true, [5.0] * len(y_true))
    assert scores["r2"].value is None and scores["r2"].coverage == 0.0
    assert scores["r2"].errored == len(y_true)
    assert scores["rmse"].value == 2.0 and scores["rmse"].coverage == 1.0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([1.0, np.nan], [1.0, 1.0], "y_true is not finite in row 1"),
        ([1.0, 2.0], [np.inf, 1.0], "y_pred is not finite in row 0"),
        ([1.0, 2.0], [1.0], "2 rows and y_pred 1"),
        ([1.0, 2.0], [[1.0], [2.0]], r"shape \(2, 1\)"),
        ([], [], "at least one row"),
    ],
)
def test_what_cannot_be_scored_says_why(y_true, y_pred, message):
    """Values that are not finite are named by row; shapes that do not fit are printed."""
    with pytest.raises(EvaluationError, match=message):
        TASK.score(y_true, y_pred)
