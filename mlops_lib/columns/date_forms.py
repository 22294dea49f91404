"""Dates in other forms than ISO: 2012/01/31, 31.01.2012, Jan 31 2012, 31 Jan 2012 and,
where the order is known, 31/01/2012.

Also Korean ones (2012년 1월 31일, 2012. 1. 31. 오후 3:30), those of Japanese and Chinese (2012年1月31日),
and the names of months in German, French and Spanish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

#: Orders of day and month in dates such as 03/04/2012.
ORDERS = ("day_first", "month_first")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OTHER_MONTHS = (
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
)
#: Name of a month in full, of any language but English -> its number.
_BY_NAME = {name: number for names in _OTHER_MONTHS for number, name in enumerate(names.split(), start=1)}
_MONTH = (
    r"(?P<name>(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))\.?"
)
_ANY_MONTH = _MONTH.replace("(?i:", f"(?i:{'|'.join(_BY_NAME)}|")
_TIME = (
    r"(?:(?:T|,? +)(?:(?P<before>오전|오후) )?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?P<utc>Z)?)?"
)
_FORMS = tuple(
    re.compile(form + _TIME, re.ASCII)
    for form in (
        r"(?P<year>\d{4})(?P<mark>[/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})",
        r"(?P<year>\d{4})\. ?(?P<month>\d{1,2})\. ?(?P<day>\d{1,2})\.?",
        r"(?P<year>\d{4})[년年] ?(?P<month>\d{1,2})[월月] ?(?P<day>\d{1,2})[일日]",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
        r"(?P<day>\d{1,2})(?:[ -]|\. ?)(?:de )?" + _ANY_MONTH + r"(?:,? |-| de )(?P<year>\d{4})",
        _MONTH + r"[ -](?P<day>\d{1,2})(?:, ?| |-)(?P<year>\d{4})",
    )
)
_EITHER = re.compile(
    r"(?P<one>\d{1,2})(?P<mark>[/-])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4})" + _TIME, re.ASCII
)


def parse(text: str, order: str = "") -> datetime:
    """The date that a text is.

    Args:
        text: In one of the forms above.
        order: One of `ORDERS`, for dates such as 03/04/2012.

    Raises:
        ValueError: It is none, or its order of day and month is not known.
    """
    text = unicodedata.normalize("NFC", text)  # Hangul and ä of a macOS file
    for form in _FORMS:
        if found := form.fullmatch(text):
            parts = found.groupdict()
            name = (parts.get("name") or "").lower()
            month = _BY_NAME.get(name) or (MONTHS.index(name[:3]) + 1 if name else int(parts["month"]))
            return _made(parts, month, int(parts["day"]))
    if order and (found := _EITHER.fullmatch(text)):
        first, second = int(found["one"]), int(found["two"])
        month, day = (second, first) if order == "day_first" else (first, second)
        return _made(found.groupdict(), month, day)
    raise ValueError(f"{text!r} is no date")


def is_either(text: str) -> bool:
    """Whether a text is like 03/04/2012, which is in March or in April."""
    return _EITHER.fullmatch(text) is not None


def orders_of(texts: Iterable[str]) -> set[str]:
    """The orders of day and month with which each text is a date; none if one is no date in these forms."""
    orders = set(ORDERS)
    for text in texts:
        orders -= {order for order in orders if not _is_date(text, order)}
        if not orders:
            break
    return orders


def order_of(values: Iterable[Any]) -> str:
    """The only order of day and month that fits all texts among the values; "" if none is needed,
    or both fit."""
    texts = [value for value in values if isinstance(value, str)]
    if not texts or not is_either(texts[0]):
        return ""
    orders = orders_of(texts)
    return orders.pop() if len(orders) == 1 else ""


def _is_date(text: str, order: str) -> bool:
    try:
        parse(text, order)
    except ValueError:
        return False
    return True


def _made(parts: dict[str, Any], month: int, day: int) -> datetime:
    hour = int(parts["hour"] or 0)
    if half := parts["half"] or parts["before"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} is no hour of half a day")
        hour = hour % 12 + 12 * (half in ("P", "p", "오후"))
    microsecond = int((parts["part"] or "0").ljust(6, "0")[:6])
    made = datetime(
        int(parts["year"]),
        month,
        day,
        hour,
        int(parts["minute"] or 0),
        int(parts["second"] or 0),
        microsecond,
    )
    return made.replace(tzinfo=timezone.utc) if parts["utc"] else made  # noqa: UP017 - also older Pythons load models
