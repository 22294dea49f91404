"""Regression: one number predicted for each row."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from sklearn import metrics as sk
from sklearn.linear_model import Ridge

from mlops_lib.evaluation import baselines as linear
from mlops_lib.evaluation import inputs
from mlops_lib.evaluation.report import Score
from mlops_lib.evaluation.tasks.interface import Predictor, Task
from mlops_lib.settings import METRICS


def read(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and predictions as float64 [N]; EvaluationError if they do not fit or are not finite."""
    truth, predicted = inputs.numbers(y_true, "y_true"), inputs.numbers(y_pred, "y_pred")
    inputs.same_length(truth, predicted)
    return truth, predicted


class Regression(Task):
    """y_true and y_pred are N finite numbers in the unit of the target.

    r2 (no unit), rmse, mae and median_absolute_error (unit of the target) are scikit-learn's. r2 has no
    value, and so passes no gate, where all true values are equal: there is no variance to explain.
    Baselines: ``mean`` of the training split, and ``ridge``, a ridge regression on the numeric features.
    """

    name: ClassVar[str] = "regression"
    metrics: ClassVar[dict[str, bool]] = METRICS["regression"]

    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        """Score predictions [N]; EvaluationError names the rows that are not finite."""
        truth, predicted = read(y_true, y_pred)
        values = {
            "rmse": sk.root_mean_squared_error(truth, predicted),
            "mae": sk.mean_absolute_error(truth, predicted),
            "median_absolute_error": sk.median_absolute_error(truth, predicted),
        }
        if np.ptp(truth) > 0:
            r2 = Score(value=float(sk.r2_score(truth, predicted)), scored=len(truth))
        else:
            r2 = Score(value=None, scored=0, errored=len(truth))
        return {"r2": r2} | {name: Score(value=float(v), scored=len(truth)) for name, v in values.items()}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Draw ``predicted_vs_true`` and ``residuals``; baselines are named in the title of the first."""
        from mlops_lib.evaluation.figures import regression as draw

        truth, predicted = read(y_true, y_pred)
        return {
            "predicted_vs_true": draw.predicted_vs_true(truth, predicted, baselines),
            "residuals": draw.residuals(truth, predicted),
        }

    def fit_baselines(self, train_x: Any, train_y: Any, names: Sequence[str]) -> dict[str, Predictor]:
        """Fit ``mean`` and ``ridge``; they predict [N] numbers."""
        linear.check_names(names, ("mean", "ridge"))
        truth = inputs.numbers(train_y, "The truth of the training split")
        fitted: dict[str, Predictor] = {}
        for name in names:
            if name == "mean":
                fitted[name] = lambda x: np.full(len(x), truth.mean())
            else:
                fitted[name] = linear.fit_linear(Ridge(), train_x, truth)
        return fitted
