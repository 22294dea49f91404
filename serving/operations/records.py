"""Records of answered requests and their later outcomes, as rows of Parquet tables."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.columns.images import decoded
from mlops_lib.monitoring.prediction_log import COLUMNS
from mlops_lib.redact.keys import Masker
from serving.inference.json_values import encode_json
from serving.inference.rows import Context, Rows
from serving.models.served import ServedModel

#: Memory that one looked-up value takes, roughly.
VALUE_BYTES = 32


class Record(NamedTuple):
    """One answered request, by the champion or by the challenger.

    Attributes:
        finished: False for a stream that broke off, or whose caller went away: `predictions` has its pieces.
        error: A challenger that failed on a mirrored request: name of the exception, or code of the problem.
    """

    context: Context
    role: str
    served: ServedModel
    rows: Rows
    predictions: list[Any]
    seconds: float
    at_s: float
    finished: bool = True
    error: str = ""

    @property
    def size(self) -> int:
        """Bytes in memory, roughly: of the request's body and of the features that were looked up."""
        looked_up = self.rows.looked_up.rows if self.rows.looked_up else []
        values = len(looked_up) * len(looked_up[0]) if looked_up else 0
        return self.context.body_bytes + VALUE_BYTES * values

    @property
    def request(self) -> tuple[str, str, int, float]:
        """The request: id, caller, rows and Unix time."""
        return self.context.request_id, self.context.caller, len(self.rows), self.at_s

    def as_row(self) -> dict[str, Any]:
        """A row of the table of predictions."""
        looked_up = self.rows.looked_up
        return {
            "time": int(self.at_s * 1e6),
            "request_id": self.context.request_id,
            "key": self.context.caller or None,
            "role": self.role,
            "model": self.served.version.name,
            "version": self.served.version.version,
            "run_id": self.served.version.run_id or None,
            "model_digest": self.served.facts.digest or None,
            "latency_ms": self.seconds * 1e3,
            "request": _json(_without_files(self.rows)),
            "features": _json(looked_up.rows) if looked_up else None,
            "freshness": _json(looked_up.statuses.field) if looked_up else None,
            "predictions": _json(self.predictions),
            "finished": self.finished,
            "error": self.error or None,
        }


class Feedback(NamedTuple):
    """The outcome of a request that was answered before.

    Attributes:
        caller: Name of the API key that the request had too; "" without keys.
        row: Of the request, counted from 0; None: all of them.
        size: Bytes of the body that it came in.
    """

    request_id: str
    caller: str
    row: int | None
    outcome: Any
    at_s: float
    size: int

    def as_row(self) -> dict[str, Any]:
        """A row of the table of feedback."""
        return {
            "time": int(self.at_s * 1e6),
            "request_id": self.request_id,
            "key": self.caller or None,
            "row": self.row,
            "outcome": _json(self.outcome),
        }


def write_table(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of predictions or of feedback as Parquet, without secrets. Others see the whole file or none.

    Every file has all columns of both, so that a folder of files reads as one table; those of the other kind are null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "time": pa.timestamp("us", "UTC"), "version": pa.int64(), "row": pa.int64(), "latency_ms": pa.float64(),
        "finished": pa.bool_(),
    }  # fmt: skip
    columns = dict.fromkeys((*COLUMNS["predictions"], *COLUMNS["feedback"]))
    schema = pa.schema([(column, kinds.get(column, pa.string())) for column in columns])
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"_{file.name}")  # readers of a folder skip such a name
    pq.write_table(pa.Table.from_pylist(_masked(rows), schema), unfinished)
    unfinished.rename(file)


def _masked(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    masker = Masker()
    text = "\n".join(value for row in rows for value in row.values() if isinstance(value, str))
    if masker(text) == text:  # one search for all rows takes a tenth of the time
        return rows
    return [{column: masker.values(value) for column, value in row.items()} for row in rows]


def _without_files(rows: Rows) -> list[Any]:
    """The rows as the caller sent them; of an image, the SHA-256 and the size of its bytes."""
    names = (*rows.schema.images, *rows.schema.unused_images)
    return [{**row, **_digests(row, names)} for row in rows.given()] if names else rows.given()


def _digests(row: dict[str, Any], images: Sequence[str]) -> dict[str, Any]:
    files = {
        name: _bytes(row[name]) for name in images if isinstance(row.get(name), bytes | str | np.ndarray)
    }
    return {
        name: {"sha256": hashlib.sha256(file).hexdigest(), "bytes": len(file)} for name, file in files.items()
    }


def _bytes(value: bytes | str | np.ndarray) -> bytes:
    """The bytes of an image; a text is one of a column that the model does not take, as it came."""
    if not isinstance(value, str):
        return bytes(value)
    try:
        return decoded(value)
    except ValueError:
        return value.encode()


def _json(value: Any) -> str:
    return encode_json(value).decode()
