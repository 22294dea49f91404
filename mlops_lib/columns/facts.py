"""What the values of a column have in common, gathered part by part in bounded memory."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.date_forms import ORDERS, is_either, orders_of
from mlops_lib.columns.dates import PATTERN, TIME_PATTERN, are_dates
from mlops_lib.columns.schema import LARGEST

if TYPE_CHECKING:
    import pyarrow as pa

#: Distinct values that are counted; of a column with more, the count is this number.
MAX_DISTINCT = 200_000
#: Bytes of distinct values after which no more are kept.
MAX_BYTES = 64 << 20
UNITS_A_SECOND = {"s": 1e0, "ms": 1e3, "us": 1e6, "ns": 1e9}
ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


class Facts:
    """The facts of one column.

    Args:
        kind: The Arrow type; of a dictionary, that of its values.
        count: Look at distinct values and texts too; without it, at gaps and ranges alone.

    Attributes:
        rows, known: Number of rows, and of rows with a value. NaN is no value.
        values: The first distinct values, at most `MAX_DISTINCT`; None for a type without equality.
        complete: Whether `values` has all of them.
        counted: Rows with a value up to the last one in `values`.
        infinite: Whether a number, or one in a list, is infinite or beyond the range of float32.
        least, most: Smallest and largest finite value of numbers and times; None without one.
            Of durations, seconds.
        spans: Lengths of the shortest and the longest list, then those of the lists in them, and so on.
        dates, times, numbers: Whether each text is a date, a time of day, or a number.
        orders: Orders of day and month with which each text is a date; both if none is like 03/04/2012.
        either: Whether a text is like 03/04/2012.
        zones: Of dates with a time: whether there is a time zone; both, if only some have one.
    """

    def __init__(self, kind: "pa.DataType", count: bool = True) -> None:
        import pyarrow as pa

        self.type = _plain_type(kind)
        self.is_text = pa.types.is_string(self.type) or pa.types.is_large_string(self.type)
        self.is_list = is_list(self.type)
        self._is_float = pa.types.is_floating(self.type)
        self.rows = self.known = self.counted = 0
        countable = count and not pa.types.is_nested(self.type)
        self.values: pa.Array | None = pa.array([], self.type) if countable else None
        self.complete, self.infinite = True, False
        self.least: Any = None
        self.most: Any = None
        self.spans: list[tuple[int, int]] = []
        self.dates = self.times = self.numbers = self.is_text
        self.orders, self.either = set(ORDERS) if self.is_text else set(), False
        self.zones: set[bool] = set()
        self._texts = self._letters = self._words = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of lists and of the lists in them; -1 where they differ, or where a list is empty."""
        return tuple(most if least == most > 0 else -1 for least, most in self.spans)

    @property
    def distinct(self) -> int:
        """Number of distinct values, or `MAX_DISTINCT` and some more."""
        return 0 if self.values is None else len(self.values)

    @property
    def all_distinct(self) -> bool:
        """Whether no value occurs twice, as far as values were counted."""
        return self.distinct == self.counted > 0

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers; a duration is its seconds."""
        import pyarrow as pa

        tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_duration)
        return any(test(self.type) for test in tests)

    @property
    def date_order(self) -> str:
        """The order of day and month in texts such as 03/04/2012; "" without them,
        or where both orders fit."""
        return next(iter(self.orders)) if self.dates and self.either and len(self.orders) == 1 else ""

    @property
    def letters(self) -> float:
        """Letters of an average distinct text."""
        return self._letters / max(self._texts, 1)

    @property
    def words(self) -> float:
        """Words of an average distinct text."""
        return self._words / max(self._texts, 1)

    def add(self, part: "pa.Array") -> None:
        """Add the values of some rows."""
        import pyarrow.compute as pc

        part = _plain(part, self.type)
        self.rows += len(part)
        if self._is_float:
            part = part.filter(pc.invert(pc.is_nan(part)), null_selection_behavior="drop")
        part = part.drop_null()
        self.known += len(part)
        if not len(part):
            return
        if self.is_list:
            self._measure(part)
        self._range(part)
        if self.values is not None and (self.complete or self.is_text):
            self._count(part)

    def _measure(self, part: "pa.Array") -> None:
        """The lengths of lists, of the lists in them and so on, and the size of the numbers."""
        import pyarrow as pa
        import pyarrow.compute as pc

        depth = 0
        while is_list(part.type):
            span = pc.min_max(pc.list_value_length(part)).as_py()
            if span["min"] is None:  # all outer lists are empty
                return
            least, most = (0 if part.null_count else span["min"]), span["max"]
            if depth < len(self.spans):
                least, most = min(least, self.spans[depth][0]), max(most, self.spans[depth][1])
            self.spans[depth : depth + 1] = [(least, most)]
            part, depth = pc.list_flatten(part), depth + 1
        if pa.types.is_floating(part.type):
            self.infinite |= bool(pc.any(pc.greater(pc.abs(part.cast("float64")), LARGEST)).as_py())

    def _range(self, part: "pa.Array") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = self.type
        if self._is_float:
            inside = pc.less_equal(pc.abs(part.cast("float64")), LARGEST)
            self.infinite |= pc.all(inside).as_py() is False
            part = part.filter(inside)
        elif pa.types.is_duration(kind):
            part = pc.divide(part.cast("int64").cast("float64"), UNITS_A_SECOND[kind.unit])
        elif not (self.is_number or pa.types.is_temporal(kind)):
            return
        if pa.types.is_interval(kind) or not len(part):
            return
        span = pc.min_max(part)
        if pa.types.is_timestamp(kind):  # a Python datetime has no nanoseconds and ends in the year 9999
            unit = np.datetime64(0, kind.unit)
            span = {name: unit + span[name].value for name in ("min", "max")}
        else:
            span = span.as_py()
        self.least = span["min"] if self.least is None else min(self.least, span["min"])
        self.most = span["max"] if self.most is None else max(self.most, span["max"])

    def _count(self, part: "pa.Array") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = len(part)
        try:
            part = pc.unique(part)
        except pa.ArrowNotImplementedError:
            self.values = None
            return
        if self.is_text:
            self._read(part)
        if not self.complete:
            return
        assert self.values is not None
        new = part.filter(pc.invert(pc.is_in(part, value_set=self.values)))
        self.values = pa.concat_arrays([self.values, new])
        self.counted += rows
        self.complete = len(self.values) <= MAX_DISTINCT and self.values.nbytes <= MAX_BYTES

    def _read(self, texts: "pa.Array") -> None:
        import pyarrow.compute as pc

        self._texts += len(texts)
        self._letters += pc.sum(pc.utf8_length(texts)).as_py()
        self._words += pc.sum(pc.count_substring_regex(texts, r"\S+")).as_py()
        self.dates = self.dates and self._are_dates(texts)
        self.times = self.times and _all(texts, TIME_PATTERN)
        self.numbers = self.numbers and _all(texts, NUMBER_PATTERN)

    def _are_dates(self, texts: "pa.Array") -> bool:
        import pyarrow.compute as pc

        times = texts.filter(pc.match_substring(texts, ":"))
        self.zones |= set(pc.unique(pc.match_substring_regex(times, ZONE)).to_pylist())
        in_iso = pc.match_substring_regex(texts, PATTERN)
        others = texts.filter(pc.invert(in_iso)).to_pylist()
        if others:
            self.orders &= orders_of(others)
            self.either |= any(map(is_either, others))
        return bool(self.orders) and are_dates(texts.filter(in_iso).to_pylist())


def is_list(kind: "pa.DataType") -> bool:
    """Whether a type is one of lists."""
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _all(texts: "pa.Array", pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _plain_type(kind: "pa.DataType") -> "pa.DataType":
    """The type of the values: without dictionary, extension or run-end encoding, and without views."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if kind == pa.time64("ns"):  # Python has microseconds
        return pa.time64("us")
    return pa.float32() if pa.types.is_float16(kind) else kind


def _plain(part: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if isinstance(part, pa.ExtensionArray):
        return _plain(part.storage, kind)
    if isinstance(part, pa.DictionaryArray):
        return _plain(part.dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(part.type):
        return _plain(pa.compute.run_end_decode(part), kind)
    return part if part.type == kind else part.cast(kind, safe=False)
