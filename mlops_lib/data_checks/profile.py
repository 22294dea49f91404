"""A profile of a dataset: a line for each column, and warnings about columns that may leak the label."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.data_checks import copies, stand_ins
from mlops_lib.data_checks.separation import comparable, is_amount, kind_of, numbers, scores

if TYPE_CHECKING:
    import pandas as pd

#: A feature whose ranks order the label this well probably contains it: ROC AUC or rank correlation.
LEAK = 0.99
SHOWN_KEYS = 5
#: Rows of a split that a profile reads, from its start; this many fit into memory. Fewer of rows with images.
ROWS, IMAGE_ROWS = 200_000, 2_000


def rows(kinds: Mapping[str, str]) -> int:
    """Rows of a split to read for a profile; `kinds` are those of the features."""
    return IMAGE_ROWS if "image" in kinds.values() else ROWS


def heading(label: "pd.Series", kind: str = "") -> str:
    """Name of the column that says how well each feature alone predicts the label."""
    if is_amount(label, kind):
        return "alone orders the label (rank correlation)"
    if label.nunique() <= 2:
        return "alone tells the label (ROC AUC)"
    return "alone tells one class from the rest (best ROC AUC)"


def table(frame: "pd.DataFrame", label: str, kinds: Mapping[str, str] | None = None) -> "pd.DataFrame":
    """A line for each column: type, share missing, distinct values, range,
    and how well it predicts the label alone.

    The last is blank (NaN) for a column that cannot be scored, such as free text.

    Args:
        frame: Rows of one split.
        label: Column to predict.
        kinds: Feature -> kind of the schema; inferred from the values where it is missing.
            A label of kind number is an amount, even with few values.
    """
    import pandas as pd

    kinds = kinds or {}
    lines = []
    for name in frame.columns:
        column = comparable(frame[name])
        spread = _spread(column)
        found = (
            {} if name == label else scores(column, frame[label], kinds.get(name, ""), kinds.get(label, ""))
        )
        lines.append(
            {
                "column": name,
                "type": "array" if is_array(frame[name]) else str(column.dtype),
                "missing": float(column.isna().mean()),
                "distinct": int(column.nunique()),
                "min": spread[0],
                "median": spread[1],
                "max": spread[2],
                heading(frame[label], kinds.get(label, "")): max(found.values(), default=np.nan),
            }
        )
    return pd.DataFrame(lines).set_index("column")


def warnings(
    train: "pd.DataFrame",
    test: "pd.DataFrame",
    features: list[str],
    label: str,
    key: str = "",
    kinds: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
) -> list[str]:
    """Problems that a person should look at before training; may be empty.

    A feature that tells one class of several apart is no problem; one that tells all of them apart is.

    Args:
        label: The column to predict.
        labels: All of them, where the data has several: copies of a row agree in each.
    """
    kinds = kinds or {}
    found, of_label = stand_ins.warnings(train[label]), kinds.get(label, "")
    for name in features:
        own = scores(train[name], train[label], kinds.get(name, ""), of_label)
        gaps = train[name].isna().astype(float)
        own = own or scores(gaps, train[label], label_kind=of_label)  # of free text
        score = float(np.mean(list(own.values()))) if own else 0.0
        if score >= LEAK:
            best = max(own, key=lambda one: own[one])
            measure = (
                f"mean ROC AUC of the classes {score:.3f}, highest for {best}"
                if len(own) > 1
                else f"{score:.3f}"
            )
            found.append(f"{name} alone predicts {label} ({measure} of 1): does it contain the answer?")
        if comparable(train[name]).nunique() <= 1:
            found.append(f"{name} has one value in all rows of train, so no model can learn from it.")
        found += stand_ins.warnings(train[name], kinds.get(name, ""))
        if kinds.get(name) == "category":
            found += copies.unknown_values(train[name], test[name])
    if key:
        found += copies.doubled(train, key)
        keys = (set(comparable(frame[key]).dropna()) for frame in (train, test))
        shared = sorted(set.intersection(*keys), key=str)
        if shared:
            first = ", ".join(map(str, shared[:SHOWN_KEYS]))
            found.append(
                f"{len(shared)} values of {key} are in both train and test (such as {first}), so test scores are too good."
            )
    elif copied := copies.warning(train, test, [*features, *(labels or [label])]):
        found.append(copied)
    return found


def _spread(column: "pd.Series") -> list[Any]:
    """Smallest, median and largest value; blanks for values without a useful order, such as text."""
    import pandas as pd

    if (kind := kind_of(column)) == "other":
        return [""] * 3
    values = numbers(column)
    known = values[np.isfinite(values)]
    if not len(known):
        return [np.nan] * 3
    if kind == "time":
        times = pd.to_datetime(column, utc=True).dropna().sort_values()
        return [times.iloc[at] for at in (0, len(times) // 2, -1)]
    return [round(float(value), 3) for value in np.quantile(known, [0, 0.5, 1])]


def is_array(column: "pd.Series") -> bool:
    """Whether every value is a list of some kind; missing ones aside."""
    known = column.dropna() if column.dtype == object else column.head(0)
    return len(known) > 0 and known.map(lambda value: isinstance(value, list | tuple | np.ndarray)).all()
