"""Every prediction and every later outcome, as Parquet files, written off the request's path.

`predictions-*.parquet` and `feedback-*.parquet` are joined on `request_id`. A file appears whole, under its
final name, every few seconds; what finds no room in memory is dropped and counted, never waited for.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from serving.inference.json_values import encode_json
from serving.inference.rows import Context, Rows
from serving.models.served import ServedModel
from serving.operations.metrics import Metrics

log = logging.getLogger("serving")
#: Records that wait in memory, at most, and bytes that they take; what one looked-up value takes.
ROOM, ROOM_BYTES, VALUE_BYTES = 20_000, 64 * 2**20, 32
#: Records and seconds that one file covers, at most.
FILE_RECORDS, FILE_S = 10_000, 5.0


class Record(NamedTuple):
    """One answered request, or what the challenger made of it."""

    context: Context
    role: str
    served: ServedModel
    rows: Rows
    predictions: list[Any]
    seconds: float
    at_s: float
    #: False for an answer in pieces that broke off, or whose caller went away: `predictions` has the pieces.
    finished: bool = True

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, roughly: those of its body, and of the features that were looked up for it."""
        looked_up = self.rows.looked_up.rows if self.rows.looked_up else []
        values = len(looked_up) * len(looked_up[0]) if looked_up else 0
        return self.context.body_bytes + VALUE_BYTES * values


class Feedback(NamedTuple):
    """What really happened, for a request that was answered before."""

    request_id: str
    row: int | None
    outcome: Any
    at_s: float
    #: Of the request's body.
    size: int


class _Queue:
    """What waits to be written to files of one name."""

    def __init__(self, name: str, what: str, as_row: Callable[[Any], dict[str, Any]]) -> None:
        self.name, self.what, self.as_row = name, what, as_row
        self.items: deque[Any] = deque()
        #: Bytes so far; each number has one thread that changes it.
        self.bytes_in = self.bytes_out = 0

    @property
    def waiting_bytes(self) -> int:
        return self.bytes_in - self.bytes_out

    def take(self, most: int) -> list[Any]:
        taken = [self.items.popleft() for _ in range(min(most, len(self.items)))]
        self.bytes_out += sum(item.size for item in taken)
        return taken


class PredictionLog:
    """Writes records to `folder` from a thread of its own.

    Args:
        folder: Made when it is not there; several processes may share it.
    """

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self.folder, self._metrics = folder, metrics
        self._records = _Queue("predictions", "prediction", _prediction_row)
        self._feedback = _Queue("feedback", "feedback", _feedback_row)
        self._wake, self._stopping = threading.Event(), False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write_on, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(30)

    def add(self, record: Record) -> None:
        """Keep a record; costs an append. Dropped, and counted, when there is no room."""
        self._append(self._records, record)

    def add_feedback(self, feedback: Feedback) -> bool:
        """Keep an outcome; False when there was no room."""
        return self._append(self._feedback, feedback)

    def _append(self, queue: _Queue, item: Record | Feedback) -> bool:
        # A lone one is written, however large.
        no_bytes_left = bool(queue.items) and queue.waiting_bytes + item.size > ROOM_BYTES
        if len(queue.items) >= ROOM or no_bytes_left:
            self._metrics.dropped(queue.what)
            return False
        queue.items.append(item)
        queue.bytes_in += item.size
        if len(queue.items) == FILE_RECORDS or queue.waiting_bytes > ROOM_BYTES // 2:
            self._wake.set()
        return True

    def _write_on(self) -> None:
        while not self._stopping:
            self._wake.wait(FILE_S)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        for queue in (self._records, self._feedback):
            while items := queue.take(FILE_RECORDS):
                rows = [row for item in items if (row := self._row(queue, item))]
                try:
                    if rows:
                        self._write(queue.name, rows)
                except Exception as error:  # a full disk must not end the thread
                    self._lost(queue, len(rows), error)

    def _row(self, queue: _Queue, item: Any) -> dict[str, Any] | None:
        """One line of the table; None for what cannot be written, which must not take the others along."""
        try:
            return queue.as_row(item)
        except Exception as error:
            self._lost(queue, 1, error)
            return None

    def _lost(self, queue: _Queue, count: int, error: Exception) -> None:
        log.error("%s log in %s lost %d: %s: %s", queue.name, self.folder, count, type(error).__name__, error)
        for _ in range(count):
            self._metrics.dropped(queue.what)

    def _write(self, name: str, rows: list[dict[str, Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # The same types in every file, so that a folder of them reads as one table.
        kinds = {
            "time": pa.timestamp("us", "UTC"), "version": pa.int64(), "row": pa.int64(), "latency_ms": pa.float64(),
            "finished": pa.bool_(),
        }  # fmt: skip
        schema = pa.schema([(column, kinds.get(column, pa.string())) for column in rows[0]])
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        final = self.folder / f"{name}-{stamp}-{os.getpid()}-{uuid4().hex[:6]}.parquet"
        unfinished = final.with_suffix(".unfinished")
        pq.write_table(pa.Table.from_pylist(rows, schema), unfinished)
        unfinished.rename(final)


def _prediction_row(r: Record) -> dict[str, Any]:
    looked_up = r.rows.looked_up
    return {
        "time": int(r.at_s * 1e6),
        "request_id": r.context.request_id,
        "role": r.role,
        "model": r.served.version.name,
        "version": r.served.version.version,
        "latency_ms": r.seconds * 1e3,
        "request": _json(r.rows.given()),
        "features": _json(looked_up.rows) if looked_up else None,
        "freshness": _json(looked_up.statuses.field) if looked_up else None,
        "predictions": _json(r.predictions),
        "finished": r.finished,
    }


def _feedback_row(f: Feedback) -> dict[str, Any]:
    return {
        "time": int(f.at_s * 1e6),
        "request_id": f.request_id,
        "row": f.row,
        "outcome": _json(f.outcome),
    }


def _json(value: Any) -> str:
    return encode_json(value).decode()
