"""The metric of the benchmark, the same for all models."""

from typing import Any

import numpy as np
from sklearn.metrics import r2_score, roc_auc_score


def score(truth: Any, predicted: np.ndarray) -> float:
    """R2 for values [rows]; ROC AUC for probabilities [rows, classes] in sorted order, macro over classes."""
    if predicted.ndim == 1:
        return float(r2_score(truth, predicted))
    if predicted.shape[1] == 2:
        return float(roc_auc_score(truth == sorted(set(truth))[1], predicted[:, 1]))
    return float(roc_auc_score(truth, predicted, multi_class="ovr"))
