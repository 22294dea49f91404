"""Batches of a model that is open in the service's process.

The model is called in a thread, with one exception: a small model of native operators, which can neither block nor
loop, computes a small batch faster than the batch can be handed to a thread and back (some 100 us). Such a batch is
computed on the event loop; see docs/decisions/0301.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from serving.blocking_calls import Call, DaemonThreads, Interrupted, future_error
from serving.inference.batching import Done
from serving.inference.jobs import Job, outcomes, run
from serving.inference.predictions import as_list
from serving.web.problems import Problem

log = logging.getLogger("serving")


class ThreadExecutor:
    """Calls a model in a thread. A call that takes too long is interrupted where it runs Python, and else left behind.

    Args:
        predict: Rows to predictions, one for each.
        inline_rows: Batches up to this size are computed on the event loop; 0: none.
    """

    changed: Callable[[], None] = staticmethod(lambda: None)
    ready = True
    trouble: Problem | None = None

    def __init__(self, predict: Callable[[list[Any]], Any], inline_rows: int = 0) -> None:
        self._run, self.inline_rows = partial(_outcomes, predict), inline_rows
        self._threads = DaemonThreads("model", interrupt=True)

    @property
    def hung(self) -> int:
        """Calls that took too long and still have not ended."""
        return self._threads.hung

    def start(self, jobs: list[Job], timeout_s: float, done: Done) -> tuple[list[Any], float] | None:
        """See `Executor`."""
        if sum(len(job.rows) for job in jobs) <= self.inline_rows:
            began = time.perf_counter()
            return self._run(jobs), time.perf_counter() - began

        def finished(call: Call, outcomes: list[Any], seconds: float) -> None:
            if not call.late:  # else its callers have their answer
                done(outcomes, seconds)

        self._threads.call(self._run, jobs, timeout_s, finished, lambda call: done(None, timeout_s))
        return None

    def close(self) -> None:
        """Let the idle threads end, and the others after their call."""
        self._threads.close()


def _outcomes(predict: Callable[[list[Any]], Any], jobs: list[Job]) -> list[Any]:
    try:
        found = run(lambda rows: as_list(predict(rows), len(rows)), [job.rows for job in jobs])
    except Interrupted:
        log.warning(
            "a call with rows of %d requests took too long, and was stopped", len(jobs), exc_info=True
        )
        raise
    failed = {number: future_error(error) for number, error in found.failed.items()}
    return outcomes(jobs, found.predictions, found.bad, failed)
