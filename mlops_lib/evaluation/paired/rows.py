"""Brings two models' predictions into one form: the same rows, the same classes,
a prediction for each row."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs
from mlops_lib.evaluation.judged import JudgedRows


def check_same(candidate: JudgedRows, champion: JudgedRows) -> None:
    """Raise EvaluationError unless both models were asked on the same rows in the same order."""
    ours, theirs = list(candidate.ids), list(champion.ids)
    if candidate.task != champion.task:
        raise EvaluationError(
            f"The model's task is {candidate.task!r}, and the champion's {champion.task!r}."
        )
    if ours != theirs:
        if len(ours) != len(theirs):
            how = f"the model has {len(ours)} rows and the champion {len(theirs)}"
        elif sorted(ours) == sorted(theirs):
            how = "they are in another order"
        else:
            differ = np.array([one != other for one, other in zip(ours, theirs, strict=True)])
            how = f"they differ in {inputs.bad_rows(differ)}"
        raise EvaluationError(f"The model and the champion were asked on different rows: {how}.")
    if not ours:
        raise EvaluationError("There are no rows to compare on.")
    if list(candidate.entities) != list(champion.entities):
        raise EvaluationError("The model and the champion have different keys for the same rows.")
    for name in ("truth", "weights"):
        if not _equal(getattr(candidate, name), getattr(champion, name)):
            raise EvaluationError(f"The model and the champion have different {name} for the same rows.")


def complete(rows: JudgedRows, other: JudgedRows) -> tuple[Any, np.ndarray]:
    """Predictions for all N rows, and where the model has none of its own (bool [N]).

    A missing prediction becomes the worst one: certain of a wrong class, or of the opposite of each
    yes/no label; numbers are off by the largest error that either model makes; in a ranking,
    relevant rows are last and others first; a loss is the largest of either model. A text stays
    missing: its metrics have a worst value.
    """
    failed = _failed(rows)
    worst = {
        "classification": _wrong,
        "multilabel": _opposite,
        "regression": _far_off,
        "multioutput": _far_off,
        "ranking": _upside_down,
        "forecast": _far_off,
        "loss": _largest,
    }
    if rows.task not in worst or not failed.any():
        return rows.predicted, failed
    if failed.all():
        first = next((error for error in rows.errors if error), "no reason given")
        raise EvaluationError(f"A model failed on all {len(failed)} rows; the first error: {first}")
    known = np.asarray([p for p, bad in zip(rows.predicted, failed, strict=True) if not bad], dtype=float)
    filled = np.zeros((len(failed), *known.shape[1:]))
    filled[~failed] = known
    filled[failed] = worst[rows.task](rows, other, failed)
    return filled, failed


def same_classes(candidate: JudgedRows, champion: JudgedRows) -> tuple[JudgedRows, JudgedRows]:
    """Both with the classes of both; a class that a model does not know has
    probability 0 in its predictions."""
    if list(candidate.classes) == list(champion.classes):
        return candidate, champion
    if not len(candidate.classes) or not len(champion.classes):
        raise EvaluationError(
            "The classes of one of the two models are not known, so their columns may differ."
        )
    if set(candidate.classes).isdisjoint(champion.classes):
        known = [", ".join(map(repr, one.classes)) for one in (candidate, champion)]
        raise EvaluationError(
            f"The model knows the classes {known[0]}, and the champion {known[1]}: none in common, so no row can compare "
            "them. If they are other names of the same classes, rename them in data.prepare and train again; else "
            "evaluation.gate.champion: false registers the model without a comparison."
        )
    union = list(dict.fromkeys([*candidate.classes, *champion.classes]))
    return _with_classes(candidate, union), _with_classes(champion, union)


def _with_classes(rows: JudgedRows, classes: Sequence[Any]) -> JudgedRows:
    failed = _failed(rows)
    made = [prediction for prediction, bad in zip(rows.predicted, failed, strict=True) if not bad]
    if not made:
        return dataclasses.replace(rows, classes=classes)
    given = inputs.numbers(made, "y_pred", ndim=(1, 2))
    if given.ndim == 1:
        given = np.column_stack([1 - given, given])
    if given.shape[1] != len(rows.classes):
        raise EvaluationError(f"y_pred has {given.shape[1]} columns for {len(rows.classes)} classes.")
    spread = np.zeros((len(given), len(classes)))
    spread[:, [classes.index(name) for name in rows.classes]] = given
    found = iter(spread[:, 1] if len(classes) == 2 else spread)
    return dataclasses.replace(
        rows, classes=classes, predicted=[None if bad else next(found) for bad in failed]
    )


def _failed(rows: JudgedRows) -> np.ndarray:
    """Where the model has no prediction, bool [N]."""
    count = len(rows.ids)
    if len(rows.predicted) != count or len(rows.truth) != count or len(rows.entities) != count:
        raise EvaluationError(
            f"There are {count} rows, {len(rows.truth)} true values, {len(rows.predicted)} predictions and "
            f"{len(rows.entities)} keys: they must match."
        )
    failed = np.array([bool(error) for error in rows.errors]) if len(rows.errors) else np.zeros(count, bool)
    if len(failed) != count:
        raise EvaluationError(f"There are {len(failed)} errors for {count} rows: they must match.")
    if isinstance(rows.predicted, np.ndarray) and rows.predicted.dtype != object:
        return failed
    return failed | np.array([prediction is None for prediction in rows.predicted])


def _wrong(rows: JudgedRows, other: JudgedRows, failed: np.ndarray) -> np.ndarray:
    """Certain of the class after the true one, for each failed row."""
    classes, codes = inputs.labels(rows.truth, classes=rows.classes)
    wrong = np.eye(len(classes))[(codes[failed] + 1) % len(classes)]
    return wrong[:, 1] if len(classes) == 2 else wrong


def _opposite(rows: JudgedRows, other: JudgedRows, failed: np.ndarray) -> np.ndarray:
    """Certain of each label that a failed row lacks, and of none that it has."""
    return 1 - inputs.numbers(rows.truth, "y_true", ndim=(2,))[failed]


def _far_off(rows: JudgedRows, other: JudgedRows, failed: np.ndarray) -> np.ndarray:
    """The true value (of each label, for each quantile) plus the largest error of either model,
    for each failed row."""
    truth = inputs.numbers(rows.truth, "y_true", ndim=(1, 2))
    far = np.zeros(np.shape(rows.predicted[np.flatnonzero(~failed)[0]]))
    for model, missing in ((rows, failed), (other, _failed(other))):
        made = np.flatnonzero(~missing)
        predicted = np.array([model.predicted[i] for i in made], dtype=float)
        of_rows = truth[made][:, None] if predicted.ndim > truth.ndim else truth[made]
        largest = np.abs(of_rows - predicted).max(axis=0, initial=0.0)
        # One model may give quantiles, and the other one number.
        far = np.maximum(far, largest if largest.ndim <= far.ndim else largest.max())
    return (truth[failed][:, None] if far.ndim > truth.ndim - 1 else truth[failed]) + far


def _largest(rows: JudgedRows, other: JudgedRows, failed: np.ndarray) -> np.ndarray:
    """The largest loss of either model, for each failed row."""
    made = [
        float(model.predicted[i])
        for model, missing in ((rows, failed), (other, _failed(other)))
        for i in np.flatnonzero(~missing)
    ]
    return np.full(int(failed.sum()), max(made))


def _upside_down(rows: JudgedRows, other: JudgedRows, failed: np.ndarray) -> np.ndarray:
    """A score below all others for a relevant row, the lower the more relevant;
    one above all others for the rest."""
    truth = inputs.numbers(rows.truth, "y_true")[failed]
    made = np.array([one for one, bad in zip(rows.predicted, failed, strict=True) if not bad], dtype=float)
    return np.where(truth > 0, made.min() - 1 - truth, made.max() + 1)


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    ours, theirs = np.asarray(one), np.asarray(other)
    return ours.shape == theirs.shape and bool(np.all(ours == theirs))
