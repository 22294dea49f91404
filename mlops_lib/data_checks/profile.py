"""A profile of a dataset: a line for each column, and warnings about columns that may leak the label."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: A feature whose ranks order the label this well probably contains it.
LEAK_AUC, LEAK_CORRELATION = 0.99, 0.99
FEW_CLASSES = 20
SHOWN_KEYS = 5
#: Rows of a split that a profile reads, from its start; this many fit into memory.
ROWS = 200_000


def table(frame: "pd.DataFrame", label: str) -> "pd.DataFrame":
    """A line for each column: type, share missing, distinct values, range, and how well it predicts the label alone.

    Args:
        frame: Rows of one split.
        label: Column to predict.
    """
    import pandas as pd

    lines = []
    for name in frame.columns:
        column = _comparable(frame[name])
        spread = _spread(column)
        lines.append(
            {
                "column": name,
                "type": "array" if is_array(frame[name]) else str(column.dtype),
                "missing": float(column.isna().mean()),
                "distinct": int(column.nunique()),
                "min": spread[0],
                "median": spread[1],
                "max": spread[2],
                "alone tells the label": np.nan if name == label else separation(column, frame[label]),
            }
        )
    return pd.DataFrame(lines).set_index("column")


def warnings(
    train: "pd.DataFrame", test: "pd.DataFrame", features: list[str], label: str, key: str = ""
) -> list[str]:
    """Problems that a person should look at before training; may be empty."""
    found = []
    for name in features:
        score = separation(train[name], train[label])
        limit = LEAK_AUC if train[label].nunique() <= FEW_CLASSES else LEAK_CORRELATION
        if score >= limit:
            found.append(f"{name} alone predicts {label} ({score:.3f} of 1): does it contain the answer?")
        if _comparable(train[name]).nunique() <= 1:
            found.append(f"{name} has one value in all rows of train, so no model can learn from it.")
    if key:
        keys = (set(_comparable(frame[key]).dropna()) for frame in (train, test))
        shared = sorted(set.intersection(*keys), key=str)
        if shared:
            first = ", ".join(map(str, shared[:SHOWN_KEYS]))
            found.append(
                f"{len(shared)} values of {key} are in both train and test (such as {first}), so test scores are too good."
            )
    return found


def _spread(column: "pd.Series") -> list[Any]:
    """Smallest, median and largest value; blanks for values without a useful order, such as text."""
    import pandas as pd

    if (kind := _kind(column)) == "other":
        return [""] * 3
    numbers = _numbers(column)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return [np.nan] * 3
    if kind == "time":
        values = pd.to_datetime(column, utc=True).dropna().sort_values()
        return [values.iloc[at] for at in (0, len(values) // 2, -1)]
    return [round(float(value), 3) for value in np.quantile(known, [0, 0.5, 1])]


def separation(column: "pd.Series", label: "pd.Series") -> float:
    """How well a column alone orders the label, 0 to 1.

    For a label with few classes or of text, the best ROC AUC of one class against the rest, where 0.5 is chance and 1 a perfect
    split. For a number, the absolute rank correlation. A pattern of missing values is scored too.
    """
    import pandas as pd

    column = _comparable(column)
    values = _ranks(column, label)
    target = _numbers(label)
    classes = np.unique(target[np.isfinite(target)])
    if len(classes) < 2:
        return 0.5
    candidates = [values]
    if column.isna().any():
        candidates.append(column.isna().to_numpy(dtype=float))
    if len(classes) > FEW_CLASSES and _kind(label) == "other":
        classes = pd.Series(target).value_counts().index[:FEW_CLASSES]
    elif len(classes) > FEW_CLASSES:
        return max(_correlation(candidate, target) for candidate in candidates)
    return max(_auc(c, target == one) for c in candidates for one in classes)


def is_array(column: "pd.Series") -> bool:
    """Whether every value is a list of some kind; missing ones aside."""
    known = column.dropna() if column.dtype == object else column.head(0)
    return len(known) > 0 and known.map(lambda value: isinstance(value, list | tuple | np.ndarray)).all()


def _comparable(column: "pd.Series") -> "pd.Series":
    """The column; as text if its values, such as lists, cannot be counted."""
    try:
        column.nunique()
    except TypeError:
        return column.map(repr).where(column.notna())
    return column


def _kind(column: "pd.Series") -> str:
    """``number``, ``time`` or ``other``. Decimals count as numbers, and Python dates as times."""
    import pandas as pd

    if column.dtype.kind in "biuf":
        return "number"
    if column.dtype.kind == "M":
        return "time"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    return {"decimal": "number", "date": "time", "datetime": "time"}.get(inferred, "other")


def _numbers(column: "pd.Series") -> np.ndarray:
    """Values as floats, NaN for missing ones; times as nanoseconds, text as the number of its first appearance."""
    import pandas as pd

    if (kind := _kind(column)) == "other":
        codes = pd.factorize(column)[0].astype(float)
        return np.where(codes < 0, np.nan, codes)
    if kind == "time":
        times = pd.to_datetime(column, utc=True)
        return np.where(times.isna(), np.nan, times.astype("int64").to_numpy(dtype=float))
    return column.astype("Float64").to_numpy(dtype=float, na_value=np.nan)


def _ranks(column: "pd.Series", label: "pd.Series") -> np.ndarray:
    """Numbers and times as floats; other values as the mean label of their rows, if values repeat often enough."""
    if _kind(column) != "other":
        return _numbers(column)
    if column.nunique() > len(column) / 2:
        return np.zeros(len(column))
    import pandas as pd

    target = pd.Series(_numbers(label), index=column.index)
    return target.groupby(column, observed=True).transform("mean").to_numpy()


def _auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann and Whitney 1947), in the direction that gives 0.5 to 1."""
    import pandas as pd

    known = np.isfinite(values)
    values, positive = values[known], positive[known]
    n = int(positive.sum())
    if not 0 < n < len(values):
        return 0.5
    area = (pd.Series(values).rank().to_numpy()[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n))
    return float(max(area, 1 - area))


def _correlation(values: np.ndarray, target: np.ndarray) -> float:
    import pandas as pd

    with np.errstate(invalid="ignore", divide="ignore"):  # a column with one value
        found = pd.Series(values).rank().corr(pd.Series(target).rank())
    return float(abs(found)) if np.isfinite(found) else 0.0
