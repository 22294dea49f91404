"""Rows on which compared models differ, with the change of their score."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlops_lib.comparison.result import ChangedRow
from mlops_lib.evaluation.changed_rows import named_numbers, shown_truth
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired.rows import complete
from mlops_lib.evaluation.ranking_cases import RankingCases

#: Most rows that a report shows.
MAX_ROWS = 50
#: Relative difference up to which two numbers are equal.
TOLERANCE = 1e-6


def changed_rows(
    reference: JudgedRows,
    others: Sequence[JudgedRows],
    inputs: Sequence[str],
    metric: str,
    higher_is_better: bool,
    names: Sequence[str] = (),
) -> tuple[list[int], list[ChangedRow]]:
    """How many rows of each other model differ from the reference, and the rows, the largest loss first.

    Classification: rows with another most probable class, ordered by the probability of the true one.
    Regression and forecast: other numbers, by the error, of quantiles its mean. Ranking: other places in the
    group. Loss: other losses. Several labels: another label above 0.5, or another number, by the mean error;
    that of a number counts in ranges of its label. Text: other answers, by `metric`.
    """
    score, shown = _forms(reference, metric, higher_is_better)
    ours, columns = [score(reference, at) for at in range(len(reference.ids))], [reference, *others]
    counts, changes = [], dict[int, float]()
    for other in others:
        differ = _differ(reference, other)
        counts.append(int(differ.sum()))
        for at in np.flatnonzero(differ).tolist():
            theirs = score(other, at)
            change = 0.0 if theirs == ours[at] else theirs - ours[at]  # minus infinity for both is no change
            if abs(change) >= abs(changes.get(at, 0.0)):
                changes[at] = change
    order = sorted(changes, key=lambda at: (changes[at], at))[:MAX_ROWS]
    return counts, [
        ChangedRow(
            id=reference.ids[at],
            name=(names or reference.ids)[at],
            input=inputs[at] if len(inputs) else "",
            truth=str(shown_truth(reference, at)),
            predictions=tuple(shown(model, at) for model in columns),
            change=changes[at] if math.isfinite(changes[at]) else None,
        )
        for at in order
    ]


def missing(rows: JudgedRows, at: int) -> bool:
    """Whether a model has no prediction for a row."""
    failed = bool(rows.errors) and bool(rows.errors[at])
    return failed or rows.predicted[at] is None


def _forms(
    rows: JudgedRows, metric: str, higher_is_better: bool
) -> tuple[Callable[[JudgedRows, int], float], Callable[[JudgedRows, int], str]]:
    """Functions of a model's rows and a position: the row's score (higher is better),
    and its prediction as text."""

    def of_true_class(model: JudgedRows, at: int) -> float:
        if missing(model, at):
            return 0.0
        position = (
            list(model.classes).index(model.truth[at]) if model.truth[at] in list(model.classes) else -1
        )
        return _probabilities(model.predicted[at])[position] if position >= 0 else 0.0

    def class_name(model: JudgedRows, at: int) -> str:
        if missing(model, at):
            return ""
        found = _probabilities(model.predicted[at])
        best = int(np.argmax(found))
        return f"{model.classes[best]} ({found[best]:.0%})"

    def error(model: JudgedRows, at: int) -> float:
        return -math.inf if missing(model, at) else -abs(float(model.truth[at]) - float(model.predicted[at]))

    def value(model: JudgedRows, at: int) -> float:
        if metric not in model.values:  # a metric of all rows together
            return 0.0
        found = model.values[metric][at]
        return -math.inf if found is None else found if higher_is_better else -found

    def text(model: JudgedRows, at: int) -> str:
        return "" if missing(model, at) else str(model.predicted[at])

    def number(model: JudgedRows, at: int) -> str:
        return "" if missing(model, at) else f"{float(model.predicted[at]):.6g}"

    spread = np.ptp(np.asarray(rows.truth, dtype=float), axis=0) if rows.task == "multioutput" else np.ones(1)
    ranges = np.where(spread > 0, spread, 1.0)

    def mean_error(model: JudgedRows, at: int) -> float:
        if missing(model, at):
            return -math.inf
        gaps = np.abs(np.asarray(model.truth[at], dtype=float) - np.asarray(model.predicted[at], dtype=float))
        return -float((gaps / ranges).mean())

    def of_labels(model: JudgedRows, at: int) -> str:
        return "" if missing(model, at) else named_numbers(model.classes, model.predicted[at])

    def loss(model: JudgedRows, at: int) -> float:
        return -math.inf if missing(model, at) else -float(model.predicted[at])

    known: dict[int, np.ndarray] = {}

    def placed(model: JudgedRows, at: int) -> float:
        if id(model) not in known:
            known[id(model)] = _gains(model, rows)
        return float(known[id(model)][at])

    forms = {
        "classification": (of_true_class, class_name),
        "regression": (error, number),
        "forecast": (mean_error, text),
        "ranking": (placed, number),
        "loss": (loss, number),
        "multilabel": (mean_error, of_labels),
        "multioutput": (mean_error, of_labels),
    }
    return forms.get(rows.task, (value, text))


def _differ(reference: JudgedRows, other: JudgedRows) -> np.ndarray:
    """The rows on which two models differ, bool [N]."""
    if reference.task == "ranking":
        return _gains(reference, other) != _gains(other, reference)
    found = []
    for at in range(len(reference.ids)):
        gone = missing(reference, at), missing(other, at)
        if any(gone):
            found.append(gone[0] != gone[1])
            continue
        one, two = reference.predicted[at], other.predicted[at]
        if reference.task == "classification":
            sides = [
                model.classes[int(np.argmax(_probabilities(p)))]
                for model, p in ((reference, one), (other, two))
            ]
            found.append(sides[0] != sides[1])
        elif reference.task == "multilabel":
            found.append(bool(((np.asarray(one) > 0.5) != (np.asarray(two) > 0.5)).any()))
        elif reference.task in ("regression", "multioutput", "forecast", "loss"):
            found.append(not np.allclose(np.asarray(one, float), np.asarray(two, float), TOLERANCE, 0.0))
        else:
            found.append(str(one) != str(two))
    return np.array(found, dtype=bool)


def _gains(rows: JudgedRows, other: JudgedRows) -> np.ndarray:
    """How high each relevant row of a ranking is placed in its group, and how low each other row, [N]."""
    cases = RankingCases.read(rows.truth, complete(rows, other)[0], rows.entities)
    return np.where(cases.truth > 0, -1, 1) * cases.places


def _probabilities(prediction: Any) -> list[float]:
    """Probability of each class; a single number is that of the second of two."""
    if np.ndim(prediction):
        return [float(value) for value in prediction]
    return [1 - float(prediction), float(prediction)]
