"""Classification with probabilities, two classes or more."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import baselines as linear
from mlops_lib.evaluation import inputs
from mlops_lib.evaluation.cases import Case, read
from mlops_lib.evaluation.report import Score
from mlops_lib.evaluation.tasks.interface import Predictor, Task
from mlops_lib.settings import METRICS


def roc_auc(case: Case) -> float:
    """Area under the ROC curve (sklearn.metrics.roc_auc_score); mean of one-vs-rest for C > 2."""
    return float(sk.roc_auc_score(case.one_hot[:, case.columns], case.probabilities[:, case.columns]))


def average_precision(case: Case) -> float:
    """Average precision (sklearn.metrics.average_precision_score); mean of one-vs-rest for C > 2."""
    return float(
        sk.average_precision_score(case.one_hot[:, case.columns], case.probabilities[:, case.columns])
    )


def brier(case: Case) -> float:
    """Mean squared error of the probabilities (Brier 1950, Monthly Weather Review 78).

    Of P(positive) for two classes, 0 to 1; summed over the classes for more, 0 to 2, as in the paper.
    """
    errors = (case.probabilities - case.one_hot)[:, case.columns]
    return float(np.square(errors).sum(axis=1).mean())


class Classification(Task):
    """Two classes (y_pred: P(the class sorted last), [N]) or C classes (y_pred: [N, C], sorted by label).

    accuracy, balanced_accuracy, f1 (of the positive class; mean over C > 2 classes) and log_loss (nats) are
    scikit-learn's, on the most probable class. Baselines: ``majority`` answers with the shares of the
    classes in training, ``logistic`` is a logistic regression on the numeric features.
    """

    name: ClassVar[str] = "classification"
    metrics: ClassVar[dict[str, bool]] = METRICS["classification"]

    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        """Score probabilities; see ``read`` for their form and for what is refused."""
        case = read(y_true, y_pred)
        truth, predicted = case.codes, case.predicted
        average = "binary" if len(case.classes) == 2 else "macro"
        values = {
            "roc_auc": roc_auc(case),
            "average_precision": average_precision(case),
            "accuracy": sk.accuracy_score(truth, predicted),
            "balanced_accuracy": sk.recall_score(truth, predicted, average="macro", zero_division=0.0),
            "f1": sk.f1_score(truth, predicted, average=average, zero_division=0.0),
            "log_loss": sk.log_loss(truth, case.probabilities),
            "brier": brier(case),
        }
        return {name: Score(value=float(value), scored=len(truth)) for name, value in values.items()}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Draw ``roc``, ``precision_recall``, ``calibration`` and ``confusion``."""
        from mlops_lib.evaluation.calibration import calibration
        from mlops_lib.evaluation.figures import classification as draw

        case = read(y_true, y_pred)
        others = {name: read(y_true, predicted) for name, predicted in baselines.items()}
        return {
            "roc": draw.roc(case, others),
            "precision_recall": draw.precision_recall(case, others),
            "calibration": calibration(case),
            "confusion": draw.confusion(case),
        }

    def fit_baselines(self, train_x: Any, train_y: Any, names: Sequence[str]) -> dict[str, Predictor]:
        """Fit ``majority`` and ``logistic``; they predict [N] for two classes, else [N, C]."""
        linear.check_names(names, ("majority", "logistic"))
        classes, codes = inputs.labels(train_y, "The truth of the training split")
        if len(classes) == 1:
            raise EvaluationError(f"All {len(codes)} training rows are of class {classes[0]!r}.")
        shares = np.bincount(codes) / len(codes)
        fitted: dict[str, Predictor] = {}
        for name in names:
            if name == "majority":
                fitted[name] = _as_scored(lambda x: np.tile(shares, (len(x), 1)))
            else:
                model = LogisticRegression(max_iter=1000)
                fitted[name] = _as_scored(linear.fit_linear(model, train_x, codes, "predict_proba"))
        return fitted


def _as_scored(predict: Predictor) -> Predictor:
    """Probabilities [N, C] as the task wants them: of two classes only that of the second."""

    def predicted(x: Any) -> np.ndarray:
        found = predict(x)
        return found[:, 1] if found.shape[1] == 2 else found

    return predicted
