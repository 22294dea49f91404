"""Every prediction and every later outcome, as Parquet files, written off the request's path.

`predictions-*.parquet` and `feedback-*.parquet` are joined on `request_id`. A file appears every few seconds.
A record for which memory has no room is dropped and counted; a request never waits for the log.
"""

import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from serving.operations.metrics import Metrics
from serving.operations.records import Feedback, Record, write_table
from serving.operations.request_index import RequestIndex

log = logging.getLogger("serving")
#: Most records that wait in memory, and most bytes that they take.
MAX_PENDING, MAX_PENDING_BYTES = 20_000, 64 * 2**20
#: Most records in one file, and most seconds that it covers.
FILE_RECORDS, FILE_S = 10_000, 5.0
#: Seconds between additions to the index, and most seconds until other workers find a request in it.
INDEX_S, INDEXED_WITHIN_S = 0.5, 2.0
#: Time in the name of a file, UTC.
STAMP = "%Y%m%dT%H%M%S"


class _Queue:
    """Items that wait to be written to files of one name."""

    def __init__(self, name: str, what: str) -> None:
        self.name, self.what = name, what
        self.items: deque[Record | Feedback] = deque()
        #: Bytes so far. One thread changes each of the two numbers.
        self.bytes_in = self.bytes_out = 0

    @property
    def pending_bytes(self) -> int:
        return self.bytes_in - self.bytes_out

    def take(self, most: int) -> list[Record | Feedback]:
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
        self.requests = RequestIndex(folder)
        self._records = _Queue("predictions", "prediction")
        self._feedback = _Queue("feedback", "feedback")
        #: Requests that are not in the index yet.
        self._new: deque[tuple[str, str, int, float]] = deque()
        self._wake, self._stopping = threading.Event(), False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write_until_stopped, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write the records that wait, and stop."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(30)
        self.requests.close()

    def delete(self, before_s: float) -> int:
        """Delete files that were finished before a Unix time, and their requests; how many files."""
        stamp = time.strftime(STAMP, time.gmtime(before_s))
        old = [file for file in self.folder.glob("*-*-*-*.parquet") if file.name.split("-")[1] < stamp]
        for file in old:
            file.unlink(missing_ok=True)  # another worker may have been faster
        self.requests.delete(before_s)
        return len(old)

    def add(self, record: Record) -> None:
        """Add a record, at the cost of an append. It is dropped, and counted, when there is no room."""
        # Known before it is queued: else the writer could forget it first,
        # and it would be in memory for ever.
        self.requests.expect(record.context.request_id, record.context.caller, len(record.rows))
        if self._append(self._records, record):
            self._new.append(record.request)
        else:
            self.requests.forget_pending([record.request])

    def add_feedback(self, feedback: Feedback) -> bool:
        """Add an outcome; False when there was no room."""
        return self._append(self._feedback, feedback)

    def _append(self, queue: _Queue, item: Record | Feedback) -> bool:
        # A single item is written, however large it is.
        no_bytes_left = bool(queue.items) and queue.pending_bytes + item.size > MAX_PENDING_BYTES
        if len(queue.items) >= MAX_PENDING or no_bytes_left:
            self._metrics.dropped(queue.what)
            return False
        queue.items.append(item)
        queue.bytes_in += item.size
        if len(queue.items) == FILE_RECORDS or queue.pending_bytes > MAX_PENDING_BYTES // 2:
            self._wake.set()
        return True

    def _write_until_stopped(self) -> None:
        while not self._stopping:
            ends = time.monotonic() + FILE_S
            while not self._wake.wait(INDEX_S) and time.monotonic() < ends:
                self._index()
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        for queue in (self._records, self._feedback):
            while items := queue.take(FILE_RECORDS):
                self._index()
                rows = [row for item in items if (row := self._row(queue, item))]
                try:
                    if rows:
                        write_table(self._new_file(queue.name), rows)
                except Exception as error:  # a full disk must not end the thread
                    self._lose(queue, len(rows), error)
                    self._forget([item.request for item in items if isinstance(item, Record)])

    def _index(self) -> None:
        """Let feedback find the new requests, in every worker. Their rows are in a file, or will be."""
        requests = [self._new.popleft() for _ in range(len(self._new))]
        try:
            if requests:
                self.requests.write(requests)
        except Exception as error:  # a full disk must not end the thread
            reason = f"{type(error).__name__}: {error}"
            log.error("feedback for %d logged requests will not be taken: %s", len(requests), reason)
            self.requests.forget_pending(requests)

    def _forget(self, requests: list[tuple[str, str, int, float]]) -> None:
        """Take requests out of the index, as their rows are lost."""
        with suppress(Exception):  # the disk may be full for this too
            self.requests.forget(requests)

    def _row(self, queue: _Queue, item: Record | Feedback) -> dict[str, Any] | None:
        """One row of the table; None for an item that cannot be written: the other items must be."""
        try:
            return item.as_row()
        except Exception as error:
            self._lose(queue, 1, error)
            return None

    def _lose(self, queue: _Queue, count: int, error: Exception) -> None:
        log.error("%s log in %s lost %d: %s: %s", queue.name, self.folder, count, type(error).__name__, error)
        for _ in range(count):
            self._metrics.dropped(queue.what)

    def _new_file(self, name: str) -> Path:
        stamp = time.strftime(STAMP, time.gmtime())
        return self.folder / f"{name}-{stamp}-{os.getpid()}-{uuid4().hex[:6]}.parquet"
