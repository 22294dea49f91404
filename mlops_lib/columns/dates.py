"""Dates and times of every form as microseconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any

import numpy as np

from .date_forms import parse

#: A date or time in ISO form, and a time of day: regular expressions that Python and RE2 read alike.
PATTERN = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
TIME_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"

US_A_SECOND, US_AN_HOUR, US_A_DAY = 1_000_000, 3_600_000_000, 86_400_000_000
_1970 = date(1970, 1, 1).toordinal()
TIME_OF_DAY = "a time of day, such as 08:30"
#: Of the years 1 and 9999, those of Python and of ISO 8601.
FIRST_US = (date.min.toordinal() - _1970) * US_A_DAY
LAST_US = (date.max.toordinal() - _1970 + 1) * US_A_DAY - 1
#: In a column of microseconds, the mark of a missing value.
MISSING_US = np.iinfo(np.int64).min


def wanted_date(order: str = "") -> str:
    """The forms that `microseconds` takes, for errors and schemas."""
    first = {"day_first": "31/01/2026, ", "month_first": "01/31/2026, "}.get(order, "")
    return f"a date or time, such as {first}2026-01-31, 2026-01-31T08:00:00Z, 2026/01/31, 31.01.2026 or Jan 31 2026"


def microseconds(value: Any, order: str = "") -> int:
    """A date or time that is there; text, a Python or NumPy value, or one of pandas.

    A time zone is converted to UTC; without one, the time is in UTC. Nanoseconds are cut off.

    Args:
        value: Text is in ISO form, or in one of `date_forms`.
        order: Of day and month in text such as 03/04/2012: day_first or month_first.

    Raises:
        ValueError: It is no date, or is outside of the years 1 to 9999.
    """
    if isinstance(value, str):
        value = _read(value, order)
    if isinstance(value, datetime):  # also the Timestamp of pandas
        us = (value.toordinal() - _1970) * US_A_DAY + _of_day(value)
        if zone := value.utcoffset():
            us -= zone.days * US_A_DAY + zone.seconds * 1_000_000 + zone.microseconds
    elif isinstance(value, date):
        us = (value.toordinal() - _1970) * US_A_DAY
    elif isinstance(value, np.datetime64):
        if not 1 <= value.astype("datetime64[Y]").astype(int) + 1970 <= 9999:  # microseconds would overflow
            raise ValueError("outside of the years 1 to 9999")
        us = int(value.astype("datetime64[us]").astype(np.int64))
    else:
        raise ValueError(f"{type(value).__name__} is no date")  # noqa: TRY004 - as for text that is none
    if not FIRST_US <= us <= LAST_US:
        raise ValueError("outside of the years 1 to 9999")
    return us


def microseconds_of_day(value: Any) -> int:
    """A time of day as microseconds since midnight.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str):
        value = time.fromisoformat(value)
    if not isinstance(value, time) or value.tzinfo:
        raise ValueError(f"{type(value).__name__} is no time of day")
    return _of_day(value)


def are_dates(texts: Iterable[str]) -> bool:
    """Whether each text is a date or time in ISO form, and exists: 2026-02-30 does not."""
    try:
        for text in texts:
            microseconds(text)
    except ValueError:
        return False
    return True


def calendar(us: np.ndarray) -> dict[str, np.ndarray]:
    """Year, month, day, weekday (Monday is 0) and hour (with its fraction) of microseconds; int64 [rows]."""
    days, rest = np.divmod(us, US_A_DAY)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    whole = months.astype(np.int64)
    return {
        "year": whole // 12 + 1970,
        "month": whole % 12 + 1,
        "day": (dates - months).astype(np.int64) + 1,
        "weekday": (days + 3) % 7,
        "hour": rest / US_AN_HOUR,
    }


def _read(text: str, order: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parse(text, order)


def _of_day(value: datetime | time) -> int:
    seconds = value.hour * 3600 + value.minute * 60 + value.second
    return seconds * 1_000_000 + value.microsecond
