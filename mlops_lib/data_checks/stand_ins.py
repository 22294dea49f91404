"""Numbers and dates that stand for a missing value, such as -999 and 9999-12-31: a model takes them for amounts."""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.columns.dates import US_A_DAY
from mlops_lib.data_checks.separation import kind_of, microseconds_of, numbers

if TYPE_CHECKING:
    import pandas as pd

#: Nines alone, with their sign and one decimal, and the ends of the integers of 32 bits.
KNOWN = np.array([*(10.0**digits - 1 for digits in range(2, 11)), 99.9, 999.9, 9999.9, 2.0**31 - 1])
STAND_INS = np.concatenate((KNOWN, -KNOWN, [-(2.0**31)]))
DAYS = ("0001-01-01", "1900-01-01", "1970-01-01", "2999-12-31", "9999-12-31")
#: Fewest rows with the number: one alone may be an error of measurement or a real value.
MIN_ROWS = 2


def warnings(column: "pd.Series", kind: str = "") -> list[str]:
    """What a person should know about the smallest or the largest value of a column, which is farther from the others
    than these are from each other.

    Args:
        kind: Of the schema; dates are looked at where it is ``datetime``.
    """
    if kind == "datetime":
        return _of_dates(column)
    if kind_of(column) != "number":
        return []
    values = numbers(column)
    values = values[np.isfinite(values)]
    found = []
    for number in {values.min(), values.max()} if len(values) else ():
        others = values[values != number]
        rows = len(values) - len(others)
        if number not in STAND_INS or rows < MIN_ROWS or not len(others):
            continue
        if np.abs(others - number).min() > np.ptp(others):
            written = f"{number:.15g}"
            found.append(
                f"{column.name} is {written} in {rows:,} of {len(column):,} rows, and from {others.min():g} to {others.max():g} in the "
                f"others. If {written} means a missing value, list '{written}' in data.missing_values, which counts in every "
                "column, or leave those cells empty in the source."
            )
    return found


def _of_dates(column: "pd.Series") -> list[str]:
    us = microseconds_of(column)
    is_known = np.isfinite(us)
    known, us = column[is_known], us[is_known]
    days, found = np.floor_divide(us, US_A_DAY), []
    for day in {days.min(), days.max()} if len(days) else ():
        others = us[days != day]
        written = _day(day)
        if written not in DAYS or len(us) - len(others) < MIN_ROWS or not len(others):
            continue
        if np.abs(others - day * US_A_DAY).min() > np.ptp(others):
            value = known[days == day].iloc[0]
            listed = f"list {value!r} in data.missing_values, or " if isinstance(value, str) else ""
            found.append(
                f"{column.name} is {written} in {len(us) - len(others):,} of {len(column):,} rows, and from "
                f"{_day(others.min() // US_A_DAY)} to {_day(others.max() // US_A_DAY)} in the others. If {written} means a missing "
                f"value, {listed}leave those cells empty in the source."
            )
    return found


def _day(day: float) -> str:
    return str(np.datetime64(int(day), "D"))
