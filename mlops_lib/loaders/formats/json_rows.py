"""Rows of a JSON or JSON Lines file, with the types of JSON."""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.dialect import opened
from mlops_lib.loaders.formats.types import Place, canonical, conflict, conform
from mlops_lib.loaders.texts import texts

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile

INT64 = range(-(2**63), 2**63)


class JsonFile:
    """One file in memory: a list of objects, an object a line, or an object of columns (as pandas writes it).

    A label or another reference that is an object is JSON text, so that each keeps its own fields,
    and null is no missing field.
    """

    def __init__(
        self, file: "DataFile", key: str, labels: Collection[str] = (), references: Collection[str] = ()
    ) -> None:
        self.file, self.key, self.labels, self.references = file, key, labels, references

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in the order of their first appearance."""
        return tuple(self._table.column_names)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._table)

    @property
    def columns(self) -> dict[str, "pa.DataType"]:
        """The canonical type of each column."""
        return {field.name: canonical(field.type, field.name == self.key) for field in self._table.schema}

    @property
    def gaps(self) -> set[str]:
        """Columns with a missing value."""
        return {name for name in self.names if self._table[name].null_count}

    def tables(self, kinds: "Mapping[str, pa.DataType]", rows: int) -> Iterator["pa.Table"]:
        """The rows in order, `rows` at a time, with the columns of `kinds` (name ->
        canonical type) that the file has."""
        import pyarrow as pa

        chosen = [name for name in self.names if name in kinds]
        whole = pa.table(
            {
                name: conform(self._table[name].combine_chunks(), kinds[name], Place(self.file.shown, name))
                for name in chosen
            }
        )
        yield from (whole.slice(at, rows) for at in range(0, len(whole), rows))

    @cached_property
    def _table(self) -> "pa.Table":
        import pyarrow as pa

        with opened(self.file) as stream:
            content = stream.read()
        try:
            text = content.decode(json.detect_encoding(content))
            rows = _lines(text) if self.file.format == "jsonl" else _rows(text)
        except ValueError as error:
            raise DataError(f"{self.file.shown} cannot be read as {self.file.format}: {error}") from None
        if wrong := next(((i, row) for i, row in enumerate(rows) if not isinstance(row, dict)), None):
            raise DataError(
                f"{self.file.shown}, row {wrong[0]} (counted from 0) is no object: {str(wrong[1])[:80]}."
            )
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: self._column(name, [row.get(name) for row in rows]) for name in names})

    def _column(self, name: str, values: list[Any]) -> "pa.Array":
        """Values of one type; numbers and text meet as text, and integers beyond 64 bits are text."""
        import pyarrow as pa

        is_label = name in self.labels and any(map(_has_object, values))
        if is_label or (name in self.references and any(isinstance(value, dict | list) for value in values)):
            values = [
                json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
                for value in values
            ]
        kinds = {type(value) for value in values if value is not None}
        large = int in kinds and any(type(v) is int and v not in INT64 for v in values)
        try:
            if (large and kinds <= {int, float}) or (str in kinds and kinds <= {int, float, str}):
                values = [texts(pa.array([v]))[0].as_py() if type(v) is float else v for v in values]
                return pa.array([None if v is None else str(v) for v in values], pa.string())
            if kinds == {int, float}:
                for row, value in enumerate(values):
                    if type(value) is int and float(value) != value:
                        raise conflict(Place(self.file.shown, name, row), value, pa.float64())
                values = [None if value is None else float(value) for value in values]
            if bool in kinds and len(kinds) > 1:
                raise pa.ArrowInvalid("true and false among other values")
            return pa.array(values, from_pandas=True)
        except (pa.ArrowException, UnicodeEncodeError) as error:
            raise self._mixed(name, values, str(error)) from None

    def _mixed(self, name: str, values: list[Any], reason: str) -> DataError:
        """The error for a column without one type; `reason` is for values that differ inside."""
        first = type(next(value for value in values if value is not None))
        row = next((i for i, v in enumerate(values) if v is not None and type(v) is not first), None)
        if row is None:
            return DataError(
                f"{self.file.shown}: column {name!r} has no one type: {reason}. Write it with one, or name it in "
                "data.reference_columns, where objects of any form are JSON text."
            )
        return DataError(
            f"{self.file.shown}, row {row} (counted from 0): column {name!r} has {values[row]!r}, and "
            f"{first.__name__} in the rows before. Write the column with one type."
        )


def _has_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_object, value)))


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _lines(text: str) -> list[Any]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(_parsed(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return found


def _rows(text: str) -> list[Any]:
    """The rows of a list of objects, of an object of columns,
    or of JSON Lines in a file that ends in .json."""
    try:
        content = _parsed(text)
    except ValueError:
        if text.lstrip()[:1] == "{" and "\n" in text.strip():
            return _lines(text)
        raise
    if isinstance(content, dict) and content:
        columns = list(content.values())
        if all(isinstance(column, dict) for column in columns):
            index = list(dict.fromkeys(name for column in columns for name in column))
            return [{name: column.get(i) for name, column in content.items()} for i in index]
        if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]
        return [content]
    if not isinstance(content, list):
        raise ValueError("it is no table of rows")  # noqa: TRY004  of the file's content
    return content
