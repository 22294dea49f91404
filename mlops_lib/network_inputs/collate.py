"""Tensors by a collate function of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..columns.json_rows import json_value
from ..columns.schema import Schema
from .spec import Inputs, InputSpec
from .tokens import named

#: Rows that are collated alone, to find the sizes that differ between batches.
ALONE = 16


class Collated:
    """Calls the function with rows as ``{column: value}``, in the forms that JSON has,
    as a caller of the service sends them.

    Args:
        path: ``package.module:function``; it returns a dict of tensors, or one tensor.
        schema: Its features are the columns of a row.
    """

    def __init__(self, path: str, schema: Schema) -> None:
        self._path, self._function, self._columns = path, named(path), schema.features

    def rows(self, columns: Mapping[str, Sequence[Any] | np.ndarray], rows: int) -> np.ndarray:
        """The rows as an array of dicts."""
        made = np.empty(rows, dtype=object)
        values = [self._values(name, columns[name]) for name in self._columns]
        for row, one in enumerate(zip(*values, strict=True)):
            made[row] = dict(zip(self._columns, one, strict=True))
        return made

    def tensors(self, rows: np.ndarray, inputs: Inputs) -> dict[str, np.ndarray]:
        """The tensors of rows, in the order of the inputs.

        Raises:
            ValueError: The function gives tensors of other names than for the first rows.
        """
        found = self._call(rows)
        if set(found) != set(inputs.names):
            raise ValueError(
                f"{self._path} gives {', '.join(found)}, and gave {', '.join(inputs.names)} before."
            )
        return {name: found[name] for name in inputs.names}

    def sizes(self, rows: np.ndarray, inputs: Inputs) -> np.ndarray:
        """The sizes of each row's own tensors [rows, sizes]."""
        found = [self.tensors(rows[row : row + 1], inputs).values() for row in range(len(rows))]
        return np.array([[size for one in row for size in one.shape[1:]] for row in found])

    def specs(self, rows: np.ndarray) -> tuple[InputSpec, ...]:
        """What the function makes of some rows: its inputs, with None for sizes that differ between rows."""
        together = self._call(rows)
        alone = [self._call(rows[row : row + 1]) for row in range(min(len(rows), ALONE))]
        return tuple(
            InputSpec(
                name,
                tuple(self._columns),
                "collated",
                one.dtype.name,
                tuple(
                    None if any(other[name].shape[at] != size for other in alone) else size
                    for at, size in enumerate(one.shape[1:], start=1)
                ),
            )
            for name, one in together.items()
        )

    def _values(self, name: str, values: Any) -> list[Any]:
        column = self._columns[name]
        found = [json_value(value, column) for value in values]
        if column.missing:
            found = [None if column.means_missing(value) else value for value in found]
        if column.kind != "number":
            return found
        return [float(value) if isinstance(value, int) else value for value in found]

    def _call(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        found = self._function([dict(row) for row in rows])
        made = found if isinstance(found, Mapping) else {"x": found}
        arrays = {str(name): np.asarray(one) for name, one in made.items()}
        for name, one in arrays.items():
            if not one.ndim or len(one) != len(rows) or one.dtype.kind not in "biuf":
                raise ValueError(
                    f"{self._path} gives {name!r} as {one.dtype} of shape {list(one.shape)} for {len(rows)} rows, and must "
                    f"give numbers [{len(rows)}, ...]."
                )
        return arrays
