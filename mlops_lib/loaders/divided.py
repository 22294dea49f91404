"""Rows of any source, checked for labels and keys and divided into splits part by part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.errors import DataError
from mlops_lib.loaders.row_checks import (
    count_missing,
    is_missing,
    missing_values,
    named_columns,
    require_values,
)
from mlops_lib.loaders.split_plans import Parts, SplitPlan
from mlops_lib.loaders.splits import SPLITS, Split

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Divided:
    """Rows that are split by a plan, or that are one split already.

    Attributes:
        parts: Gives all rows of some columns, in order.
        by: The plan, or the name of the one split.
        labels, key: Columns; `key` may be empty.
        missing_label: ``error``, or ``drop`` for rows that lack a label.
        where: Name of the source in errors.
    """

    parts: Parts
    by: SplitPlan | Split
    labels: tuple[str, ...]
    key: str
    missing_label: str
    where: str

    def tables(self, wanted: Sequence[str], only: Split | None = None) -> Iterator[tuple[Split, "pa.Table"]]:
        """The rows with their splits, in order, part by part.

        Args:
            wanted: Columns in this order.
            only: The one split that is wanted; None: all.

        Raises:
            DataError: A row has no key, or no label; names rows.
        """
        import pyarrow as pa

        plan = self.by if isinstance(self.by, SplitPlan) else None
        if not plan and only not in (None, self.by):
            return
        splitter = plan.splitter(self.parts, self.where) if plan else None
        own = [*self.labels, *([self.key] if self.key else []), *(plan.columns() if plan else [])]
        position = 0
        for table in self.parts(list(dict.fromkeys([*wanted, *own]))):
            keep = self._with_label(table)
            split_of = splitter.of(table, position) if splitter else np.full(len(table), self.by)
            position += len(table)
            chosen_columns = table.select(wanted)
            for split in SPLITS if plan else [self.by]:
                chosen = (split_of == split) & keep
                if only in (None, split) and chosen.any():
                    whole = chosen.all()
                    yield split, chosen_columns if whole else chosen_columns.filter(pa.array(chosen))  # type: ignore[misc]

    def dropped(self) -> int:
        """Rows that lack a label."""
        return sum(int((~self._labelled(table)).sum()) for table in self.parts(list(self.labels)))

    def _with_label(self, table: "pa.Table") -> np.ndarray:
        keep = self._labelled(table)
        if self.missing_label != "drop" and not keep.all():
            raise self._missing(next(name for name in self.labels if is_missing(table[name]).any()))
        if self.key and is_missing(table[self.key]).any():
            raise self._missing(self.key)
        return keep

    def _labelled(self, table: "pa.Table") -> np.ndarray:
        """Which rows (bool [rows]) have every label."""
        return ~np.any([is_missing(table[name]) for name in self.labels], axis=0)

    def _missing(self, name: str) -> DataError:
        count, position = 0, 0
        first: list[int] = []
        for table in self.parts([name]):
            number, rows = count_missing(table[name])
            count += number
            first += [position + row for row in rows]
            position += len(table)
        return missing_values(name, count, first[:10], self.where, is_label=name in self.labels)


def with_label(
    frame: "pd.DataFrame", labels: Sequence[str], key: str, missing_label: str, where: str
) -> "tuple[pd.DataFrame, int]":
    """The rows of a DataFrame that have every label, and how many do not.

    Raises:
        DataError: A row has no key, or no label though it must; names rows.
    """
    dropped = 0
    if missing_label == "drop":
        known = frame[list(labels)].notna().all(axis=1)
        dropped = int((~known).sum())
        frame = frame[known].reset_index(drop=True) if dropped else frame
    require_values(frame, named_columns(labels, key), where, labels)
    return frame, dropped


def split_frame(frame: "pd.DataFrame", plan: SplitPlan, where: str) -> np.ndarray:
    """Names of the splits [rows] of the rows of a DataFrame."""
    import pyarrow as pa

    try:
        known = pa.Table.from_pandas(frame[plan.columns()], preserve_index=False)
    except pa.ArrowException as error:
        raise DataError(f"{where}: rows cannot be split: {error}.") from None
    if not plan.columns():
        known = pa.table({"": pa.nulls(len(frame))})
    return plan.splitter(lambda columns: [known.select(columns)], where).of(known, 0)
