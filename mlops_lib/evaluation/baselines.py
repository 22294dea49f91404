"""Baselines that learn from features, shared by the tasks: one modest, well-behaved linear pipeline."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs
from mlops_lib.evaluation.tasks.interface import Predictor


def check_names(names: Iterable[str], available: Sequence[str]) -> None:
    """Raise EvaluationError for the first name that is not available."""
    for name in names:
        if name not in available:
            raise EvaluationError(f"Unknown baseline {name!r}. Available: {', '.join(available)}.")


def signed_log1p(values: np.ndarray) -> np.ndarray:
    """Return sign(x) * log(1 + |x|): tames the long tails of counts and amounts, and keeps their order."""
    return np.sign(values) * np.log1p(np.abs(values))


def fit_linear(
    estimator: BaseEstimator, train_x: Any, train_y: np.ndarray, method: str = "predict"
) -> Predictor:
    """Fit median imputation, signed log1p, standard scaling and `estimator` on numeric columns.

    Returns what calls `method` on rows of features, which have the training columns in any order.

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

    def predict(x: Any) -> np.ndarray:
        return getattr(pipeline, method)(inputs.feature_table(x, "The test features", columns))

    return predict
