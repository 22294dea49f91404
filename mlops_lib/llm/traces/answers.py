"""Traces of a model's answers in MLflow, written by a process of its own.

MLflow needs some 40 ms of processor time for a trace, ten times as much as an answer takes. Here an answer
costs a place in a queue. When the queue is full, traces are dropped, and the log says how many.
"""

import atexit
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from functools import cache
from typing import Any, Self

from mlops_lib.redact.keys import Masker

log = logging.getLogger("mlops_lib")

#: Traces that may wait to be written.
MAX_WAITING = 1000
#: Seconds between two lines in the log about dropped traces.
REPORT_S = 60.0
#: Least seconds between two starts of the writer.
RESTART_S = 10.0
#: Longest wait for the last traces when the process ends.
STOP_S = 10.0


class Traces:
    """Traces in one experiment of MLflow.

    Args:
        writer: Of this process; all models share it.
    """

    def __init__(self, experiment_id: str, writer: "Writer") -> None:
        self._experiment_id, self.writer = experiment_id, writer

    @classmethod
    def of_run(cls, run_id: str) -> Self | None:
        """Traces in the experiment of a run; "": in the current one; None: the run cannot be read."""
        import mlflow
        from mlflow.exceptions import MlflowException
        from mlflow.tracking.fluent import _get_experiment_id

        try:
            found = mlflow.get_run(run_id).info.experiment_id if run_id else _get_experiment_id()
        except MlflowException as error:  # a model answers without its traces, when the server is away say
            log.warning("there will be no traces: run %s cannot be read: %s", run_id, error.message)
            return None
        return cls(str(found), _writer(mlflow.get_tracking_uri(), os.getpid()))

    def add(
        self, began_ns: int, inputs: dict[str, Any], outputs: Any, usage: dict[str, int], error: str = ""
    ) -> None:
        """Queue the trace of an answer that has just ended.

        Args:
            began_ns: Unix time in nanoseconds.
            usage: MLflow's ``input_tokens`` and ``output_tokens``.
            error: Why there is no answer.
        """
        self.writer.add(
            {
                "experiment_id": self._experiment_id, "began_ns": began_ns, "ended_ns": time.time_ns(),
                "inputs": inputs, "outputs": outputs, "usage": usage, "error": error,
            }
        )  # fmt: skip


class Writer:
    """A queue of traces, and the process that writes them, which is started with the first."""

    def __init__(self, tracking_uri: str) -> None:
        self._command = [sys.executable, "-m", "mlops_lib.llm.traces.writer"]
        path = os.pathsep.join(filter(None, [*sys.path, os.environ.get("PYTHONPATH", "")]))
        self._environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "PYTHONPATH": path}
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._writer: subprocess.Popen[bytes] | None = None
        self._dropped, self._reported_s, self._started_s = 0, 0.0, 0.0

    def add(self, trace: dict[str, Any]) -> None:
        """Queue a trace, or drop it where the queue is full."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="traces", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        try:
            self._waiting.put_nowait(trace)
        except queue.Full:
            self._drop()

    def close(self) -> None:
        """Write the traces that wait, for at most `STOP_S` seconds."""
        atexit.unregister(self.close)
        if (thread := self._thread) is not None:
            self._thread = None
            try:
                self._waiting.put(None, timeout=STOP_S)
            except queue.Full:
                return
            thread.join(STOP_S)

    def _write(self) -> None:
        """Pass traces on until `close`; a writer that has ended is started again."""
        masker = Masker()
        while (trace := self._waiting.get()) is not None:
            line = json.dumps(masker.values(trace), default=str).encode() + b"\n"
            try:
                if self._writer is None or self._writer.poll() is not None:
                    self._writer = self._start()
                assert self._writer.stdin
                self._writer.stdin.write(line)
                self._writer.stdin.flush()
            except OSError:
                self._drop()
        if self._writer is not None and self._writer.stdin:
            self._writer.stdin.close()
            self._writer.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        now = time.monotonic()
        if self._started_s and now < self._started_s + RESTART_S:
            raise BrokenPipeError("the writer has ended")
        self._started_s = now
        # In a session of its own: Ctrl-C must not end it before the last traces are written.
        return subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, start_new_session=True
        )

    def _drop(self) -> None:
        self._dropped += 1
        if time.monotonic() > self._reported_s + REPORT_S:
            log.warning("%d traces were dropped: MLflow takes them more slowly than they come", self._dropped)
            self._dropped, self._reported_s = 0, time.monotonic()


@cache
def _writer(tracking_uri: str, process_id: int) -> Writer:
    """The writer of a process; one that was forked has its own."""
    return Writer(tracking_uri)
