"""Types of the columns of a query, inferred from the values,
because drivers describe them too differently."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

KINDS: dict[type, str] = {
    bool: "boolean", int: "integer", float: "float", Decimal: "decimal", str: "text", bytes: "bytes",
    memoryview: "bytes", datetime: "datetime", date: "date", time: "time", UUID: "text",
}  # fmt: skip
#: Kinds that may share a column, and what the column then is.
WIDER = {
    frozenset({"integer", "float"}): "float",
    frozenset({"integer", "decimal"}): "decimal",
    frozenset({"decimal", "float"}): "float",
}
INT64 = range(-(2**63), 2**63)
MAX_DIGITS = 38


@dataclass
class Column:
    """The type of one column, from the values read so far.

    Attributes:
        kind: A value of `KINDS`; "" while all values were NULL.
        zoned: Whether a datetime had a time zone.
        nulls: Number of NULLs.
        null_rows: Positions of the first NULLs, counted from 0.
        whole, scale: Most digits before and after the point, of decimals and of integers beyond 64 bits.
    """

    name: str
    kind: str = ""
    zoned: bool = False
    nulls: int = 0
    null_rows: list[int] = field(default_factory=list)
    whole: int = 0
    scale: int = 0

    def see(self, values: Sequence[Any], first_row: int) -> None:
        """Read a chunk of values.

        Raises:
            DataError: The type of a value is not supported, or differs from that of earlier values.
        """
        for kind in dict.fromkeys(map(type, values)):
            if kind is not type(None):
                self._widen(kind, values, first_row)
        if None in values:
            rows = [first_row + i for i, value in enumerate(values) if value is None]
            self.nulls += len(rows)
            self.null_rows += rows[: 10 - len(self.null_rows)]
        if self.kind in ("decimal", "integer"):
            self._measure([value for value in values if value is not None])
        elif self.kind == "datetime":
            self.zoned = self.zoned or any(value is not None and value.tzinfo for value in values)

    @property
    def arrow_type(self) -> "pa.DataType":
        """The Arrow type that holds every value read."""
        import pyarrow as pa

        if self.kind == "decimal":
            if self.whole + self.scale > MAX_DIGITS:
                raise DataError(
                    f"Column {self.name!r} has numbers of {self.whole + self.scale} digits; {MAX_DIGITS} is the most."
                )
            return pa.decimal128(max(self.whole + self.scale, 1), self.scale)
        simple = {
            "": pa.null(), "boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64(),
            "text": pa.string(), "bytes": pa.binary(), "date": pa.date32(), "time": pa.time64("us"),
            "datetime": pa.timestamp("us", "UTC" if self.zoned else None),
        }  # fmt: skip
        return simple[self.kind]

    def array(self, values: Sequence[Any]) -> "pa.Array":
        """Values as an Arrow array."""
        import pyarrow as pa

        if self.kind == "decimal":
            values = [None if value is None else Decimal(value) for value in values]
        elif self.kind == "float":
            if inexact := [v for v in values if isinstance(v, int) and float(v) != v]:
                raise DataError(
                    f"Column {self.name!r} has fractions and {inexact[0]}, which a float cannot hold exactly. Cast it in "
                    "the query."
                )
            values = [None if value is None else float(value) for value in values]
        elif self.kind == "text":
            values = [str(value) if isinstance(value, UUID) else value for value in values]
        try:
            return pa.array(values, self.arrow_type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"Column {self.name!r} changed while it was read; it was {self.kind}: {error}"
            ) from None

    def _widen(self, kind: type, values: Sequence[Any], first_row: int) -> None:
        row = first_row + next(i for i, value in enumerate(values) if type(value) is kind)
        found = KINDS.get(kind, "")
        if not found:
            raise DataError(
                f"Column {self.name!r}, row {row}: {kind.__name__} values are not supported. Cast them in the query."
            )
        if self.kind and found != self.kind:
            wider = WIDER.get(frozenset({self.kind, found}), "")
            if not wider:
                raise DataError(
                    f"Column {self.name!r} is {self.kind} before row {row}, and {found} in that row. Cast it in the query."
                )
            found = wider
        self.kind = found

    def _measure(self, numbers: Sequence[Any]) -> None:
        if self.kind == "integer" and all(number in INT64 for number in numbers):
            self.whole = max(self.whole, 19)
            return
        self.kind = "decimal"
        for number in numbers:
            digits = Decimal(number).as_tuple()
            if not isinstance(digits.exponent, int):
                raise DataError(f"Column {self.name!r} has the decimal {number}, which is no number.")
            self.scale = max(self.scale, -digits.exponent)
            self.whole = max(self.whole, len(digits.digits) + digits.exponent)
