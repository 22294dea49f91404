"""Baselines: simple models that a report sets beside the model.

A baseline is a function ``fit(train_x, train_y) -> predict``, where ``predict(x)`` has the form that its task
scores. It gets ``classes`` (all classes, in the order of the columns), ``weights`` (of the training rows, or
None) and ``facts`` (of all rows to predict, which come in order; see `tasks.interface.Task.facts_of`) if it
has parameters of these names. Baselines are named in the ``baseline`` table of `mlops_lib.plugins`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs
from mlops_lib.evaluation.features import Features

#: Features of some rows -> predictions of them.
Predict = Callable[[Any], np.ndarray]

TRUTH = "The truth of the training split"
#: Most values of a text column that are columns of their own; the rarest share one.
MAX_CATEGORIES = 50


def predictions(
    names: Sequence[str],
    train: tuple[Any, ...],
    test_x: Any,
    classes: Sequence[Any] = (),
    facts: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Fit baselines by name, and predict the rows of `test_x`.

    Args:
        names: Names of the plugin table, or ``package.module:function``.
        train: Features, truth and optionally weights of the training rows.
        test_x: Features of N rows, all at once or as an iterator over parts of them.
        classes: All classes; empty: those of the training rows.
        facts: Of the N rows, for baselines that need some.
    """
    features, truth, weights = (*train, None)[:3]
    fitted = {}
    for name in names:
        fit = plugins.load("baseline", name)
        accepted = inspect.signature(fit).parameters
        known = {"classes": classes, "weights": weights, "facts": facts or {}}
        fitted[name] = fit(features, truth, **{key: known[key] for key in known if key in accepted})
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for part in test_x if isinstance(test_x, Iterator) else [test_x]:
        for name, predict in fitted.items():
            parts[name].append(predict(part))
    return {name: np.concatenate(found) for name, found in parts.items()}


def majority(train_x: Any, train_y: Any, classes: Sequence[Any] = (), weights: Any = None) -> Predict:
    """Classification: the shares of the classes in the training rows, for every row."""
    known, codes = _classes(train_y, classes)
    counts = np.bincount(codes, weights, len(known))
    return lambda x: _scored(np.tile(counts / counts.sum(), (len(x), 1)))


def logistic(train_x: Any, train_y: Any, classes: Sequence[Any] = (), weights: Any = None) -> Predict:
    """Classification: a logistic regression on numbers, times and the categories of text."""
    known, codes = _classes(train_y, classes)
    found = np.unique(codes)
    if len(found) == 1:  # a sample of the training rows may lack the others
        return majority(train_x, train_y, classes, weights)
    probabilities = _fit_linear(LogisticRegression(max_iter=1000), train_x, codes, weights, "predict_proba")

    def predict(x: Any) -> np.ndarray:
        every = np.zeros((len(x), len(known)))
        every[:, found] = probabilities(x)
        return _scored(every)

    return predict


def mean(train_x: Any, train_y: Any, weights: Any = None) -> Predict:
    """Regression: the mean of the training rows, for every row."""
    value = np.average(inputs.numbers(train_y, TRUTH), weights=weights)
    return lambda x: np.full(len(x), value)


def constant(train_x: Any, train_y: Any) -> Predict:
    """Ranking: the same score for every row, which leaves the order of a group to chance."""
    return lambda x: np.zeros(len(x))


def last_value(train_x: Any, train_y: Any, facts: Mapping[str, Any]) -> Predict:
    """Forecast: the last known value of the series, before the rows to predict."""
    return _known("last_value", facts)


def seasonal_naive(train_x: Any, train_y: Any, facts: Mapping[str, Any]) -> Predict:
    """Forecast: the last known value of the same place in the season; see ``evaluation.seasonality``."""
    return _known("seasonal_naive", facts)


def _known(name: str, facts: Mapping[str, Any]) -> Predict:
    """A fact of the rows, as they come."""
    if name not in facts:
        raise EvaluationError(f"Baseline {name!r} needs what the task forecast knows of the rows.")
    rest = iter(facts[name])
    return lambda x: np.fromiter(islice(rest, len(x)), float, len(x))


def ridge(train_x: Any, train_y: Any, weights: Any = None) -> Predict:
    """Regression, relevance, forecast: a ridge regression on numbers, times and the categories of text."""
    return _fit_linear(Ridge(), train_x, inputs.numbers(train_y, TRUTH), weights, "predict")


def shares(train_x: Any, train_y: Any, weights: Any = None) -> Predict:
    """Multilabel: the share of training rows that have each label, for every row."""
    return means(train_x, train_y, weights)


def logistic_each(train_x: Any, train_y: Any, weights: Any = None) -> Predict:
    """Multilabel: a logistic regression for each label."""
    return _each(
        logistic, train_x, inputs.numbers(train_y, TRUTH, ndim=(2,)).astype(int), weights, classes=(0, 1)
    )


def means(train_x: Any, train_y: Any, weights: Any = None) -> Predict:
    """Several numbers: the means of the training rows, for every row."""
    values = np.average(inputs.numbers(train_y, TRUTH, ndim=(2,)), axis=0, weights=weights)
    return lambda x: np.tile(values, (len(x), 1))


def ridge_each(train_x: Any, train_y: Any, weights: Any = None) -> Predict:
    """Several numbers: a ridge regression for each label."""
    return _each(ridge, train_x, inputs.numbers(train_y, TRUTH, ndim=(2,)), weights)


def _each(
    fit: Callable[..., Predict], train_x: Any, train_y: np.ndarray, weights: Any, **more: Any
) -> Predict:
    """A baseline of one label, fitted on each column."""
    fitted = [fit(train_x, train_y[:, place], weights=weights, **more) for place in range(train_y.shape[1])]
    return lambda x: np.column_stack([predict(x) for predict in fitted])


def signed_log1p(values: np.ndarray) -> np.ndarray:
    """Return sign(x) * log(1 + |x|): tames the long tails of counts and amounts, and keeps their order."""
    return np.sign(values) * np.log1p(np.abs(values))


def _classes(train_y: Any, classes: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    known, codes = inputs.labels(train_y, TRUTH, classes)
    if (codes < 0).any():
        raise EvaluationError(f"{TRUTH} has labels in {inputs.bad_rows(codes < 0)} that are no class.")
    if len(known) == 1:
        raise EvaluationError(f"All {len(codes)} training rows are of class {known[0]!r}.")
    return known, codes


def _scored(probabilities: np.ndarray) -> np.ndarray:
    """The form that classification scores: P(the second class) of two classes, else a column for each."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def _fit_linear(
    estimator: BaseEstimator, train_x: Any, train_y: np.ndarray, weights: Any, method: str
) -> Predict:
    """Fit `estimator` on numbers (median imputation, signed log1p, standard scaling) and one-hot text.

    The result calls `method` on rows of features, which have the training columns in any order.

    Raises:
        EvaluationError: Columns are missing, none can be used, or features and truth differ in length.
    """
    if len(train_x) != len(train_y):
        raise EvaluationError(
            f"The training split has {len(train_x)} rows of features, {len(train_y)} of truth."
        )
    features = Features(train_x)
    # A column that is empty in training must not shift the others or warn, hence keep_empty_features.
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    numbers = make_pipeline(imputer, FunctionTransformer(signed_log1p), StandardScaler())
    codes = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES)
    columns = ColumnTransformer([("numbers", numbers, features.numbers), ("text", codes, features.text)])
    pipeline = make_pipeline(columns, estimator)
    step = pipeline.steps[-1][0]
    pipeline.fit(features.table(train_x), train_y, **{f"{step}__sample_weight": weights})
    return lambda x: getattr(pipeline, method)(features.table(x))
