"""The rows on which challenger and champion differ: which became right, wrong, closer or further off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired.rows import complete
from mlops_lib.evaluation.ranking_cases import RankingCases

if TYPE_CHECKING:
    import pandas as pd

#: Rows of the table; the largest changes for the worse come first.
MAX_ROWS = 500
#: Shares of a number that count as no change.
ROUNDING = 1e-9


def changed_rows(
    challenger: JudgedRows, champion: JudgedRows, metric: str, higher_is_better: bool
) -> "tuple[pd.DataFrame, str]":
    """The rows that changed sides, and a sentence that counts all of them.

    Classification: rows whose class became right or wrong. Regression, forecast: rows with another error (of
    quantiles, the mean). Several labels: rows with more or fewer right labels, or with another mean error in
    ranges of the labels. Ranking: rows with another place in their group. Loss: rows with another loss. Text:
    rows with another score in `metric`, or with another answer if the metric has no score of single rows.

    Args:
        challenger, champion: Predictions for the same rows in the same order.
        metric: Text: the metric of the gate.
        higher_is_better: Of the metric.
    """
    kinds = {
        "classification": _sides,
        "regression": _errors,
        "multilabel": _right_labels,
        "multioutput": _errors,
        "ranking": _places,
        "forecast": _errors,
        "loss": _losses,
    }
    kind = kinds.get(challenger.task)
    change, worse, better = (
        kind(challenger, champion) if kind else _scores(challenger, champion, metric, higher_is_better)
    )
    changed = np.flatnonzero(change != 0)
    order = changed[np.argsort(change[changed], kind="stable")]
    down = int((change < 0).sum())
    sentence = f"{len(changed):,} of {len(change):,} rows changed"
    if len(changed):
        sentence += f": {down:,} {worse}, " if worse else ": "
        sentence += f"{len(changed) - down:,} {better}"
    if len(changed) > MAX_ROWS:
        # Half of them from each end, so that both sides are seen.
        order = np.concatenate([order[: MAX_ROWS // 2], order[-MAX_ROWS // 2 :]])
        sentence += f"; the table has the {MAX_ROWS:,} largest changes"
    return _table(challenger, champion, order, change, worse, better), f"{sentence}."


def _table(
    challenger: JudgedRows,
    champion: JudgedRows,
    rows: np.ndarray,
    change: np.ndarray,
    worse: str,
    better: str,
) -> "pd.DataFrame":
    import pandas as pd

    keys = challenger.keys
    has_key = list(keys) != list(challenger.ids)
    columns: dict[str, Any] = {"row": rows}
    if has_key:
        columns["key"] = [keys[row] for row in rows]
    columns["truth"] = [shown_truth(challenger, row) for row in rows]
    columns["champion"] = [_said(champion, row) for row in rows]
    columns["challenger"] = [_said(challenger, row) for row in rows]
    if challenger.task != "classification":
        columns["difference"] = change[rows]
    columns["change"] = [worse if change[row] < 0 else better for row in rows]
    columns |= {name: [values[row] for row in rows] for name, values in challenger.slices.items()}
    return pd.DataFrame(columns)


def _said(rows: JudgedRows, row: int) -> Any:
    """A model's prediction as a reader wants it: the class with its probability, the number, the text,
    the error."""
    if rows.errors and rows.errors[row]:
        return f"error: {rows.errors[row]}"
    predicted = rows.predicted[row]
    if rows.task in ("multilabel", "multioutput"):
        return named_numbers(rows.classes, predicted)
    if rows.task != "classification":
        return _plain(predicted)
    of_classes = np.atleast_1d(np.asarray(predicted, dtype=float))
    of_classes = np.array([1 - of_classes[0], of_classes[0]]) if len(of_classes) == 1 else of_classes
    best = int(of_classes.argmax())
    name = rows.classes[best] if len(rows.classes) else best
    return f"{name} ({of_classes[best]:.3f})"


def named_numbers(names: Sequence[Any], numbers: Any) -> str:
    """The number of each label, as text."""
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(names, numbers, strict=True))


def shown_truth(rows: JudgedRows, row: int) -> Any:
    """The truth of a row as a reader wants it: of several labels, their names or numbers."""
    truth = rows.truth[row]
    if rows.task == "multilabel":
        return ", ".join(str(name) for name, has in zip(rows.classes, truth, strict=True) if has) or "none"
    if rows.task == "multioutput":
        return named_numbers(rows.classes, truth)
    return _plain(truth)


def _right_labels(challenger: JudgedRows, champion: JudgedRows) -> tuple[np.ndarray, str, str]:
    truth = np.asarray(challenger.truth) > 0.5
    ours, theirs = (
        (truth == (np.asarray(rows.predicted, dtype=float) > 0.5)).sum(axis=1)
        for rows in (challenger, champion)
    )
    return (ours - theirs).astype(float), "fewer labels right", "more labels right"


def _sides(challenger: JudgedRows, champion: JudgedRows) -> tuple[np.ndarray, str, str]:
    change = _hits(challenger).astype(float) - _hits(champion)
    return change, "wrong now", "right now"


def _hits(rows: JudgedRows) -> np.ndarray:
    """Whether each row's most probable class is the true one; a failed row is not right."""
    failed = _failed(rows)
    places = {name: place for place, name in enumerate(rows.classes)}
    hits = np.zeros(len(failed), dtype=bool)
    known = np.flatnonzero(~failed)
    if not len(known):
        return hits
    given = np.asarray(rows.predicted, dtype=float) if not failed.any() else None
    of_known = given if given is not None else np.asarray([rows.predicted[row] for row in known], dtype=float)
    best = of_known.argmax(axis=1) if of_known.ndim == 2 else (of_known > 0.5).astype(int)
    hits[known] = [
        places.get(_plain(rows.truth[row]), -1) == place for row, place in zip(known, best, strict=True)
    ]
    return hits


def _errors(challenger: JudgedRows, champion: JudgedRows) -> tuple[np.ndarray, str, str]:
    truth = np.asarray(challenger.truth, dtype=float)
    ours, theirs = (_residuals(rows, truth) for rows in (challenger, champion))
    if truth.ndim == 2:
        spread = np.ptp(truth, axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        ours, theirs = ((values / scale).mean(axis=1) for values in (ours, theirs))
    worst = np.nanmax(np.concatenate([ours, theirs, [0.0]]))
    ours, theirs = (np.where(np.isnan(values), worst, values) for values in (ours, theirs))
    change = theirs - ours
    return np.where(np.abs(change) <= ROUNDING * (1 + theirs), 0.0, change), "further off", "closer"


def _losses(challenger: JudgedRows, champion: JudgedRows) -> tuple[np.ndarray, str, str]:
    ours, theirs = (
        np.asarray(complete(rows, other)[0], dtype=float)
        for rows, other in ((challenger, champion), (champion, challenger))
    )
    change = theirs - ours
    return (
        np.where(np.abs(change) <= ROUNDING * (1 + np.abs(theirs)), 0.0, change),
        "larger loss",
        "smaller loss",
    )


def _residuals(rows: JudgedRows, truth: np.ndarray) -> np.ndarray:
    shape = next((np.shape(one) for one in rows.predicted if one is not None), ())
    gap = np.full(shape, np.nan)
    predicted = np.array([gap if one is None else one for one in rows.predicted], dtype=float)
    if predicted.ndim > truth.ndim:  # quantiles of one number
        return np.abs(predicted - truth[:, None]).mean(axis=1)
    return np.abs(predicted - truth)


def _places(challenger: JudgedRows, champion: JudgedRows) -> tuple[np.ndarray, str, str]:
    """By how many places a relevant row moved up, or another row down."""
    ours, theirs = (
        RankingCases.read(rows.truth, complete(rows, other)[0], rows.entities)
        for rows, other in ((challenger, champion), (champion, challenger))
    )
    return np.where(ours.truth > 0, 1, -1) * (theirs.places - ours.places), "placed worse", "placed better"


def _scores(
    challenger: JudgedRows, champion: JudgedRows, metric: str, higher_is_better: bool
) -> tuple[np.ndarray, str, str]:
    if metric in challenger.values and metric in champion.values:
        sign = 1 if higher_is_better else -1
        ours, theirs = (_filled(rows.values[metric], higher_is_better) for rows in (challenger, champion))
        change = sign * (ours - theirs)
        return np.where(np.abs(change) <= ROUNDING, 0.0, change), "worse", "better"
    pairs = zip(challenger.predicted, champion.predicted, strict=True)
    return np.array([float(one != other) for one, other in pairs]), "", "with another answer"


def _filled(values: Sequence[float | None], higher_is_better: bool) -> np.ndarray:
    """Scores in which a row without one has the worst of them."""
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    known = array[~np.isnan(array)]
    worst = 0.0 if not len(known) else min(known.min(), 0.0) if higher_is_better else known.max()
    return np.where(np.isnan(array), worst, array)


def _failed(rows: JudgedRows) -> np.ndarray:
    count = len(rows.ids)
    return (
        np.array([bool(error) for error in rows.errors], dtype=bool) if rows.errors else np.zeros(count, bool)
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
