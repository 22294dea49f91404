"""What came in: a line for each column, and what looks as if the answer had leaked into the data."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: A feature whose ranks alone order the label this well knows the answer.
LEAK_AUC, LEAK_CORRELATION = 0.99, 0.99
FEW_CLASSES = 20
SHOWN_KEYS = 5
#: Rows of a split that a profile is made of, the first ones: enough to see, and no more than memory holds.
ROWS = 200_000


def table(frame: "pd.DataFrame", label: str) -> "pd.DataFrame":
    """A line for each column: type, missing share, distinct values, range, and what it alone tells of the label.

    Args:
        frame: Rows of one split.
        label: Column to predict.
    """
    import pandas as pd

    lines = []
    for name in frame.columns:
        column = frame[name]
        numbers = _numbers(column)
        spread = np.nanquantile(numbers, [0, 0.5, 1]) if np.isfinite(numbers).any() else [np.nan] * 3
        lines.append(
            {
                "column": name,
                "type": str(column.dtype),
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
    """What a person should look at before training on this; empty when there is nothing."""
    found = []
    for name in features:
        told = separation(train[name], train[label])
        limit = LEAK_AUC if train[label].nunique() <= FEW_CLASSES else LEAK_CORRELATION
        if told >= limit:
            found.append(f"{name} alone tells {label} ({told:.3f} of 1): does it know the future?")
        if train[name].nunique() <= 1:
            found.append(f"{name} has one value in all of train: it can teach nothing.")
    if key:
        shared = sorted(set(train[key].dropna()) & set(test[key].dropna()))
        if shared:
            first = ", ".join(map(str, shared[:SHOWN_KEYS]))
            found.append(
                f"{len(shared)} values of {key} are in train and in test (such as {first}): the test split is no test."
            )
    return found


def separation(column: "pd.Series", label: "pd.Series") -> float:
    """How well a column alone orders the label, 0 to 1.

    For a label of few classes the best ROC AUC of one class against the rest, turned so that 0.5 is chance and
    1 is a perfect split; for a number the absolute rank correlation. Whether a value is missing counts too.
    """
    values = _ranks(column, label)
    target = _numbers(label)
    classes = np.unique(target[np.isfinite(target)])
    if len(classes) < 2:
        return 0.5
    candidates = [values]
    if column.isna().any():
        candidates.append(column.isna().to_numpy(dtype=float))
    if len(classes) > FEW_CLASSES:
        return max(_correlation(candidate, target) for candidate in candidates)
    return max(_auc(c, target == one) for c in candidates for one in classes)


def _numbers(column: "pd.Series") -> np.ndarray:
    """Values as floats, NaN for what is missing; text gets the number of its first appearance."""
    import pandas as pd

    if column.dtype.kind not in "biuf" and pd.api.types.infer_dtype(column, skipna=True) != "decimal":
        codes = pd.factorize(column)[0].astype(float)
        return np.where(codes < 0, np.nan, codes)
    return column.astype("Float64").to_numpy(dtype=float, na_value=np.nan)


def _ranks(column: "pd.Series", label: "pd.Series") -> np.ndarray:
    """Numbers as they are; other values by the mean label of their like, where a value has several rows."""
    if column.dtype.kind in "biuf":
        return _numbers(column)
    if column.nunique() > len(column) / 2:
        return np.zeros(len(column))
    import pandas as pd

    target = pd.Series(_numbers(label), index=column.index)
    return target.groupby(column).transform("mean").to_numpy()


def _auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann and Whitney 1947), 0.5 to 1 whichever way round."""
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

    found = pd.Series(values).rank().corr(pd.Series(target).rank())
    return float(abs(found)) if np.isfinite(found) else 0.0
