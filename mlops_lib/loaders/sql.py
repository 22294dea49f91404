"""Rows of a database, through SQLAlchemy: bound parameters, a read-only transaction, chunk by chunk."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from mlops_lib import plugins
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders.base import INFER_ROWS, BaseDataLoader, to_table
from mlops_lib.loaders.row_checks import (
    Prepare,
    missing_values,
    named_columns,
    prepared,
    require_columns,
    require_values,
)
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.loaders.splitting import assign
from mlops_lib.loaders.sql_database import Database
from mlops_lib.loaders.sql_query import Query, Survey
from mlops_lib.loaders.sql_types import to_frame
from mlops_lib.settings import Settings

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
        validation_fraction, test_fraction, seed: See `splitting.assign`.
        kinds, task: See `Declared`.
    """

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
        kinds: Mapping[str, str] | None = None,
        task: str = "",
    ) -> None:
        if bool(query) == bool(table):
            raise ConfigError("Set one of data.sql.query and data.sql.table.")
        self.query = Query(Database(url, password), query, dict(params or {}), table, key, chunk_rows)
        self.label, self.key, self.features, self.prepare = label, key, features, prepare
        self.declared = Declared(label, key, features=features, kinds=kinds or {}, task=task)
        self.fractions, self.seed = (validation_fraction, test_fraction), seed

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
            kinds=data.columns,
            task=settings.evaluation.task,
        )

    @cached_property
    def schema(self) -> Schema:
        import pandas as pd

        if self.prepare:
            frame = self._prepared
            return infer(to_table(frame[self._split_of(frame, 0) == "train"]), self.declared)
        found: list[pd.DataFrame] = []
        for split, part in self._parts():
            if split == "train":
                found.append(part)
                if sum(map(len, found)) >= INFER_ROWS:
                    break
        if not found:
            raise DataError("No row of the query falls into the split 'train'.")
        return infer(to_table(pd.concat(found)), self.declared)

    def load(self, split: Split) -> "pd.DataFrame":
        import pandas as pd

        names = self.schema.used
        if self.prepare:
            frame = self._prepared
            return frame.loc[self._split_of(frame, 0) == split, names].reset_index(drop=True)
        parts = [part for name, part in self._parts() if name == split]
        if not parts:
            raise DataError(f"No row of the query falls into the split {split!r}.")
        return pd.concat(parts, ignore_index=True)[names]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.survey.digest.encode())
        digest.update(repr((self.fractions, self.seed, self.key)).encode())
        return digest.hexdigest()

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        import pyarrow as pa

        if self.prepare:
            yield from super().tables(limit)
            return
        names = self.schema.used
        for split, part in self._parts():
            yield split, pa.Table.from_pandas(part[names], self._arrow_schema(names), preserve_index=False)

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
                if column.nulls and column.name in (self.label, self.key):
                    raise missing_values(column.name, column.nulls, column.null_rows, "The query")
        return survey

    def chunks(self) -> Iterator["pa.Table"]:
        """The rows of the query in order, `chunk_rows` at a time; see `Query.chunks`."""
        _ = self.survey  # raises for what `Query` does not check
        return self.query.chunks()

    @cached_property
    def _prepared(self) -> "pd.DataFrame":
        import pyarrow as pa

        assert self.prepare
        whole = to_frame(pa.concat_tables(list(self.chunks())), self.survey.columns)
        frame = prepared(self.prepare, whole)
        self._require(frame.columns)
        require_values(frame, named_columns(self.label, self.key), "The prepared rows")
        return frame

    def _parts(self) -> Iterator[tuple[Split, "pd.DataFrame"]]:
        first_row = 0
        for table in self.chunks():
            frame = to_frame(table, self.survey.columns)
            split_of = self._split_of(frame, first_row)
            first_row += len(frame)
            for split in SPLITS:
                if (chosen := split_of == split).any():
                    yield split, frame[chosen]

    def _split_of(self, frame: "pd.DataFrame", first_row: int) -> Any:
        keys = frame[self.key] if self.key else frame.index.to_series() + first_row
        return assign(keys, *self.fractions, self.seed)

    def _arrow_schema(self, names: list[str]) -> "pa.Schema":
        import pyarrow as pa

        types = {column.name: column.arrow_type for column in self.survey.columns}
        return pa.schema([(name, types[name]) for name in names])

    def _require(self, names: Iterable[object]) -> None:
        wanted = named_columns(self.label, self.key, self.features)
        require_columns(names, wanted, "What data.prepare returned" if self.prepare else "The query")
