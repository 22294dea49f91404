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

import msgspec

from serving.enrich import EnrichedRows
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.results import plain

log = logging.getLogger("serving")
#: Records that wait in memory, at most; records and seconds that one file covers, at most.
ROOM, FILE_RECORDS, FILE_S = 20_000, 10_000, 5.0
encode = msgspec.json.Encoder(enc_hook=plain).encode


class Record(NamedTuple):
    """One answered request, or what the challenger made of it."""

    request_id: str
    role: str
    served: ServedModel
    rows: list[Any]
    enriched: EnrichedRows | None
    predictions: list[Any]
    seconds: float
    at_s: float
    #: False for an answer in pieces that broke off, or whose caller went away: `predictions` has the pieces.
    finished: bool = True


class Feedback(NamedTuple):
    """What really happened, for a request that was answered before."""

    request_id: str
    row: int | None
    outcome: Any
    at_s: float


class PredictionLog:
    """Writes records to `folder` from a thread of its own.

    Args:
        folder: Made when it is not there; several processes may share it.
    """

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self.folder, self._metrics = folder, metrics
        self._records: deque[Record] = deque()
        self._feedback: deque[Feedback] = deque()
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
        self._append(self._records, record, "prediction")

    def add_feedback(self, feedback: Feedback) -> bool:
        """Keep an outcome; False when there was no room."""
        return self._append(self._feedback, feedback, "feedback")

    def _append(self, queue: deque[Any], item: Any, what: str) -> bool:
        if len(queue) >= ROOM:
            self._metrics.dropped(what)
            return False
        queue.append(item)
        if len(queue) == FILE_RECORDS:
            self._wake.set()
        return True

    def _write_on(self) -> None:
        while not self._stopping:
            self._wake.wait(FILE_S)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        for name, queue, as_columns in (
            ("predictions", self._records, _prediction_columns),
            ("feedback", self._feedback, _feedback_columns),
        ):
            while items := _take(queue, FILE_RECORDS):
                try:
                    self._write(name, as_columns(items))
                except Exception as error:  # a full disk must not end the thread
                    log.error("%s log in %s: %s: %s", name, self.folder, type(error).__name__, error)
                    for _ in items:
                        self._metrics.dropped(name.rstrip("s"))

    def _write(self, name: str, columns: dict[str, list[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        final = self.folder / f"{name}-{stamp}-{os.getpid()}-{uuid4().hex[:6]}.parquet"
        unfinished = final.with_suffix(".unfinished")
        pq.write_table(pa.table({key: _array(key, values) for key, values in columns.items()}), unfinished)
        unfinished.rename(final)


def _take(queue: deque[Any], most: int) -> list[Any]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def _prediction_columns(records: list[Record]) -> dict[str, list[Any]]:
    made: dict[str, Callable[[Record], Any]] = {
        "time": lambda r: r.at_s,
        "request_id": lambda r: r.request_id,
        "role": lambda r: r.role,
        "model": lambda r: r.served.version.name,
        "version": lambda r: r.served.version.version,
        "latency_ms": lambda r: r.seconds * 1e3,
        "request": lambda r: _json(r.served.schema.given(r.rows)),
        "features": lambda r: _json(r.enriched.rows) if r.enriched else None,
        "freshness": lambda r: _json(r.enriched.statuses.field) if r.enriched else None,
        "predictions": lambda r: _json(r.predictions),
        "finished": lambda r: r.finished,
    }
    return {name: [make(record) for record in records] for name, make in made.items()}


def _feedback_columns(items: list[Feedback]) -> dict[str, list[Any]]:
    return {
        "time": [item.at_s for item in items],
        "request_id": [item.request_id for item in items],
        "row": [item.row for item in items],
        "outcome": [_json(item.outcome) for item in items],
    }


def _json(value: Any) -> str:
    return encode(value).decode()


def _array(name: str, values: list[Any]) -> Any:
    """The same types in every file, so that a folder of them reads as one table."""
    import pyarrow as pa

    if name == "time":
        return pa.array([int(value * 1e6) for value in values], pa.timestamp("us", "UTC"))
    kinds = {"version": pa.int64(), "row": pa.int64(), "latency_ms": pa.float64(), "finished": pa.bool_()}
    return pa.array(values, kinds.get(name, pa.string()))
