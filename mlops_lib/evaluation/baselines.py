"""Baselines: simple models that a report sets beside the model.

A baseline is a function ``fit(train_x, train_y) -> predict``, where ``predict(x)`` has the form that its task
scores. Baselines are named in the ``baseline`` table of `mlops_lib.plugins`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs

#: Features of some rows -> predictions of them.
Predict = Callable[[Any], np.ndarray]

TRUTH = "The truth of the training split"


def majority(train_x: Any, train_y: Any) -> Predict:
    """Classification: the shares of the classes in the training rows, for every row."""
    classes, codes = _classes(train_y)
    shares = np.bincount(codes) / len(codes)
    if len(classes) == 2:
        return lambda x: np.full(len(x), shares[1])
    return lambda x: np.tile(shares, (len(x), 1))


def logistic(train_x: Any, train_y: Any) -> Predict:
    """Classification: a logistic regression on the numeric features."""
    classes, codes = _classes(train_y)
    probabilities = _fit_linear(LogisticRegression(max_iter=1000), train_x, codes, "predict_proba")
    return (lambda x: probabilities(x)[:, 1]) if len(classes) == 2 else probabilities


def mean(train_x: Any, train_y: Any) -> Predict:
    """Regression: the mean of the training rows, for every row."""
    value = inputs.numbers(train_y, TRUTH).mean()
    return lambda x: np.full(len(x), value)


def ridge(train_x: Any, train_y: Any) -> Predict:
    """Regression: a ridge regression on the numeric features."""
    return _fit_linear(Ridge(), train_x, inputs.numbers(train_y, TRUTH), "predict")


def signed_log1p(values: np.ndarray) -> np.ndarray:
    """Return sign(x) * log(1 + |x|): tames the long tails of counts and amounts, and keeps their order."""
    return np.sign(values) * np.log1p(np.abs(values))


def _classes(train_y: Any) -> tuple[list[Any], np.ndarray]:
    classes, codes = inputs.labels(train_y, TRUTH)
    if len(classes) == 1:
        raise EvaluationError(f"All {len(codes)} training rows are of class {classes[0]!r}.")
    return classes, codes


def _fit_linear(estimator: BaseEstimator, train_x: Any, train_y: np.ndarray, method: str) -> Predict:
    """Fit median imputation, signed log1p, standard scaling and `estimator` on numeric columns.

    The result calls `method` on rows of features, which have the training columns in any order.

    Raises:
        EvaluationError: Columns are missing or not numeric, or features and truth differ in length.
    """
    train = inputs.feature_table(train_x, "The training features")
    if len(train) != len(train_y):
        raise EvaluationError(
            f"The training split has {len(train)} rows of features, {len(train_y)} of truth."
        )
    # A column that is empty in training must not shift the others or warn, hence keep_empty_features.
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    pipeline = make_pipeline(imputer, FunctionTransformer(signed_log1p), StandardScaler(), estimator)
    pipeline.fit(train, train_y)
    columns = list(train.columns)
    return lambda x: getattr(pipeline, method)(inputs.feature_table(x, "The test features", columns))
