"""Rows of a CSV or TSV file: one reading for the types of its columns, one for its values."""

import functools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.cells import BOOLEANS, Cells
from mlops_lib.loaders.formats.dialect import (
    ENCODING_BYTES,
    Dialect,
    encoding_of,
    opened,
    recognise,
    rows_of,
    undecodable,
    with_escape_of_whole,
)
from mlops_lib.loaders.formats.types import Place, conform

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile
    from mlops_lib.settings.data import CsvSettings

BLOCK_BYTES = 1 << 22
WORD = re.compile(r"\w*[^\x00-\x7f]\w*")


class DelimitedFile:
    """One CSV or TSV file.

    Args:
        file: The file.
        given: Parts of the dialect that are not to be recognised.
        missing: Texts that are no value in any column.
        key: Column of entity keys: never read as a number with a fraction.
    """

    def __init__(self, file: "DataFile", given: "CsvSettings", missing: tuple[str, ...], key: str) -> None:
        self.file, self.given, self.missing, self.key = file, given, missing, key
        self._mark = "."  # until the cells are known

    @cached_property
    def dialect(self) -> Dialect:
        """How the file is written."""
        found = recognise(self.file, self.given)
        if not found.names:
            raise DataError(f"{self.file.shown} is empty: it has no bytes, so no header and no rows.")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return self.dialect.names

    @property
    def guess(self) -> str:
        """The doubt about an encoding that other ones fit too; "" where it is certain or given."""
        if self.given.encoding or self.dialect.encoding not in ("latin-1", "cp1252"):
            return ""
        with opened(self.file) as stream:
            word = WORD.search(stream.read(ENCODING_BYTES).decode(self.dialect.encoding, errors="replace"))
        return (
            f"{self.file.shown} is no UTF-8 text and was read as {self.dialect.encoding}, so that it has {word[0] if word else ''!r}. If "
            "that is no word, set data.csv: {encoding: NAME}, such as cp1250, cp1254 or mac_roman; else set it to "
            f"{self.dialect.encoding}."
        )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._survey[1]

    @property
    def columns(self) -> dict[str, Cells]:
        """What the cells of each column can be read as, over the whole file."""
        return self._survey[0]

    @cached_property
    def _survey(self) -> tuple[dict[str, Cells], int]:
        try:
            found = self._read_all()
        except UnicodeDecodeError as error:
            if self.given.encoding or self.dialect.encoding != "utf-8":
                raise undecodable(self.file.shown, self.dialect.encoding, error) from None
            # Bytes that are no UTF-8 come after the head.
            self.dialect = self.dialect._replace(encoding=encoding_of(self.file))
            found = self._read_all()
        if self.dialect.is_whole or not self._has_quotes:
            return found
        before, self.dialect = self.dialect, with_escape_of_whole(self.file, self.dialect)
        return found if self.dialect == before else self._read_all()

    def _read_all(self) -> tuple[dict[str, Cells], int]:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = {name: Cells() for name in self.names}
        rows, self._has_quotes = 0, False
        for batch in self._batches(dict.fromkeys(self.names, pa.string()), ["", *self.missing], strings=True):
            for name, column in zip(self.names, batch.columns, strict=True):
                cells[name].see(column)
                if not (self._has_quotes or self.dialect.is_whole or cells[name].ways):
                    self._has_quotes = bool(pc.any(pc.match_substring(column, self.dialect.quote)).as_py())
            if not any(column.ways for column in cells.values()):  # all are text, as after a second header
                self._require_one_header(batch, rows)
            rows += len(batch)
        decimal = self._decimal(cells)
        for column in cells.values():
            column.settle(decimal)
        self._mark = decimal
        return cells, rows

    def _require_one_header(self, batch: "pa.RecordBatch", first_row: int) -> None:
        import pyarrow.compute as pc

        same = [pc.equal(cells, name) for name, cells in zip(self.names, batch.columns, strict=True)]
        if len(same) > 1 and (at := functools.reduce(pc.and_, same).index(True).as_py()) >= 0:
            raise DataError(
                f"{self.file.shown}, row {first_row + at} (counted from 0) repeats the header, as after joining files. "
                "Remove the line."
            )

    def tables(self, kinds: "Mapping[str, pa.DataType]", rows: int) -> Iterator["pa.Table"]:
        """The rows in order, a few megabytes at a time, with the columns of `kinds` (name -> canonical type) that the file has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = self.columns
        types, tokens = {}, {"", *self.missing}
        for name in (name for name in self.names if name in kinds):
            wanted = kinds[name]
            types[name] = wanted if wanted in (pa.int64(), pa.float64(), pa.bool_()) else pa.string()
            if pa.types.is_integer(wanted) or pa.types.is_floating(wanted):
                tokens |= cells[name].tokens
        # The texts of missing values hold for all columns of Arrow's reader, so text gets its own ones afterwards.
        same = tokens == {"", *self.missing}
        none = pa.array(["", *self.missing])
        first_row = 0
        for batch in self._batches(types, sorted(tokens), strings=same):
            columns = []
            for name, column in zip(types, batch.columns, strict=True):
                if types[name] == pa.string() and not same:
                    column = pc.if_else(pc.is_in(column, none), None, column)
                columns.append(conform(column, kinds[name], Place(self.file.shown, name, first_row)))
            first_row += len(batch)
            yield pa.table(dict(zip(types, columns, strict=True)))

    def _batches(
        self, types: dict[str, "pa.DataType"], missing: list[str], strings: bool
    ) -> Iterator["pa.RecordBatch"]:
        """Read the columns of `types`; text that is in `missing` is null if `strings` says so.

        Raises:
            DataError: A row has more or fewer cells than the header; names the line.
            UnicodeDecodeError: The bytes are not in the encoding.
        """
        import pyarrow as pa
        from pyarrow import csv

        spellings = [BOOLEANS[way] for name in types for way in sorted(self._ways(name)) if way in BOOLEANS]
        convert = csv.ConvertOptions(
            include_columns=list(types), column_types=types, null_values=missing, strings_can_be_null=strings,
            true_values=[pair[0] for pair in spellings], false_values=[pair[1] for pair in spellings],
            decimal_point=self._mark,
        )  # fmt: skip
        parse = csv.ParseOptions(
            delimiter=self.dialect.separator, quote_char=self.dialect.quote, escape_char=self.dialect.escape or False, newlines_in_values=True,
            ignore_empty_lines=len(self.names) > 1,
        )  # fmt: skip
        read = csv.ReadOptions(
            column_names=list(self.names), skip_rows_after_names=self.dialect.header_lines, block_size=BLOCK_BYTES,
            encoding=self.dialect.encoding,
        )  # fmt: skip
        with opened(self.file) as stream:
            try:
                yield from csv.open_csv(stream, read, parse, convert)
            except pa.ArrowInvalid as error:
                if "UTF8" in str(error) or "utf8" in str(error):
                    raise UnicodeDecodeError("utf-8", b"", 0, 1, str(error)) from None
                raise self._ragged(str(error)) from None

    def _ways(self, name: str) -> set[str]:
        survey = self.__dict__.get("_survey")
        return survey[0][name].ways if survey else set()

    def _ragged(self, reason: str) -> DataError:
        """The error for a row that has not as many cells as the header; without such a row, for `reason`."""
        width, found = len(self.names), 0
        for line, row in rows_of(self.file, self.dialect):
            found += bool(row)
            if row and len(row) != width:
                title = " If a title is above the header, delete it." if width == 1 else ""
                return DataError(
                    f"{self.file.shown}, line {line}: {len(row)} cells, and the header has {width} (separator "
                    f"{self.dialect.separator!r}, quote {self.dialect.quote!r}). Mend the line, or set data.csv: "
                    f"{{separator: ..., quote: ...}}.{title}"
                )
        if found == 1:
            return DataError(f"{self.file.shown} has no rows.")
        return DataError(f"{self.file.shown} cannot be read as {self.file.format}: {reason}")

    def _decimal(self, cells: dict[str, Cells]) -> str:
        if self.given.decimal:
            return self.given.decimal
        found: dict[str, str] = {}
        for name, column in cells.items():
            if name != self.key and (mark := column.decimal()):
                found.setdefault(mark, name)
        if not set(found) - {"."}:
            return "."
        if set(found) == {","}:
            return ","
        named = " and ".join(repr(name) for name in found.values())
        raise DataError(
            f"{self.file.shown}: the comma in column {named} may be a decimal comma or stand between thousands. Set "
            "data.csv: {decimal: ','} for a decimal comma, {decimal: '.'} to leave such columns as text."
        )
