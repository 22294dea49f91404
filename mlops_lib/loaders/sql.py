"""Rows of a database, through SQLAlchemy: bound parameters, a read-only transaction, chunk by chunk."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from mlops_lib import plugins
from mlops_lib.columns.infer import infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders.base import INFER_ROWS, BaseDataLoader, to_table
from mlops_lib.loaders.divided import Divided, split_frame, with_label
from mlops_lib.loaders.formats.types import Place, as_frame, canonical, conform
from mlops_lib.loaders.row_checks import Prepare, missing_values, named_columns, prepared, require_columns
from mlops_lib.loaders.split_plans import SplitPlan
from mlops_lib.loaders.splits import Split
from mlops_lib.loaders.sql_database import Database
from mlops_lib.loaders.sql_query import Query, Survey
from mlops_lib.settings import Settings
from mlops_lib.settings.data import SplitSettings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class SQLDataLoader(BaseDataLoader):
    """The rows of a query or of a table, split by a hash of the key (by position where there is none).

    The query is read twice, because a database does not tell the types of a query's values beforehand: once for
    types, NULLs and the fingerprint, once for the rows. A difference between the two is an error. Never more than
    `chunk_rows` rows are held, except by `load` and by `prepare`, which takes all rows at once.

    Args:
        url, password: See `Database`.
        query, table, params, chunk_rows: See `Query`; either a query or a table.
        label, key, features, prepare: As in `SplitFiles`.
        validation_fraction, test_fraction, seed, split: See `SplitPlan` (`split` is its `how`).
        missing_label: ``error``, or ``drop`` for rows without a label.
        missing_values: Texts that are no value.
        kinds, task, weight: See `Declared`.
    """

    where = "The query"

    def __init__(
        self,
        url: str,
        *,
        label: str,
        key: str = "",
        features: tuple[str, ...] = (),
        query: str = "",
        table: str = "",
        params: Mapping[str, Any] | None = None,
        chunk_rows: int = 50_000,
        password: str = "",
        prepare: Prepare | None = None,
        validation_fraction: float = 0.15,
        test_fraction: float = 0.25,
        seed: int = 0,
        split: SplitSettings | None = None,
        missing_label: str = "error",
        missing_values: tuple[str, ...] = (),
        kinds: Mapping[str, str] | None = None,
        task: str = "",
        weight: str = "",
    ) -> None:
        if bool(query) == bool(table):
            raise ConfigError("Set one of data.sql.query and data.sql.table.")
        self.query = Query(
            Database(url, password), query, dict(params or {}), table, key, chunk_rows, missing_values
        )
        self.label, self.key, self.features, self.prepare = label, key, features, prepare
        self.missing_label, how = missing_label, split or SplitSettings()
        self.plan = SplitPlan(label, key, validation_fraction, test_fraction, seed, how, kinds or {})
        self.declared = self.plan.declared(features, kinds or {}, task, weight)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data, secret = settings.data, settings.secrets.data_password
        url = data.source
        if url.startswith("sqlite:///"):
            url = f"sqlite:///{settings.path(url.removeprefix('sqlite:///'))}"
        return cls(
            url,
            label=data.label,
            key=data.key,
            features=data.features,
            query=data.sql.query,
            table=data.sql.table,
            params=data.sql.params,
            chunk_rows=data.sql.chunk_rows,
            password=secret.get_secret_value() if secret else "",
            prepare=plugins.load("prepare", data.prepare) if data.prepare else None,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            seed=data.seed,
            split=data.split,
            missing_label=data.missing_label,
            missing_values=data.missing_values,
            kinds=data.columns,
            task=settings.evaluation.task,
            weight=data.weight,
        )

    @cached_property
    def schema(self) -> Schema:
        import pyarrow as pa

        if self.prepare:
            frame = self._prepared
            return infer(to_table(frame[split_frame(frame, self.plan, self.where) == "train"]), self.declared)
        found: list[pa.Table] = []
        for _, part in self._divided.tables([column.name for column in self.survey.columns], "train"):
            found.append(part)
            if sum(map(len, found)) >= INFER_ROWS:
                break
        if not found:
            raise DataError("No row of the query falls into the split 'train'.")
        return infer(pa.concat_tables(found), self.declared)

    @property
    def dropped_rows(self) -> int:
        if self.missing_label != "drop":
            return 0
        return self._dropped if self.prepare and len(self._prepared) else self._divided.dropped()

    def load(self, split: Split) -> "pd.DataFrame":
        import pyarrow as pa

        names = self.schema.used
        if self.prepare:
            frame = self._prepared
            return frame.loc[split_frame(frame, self.plan, self.where) == split, names].reset_index(drop=True)
        parts = [part for _, part in self._divided.tables(names, split)]
        if not parts:
            raise DataError(f"No row of the query falls into the split {split!r}.")
        return as_frame(pa.concat_tables(parts), self._gaps)

    def source_tables(self, columns: Sequence[str] = ()) -> "Iterator[pa.Table]":
        return self.chunks(columns or [column.name for column in self.query.survey.columns])

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.survey.digest.encode())
        digest.update(repr((self.plan, self.missing_label)).encode())
        return digest.hexdigest()

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        return super().tables(limit) if self.prepare else self._divided.tables(self.schema.used)

    @cached_property
    def survey(self) -> Survey:
        """Types, NULLs, number and digest of the rows.

        Raises:
            DataError: There are no rows; a column mixes types; a row has no label or no key.
        """
        survey = self.query.survey
        if not self.prepare:
            self._require([column.name for column in survey.columns])
            for column in survey.columns:
                is_label = column.name == self.label
                if column.nulls and (column.name == self.key or (is_label and self.missing_label != "drop")):
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
                kind = canonical(chunk.schema.field(name).type, name == self.key)
                place = Place("The query", name, first_row)
                found[name] = conform(chunk[name].combine_chunks(), kind, place)
            first_row += len(chunk)
            yield pa.table(found) if names else chunk.select([])

    @property
    def _divided(self) -> Divided:
        _ = self.survey  # raises for what `Query` does not check
        return Divided(self.chunks, self.plan, self.label, self.key, self.missing_label, self.where)

    @property
    def _gaps(self) -> list[str]:
        return [column.name for column in self.survey.columns if column.nulls]

    @cached_property
    def _prepared(self) -> "pd.DataFrame":
        import pyarrow as pa

        assert self.prepare
        frame = prepared(self.prepare, as_frame(pa.concat_tables(self.chunks()), self._gaps))
        self._require(frame.columns)
        frame, self._dropped = with_label(
            frame, self.label, self.key, self.missing_label, "The prepared rows"
        )
        return frame

    def _require(self, names: Iterable[object]) -> None:
        wanted = named_columns(self.label, self.key, self.features)
        if self.plan.how.column:
            wanted[self.plan.how.column] = "data.split.column"
        require_columns(names, wanted, "What data.prepare returned" if self.prepare else self.where)
