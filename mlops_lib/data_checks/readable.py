"""Check that the rules of ``data.checks`` can apply to a column at all: each misread rule is one line,
not a finding a row."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import DataError
from mlops_lib.settings import CheckSettings, ColumnCheck
from mlops_lib.wording import listed

if TYPE_CHECKING:
    import pandas as pd

#: What YAML makes of a text without quotes, by the type of the value.
READ_AS = {bool: "yes, no, on, off, true and false as booleans", date: "2020-01-31 as a date"}

MAX_SHOWN = 5


def require_readable(frame: "pd.DataFrame", checks: CheckSettings) -> None:
    """Compare the values and limits of each rule with the type of its column.

    Args:
        frame: Rows of the dataset.
        checks: The rules.

    Raises:
        DataError: `values` are of another type than the column,
            or `min` or `max` limits a column without numbers.
    """
    problems = []
    for name, check in checks.columns.items():
        if name in frame.columns and (known := frame[name].dropna()).size:
            problems += [f"data.checks.columns.{name}{problem}" for problem in _problems(check, known)]
    if problems:
        raise DataError("\n".join(problems))


def _problems(check: ColumnCheck, known: "pd.Series") -> list[str]:
    """The problems of a column's rules, given its values."""
    first, found = known.iloc[0], []
    kind = _kind(first)
    odd = [value for value in check.values if _kind(value) != kind and not _comparable(value, first)]
    if odd and kind == "text":
        how = next((f" YAML reads {text}." for of, text in READ_AS.items() if isinstance(odd[0], of)), "")
        own = list(known.unique()[: MAX_SHOWN + 1])  # yes, not True
        meant = own if isinstance(odd[0], bool) and len(own) <= MAX_SHOWN else check.values
        quoted = ", ".join(repr(str(value)) for value in meant)
        found.append(
            f".values has {listed(odd, MAX_SHOWN)}, and the column holds text, for example {first!r}.{how} Write text in "
            f"quotes: as [{quoted}] if that is the spelling in the data."
        )
    elif odd and kind:
        hint = " Write numbers, booleans and dates without quotes." if isinstance(odd[0], str) else ""
        found.append(
            f".values has {listed(odd, MAX_SHOWN)}, and the column holds {kind}s, for example {_plain(first)!r}.{hint}"
        )
    if (check.min is not None or check.max is not None) and kind not in ("number", "boolean", ""):
        limit = "min" if check.min is not None else "max"
        found.append(f".{limit} limits numbers, and the column holds {kind}, for example {_plain(first)!r}.")
    return found


def _kind(value: Any) -> str:
    """``text``, ``boolean``, ``number`` or ``date``; "" for another type, which no rule compares."""
    value = _plain(value)
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "date" if isinstance(value, date) else ""


def _comparable(value: Any, first: Any) -> bool:
    """Whether a value of another kind may still equal one of the column: 1 and True do."""
    return {_kind(value), _kind(first)} == {"number", "boolean"} and value in (0, 1)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
