"""Check that rows are series in time that can be forecast: one row for each time, no gaps,
and a split by time."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.columns.dates import US_A_DAY, US_AN_HOUR
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import DataError
from mlops_lib.evaluation.history import Rows
from mlops_lib.loaders.splits import SPLITS, Split

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("number", "integer", "boolean")
#: Fewest times from which the step between them can be told.
FEWEST = 4


def require(schema: Schema, label: Column, files: Mapping[Split, Path], is_whole: bool = True) -> None:
    """Check the written splits of a forecast.

    Args:
        is_whole: Whether the splits have all rows; a limit on rows leaves gaps between them.

    Raises:
        DataError: There is no time; the label is no number; a split begins before an earlier one ends;
            a series has two rows of one time, or none of a time in between; the times have no regular step.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    if not schema.time:
        raise DataError(
            "evaluation.task forecast learns from earlier rows and is judged on later ones, and no column is the time. Set "
            "data.split: {by: time, column: NAME}."
        )
    if label.kind not in KINDS:
        raise DataError(
            f"Column {label.name!r} holds {label.kind} values, and a forecast predicts numbers. Name another data.label."
        )
    columns = [name for name in (schema.key, schema.time, label.name) if name]
    parts = [Rows.of(pq.read_table(files[split], columns=columns).to_pandas(), schema) for split in SPLITS]
    _require_order(schema.time, parts)
    rows = Rows.joined(parts)
    grid, step = np.unique(rows.time, return_inverse=True)
    shown = dict(zip(step.tolist(), rows.shown.tolist(), strict=True))
    table = pd.DataFrame({"series": rows.series, "step": step})
    if (twice := table.duplicated()).any():
        first = table[twice].iloc[0]
        raise DataError(
            f"{int(twice.sum())} rows have the time of another row{_of(schema, first.series)}; the first is {schema.time!r} "
            f"{shown[first.step]}. A series has one row for each time. "
            + (
                "Merge the rows in data.prepare."
                if schema.key
                else "Set data.key to the column of the series, such as store."
            )
        )
    if is_whole:
        is_number = next(one for one in schema.columns if one.name == schema.time).kind != "datetime"
        _require_steps(schema.time, grid, shown, is_number)
        _require_no_gaps(schema, table, shown)


def _require_order(name: str, parts: list[Rows]) -> None:
    known = [(split, rows) for split, rows in zip(SPLITS, parts, strict=True) if len(rows.time)]
    for (before, earlier), (after, later) in pairwise(known):
        last, first = earlier.time.argmax(), later.time.argmin()
        if earlier.time[last] >= later.time[first]:
            raise DataError(
                f"The {after} split begins at {name!r} {later.shown[first]}, and the {before} split ends at "
                f"{earlier.shown[last]}: a forecast is judged on rows after those that it learned from. Divide the "
                "ready-made splits by time, or give one file with data.split: {by: time, column: NAME}."
            )


def _require_steps(name: str, grid: np.ndarray, shown: Mapping[int, str], is_number: bool) -> None:
    """Check that the times of all series together have a regular step, such as days,
    working days or months."""
    import pandas as pd

    if len(grid) < FEWEST:
        return
    steps = np.diff(grid)
    if is_number:
        regular = np.allclose(steps, steps[0])
    else:
        forms = [grid.astype("datetime64[us]"), *_of_summer_time(grid)]
        regular = any(pd.infer_freq(pd.DatetimeIndex(form)) is not None for form in forms)
    if not regular:
        longest = int(steps.argmax())
        raise DataError(
            f"The times in {name!r} have no regular step, such as days, working days or months; the longest is from "
            f"{shown[longest]} to {shown[longest + 1]}. Add the missing rows in the source or in data.prepare, or number the "
            "times (0, 1, 2, ...) in a column and split by it."
        )


def _of_summer_time(us: np.ndarray) -> list[np.ndarray]:
    """Days whose beginnings are at two hours of UTC, as in a time zone with summer time;
    empty for other times.

    The days of the zone are those of UTC or the next ones, which matters for months.
    """
    clock = np.unique(us % US_A_DAY)
    if len(clock) != 2 or clock[1] - clock[0] not in (US_AN_HOUR, US_A_DAY - US_AN_HOUR):
        return []
    earlier = clock[0] if clock[1] - clock[0] == US_AN_HOUR else clock[1]
    days = ((us - earlier) // US_A_DAY).astype("datetime64[D]")
    return [days, days + 1]


def _require_no_gaps(schema: Schema, table: "pd.DataFrame", shown: Mapping[int, str]) -> None:
    found = table.groupby("series")["step"].agg(["min", "max", "size"])
    gaps = found[found["max"] - found["min"] + 1 > found["size"]]
    if not len(gaps):
        return
    series, line = gaps.index[0], gaps.iloc[0]
    own = set(table.loc[table["series"] == series, "step"])
    missing = next(step for step in range(line["min"], line["max"]) if step not in own)
    raise DataError(
        f"{len(gaps)} series have gaps; the first is {schema.key!r} {series!r}, which has no row of {schema.time!r} "
        f"{shown[missing]}. Steps before and after it would count as one. Add the missing rows in the source or in "
        "data.prepare."
    )


def _of(schema: Schema, series: str) -> str:
    return f" of {schema.key!r} {series!r}" if schema.key else ""
