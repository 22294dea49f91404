"""Figure of the features of a dataset: their distribution for each class,
or the mean amount for their values."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from mlops_lib.columns.date_forms import order_of
from mlops_lib.columns.dates import US_A_DAY, microseconds
from mlops_lib.evaluation.figures.style import (
    BASELINES,
    MODEL,
    STYLE,
    NotebookFigure,
    bins,
    shorten,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COLUMNS = 12
COLUMNS_WIDE = 3
FEW_VALUES = 10
MAX_CATEGORIES = 8
NOT_DRAWN = ("text", "image")
#: 0001-01-01 and 9999-12-31 as days since 1970: matplotlib names no day before or after them.
FIRST_DAY, LAST_DAY = -719_162, 2_932_896


def distributions(
    frame: "pd.DataFrame", label: str, features: Sequence[str], kinds: Mapping[str, str] | None = None
) -> "Figure":
    """Small multiples: the share of rows by value for each class; for a label of many numbers,
    its mean by value.

    Args:
        frame: Rows with the features and the label.
        label: Name of the label column.
        features: Columns to draw, the first 12 of them without free text; of an array,
            the mean of its numbers.
        kinds: Feature -> kind of the schema; inferred from the values where it is missing.
            A label of kind number has many numbers, even with few values.
    """
    kinds = kinds or {}
    left_out = [name for name in features if kinds.get(name) in NOT_DRAWN]
    drawable = [name for name in features if name not in left_out]
    shown = drawable[:MAX_COLUMNS]
    frame = _means(frame[[*shown, label]], shown)
    few = frame[label].nunique() <= FEW_VALUES and kinds.get(label) != "number"
    classes = sorted(frame[label].dropna().unique()) if few else [None]
    groups = classes[: len(BASELINES) + 1]
    amounts = None if few else _amounts(frame[label])
    high = max(-(-len(shown) // COLUMNS_WIDE), 1)
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.9 + 1.9 * high), layout="constrained")
        boxes = figure.subplots(high, COLUMNS_WIDE, squeeze=False).flat
        for name, axes in zip(shown, boxes, strict=False):
            days = _days(frame[name], kinds.get(name, ""))
            values = _countable(frame[name]) if days is None else days
            if amounts is not None:
                _mean_amounts(axes, values, amounts)
            for group, colour in zip(groups, (MODEL, *BASELINES), strict=False):
                if amounts is None:
                    own = values if group is None else values[frame[label] == group]
                    _shares(axes, own, values, colour, "all rows" if group is None else f"{label} = {group}")
            axes.set_title(name if amounts is None else f"{name}: mean {label}")
            _number_axes(axes, is_time=days is not None, is_share=amounts is None)
        for axes in list(boxes):
            axes.axis("off")
        question = f"Which features tell the values of {label} apart?"
        notes = [shorten(f"Not drawn (free text or images): {', '.join(left_out)}", 110)] if left_out else []
        if len(shown) < len(drawable):
            notes.append(f"The first {len(shown)} of {len(drawable)} features")
        if amounts is None and len(groups) < len(classes):
            notes.append(f"The first {len(groups)} of {len(classes)} values of {label}")
        figure.suptitle("\n".join([question, *notes]), x=0.01, ha="left", fontsize=10)
        handles, names = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        figure.finish()
    return figure


def _number_axes(axes: "Axes", *, is_time: bool, is_share: bool) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    low, high = axes.get_ylim()
    axes.set_ylim(
        min(low, 0.0) if not is_share else 0.0, max(high, 0.0)
    )  # differences look as small as they are
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if is_time:
        left, right = axes.get_xlim()
        axes.set_xlim(max(left, FIRST_DAY), min(right, LAST_DAY))
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _shares(axes: "Axes", values: "pd.Series", every: "pd.Series", colour: str, name: str) -> None:
    """Share of rows by value. The bins span 98 % of the rows,
    so that a long tail does not flatten the rest."""
    if every.dtype.kind not in "biuf":
        counts = values.value_counts(normalize=True).reindex(_frequent(every), fill_value=0)
        axes.plot(range(len(counts)), counts, "o", color=colour, label=name, markersize=4)
        _name_categories(axes, counts.index)
        return
    known = every.dropna().astype(float)
    finite = known[np.isfinite(known)]
    low, high = np.quantile(finite, [0.01, 0.99]) if len(finite) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 25)
    clipped = values.dropna().astype(float).clip(edges[0], edges[-1])
    shares = np.histogram(clipped, edges)[0] / max(len(clipped), 1)
    axes.stairs(shares, edges, color=colour, label=name, linewidth=1.4)


def _mean_amounts(axes: "Axes", values: "pd.Series", amounts: np.ndarray) -> None:
    """Mean amount and twice its standard error, of the frequent categories or of
    bins with equally many rows."""
    if values.dtype.kind in "biuf":
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        known = np.isfinite(numbers) & np.isfinite(amounts)
        if not known.any():
            return
        numbers, amounts = numbers[known], amounts[known]
        groups = bins(numbers)
        members = [groups == group for group in np.unique(groups)]
        places, line = [float(numbers[rows].mean()) for rows in members], "o-"
    else:
        frequent = _frequent(values)
        members = [
            (values == value).fillna(False).to_numpy(dtype=bool) & np.isfinite(amounts) for value in frequent
        ]
        places, line = list(range(len(frequent))), "o"
        _name_categories(axes, frequent)
    of_each = [amounts[rows] for rows in members]
    means = [own.mean() if len(own) else np.nan for own in of_each]
    errors = [2 * own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else 0.0 for own in of_each]
    axes.errorbar(
        places, means, errors, fmt=line, color=MODEL, markersize=4, label="mean and twice its standard error"
    )


def _frequent(column: "pd.Series") -> "pd.Index":
    return column.value_counts().index[:MAX_CATEGORIES]


def _name_categories(axes: "Axes", values: "pd.Index") -> None:
    axes.set_xticks(range(len(values)), [shorten(value, 8) for value in values], rotation=45)


def _amounts(label: "pd.Series") -> np.ndarray | None:
    """The label as floats; None if it has many classes of text."""
    try:
        return label.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        return None


def _days(column: "pd.Series", kind: str) -> "pd.Series | None":
    """Dates and times as days since 1970, which matplotlib draws as dates; None for other values."""
    import pandas as pd

    is_time = kind == "datetime" or column.dtype.kind == "M"
    if not is_time and pd.api.types.infer_dtype(column, skipna=True) not in ("date", "datetime"):
        return None
    try:
        order = order_of(column)
        found = [np.nan if pd.isna(value) else microseconds(value, order) / US_A_DAY for value in column]
    except ValueError:  # a time of day
        return None
    return pd.Series(found, column.index, dtype=float)


def _countable(column: "pd.Series") -> "pd.Series":
    """The values; as text where they cannot be counted, such as dictionaries."""
    try:
        column.nunique()
    except TypeError:
        return column.map(str).where(column.notna())
    return column


def _means(frame: "pd.DataFrame", features: Sequence[str]) -> "pd.DataFrame":
    """The rows with each array as the mean of its numbers."""
    import pandas as pd

    def mean(value: Any) -> float:
        try:
            return float(np.mean(np.asarray(value, dtype=float))) if np.size(value) else np.nan
        except (TypeError, ValueError):  # text in lists
            return np.nan

    arrays = [
        name for name in features if frame[name].dtype == object and frame[name].map(np.ndim).gt(0).any()
    ]
    return frame.assign(**{name: pd.Series(frame[name].map(mean), dtype=float) for name in arrays})
