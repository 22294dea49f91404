"""Rows of series in time: their steps, and what is known of each series before the rows that are judged."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlops_lib.columns.dates import microseconds
from mlops_lib.columns.schema import Schema

#: Split -> the splits before it, whose values are known when its rows are predicted.
BEFORE = {"train": (), "validation": ("train",), "test": ("train", "validation")}


class Rows(NamedTuple):
    """Rows in the order of the data; each array is [N].

    Attributes:
        series: The key as text; "" for all rows without a key.
        time: As a number that can be compared: microseconds since 1970, or the number itself.
        shown: The time as text: an ISO date or time, or the number.
        value: The label.
    """

    series: np.ndarray
    time: np.ndarray
    shown: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: Schema) -> "Rows":
        """The rows of a DataFrame with key, time and label."""
        column = next(one for one in schema.columns if one.name == schema.time)
        values = frame[schema.time]
        if pd.api.types.is_numeric_dtype(values.dtype):
            time = values.to_numpy(dtype=np.float64)
            shown = np.array([f"{number:.15g}" for number in time], dtype=object)
        else:
            us = [microseconds(value, column.date_order) for value in values.tolist()]
            time = np.array(us, dtype=np.float64)
            shown = _iso(np.array(us, dtype="datetime64[us]"))
        series = (
            frame[schema.key].map(str).to_numpy(dtype=object)
            if schema.key
            else np.full(len(frame), "", object)
        )
        return cls(series, time, shown, frame[schema.label].to_numpy(dtype=np.float64, na_value=np.nan))

    @classmethod
    def joined(cls, parts: "list[Rows]") -> "Rows":
        """All rows of several parts; no rows of no parts."""
        if not parts:
            return cls(*(np.empty(0, kind) for kind in (object, float, object, float)))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


def facts(rows: Rows, train: Rows, known: Rows, seasonality: int) -> dict[str, Any]:
    """Facts about rows that are forecast, by name; each is [N].

    ``key`` and ``time`` as text; ``horizon``: steps after the last known time; ``scale``: mean absolute
    change of the series over a season in the train split, NaN where it has none; ``last_value``: the last
    known value of the series; ``seasonal_naive``: the last known value of the same place in the season. A
    series without known values gets the mean of the others.

    Args:
        rows: The rows to forecast.
        train: Of the train split.
        known: With all values that are known before the first row; may contain more than `train`.
        seasonality: Steps of a season.
    """
    grid = np.unique(np.concatenate([known.time, rows.time]))
    past = pd.DataFrame(
        {"series": known.series, "step": np.searchsorted(grid, known.time), "value": known.value}
    )
    past = past.sort_values("step").drop_duplicates(["series", "step"])
    step = np.searchsorted(grid, rows.time)
    last = past.groupby("series").last()
    value = last["value"].reindex(rows.series).to_numpy(dtype=float)
    value = np.where(np.isnan(value), last["value"].mean() if len(last) else 0.0, value)
    end = last["step"].reindex(rows.series).to_numpy(dtype=float)
    of_season = step - seasonality * np.ceil((step - end) / seasonality)
    seasonal = past.set_index(["series", "step"])["value"].reindex(
        list(zip(rows.series, of_season, strict=True))
    )
    seasonal = seasonal.to_numpy(dtype=float)
    return {
        "key": rows.series.tolist(),
        "time": rows.shown.tolist(),
        "horizon": step - (past["step"].max() if len(past) else -1),
        "scale": scales(train, seasonality).reindex(rows.series).to_numpy(dtype=float),
        "last_value": value,
        "seasonal_naive": np.where(np.isnan(seasonal), value, seasonal),
        "entity": blocks(step),
    }


def scales(rows: Rows, seasonality: int) -> pd.Series:
    """Mean absolute change of each series over a season; NaN for a series that is
    too short or does not change."""
    step = np.searchsorted(np.unique(rows.time), rows.time)
    table = pd.DataFrame({"series": rows.series, "step": step, "value": rows.value})
    before = table.assign(step=table["step"] + seasonality)
    both = table.merge(before, on=["series", "step"])
    change = (both["value_x"] - both["value_y"]).abs().groupby(both["series"]).mean()
    return change.where(change > 0)


def blocks(step: np.ndarray) -> list[str]:
    """The block of consecutive times that each row is in: about as many blocks as times in one,
    and six at the least.

    See docs/decisions/0609 for the reasons.
    """
    times, place = np.unique(step, return_inverse=True)
    length = max(min(int(np.ceil(np.sqrt(len(times)))), len(times) // 6), 1)
    return [f"times {block}" for block in (place * (len(times) // length) // len(times)).tolist()]


def _iso(times: np.ndarray) -> np.ndarray:
    """As texts, without the time of day where all are at midnight."""
    days = times.astype("datetime64[D]")
    return np.datetime_as_string(days if (days == times).all() else times.astype("datetime64[s]")).astype(
        object
    )
