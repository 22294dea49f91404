"""Ways to split rows: by key, stratified by label, by time,
or by a column that names the split of each row."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.columns.date_forms import ORDERS, is_either, orders_of
from mlops_lib.columns.dates import microseconds
from mlops_lib.errors import DataError
from mlops_lib.loaders.row_checks import count_missing
from mlops_lib.loaders.sources.ready_made import NAMES, split_named
from mlops_lib.loaders.splitting import ORDER, assign, hashes
from mlops_lib.loaders.texts import texts
from mlops_lib.settings.data import SplitSettings

if TYPE_CHECKING:
    import pyarrow as pa

#: All rows of some columns, in parts.
Parts = Callable[[list[str]], Iterable["pa.Table"]]
#: Fewest rows of a class of which each split gets one.
FEWEST = 3


@dataclass(frozen=True)
class SplitPlan:
    """What decides the split of a row.

    Attributes:
        label, key: Columns; `key` may be empty.
        validation_fraction, test_fraction: Shares of the keys (rows without a key).
        seed: Another seed gives another split.
        how: The setting ``data.split``.
        date_order: Of day and month in the column of a split by time; "" if config.yaml does not give it.
    """

    label: str
    key: str = ""
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    seed: int = 0
    how: SplitSettings = field(default_factory=SplitSettings)
    date_order: str = ""

    def columns(self) -> list[str]:
        """Columns that `splitter` and its result read."""
        wanted = {"label": [self.label, self.key], "key": [self.key]}.get(self.how.by, [self.how.column])
        return [name for name in wanted if name]

    def splitter(self, parts: Parts, where: str) -> "Splitter":
        """What tells the split of each row; reads all rows once for a split by label or time.

        Args:
            parts: Gives all rows of some columns.
            where: Name of the source in errors.
        """
        kinds = {"key": _ByKey, "label": _ByLabel, "time": _ByTime, "column": _ByColumn}
        return kinds[self.how.by](self, parts, where)

    def units(self, table: "pa.Table", first_row: int) -> "pa.ChunkedArray | range":
        """What stays together in a split: the key of each row, or its position."""
        return table[self.key] if self.key else range(first_row, first_row + len(table))


class Splitter:
    """Tells the split of each row of consecutive tables."""

    def __init__(self, plan: SplitPlan, parts: Parts, where: str) -> None:
        self.plan, self.where = plan, where

    def of(self, table: "pa.Table", first_row: int) -> np.ndarray:
        """Names of the splits [rows] of consecutive rows, the first of which is row
        `first_row` of the source."""
        raise NotImplementedError


class _ByKey(Splitter):
    def of(self, table: "pa.Table", first_row: int) -> np.ndarray:
        plan = self.plan
        units = plan.units(table, first_row)
        return assign(units, plan.validation_fraction, plan.test_fraction, plan.seed)


class _ByLabel(Splitter):
    """In each class, the keys (rows without a key) in the order of their hashes: the first are test,
    then validation.

    A key with several labels counts for the first of them in the order of their texts. A new key of a class
    moves at most one other key of this class across each border, and none of other classes.
    """

    def __init__(self, plan: SplitPlan, parts: Parts, where: str) -> None:
        super().__init__(plan, parts, where)
        import pyarrow as pa

        units, labels = [], []
        first_row = 0
        for table in parts(plan.columns()):
            units.append(hashes(plan.units(table, first_row), plan.seed))
            labels.append(texts(table[plan.label]))
            first_row += len(table)
        coded = pa.chunked_array(labels).combine_chunks().dictionary_encode()
        names = coded.dictionary.to_pylist()
        rank = np.argsort(np.argsort(np.array(names, dtype=object))) if names else np.array([], int)
        codes = np.append(rank, len(names))[
            coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        ]
        self.units, self.names = self._ordered(np.concatenate(units), codes, len(names))

    def _ordered(self, units: np.ndarray, codes: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct units in order, and the split of each."""
        order = np.lexsort((codes, units))
        units, codes = units[order], codes[order]
        first = np.append(True, units[1:] != units[:-1]) if len(units) else np.array([], bool)
        units, codes = units[first], codes[first]  # the smallest label of each unit
        if classes > max(len(units) // FEWEST, 1):
            raise DataError(
                f"{self.where}: {self.plan.label!r} has {classes} distinct values in {len(units)} rows or keys, so its "
                "classes cannot be in every split. Set data.split: {by: key}."
            )
        chosen = np.full(len(units), 2)  # train
        for code in range(classes):
            members = np.flatnonzero(codes == code)  # in the order of their hashes
            test, validation = _counts(len(members), self.plan.test_fraction, self.plan.validation_fraction)
            chosen[members[:test]] = 0
            chosen[members[test : test + validation]] = 1
        return units, np.array(ORDER)[chosen]

    def of(self, table: "pa.Table", first_row: int) -> np.ndarray:
        units = hashes(self.plan.units(table, first_row), self.plan.seed)
        return self.names[np.searchsorted(self.units, units)]


def _counts(members: int, test_fraction: float, validation_fraction: float) -> tuple[int, int]:
    """Members of a class in test and validation: the rounded shares, and one at least if there are three."""
    test, validation = round(test_fraction * members), round(validation_fraction * members)
    if members >= FEWEST and test_fraction < 1:
        test, validation = max(test, int(test_fraction > 0)), max(validation, int(validation_fraction > 0))
        while test + validation >= members:
            test, validation = (test - 1, validation) if test >= validation else (test, validation - 1)
    return test, validation


class _ByTime(Splitter):
    """The latest rows are the test split, the ones before it validation; rows of one time stay together."""

    def __init__(self, plan: SplitPlan, parts: Parts, where: str) -> None:
        super().__init__(plan, parts, where)
        self.order = plan.date_order or _order_of(parts(plan.columns()), plan.how.column)
        times = np.sort(
            np.concatenate([self._times(table, first) for first, table in _placed(parts(plan.columns()))])
        )
        self.test_from = _border(times, round(plan.test_fraction * len(times)))
        before = times[times < self.test_from]
        self.validation_from = _border(before, round(plan.validation_fraction * len(times)))

    def of(self, table: "pa.Table", first_row: int) -> np.ndarray:
        times = self._times(table, first_row)
        return np.select(
            [times >= self.test_from, times >= self.validation_from], ["test", "validation"], default="train"
        )

    def _times(self, table: "pa.Table", first_row: int) -> np.ndarray:
        """Times as numbers that can be compared."""
        name = self.plan.how.column
        count, rows = count_missing(table[name])
        if count:
            raise DataError(
                f"{self.where}: {count} rows or more have no {name!r} (data.split.column); the first is row "
                f"{first_row + rows[0]}, counted from 0. Fill it in the source, or set another data.split."
            )
        return times(table[name], self.where, name, first_row, self.order)


class _ByColumn(Splitter):
    def of(self, table: "pa.Table", first_row: int) -> np.ndarray:
        name = self.plan.how.column
        coded = texts(table[name]).dictionary_encode()
        named = [split_named(text) for text in coded.dictionary.to_pylist()]
        codes = coded.indices.fill_null(len(named)).to_numpy(zero_copy_only=False)
        found = np.array([*named, None], dtype=object)[codes]
        if unknown := [row for row, split in enumerate(found) if split is None]:
            value = table[name][unknown[0]].as_py()
            every = ", ".join(word for words in NAMES.values() for word in words)
            raise DataError(
                f"{self.where}, row {first_row + unknown[0]} (counted from 0): {name!r} (data.split.column) has "
                f"{value!r}, which names no split. Names are {every}."
            )
        return found.astype(str)


def _placed(parts: "Iterable[pa.Table]") -> "Iterator[tuple[int, pa.Table]]":
    """Tables with the position of the first row of each."""
    first_row = 0
    for table in parts:
        yield first_row, table
        first_row += len(table)


def _order_of(parts: "Iterable[pa.Table]", name: str) -> str:
    """The order of day and month in texts such as 03/04/2012; "" without them, or where both orders fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    orders = set(ORDERS)
    for table in parts:
        column = table[name].drop_null()
        if not pa.types.is_string(column.type) or (len(column) and not is_either(column[0].as_py())):
            return ""
        orders &= orders_of(pc.unique(column).to_pylist())
    return orders.pop() if len(orders) == 1 else ""


def times(
    column: "pa.ChunkedArray", where: str, name: str, first_row: int = 0, order: str = ""
) -> np.ndarray:
    """The times in a column as numbers that can be compared.

    Args:
        column: Timestamps, numbers or texts, without gaps.
        where: The source, for messages.
        name: Of the column.
        first_row: Number of the first row in `where`.
        order: Of day and month in texts such as 03/04/2012.

    Raises:
        DataError: A value is no time.
    """
    import pyarrow as pa

    values = column.combine_chunks()
    if pa.types.is_string(values.type):
        values = _instants(values, where, name, first_row, order)
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise DataError(f"{where}: data.split.column {name!r} is {values.type}, which is no time.")
    return values.to_numpy(zero_copy_only=False)


def _instants(column: "pa.Array", where: str, name: str, first_row: int, order: str) -> "pa.Array":
    import pyarrow as pa

    from mlops_lib.loaders.formats.types import Place, conform

    try:
        return conform(column, pa.timestamp("us"), Place(where, name, first_row))
    except DataError:  # in another form than ISO
        return pa.array(
            [
                _instant(text, where, name, row, order)
                for row, text in enumerate(column.to_pylist(), first_row)
            ],
            pa.int64(),
        )


def _instant(text: str, where: str, name: str, row: int, order: str) -> int:
    try:
        return microseconds(text, order)
    except ValueError:
        advice = "It must be a number or a time such as 2026-01-31 12:00:00."
        if is_either(text) and not order:
            advice = (
                "Day or month may come first, and all values together do not tell: set data.columns: "
                f"{{{name}: day_first}} or month_first."
            )
        raise DataError(
            f"{where}, row {row} (counted from 0): {name!r}, the time of the split, is {text!r}. {advice}"
        ) from None


def _border(times: np.ndarray, wanted: int) -> float:
    """The time from which on about `wanted` of the sorted `times` are; infinity for none."""
    if not wanted or not len(times):
        return float("inf")
    at = times[max(len(times) - wanted, 0)]
    first, after = np.searchsorted(times, at, "left"), np.searchsorted(times, at, "right")
    fewer, more = len(times) - after, len(times) - first
    return times[after] if fewer and wanted - fewer < more - wanted else at
