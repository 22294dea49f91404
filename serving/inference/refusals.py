"""Refusals of rows: the row, the column, its value and the values that the column takes."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from mlops_lib import wording
from mlops_lib.columns.encode import BadValue
from serving.inference.fields import Field, shape_text
from serving.web.problems import Problem, as_problem, invalid_input, shown_value

#: msgspec's message, and the place in the body that it names.
MESSAGE = re.compile(r"(?P<said>.*?)(?: - at `\$(?P<place>.*)`)?", re.DOTALL)
NAMED = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
#: Names for a message, the first ones of many.
listed = partial(wording.listed, most=30)


def refusal(
    error: Exception,
    rows: Any,
    fields: Mapping[str, Field],
    others: Sequence[str],
    hint: str,
    optional: Collection[str] = (),
) -> Problem:
    """The answer to rows of named columns that msgspec has refused.

    Args:
        error: msgspec's ValidationError; its place starts at the rows.
        rows: The rows as they came: a list of them, or one.
        fields: The model's columns by name.
        others: Other names that a row may have.
        hint: Added to the message about a column that is missing.
        optional: Columns that a row may leave out, beside those that may be null.
    """
    found = MESSAGE.fullmatch(str(error))
    assert found
    said, place = found["said"], found["place"] or ""
    number, place = _row_number(place)
    row = rows[number] if isinstance(rows, list) and number < len(rows) else rows
    takes = f" The model takes: {listed(fields)}."
    if not isinstance(row, dict):
        return invalid_input(f"Row {number}: {said}.{takes}")
    if named := NAMED.fullmatch(said):
        if named["what"].startswith("missing"):
            missing = _missing(row, fields, optional)
            at_fault: list[dict[str, int | str]] = [
                {"row": number, "column": field.name, "detail": f"must be {field.wanted}"}
                for field in missing
            ]
            return invalid_input(f"Row {number} has no {_named(missing)}.{takes}{hint}", at_fault)
        return invalid_input(f"Row {number}: {_unknown(named['name'], [*fields, *others])}{takes}")
    at = [name for name in fields if place == f".{name}" or place.startswith(f".{name}[")]
    if not at:
        return invalid_input(f"Row {number}: {said} - at {place.lstrip('.')!r}.{takes}")
    field = fields[max(at, key=len)]
    value = row.get(field.name)
    wanted = field.wanted + (" or null" if field.nullable else "")
    if value is None:
        required = (
            "the signature requires it"
            if field.from_signature
            else "the training data had no gaps in this column"
        )
        wanted += f"; {required}"
    if field.kind == "array" and isinstance(value, list):
        wanted += f"; this value is {_given(value)}, and {said[0].lower()}{said[1:]}"
        wanted += f" at {inner}" if (inner := place.removeprefix(f".{field.name}")) else ""
    return as_problem(BadValue(number, field.name, value, wanted), "")


def refusal_of_tensor(error: Exception, rows: Any, spec: Any) -> Problem:
    """The answer to rows of the only tensor of a signature (`spec`) that msgspec has refused,
    as of `refusal`."""
    found = MESSAGE.fullmatch(str(error))
    assert found
    number, place = _row_number(found["place"] or "")
    row = rows[number] if isinstance(rows, list) and number < len(rows) else rows
    name = f"Tensor {spec.name!r}" if spec.name else "The tensor"
    at = f" at {place}" if place else ""
    return invalid_input(
        f"{name} takes {spec.type} of shape {shape_text(spec.shape)}. Row {number} is {_given(row)}: {found['said']}{at}."
    )


def _given(value: Any) -> str:
    """The shape of nested lists, by their first items, or another value."""
    shape: list[int] = []
    item = value
    while isinstance(item, list):
        shape.append(len(item))
        item = item[0] if item else None
    return f"of shape {shape}" if shape else shown_value(value)


def _missing(row: Mapping[str, Any], fields: Mapping[str, Field], optional: Collection[str]) -> list[Field]:
    """All columns that a row lacks."""
    return [
        field
        for field in fields.values()
        if field.name not in row and not (field.nullable or field.optional or field.name in optional)
    ]


def _named(missing: Sequence[Field]) -> str:
    """Columns with the values that they take."""
    if len(missing) == 1:
        return f"column {missing[0].name!r}, which must be {missing[0].wanted}"
    return f"columns {listed(f'{field.name!r} ({field.wanted})' for field in missing)}"


def _row_number(place: str) -> tuple[int, str]:
    """The row that a place is in, and the place in it."""
    found = re.match(r"\[(\d+)\]", place)
    return (int(found[1]), place[found.end() :]) if found else (0, place)


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1) or [k for k in known if k.lower() == name.lower()]
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"the source of this model has no column {name!r}.{meant}"
