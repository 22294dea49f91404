"""Metrics of several workers: each writes to files in one folder, and the one that is asked adds them up."""

import os
from pathlib import Path

from serving.operations.workers import Workers

#: Names the folder to prometheus_client, which reads it once, when it is imported.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share(workers: Workers) -> None:
    """Keep the metrics in the workers' folder, unless the operator chose another;
    call it before prometheus_client is imported."""
    os.environ.setdefault(VARIABLE, str(workers.folder))
    remove_dead(workers)


def remove_dead(workers: Workers) -> None:
    """Remove the gauges of workers that died. Their counters stay: a counter must not go down."""
    for pid in workers.remove_dead():
        _remove_gauges(pid)


def leave(workers: Workers) -> None:
    """Remove this worker's gauges and its record."""
    _remove_gauges(os.getpid())
    workers.leave()


def _remove_gauges(pid: int) -> None:
    for file in Path(os.environ[VARIABLE]).glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)
