"""The rows of several files as one table with one type a column, read in parts."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_lib.columns.memory import PART_BYTES
from mlops_lib.columns.schema import numbers_in
from mlops_lib.errors import DataError
from mlops_lib.loaders.formats import Reader, reader
from mlops_lib.loaders.formats.cells import PATTERNS, TOKENS, Cells
from mlops_lib.loaders.formats.spellings import mixed, spelling_of, words_of
from mlops_lib.loaders.formats.types import Place, conflict, wider
from mlops_lib.loaders.partitions import with_partition
from mlops_lib.loaders.row_checks import look_alike
from mlops_lib.settings.data import CsvSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile

#: Values (rows times columns) in memory at once.
PART_VALUES = 1_000_000
#: Rows that tell of most columns that their texts are no spellings of yes and no.
FIRST_ROWS = 10_000
NUMBER = re.compile(PATTERNS["point"])
#: A name that is written in digits, such as a zip code.
NAME_OF_DIGITS = re.compile(r"0[0-9]+|")


class Rows:
    """The rows of files with the same columns, in the order of the files.

    Args:
        files: At least one file.
        key: Column of entity keys: integers, or text as written.
        csv: Parts of the dialect of CSV files that are not to be recognised.
        missing: Texts that are no value.
        labels: Columns to predict.
        references: Columns of the reference beside the label.
        is_free: Tells of a column's name whether its texts may be anything, so that `1` and `true` are two.
    """

    def __init__(
        self,
        files: Sequence["DataFile"],
        key: str = "",
        csv: CsvSettings | None = None,
        missing: tuple[str, ...] = (),
        labels: Collection[str] = (),
        references: Collection[str] = (),
        is_free: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self.files, self.key, self.missing = tuple(files), key, missing
        self._labels, self._is_free = labels, is_free
        self._seen: dict[DataFile, dict[str, Cells | pa.DataType]] = {}
        self._readers: dict[DataFile, Reader] = {
            file: reader(file, key, csv or CsvSettings(), missing, labels, references)
            for file in dict.fromkeys(files)
        }

    @cached_property
    def schema(self) -> "pa.Schema":
        """The columns in the order of the first file, each with one type for the values of all files.

        Raises:
            DataError: The files differ in their columns, or in types that cannot meet; names file,
                row and value.
        """
        import pyarrow as pa

        first = self.files[0]
        names = self._names(first)
        for file in self.files:
            if set(own := self._names(file)) != set(names):
                lacks, adds = sorted(set(names) - set(own)), sorted(set(own) - set(names))
                raise DataError(
                    f"{file.shown} does not have the columns of {first.shown}: it lacks {lacks or 'nothing'} and adds "
                    f"{adds or 'nothing'}.{look_alike(lacks, adds)}"
                )
        return pa.schema([(name, self._type(name)) for name in names])

    @cached_property
    def gaps(self) -> frozenset[str]:
        """Columns that may have a missing value in any file;
        every column of floats and text counts as one."""
        import pyarrow as pa

        exact = (pa.bool_(),) if numbers_in(self.missing) else (pa.int64(), pa.bool_())
        found = {f.name for f in self.schema if f.type not in exact}
        for file in self.files:
            source = self._readers[file]
            columns, gaps = self._columns(file), getattr(source, "gaps", ())
            for name, seen in columns.items():
                if isinstance(seen, Cells):
                    if seen.gaps or seen.tokens:
                        found.add(name)
                elif name in gaps:
                    found.add(name)
        return frozenset(found)

    @cached_property
    def doubts(self) -> list[str]:
        """What a person should check: columns of numbers in one file and of words in another, and a guessed encoding."""
        named = (name for name in self.schema.names if name != self.key and not self._is_free(name))
        guess = next(filter(None, (getattr(self._readers[file], "guess", "") for file in self.files)), "")
        return [*filter(None, map(self._mixture, named)), *([guess] if guess else [])]

    def written(self, name: str) -> set[str]:
        """Distinct texts of a column as files of text write them, about the first `FIRST_ROWS`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found: set[str] = set()
        for file in self.files:
            if isinstance(self._columns(file)[name], Cells) and name in self._readers[file].names:
                for part in self._readers[file].tables({name: pa.string()}, FIRST_ROWS):
                    found |= set(pc.unique(part[name]).drop_null().to_pylist())
                    if len(found) > FIRST_ROWS:
                        return found
        return found

    def count(self, files: Iterable["DataFile"] | None = None) -> int:
        """Number of rows of `files` (None: of all)."""
        return sum(self._readers[file].rows for file in files or self.files)

    def tables(
        self, columns: Sequence[str] | None = None, files: Iterable["DataFile"] | None = None
    ) -> Iterator["pa.Table"]:
        """The rows of `files` (None: of all) in order, about `PART_VALUES` values at a time.

        Args:
            columns: Columns in this order; None: all.
            files: Some of the files.
        """
        import pyarrow as pa

        every = dict(zip(self.schema.names, self.schema.types, strict=True))
        kinds = {name: every[name] for name in columns or every}
        size = max(PART_VALUES // max(len(kinds), 1), 1)
        held: list[pa.Table] = []
        count = held_bytes = 0
        for file in files or self.files:
            first_row = 0
            for part in self._readers[file].tables(kinds, size):
                whole = with_partition(part, file, kinds, self.missing, first_row)
                held.append(_without(self.missing, whole))
                first_row += len(part)
                count += len(part)
                held_bytes += part.nbytes
                if count >= size or held_bytes >= PART_BYTES:
                    yield pa.concat_tables(held)
                    held, count, held_bytes = [], 0, 0
        if count:
            yield pa.concat_tables(held)

    def _names(self, file: "DataFile") -> list[str]:
        own = list(self._readers[file].names)
        return [*own, *(name for name in file.partition if name not in own)]

    def _columns(self, file: "DataFile") -> "dict[str, Cells | pa.DataType]":
        if file not in self._seen:
            self._seen[file] = self._columns_of(file)
        return self._seen[file]

    def _columns_of(self, file: "DataFile") -> "dict[str, Cells | pa.DataType]":
        import pyarrow as pa

        found: dict[str, Cells | pa.DataType] = dict(self._readers[file].columns)
        for name, value in file.partition.items():
            if name not in found:
                found[name] = cells = Cells()
                cells.see(pa.array([value], pa.string()))
                cells.settle(".")
        return found

    def _type(self, name: str) -> "pa.DataType":
        """The type of a column over all files."""
        import pyarrow as pa

        typed: pa.DataType = pa.null()
        cells: Cells | None = None
        for file in self.files:
            seen = self._columns(file)[name]
            if isinstance(seen, Cells):
                cells = seen if cells is None else cells + seen
            elif (both := wider(typed, seen)) is None:
                raise self._conflict(file, name, typed)
            else:
                typed = both
        if (
            cells is not None
            and not pa.types.is_string(typed)
            and not pa.types.is_null(untyped := cells.kind(name == self.key))
        ):
            if (both := wider(typed, untyped)) is None:
                file = next(f for f in self.files if isinstance(self._columns(f)[name], Cells))
                raise self._conflict(file, name, typed)
            typed = both
        if pa.types.is_string(typed) and name != self.key and not self._is_free(name):
            self._require_one_spelling(name)
        return pa.float64() if pa.types.is_null(typed) else typed

    def _require_one_spelling(self, name: str) -> None:
        """Check that a column of text does not say yes and no in two ways, such as 0, 1, true and false."""
        found: set[str] = set()
        for file in sorted(self.files, key=lambda f: not isinstance(self._columns(f)[name], Cells)):
            if (words := self._words(file, name)) is None:
                return
            found |= words
        if spellings := mixed(found):
            places = " and ".join(self._first(name, spelling) for spelling in spellings[:2])
            kept = (
                ""
                if name in self._labels
                else f", or set data.columns: {{{name}: category}} to keep each text"
            )
            raise DataError(
                f"Column {name!r} says yes and no in {len(spellings)} ways: {places}. Write it in one way in the source{kept}."
            )

    def _mixture(self, name: str) -> str:
        """The doubt about a column of text that has numbers alone in one file; "" for any other."""
        import pyarrow as pa

        first = {_kind(self._columns(file)[name]): file for file in reversed(self.files)}
        if not (pa.types.is_string(self.schema.field(name).type) and {"numbers", "text"} <= first.keys()):
            return ""
        number, text = (self._example(first[kind], name, kind) for kind in ("numbers", "text"))
        if NAME_OF_DIGITS.fullmatch(text):
            return ""
        kept = "" if name in self._labels else f"; if they are names, set data.columns: {{{name}: category}}"
        return (
            f"column {name!r} has numbers in {first['numbers'].shown}, such as {number!r}, and text in {first['text'].shown}, such "
            f"as {text!r}. So all of it is text, without sizes. If they are amounts, mend the source{kept}."
        )

    def doubt_of_zones(self, name: str) -> str:
        """The doubt about a column of instants that has a time zone in some files alone; "" for any other."""
        files = [file for file in self.files if self._readers[file].rows]
        zones = {file: getattr(self._readers[file], "zones", {}).get(name) for file in files}
        zoned = next((file for file, zone in zones.items() if zone), None)
        plain = next((file for file, zone in zones.items() if zone == ""), None)
        if not zoned or not plain:
            return ""
        return (
            f"column {name!r} has a time zone in {zoned.shown} ({zones[zoned]}) and none in {plain.shown}, whose times count as "
            "UTC. If they are not, write their zone in the source."
        )

    def _example(self, file: "DataFile", name: str, kind: str) -> str:
        """The first number or word of a column in a file; "" without one."""
        for value in self._texts(file, name):
            if (
                value is not None
                and value not in TOKENS
                and (kind == "numbers" or not NUMBER.fullmatch(value))
            ):
                return value
        return ""

    def _texts(self, file: "DataFile", name: str) -> Iterator[str | None]:
        import pyarrow as pa

        if name not in self._readers[file].names:
            yield file.partition.get(name)
            return
        for part in self._readers[file].tables({name: pa.string()}, FIRST_ROWS):
            yield from part[name].to_pylist()

    def _words(self, file: "DataFile", name: str) -> set[str] | None:
        """The texts of a column if all of them mean yes or no; None if one does not."""
        import pyarrow as pa

        seen = self._columns(file)[name]
        if isinstance(seen, Cells):
            return seen.words
        found: set[str] = set()
        for part in self._readers[file].tables({name: pa.string()}, FIRST_ROWS):
            if (words := words_of(part[name], {*TOKENS, *self.missing})) is None:
                return None
            found |= words
        return found

    def _first(self, name: str, spelling: tuple[str, str]) -> str:
        """The first place in the files with a value of a spelling, in words."""
        for file in self.files:
            for row, text in enumerate(self._texts(file, name)):
                if text is not None and spelling_of(text) == spelling:
                    return f"{file.shown}, row {row} (counted from 0) has {text!r}"
        raise AssertionError(spelling)

    def _conflict(self, file: "DataFile", name: str, kind: "pa.DataType") -> DataError:
        import pyarrow as pa

        source = self._readers[file]
        own = source.columns[name]
        own = pa.string() if isinstance(own, Cells) else own
        position = 0
        for part in source.tables({name: own}, PART_VALUES):
            for value in part[name]:
                if value.is_valid:
                    return conflict(Place(file.shown, name, position), value.as_py(), kind)
                position += 1
        return DataError(f"{file.shown}: column {name!r} is {own}, and {kind} in the files before it.")


def _kind(seen: "Cells | pa.DataType") -> str:
    """What a column of a file holds alone: numbers or text; "" for no value, and other types."""
    import pyarrow as pa

    if isinstance(seen, Cells):
        seen = seen.kind()
    if pa.types.is_integer(seen) or pa.types.is_floating(seen):
        return "numbers"
    return "text" if pa.types.is_string(seen) else ""


def _without(missing: tuple[str, ...], table: "pa.Table") -> "pa.Table":
    """The table with null for the texts of `missing`, and for the numbers that they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = {pa.string(): pa.array(missing), pa.float64(): pa.array(numbers_in(missing), pa.float64())}
    values[pa.int64()] = pa.array(
        [int(number) for number in numbers_in(missing) if number % 1 == 0], pa.int64()
    )
    for i, column in enumerate(table.columns if missing else ()):
        if len(found := values.get(column.type, ())):
            column = pc.if_else(pc.is_in(column, found), None, column)
            table = table.set_column(i, table.schema.field(i), column)
    return table
