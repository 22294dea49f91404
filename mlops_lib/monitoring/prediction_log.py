"""Reads the prediction log of a service: a folder of Parquet files of predictions and of later outcomes.

Files are read one after another, so that a log may be larger than memory.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from mlops_lib.errors import DataError
from mlops_lib.redact import mask_secrets

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc

Kind = Literal["predictions", "feedback"]
#: The columns of each kind of file. Files of an earlier release lack some: those are null.
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "predictions": (
        "time", "request_id", "key", "role", "model", "version", "run_id", "model_digest", "latency_ms", "request",
        "features", "freshness", "predictions", "finished", "error",
    ),
    "feedback": ("time", "request_id", "key", "row", "outcome"),
}  # fmt: skip
#: Rows of a batch; one row has the bodies of a whole request.
BATCH_ROWS = 10_000
#: Characters of a value in an error.
SHOWN = 40
#: Time in the name of a file, UTC: rows of the file are not later.
STAMP = "%Y%m%dT%H%M%S"
#: SQLite file of the service's requests. Readers of Parquet folders skip names that begin with an underscore.
INDEX = "_requests.db"
#: A record is in a file of this long after the request at most, unless the service was held up.
WRITTEN_WITHIN = timedelta(minutes=10)


class PredictionLog:
    """The files of one folder.

    Args:
        folder: `serving.prediction_log`.

    Raises:
        DataError: The folder has no predictions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not self._files("predictions"):
            what = "has no file predictions-*.parquet" if folder.is_dir() else "does not exist"
            raise DataError(
                f"The prediction log is empty: the folder {folder} {what}. A service whose serving.prediction_log "
                "names this folder writes its answers there every 5 seconds. If it has just answered, wait, then run "
                "this again."
            )

    def read(
        self,
        kind: Kind,
        columns: Sequence[str],
        where: "pc.Expression | None" = None,
        since: datetime | None = None,
        newest_first: bool = False,
        written_until: datetime | None = None,
    ) -> "Iterator[pa.Table]":
        """Batches of some columns, in the order of the files' times.

        Args:
            columns: Names from `COLUMNS`.
            where: Only the rows for which it is true; it may use further columns.
            since: Only rows of this time or later.
            newest_first: The newest file first. Rows within a file keep their order.
            written_until: Only files that were written until then.

        Raises:
            DataError: A file cannot be read.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        schema = pa.schema([(name, _type_of(name)) for name in COLUMNS[kind]])
        if since:
            late = pc.field("time") >= pa.scalar(since.astimezone(UTC), _type_of("time"))
            where = late if where is None else where & late
        for file in sorted(self._files(kind, since, written_until), reverse=newest_first):
            try:
                batches = ds.dataset([str(file)], schema=schema, format="parquet").to_batches(
                    columns=list(columns), filter=where, batch_size=BATCH_ROWS
                )
                yield from (pa.Table.from_batches([batch]) for batch in batches if batch.num_rows)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"The file {file} of the prediction log cannot be read: {error}") from None

    def of_request(self, kind: Kind, request_id: str) -> list[dict[str, Any]]:
        """All rows of one request id, in the order of their files: several callers may have used the same id.

        Predictions are looked for at the times that the service's index has, and if it has none,
        in all files. Of an id that one caller used twice, the index has the later time.
        """
        import pyarrow.compute as pc

        def rows(since: datetime | None = None, until: datetime | None = None) -> list[dict[str, Any]]:
            where = pc.field("request_id") == request_id
            tables = self.read(kind, COLUMNS[kind], where, since, written_until=until)
            return [row for table in tables for row in table.to_pylist()]

        times = self._times_of(request_id) if kind == "predictions" else []
        # The index has fractions of a microsecond, which the column lacks.
        near = rows(min(times) - timedelta(seconds=1), max(times) + WRITTEN_WITHIN) if times else []
        return near or rows()

    def _times_of(self, request_id: str) -> list[datetime]:
        """Times of the requests with an id; empty if there is no index, or it cannot be read."""
        file = self.folder / INDEX
        if not file.is_file():
            return []
        try:
            with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as index:
                found = index.execute("SELECT at_s FROM requests WHERE id = ?", (request_id,)).fetchall()
        except sqlite3.Error:
            return []
        return [datetime.fromtimestamp(at_s, UTC) for (at_s,) in found]

    def _files(self, kind: Kind, since: datetime | None = None, until: datetime | None = None) -> list[Path]:
        first, last = (f"{kind}-{at.astimezone(UTC).strftime(STAMP)}" if at else "" for at in (since, until))
        files = self.folder.glob(f"{kind}-*.parquet")
        return [file for file in files if file.name >= first and (not last or file.name[: len(last)] <= last)]


def _type_of(column: str) -> "pa.DataType":
    import pyarrow as pa

    types = {
        "time": pa.timestamp("us", "UTC"), "version": pa.int64(), "row": pa.int64(), "latency_ms": pa.float64(),
        "finished": pa.bool_(),
    }  # fmt: skip
    return types.get(column, pa.string())


def read_json(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column of a record, which is JSON.

    Raises:
        DataError: It is not.
    """
    try:
        return json.loads(row[column])
    except (TypeError, ValueError) as error:
        text = row[column]
        shown = "missing" if text is None else f"no JSON ({error}): {mask_secrets(text)[:SHOWN]}"
        raise DataError(
            f"The prediction log has a record of request {row['request_id']!r} whose {column} is {shown}. The service writes "
            "JSON, so the file was altered: restore it, or leave the record out with --since."
        ) from None
