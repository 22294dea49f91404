"""Rows of a database, through SQLAlchemy: bound parameters, a read-only transaction, chunk by chunk."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from mlops_lib.columns.infer import infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders import options
from mlops_lib.loaders.base import INFER_ROWS, BaseDataLoader, filled, to_table
from mlops_lib.loaders.divided import Divided, split_frame, with_label
from mlops_lib.loaders.formats.types import Place, as_frame, canonical, conform, frame_for_prepare
from mlops_lib.loaders.options import ReadOptions
from mlops_lib.loaders.row_checks import missing_values, prepared, require_columns
from mlops_lib.loaders.row_wise import SAMPLE_ROWS
from mlops_lib.loaders.splits import Split
from mlops_lib.loaders.sql_database import Database
from mlops_lib.loaders.sql_query import Query, Survey
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class SQLDataLoader(BaseDataLoader):
    """The rows of a query or of a table, split by a hash of the key (by position where there is none).

    The query is read twice, because a database does not tell the types of a query's values beforehand: once
    for types, NULLs and the fingerprint, once for the rows. A difference between the two is an error. Never
    more than `chunk_rows` rows are held, except by `load` and by `prepare`, which takes all rows at once.

    Args:
        url, password: See `Database`.
        query, table, params, chunk_rows: See `Query`; either a query or a table.
        read_options: Fields of `ReadOptions`, such as ``label="y"``.
    """

    where = "The query"

    def __init__(
        self,
        url: str,
        *,
        query: str = "",
        table: str = "",
        params: Mapping[str, Any] | None = None,
        chunk_rows: int = 50_000,
        password: str = "",
        **read_options: Any,
    ) -> None:
        if bool(query) == bool(table):
            raise ConfigError("Set one of data.sql.query and data.sql.table.")
        self.options = one = ReadOptions(**read_options)
        self.query = Query(
            Database(url, password), query, dict(params or {}), table, one.key, chunk_rows, one.missing_values
        )
        self.declared = one.declared

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data = settings.data
        url = data.source
        if url.startswith("sqlite:///"):
            url = f"sqlite:///{settings.path(url.removeprefix('sqlite:///'))}"
        return cls(
            url, **dict(data.sql), password=options.password(settings), **options.from_settings(settings)
        )

    @cached_property
    def schema(self) -> Schema:
        import pyarrow as pa

        if self.options.prepare:
            frame = self._prepared
            split_of = split_frame(frame, self.options.plan, self.where)
            return infer(
                to_table(filled({s: frame[split_of == s] for s in ("train", "test")})), self.declared
            )
        if not (found := self._first("train") or self._first("test")):
            raise DataError("No row of the query falls into the split 'train' or 'test'.")
        return infer(pa.concat_tables(found), self.declared)

    def _first(self, split: Split) -> "list[pa.Table]":
        """The first rows of a split, to infer columns from."""
        found: list[pa.Table] = []
        for _, part in self._divided.tables([column.name for column in self.survey.columns], split):
            found.append(part)
            if sum(map(len, found)) >= INFER_ROWS:
                break
        return found

    @property
    def origin(self) -> dict[str, Any]:
        query = self.query
        asked = {"query": query.text, "params": dict(query.params)} if query.text else {"table": query.table}
        return {"database": query.database.shown, **asked, "rows": query.survey.rows}

    @property
    def dropped_rows(self) -> int:
        if self.options.missing_label != "drop":
            return 0
        return self._dropped if self.options.prepare and len(self._prepared) else self._divided.dropped()

    def load(self, split: Split) -> "pd.DataFrame":
        import pyarrow as pa

        names = self.schema.used
        if self.options.prepare:
            frame = self._prepared
            return frame.loc[split_frame(frame, self.options.plan, self.where) == split, names].reset_index(
                drop=True
            )
        parts = [part for _, part in self._divided.tables(names, split)]
        if not parts:
            raise DataError(f"No row of the query falls into the split {split!r}.")
        return as_frame(pa.concat_tables(parts), self.source_gaps)

    def source_frame(self, rows: int = 0) -> "pd.DataFrame":
        if rows and len(self._prepared):  # the query may take long: it is not asked again for a few rows
            return self._first_rows.head(rows)
        return super().source_frame(rows)

    def source_tables(self, columns: Sequence[str] = ()) -> "Iterator[pa.Table]":
        return self.chunks(columns or [column.name for column in self.query.survey.columns])

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.survey.digest.encode())
        digest.update(repr((self.options.plan, self.options.missing_label)).encode())
        return digest.hexdigest()

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        return super().tables(limit) if self.options.prepare else self._divided.tables(self.schema.used)

    @cached_property
    def survey(self) -> Survey:
        """Types, NULLs, number and digest of the rows.

        Raises:
            DataError: There are no rows; a column mixes types; a row has no label or no key.
        """
        survey, one = self.query.survey, self.options
        if not one.prepare:
            self._require([column.name for column in survey.columns])
            for column in survey.columns:
                is_label = column.name in one.labels
                if column.nulls and (column.name == one.key or (is_label and one.missing_label != "drop")):
                    raise missing_values(column.name, column.nulls, column.null_rows, self.where, is_label)
        return survey

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator["pa.Table"]:
        """The rows of the query in order, `chunk_rows` at a time, with canonical types; see `Query.chunks`.

        Args:
            columns: Columns in this order; None: all.
        """
        import pyarrow as pa

        names = list(columns if columns is not None else [column.name for column in self.survey.columns])
        first_row = 0
        for chunk in self.query.chunks():
            found = {}
            for name in names:
                kind = canonical(chunk.schema.field(name).type, name == self.options.key)
                place = Place("The query", name, first_row)
                found[name] = conform(chunk[name].combine_chunks(), kind, place)
            first_row += len(chunk)
            yield pa.table(found) if names else chunk.select([])

    @property
    def _divided(self) -> Divided:
        _ = self.survey  # raises for what `Query` does not check
        one = self.options
        return Divided(self.chunks, one.plan, one.labels, one.key, one.missing_label, self.where)

    @property
    def source_gaps(self) -> list[str]:
        return [column.name for column in self.survey.columns if column.nulls]

    @cached_property
    def _prepared(self) -> "pd.DataFrame":
        import pyarrow as pa

        one = self.options
        assert one.prepare
        source = frame_for_prepare(pa.concat_tables(self.chunks()), self.source_gaps)
        self._first_rows = source.head(SAMPLE_ROWS).copy()
        frame = prepared(one.prepare, source)
        self._require(frame.columns)
        frame, self._dropped = with_label(frame, one.labels, one.key, one.missing_label, "The prepared rows")
        return frame

    def _require(self, names: Iterable[object]) -> None:
        where = "What data.prepare returned" if self.options.prepare else self.where
        require_columns(names, self.options.named, where)
