"""Check before training that a network gives the probabilities by which a classification is judged."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_lib.errors import TrainingError

#: Difference of a row's sum from 1 that comes from rounding.
SUM_TOLERANCE = 1e-3


def require_probabilities(name: str, answer: np.ndarray, classes: Sequence[Any]) -> None:
    """Check the answers of an untrained network: most tutorials return scores, which the gate would refuse after the training.

    Args:
        name: Of the network, for the error.
        answer: For some rows. Rows that are not finite, as of missing numbers, are not checked, nor are other shapes than
            those of scores.
        classes: Of the label.

    Raises:
        TrainingError: They are no probabilities; says what to return.
    """
    rows, count = len(answer), len(classes)
    if answer.dtype.kind != "f" or answer.shape not in ((rows,), (rows, 1), (rows, count)):
        return
    known = answer[np.isfinite(answer.reshape(rows, -1)).all(1)]
    is_form = answer.shape == ((rows,) if count == 2 else (rows, count))
    within = not known.size or (known.min() >= 0 and known.max() <= 1)
    if is_form and within and (count == 2 or np.allclose(known.sum(-1), 1, atol=SUM_TOLERANCE)):
        return
    form = f"one for each of the {count} classes, [rows, {count}], with the sum 1 in each row"
    remedy = "scores.softmax(-1)"
    if count == 2:
        form = f"P({classes[1]!r}), [rows]"
        remedy = "scores.squeeze(-1).sigmoid(), or of two columns scores.softmax(-1)[:, 1]"
    values = f" from {known.min():.3g} to {known.max():.3g}" if known.size else ""
    raise TrainingError(
        f"{name}.forward gives {list(answer.shape)}{values} for {rows} rows, and a classification is judged by "
        f"probabilities: {form}. Return {remedy}, and compute the loss of the scores in a method of its own, which "
        "training_step and forward call."
    )
