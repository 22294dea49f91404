"""Columns of tensors that have the names of a network's inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_lib.network_inputs.spec import InputSpec
from serving.inference.fields import Field
from serving.web.problems import invalid_input


def column_of(name: str, inputs: Mapping[str, InputSpec], fields: Mapping[str, Field]) -> str:
    """The column that a tensor holds; the tensor's own name where it is no input,
    or one of several columns."""
    spec = inputs.get(name)
    if name in fields or spec is None or spec.of or len(spec.columns) > 1:
        return name
    return spec.columns[0]


def columns_of(
    tensors: Mapping[str, list[Any]], inputs: Mapping[str, InputSpec], fields: Mapping[str, Field]
) -> dict[str, list[Any]]:
    """Values of the columns: an input's tensor is its column, or several,
    and lengths or a mask cut padded lists.

    Args:
        tensors: Name -> a value for each row.
        inputs: The network's inputs, by name.
        fields: The model's columns.

    Raises:
        Problem: 422 for a tensor that does not fit, or two for one column.
    """
    found: dict[str, list[Any]] = {}
    for name, values in tensors.items():
        spec = inputs.get(name)
        if _padded_column(name, inputs, fields):
            continue
        if name not in fields and spec and len(spec.columns) > 1:
            made = _split(name, values, spec.columns)
        else:
            column = column_of(name, inputs, fields)
            made = {column: values if column == name else _shaped(name, values, fields[column])}
        if twice := next((column for column in made if column in found), ""):
            raise invalid_input(f"Column {twice!r} is there twice, as itself and as an input of the network.")
        found |= made
    for name, values in tensors.items():
        if column := _padded_column(name, inputs, fields):
            if column not in found or len(found[column]) != len(values):
                raise invalid_input(f"Input {name!r} belongs to column {column!r}, which is not there.")
            sizes = [_size(name, one) for one in values]
            found[column] = [_cut(name, one, size) for one, size in zip(found[column], sizes, strict=True)]
    return found


def _padded_column(name: str, inputs: Mapping[str, InputSpec], fields: Mapping[str, Field]) -> str:
    """The column of a sequence whose lengths or mask a tensor holds,
    whether or not the network takes them; else ""."""
    stem, _, kind = name.rpartition("_")
    spec = inputs.get(stem)
    is_beside = name not in fields and kind in ("lengths", "mask") and spec and spec.form == "sequence"
    return spec.columns[0] if spec and is_beside else ""


def _split(name: str, values: list[Any], columns: Sequence[str]) -> dict[str, list[Any]]:
    if any(not isinstance(one, list) or len(one) != len(columns) for one in values):
        raise invalid_input(
            f"Input {name!r} has the columns {', '.join(columns)}: send [rows, {len(columns)}]."
        )
    return {column: [one[at] for one in values] for at, column in enumerate(columns)}


def _shaped(name: str, values: list[Any], field: Field) -> list[Any]:
    """Arrays in the shape of their column: an input may have another one. A column of images has none."""
    if not field.sizes or -1 in field.sizes:
        return values
    try:
        return np.array(values, dtype=object).reshape(len(values), *field.sizes).tolist()
    except ValueError:
        raise invalid_input(f"Input {name!r}: a row is {field.wanted}.") from None


def _size(name: str, value: Any) -> int:
    """The length that a tensor of lengths, or a row of a mask, names."""
    if isinstance(value, list):
        size = sum(map(bool, value))
        if any(map(bool, value[size:])):
            raise invalid_input(f"Input {name!r}: padding is at the end of a row.")
        return size
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise invalid_input(f"Input {name!r} has {value!r}, and takes lengths from 0.")
    return value


def _cut(name: str, value: Any, size: int) -> Any:
    if not isinstance(value, list) or len(value) < size:
        raise invalid_input(f"Input {name!r} names the length {size}, which is more than the row has.")
    return value[:size]
