"""Numbers that stand for a missing value, such as -999: a model takes them for amounts."""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.data_checks.separation import kind_of, numbers

if TYPE_CHECKING:
    import pandas as pd

#: Nines alone, with their sign and one decimal, and the ends of the integers of 32 bits.
KNOWN = np.array([*(10.0**digits - 1 for digits in range(2, 11)), 99.9, 999.9, 9999.9, 2.0**31 - 1])
STAND_INS = np.concatenate((KNOWN, -KNOWN, [-(2.0**31)]))
#: Fewest rows with the number: one alone may be an error of measurement or a real value.
MIN_ROWS = 2


def warnings(column: "pd.Series") -> list[str]:
    """What a person should know about the smallest or the largest number of a column, which is farther from the others
    than these are from each other."""
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
