"""How well a column alone predicts the label: a measure for each class, or one for a label of amounts."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.date_forms import order_of
from mlops_lib.columns.dates import microseconds, microseconds_of_day

if TYPE_CHECKING:
    import pandas as pd

#: A label of more distinct numbers is an amount; of more classes, the most frequent ones are scored.
FEW_CLASSES = 20
FOLDS, SMOOTHING = 5, 5.0
ROWS_A_BIN, MOST_BINS = 10, 50


def scores(column: "pd.Series", label: "pd.Series", kind: str = "", label_kind: str = "") -> dict[Any, float]:
    """How well a column alone tells each class from the rest, or orders an amount.

    A number and a date have their order; of several classes, also the classes of similar values. A category
    has the mean label of its rows in other folds, so that a rare value does not see its own label. A pattern
    of missing values is scored too.

    Args:
        column: Values of a feature.
        label: Values of the label, for the same rows.
        kind: Of the schema; "" to infer it from the values.
        label_kind: See `is_amount`.

    Returns:
        Class -> ROC AUC against the rest, 0.5 to 1; of two classes the second alone. Of an
        amount, the name of the label -> absolute rank correlation. Empty for a column that
        cannot be scored, such as free text.
    """
    known = np.isfinite(numbers(label))
    column, label = comparable(column[known]), label[known]
    target, amount = numbers(label), is_amount(label, label_kind)
    order, groups = _order(column, kind), _groups(column, kind)
    if len(np.unique(target)) < 2 or (order is None and groups is None):
        return {}
    targets = {label.name: target} if amount else _classes(label, target)
    if order is not None and len(targets) > 1:
        groups = _bins(order)
    gaps = column.isna().to_numpy(dtype=float)
    folds = _folds(target)
    found = {}
    for name, wanted in targets.items():
        best = abs(_strength(gaps, wanted, amount))
        if order is not None:
            best = max(best, abs(_strength(order, wanted, amount)))
        if groups is not None:  # the direction is known: a negative value is noise of the folds
            best = max(best, _strength(_out_of_fold(groups, wanted, folds), wanted, amount))
        found[name] = best if amount else 0.5 + best / 2
    return found


def is_amount(label: "pd.Series", kind: str = "") -> bool:
    """Whether the order of the label counts: it has many distinct numbers, or its `kind` is number."""
    return kind_of(label) != "other" and (kind == "number" or label.nunique() > FEW_CLASSES)


def comparable(column: "pd.Series") -> "pd.Series":
    """The column; as text if its values, such as lists, cannot be counted."""
    try:
        column.nunique()
    except TypeError:
        return column.map(repr).where(column.notna())
    return column


def kind_of(column: "pd.Series") -> str:
    """``number``, ``time`` or ``other``. Decimals count as numbers, and Python dates as times."""
    import pandas as pd

    if column.dtype.kind in "biuf":
        return "number"
    if column.dtype.kind == "M":
        return "time"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    return {"decimal": "number", "date": "time", "datetime": "time"}.get(inferred, "other")


def numbers(column: "pd.Series") -> np.ndarray:
    """Values as floats, NaN for missing ones; times as nanoseconds,
    text as the number of its first appearance."""
    import pandas as pd

    if (kind := kind_of(column)) == "other":
        codes = pd.factorize(column)[0].astype(float)
        return np.where(codes < 0, np.nan, codes)
    if kind == "time":
        times = pd.to_datetime(column, utc=True)
        return np.where(times.isna(), np.nan, times.astype("int64").to_numpy(dtype=float))
    return column.astype("Float64").to_numpy(dtype=float, na_value=np.nan)


def _order(column: "pd.Series", kind: str) -> np.ndarray | None:
    """Numbers, dates and times as floats; None for values without an order."""
    if kind in ("category", "text"):
        return None
    own = kind_of(column)
    if own == "other" and kind != "datetime":
        return None
    values = numbers(column) if own != "other" else microseconds_of(column)
    return values if np.isfinite(values).any() else None


def microseconds_of(column: "pd.Series") -> np.ndarray:
    """Dates and times of day as microseconds, NaN for values that are none."""
    import pandas as pd

    codes, values = pd.factorize(column)  # a date often repeats
    order = order_of(column)
    return np.array([*(_microseconds(value, order) for value in values), np.nan])[codes]


def _microseconds(value: Any, order: str) -> float:
    for read in (partial(microseconds, order=order), microseconds_of_day):
        try:
            return float(read(value))
        except ValueError:
            continue
    return np.nan


def _groups(column: "pd.Series", kind: str) -> np.ndarray | None:
    """The number of each row's category, -1 for a missing one;
    None for values that have an order or rarely repeat."""
    import pandas as pd

    is_category = kind == "category" or (kind_of(column) == "other" and kind not in ("text", "datetime"))
    codes, values = pd.factorize(column)
    return codes if is_category and 0 < len(values) <= (codes >= 0).sum() / 2 else None


def _bins(order: np.ndarray) -> np.ndarray:
    """Similar numbers as categories, -1 for missing ones: they tell a class in the middle from the rest."""
    import pandas as pd

    values = pd.Series(order).where(np.isfinite(order))
    if values.nunique() <= FEW_CLASSES:
        return pd.factorize(values)[0]
    count = int(np.clip(len(values) // ROWS_A_BIN, 2, MOST_BINS))
    return (values.rank(pct=True) * count).clip(upper=count - 1).fillna(-1).to_numpy().astype(int)


def _classes(label: "pd.Series", target: np.ndarray) -> dict[Any, np.ndarray]:
    codes, counts = np.unique(target, return_counts=True)
    codes = codes[1:] if len(codes) == 2 else codes[np.argsort(-counts, kind="stable")][:FEW_CLASSES]
    return {label.iloc[int(np.argmax(target == code))]: (target == code).astype(float) for code in codes}


def _folds(target: np.ndarray) -> np.ndarray:
    """A fold for each row, always the same, with the classes spread evenly."""
    mixed = np.random.default_rng(0).permutation(len(target))
    folds = np.empty(len(target), dtype=int)
    folds[mixed[np.argsort(target[mixed], kind="stable")]] = np.arange(len(target)) % FOLDS
    return folds


def _out_of_fold(groups: np.ndarray, target: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Mean target of each row's group in the other folds, drawn to the mean of all rows;
    NaN for a missing group."""
    known, shape = groups >= 0, (groups.max() + 1, FOLDS)
    cells = groups[known] * FOLDS + folds[known]
    counts, sums = (
        np.bincount(cells, weights, minlength=shape[0] * FOLDS).reshape(shape)
        for weights in (None, target[known])
    )
    elsewhere = counts.sum(axis=1, keepdims=True) - counts
    totals = sums.sum(axis=1, keepdims=True) - sums
    # Rounded, so that equal means tie: sums in another order differ in the last digits.
    means = ((totals + SMOOTHING * target.mean()) / (elsewhere + SMOOTHING)).ravel().round(12)
    found = np.full(len(groups), np.nan)
    found[known] = means[cells]
    return found


def _strength(values: np.ndarray, target: np.ndarray, amount: bool) -> float:
    """Rank correlation with an amount; of a class, 2 AUC - 1 (Mann and Whitney 1947). -1 to 1,
    and 0 without two values."""
    import pandas as pd

    known = np.isfinite(values)
    ranks, target = pd.Series(values[known]).rank().to_numpy(), target[known]
    if not len(ranks) or np.ptp(ranks) == 0 or np.ptp(target) == 0:
        return 0.0
    if amount:
        return float(np.corrcoef(ranks, pd.Series(target).rank())[0, 1])
    positive = target > 0
    count = int(positive.sum())
    area = (ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(ranks) - count))
    return float(2 * area - 1)
