"""The values of a label: what they are, what task they make, and whether the task can be learned."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.alike import classes_alike
from mlops_lib.columns.schema import Kind
from mlops_lib.errors import DataError
from mlops_lib.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa

#: Most distinct whole numbers that are taken for classes, unless --task says so.
FEW = 10
#: Classes above which each must have many rows, or the label is rather a number, a name or prose.
MANY, ROWS_OF_MANY = 50, 100
#: Rows that a class needs: one for each split.
FEWEST = 3
#: Rows of the rarest class from which a split by hash gives every split enough of them.
ENOUGH = 100


@dataclass(frozen=True)
class Label:
    """The label of a table.

    Attributes:
        name: Its column.
        where: The source, for messages.
        kind: As inferred.
        rows: Rows of the table.
        gaps: Rows without a label.
        counts: Value -> rows, the most frequent first.
        odd: The first row without a label, and the first one with an infinite number; -1 without such a row.
    """

    name: str
    where: str
    kind: Kind
    rows: int
    gaps: int
    counts: dict[Any, int]
    odd: tuple[int, int]

    @classmethod
    def of(cls, name: str, where: str, kind: Kind, values: "pa.ChunkedArray") -> "Label":
        """The label in a column of `where`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from mlops_lib.data_checks.label import several_in_one  # imports NumPy

        if problem := several_in_one(name, values, where):
            raise DataError(problem)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        endless = -1
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), None, values)
            endless = pc.index(pc.is_inf(values), True).as_py()
        counted = pc.value_counts(values.drop_null())
        pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
        counts = dict(sorted(pairs, key=lambda pair: -pair[1]))
        odd = pc.index(pc.is_null(values), True).as_py(), endless
        return cls(name, where, kind, len(values), values.null_count, counts, odd)

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in ("integer", "number")

    @property
    def whole(self) -> bool:
        """Whether no number has a fraction."""
        return not self.numeric or all(value % 1 == 0 for value in self.counts)

    def shown(self, most: int = 4) -> str:
        """The values for people: classes with their rows, or the range of numbers."""
        if self.numeric and len(self.counts) > FEW:
            return f"{_text(min(self.counts))} to {_text(max(self.counts))}"
        return listed((f"{_text(value)} ({count:,} rows)" for value, count in self.counts.items()), most)

    @property
    def _few(self) -> str:
        return listed(map(repr, self.counts), 4)

    def task(self) -> tuple[str, str]:
        """The proposed task, and why."""
        distinct = len(self.counts)
        if not self.numeric:
            return "classification", f"{distinct} classes"
        if self.whole and distinct <= FEW:
            return "classification", f"{distinct} distinct whole numbers"
        return "regression", f"numbers with {distinct:,} distinct values"

    def check(self, task: str) -> None:
        """Raise a DataError unless the values can be learned as `task`; names column, values and remedy."""
        place = f"{self.where}: the label {self.name!r}"
        if not self.counts:
            raise DataError(f"{place} has no value in any of {self.rows:,} rows. Choose another column.")
        if len(self.counts) == 1:
            (value,) = self.counts
            raise DataError(
                f"{place} is {_text(value)!r} in all {self.rows - self.gaps:,} rows that have one, so there is nothing "
                "to learn. Choose another column, or add rows with other values."
            )
        if self.kind == "datetime":
            raise DataError(
                f"{place} holds times ({self._few}). Choose another column, or make a number or classes of it."
            )
        if task in ("regression", "ranking", "forecast"):
            self._check_numbers(place, task)
        else:
            self._check_classes(place)

    def _hint_at_numbers(self) -> str:
        """The hint at texts that hold numbers; "" for others, and for few classes such as "1 kg" and "2 kg"."""
        import pyarrow as pa

        from mlops_lib.columns.kinds import sizes_in_texts  # imports NumPy

        texts = [value for value in self.counts if isinstance(value, str)]
        return sizes_in_texts(pa.array(texts, pa.string())) if len(texts) > MANY else ""

    def _check_numbers(self, place: str, task: str) -> None:
        if not self.numeric:
            if hint := self._hint_at_numbers():
                raise DataError(f"{place} is text: {hint}.")
            raise DataError(
                f"{place} holds {self._few}, which are no numbers. Set --task classification, or choose "
                "another column."
            )
        if endless := sum(count for value, count in self.counts.items() if not math.isfinite(value)):
            raise DataError(
                f"{place} is infinite in {endless:,} rows, the first of them row {self.odd[1]} (counted from 0). Remove or "
                "mend these rows in the source."
            )
        if task == "ranking" and (least := min(self.counts)) < 0:
            raise DataError(
                f"{place} is {_text(least)} in some rows, and a relevance is 0 or more. Mend these rows in the source."
            )

    def _check_classes(self, place: str) -> None:
        distinct, known = len(self.counts), self.rows - self.gaps
        if not self.whole:
            fraction = next(value for value in self.counts if value % 1)
            raise DataError(
                f"{place} is no class: it has {distinct:,} distinct values, one of them {fraction}. Set --task "
                "regression."
            )
        if distinct > MANY and (self.numeric or known / distinct < ROWS_OF_MANY):
            if hint := self._hint_at_numbers():
                raise DataError(f"{place} has {distinct:,} distinct texts, too many for classes: {hint}.")
            remedy = "Set --task regression" if self.numeric else "Choose another column, or merge its values"
            raise DataError(
                f"{place} has {distinct:,} distinct values in {known:,} rows ({self._few}), too many for "
                f"classes. {remedy}."
            )
        if problem := classes_alike(self.counts):
            raise DataError(f"{place} {problem}")
        if rare := {value: count for value, count in self.counts.items() if count < FEWEST}:
            each = listed((f"{_text(value)!r} has {count}" for value, count in rare.items()), 5)
            raise DataError(
                f"{place} has classes with fewer than {FEWEST} rows ({each}): train, validation and test need one each. "
                "Remove these rows, merge the classes, or add rows."
            )


def _text(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
