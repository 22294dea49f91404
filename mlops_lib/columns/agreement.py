"""Check that validation and test hold what the train split holds, before a model is trained."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlops_lib.columns.encode import PARTS, BadValue, Part, values_of
from mlops_lib.columns.facts import Facts
from mlops_lib.columns.schema import PLAIN, TEXT_TYPES, Column
from mlops_lib.errors import DataError

#: Rows that are looked at together, and rows that the error lists.
BATCH_ROWS, LISTED = 65_536, 10


def require_agreement(column: Column, train: Facts, found: Facts, split: str, file: Path) -> None:
    """Check a feature in one split.

    Args:
        column: As inferred from the train split.
        train, found: Its facts in the train split and in this one.
        split: Name of the split.
        file: The Parquet file of the split.

    Raises:
        DataError: The encoder would refuse values of the split; names column, rows and an example.
    """
    if not _is_suspect(column, train, found):
        return
    of_day = train.times or column.stored.startswith(("time32", "time64"))
    part = PARTS[column.kind](replace(column, nullable=True), {"of_day": of_day})
    if not (refused := _refused(part, file)):
        return
    wanted = refused[0].wanted.removesuffix(" or null")
    rows = ", ".join(str(one.row) for one in refused[:LISTED])
    raise DataError(
        f"Column {column.name!r} must be {wanted}, as in the train split, and {len(refused)} rows of the {split} split "
        f"are not; the first are rows {rows}, counted from 0, such as {refused[0].value!r}. Correct them in the source, "
        f"or set another kind in data.columns (drop leaves the column out)."
    )


def _is_suspect(column: Column, train: Facts, found: Facts) -> bool:
    """Whether the stored type and the facts leave room for values that the encoder refuses."""
    if not found.known or column.kind not in PARTS:
        return False
    if column.kind == "datetime":
        return column.stored in TEXT_TYPES or column.stored.startswith("timestamp")
    if column.kind == "array":
        return found.spans != train.spans or found.infinite
    if column.kind not in PLAIN:
        return False
    is_own_type = {"integer": "int" in column.stored, "boolean": column.stored == "bool"}.get(
        column.kind, True
    )
    return not is_own_type or column.stored in TEXT_TYPES or (found.infinite and not train.infinite)


def _refused(part: Part, file: Path) -> list[BadValue]:
    """The values that the encoder refuses, with the number of their row in the file."""
    import pyarrow.parquet as pq

    refused, first = [], 0
    with pq.ParquetFile(file) as stored:
        for batch in stored.iter_batches(BATCH_ROWS, columns=[part.name]):
            values = values_of(batch.column(0).to_pandas())
            try:
                part.many(values, np.empty((len(values), len(part.outputs))))
            except BadValue:
                refused += _one_by_one(part, values, first)
            first += len(values)
    return refused


def _one_by_one(part: Part, values: Any, first: int) -> list[BadValue]:
    refused = []
    for row, value in enumerate(values, start=first):
        try:
            part.one(row, value)
        except BadValue as error:
            refused.append(error)
    return refused


def require_weights(name: str, facts: Mapping[str, Facts]) -> None:
    """Check the column of weights in every split.

    Raises:
        DataError: A weight is missing, negative, infinite or no number, or all are zero.
    """
    for split, found in facts.items():
        problem = ""
        if not found.is_number:
            problem = f"holds {found.type}, and a weight is a number"
        elif missing := found.rows - found.known:
            problem = f"has no value in {missing} rows"
        elif found.infinite or float(found.least) < 0:
            problem = (
                "has infinite values" if found.infinite else f"has negative values, such as {found.least}"
            )
        elif not found.most:
            problem = "is 0 in every row"
        if problem:
            raise DataError(
                f"data.weight names {name!r}, which {problem} in the {split} split. Correct the source, or take "
                "data.weight out of config.yaml."
            )
