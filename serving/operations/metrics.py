"""Metrics for Prometheus, and the latest latencies for the pages.

With several workers, each writes to files in PROMETHEUS_MULTIPROC_DIR,
and the one that is asked adds them up.
"""

import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.operations import worker_metrics
from serving.operations.workers import Workers

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
#: Requests that `recent` is about.
RECENT = 2000
#: Whether several workers share metrics. Read once, as prometheus_client does:
#: importing Feast sets the variable too.
SHARED = worker_metrics.VARIABLE in os.environ


class Metrics:
    """The service's counters, histograms and gauges. Names start with ``mlops_serving_``;
    times are in seconds."""

    def __init__(self, workers: Workers | None = None) -> None:
        self._workers = workers
        own = self._registry = CollectorRegistry()
        p = "mlops_serving_"
        self._requests = Counter(f"{p}requests", "Requests answered", ["route", "status"], registry=own)
        self._seconds = Histogram(
            f"{p}request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=own
        )
        self._model_seconds = Histogram(
            f"{p}model_seconds",
            "Time of one call of the model",
            ["version", "role"],
            buckets=SECONDS,
            registry=own,
        )
        self._batch_rows = Histogram(
            f"{p}batch_rows", "Rows in one call of the model", ["version", "role"], buckets=ROWS, registry=own
        )
        self._dropped = Counter(
            f"{p}dropped", "Records and mirrored requests dropped", ["what"], registry=own
        )
        self._reloads = Counter(f"{p}reloads", "Versions loaded or refused", ["outcome"], registry=own)
        self._crashes = Counter(
            f"{p}model_crashes",
            "Processes of models that crashed or had to be killed",
            ["version"],
            registry=own,
        )
        self._restarts = Counter(
            f"{p}model_restarts", "Processes of models that were started again", ["version"], registry=own
        )
        live: dict[str, Any] = {"registry": own, "multiprocess_mode": "liveall"}
        self.info = Gauge(f"{p}model_info", "Served versions", ["name", "version", "stage", "role"], **live)
        self._up = Gauge(f"{p}model_up", "1 for a version that answers", ["version", "role"], **live)
        self.state = Gauge(f"{p}state", "1 for what holds: ready, stale, draining", ["what"], **live)
        self.queue = Gauge(f"{p}queue_rows", "Rows that wait for the model", **live)
        self.hung = Gauge(f"{p}hung_calls", "Model calls that took too long and still run", **live)
        self._shown: set[tuple[str, str, str, str]] = set()
        self._answered: dict[tuple[str, int], Any] = {}
        self._timed: dict[str, Any] = {}
        #: (status, seconds) of the latest inference requests.
        self.latest: deque[tuple[int, float]] = deque(maxlen=RECENT)

    def answered(self, route: str, status: int, seconds: float, inference: bool) -> None:
        """Count an answered request."""
        counter = self._answered.get((route, status))
        if counter is None:
            counter = self._answered[route, status] = self._requests.labels(route, str(status))
            self._timed[route] = self._seconds.labels(route)
        counter.inc()
        self._timed[route].observe(seconds)
        if inference:
            self.latest.append((status, seconds))

    def on_batch(self, version: int, role: str) -> Any:
        """A function that observes rows and seconds of each call of one version."""
        seconds_child = self._model_seconds.labels(str(version), role)
        rows_child = self._batch_rows.labels(str(version), role)

        def observe(rows: int, seconds: float) -> None:
            rows_child.observe(rows)
            seconds_child.observe(seconds)

        return observe

    def show_served(self, up: Mapping[tuple[str, str, str, str], bool]) -> None:
        """Set `info` to 1 for each served (name, version, stage, role), and to 0 for those served before.

        Args:
            up: Served version -> whether it answers.
        """
        self._shown.update(up)
        for card in self._shown:
            _, version, _, role = card
            self.info.labels(*card).set(card in up)
            self._up.labels(version, role).set(0)
        for (_, version, _, role), answers in up.items():
            self._up.labels(version, role).set(answers)

    def crashed(self, version: int) -> None:
        """Count a process of a model that ended by itself."""
        self._crashes.labels(str(version)).inc()

    def restarted(self, version: int) -> None:
        """Count a process of a model that was started again."""
        self._restarts.labels(str(version)).inc()

    def stop(self) -> None:
        """Remove this process's gauges from the metrics that workers share."""
        if self._workers:
            worker_metrics.leave(self._workers)

    def dropped(self, what: str) -> None:
        """Count a record or mirrored request that was dropped because there was no room for it."""
        self._dropped.labels(what).inc()

    def reloaded(self, outcome: str) -> None:
        """Count a version that was ``loaded`` or ``refused``."""
        self._reloads.labels(outcome).inc()

    def recent(self) -> dict[str, float | int | None]:
        """Latency percentiles in milliseconds and the share of failures, over the latest requests."""
        took = sorted(seconds for _, seconds in self.latest)
        if not took:
            return {"requests": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "failed": None}
        at = {name: took[min(len(took) - 1, int(len(took) * q))] for name, q in PERCENTILES.items()}
        failed = sum(status >= 500 for status, _ in self.latest) / len(took)
        return {"requests": len(took), **{k: round(v * 1e3, 3) for k, v in at.items()}, "failed": failed}

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        if not SHARED:
            return generate_latest(self._registry) + generate_latest(REGISTRY)  # REGISTRY: the lookups'
        from prometheus_client.multiprocess import MultiProcessCollector

        if self._workers:
            worker_metrics.remove_dead(self._workers)
        merged = CollectorRegistry()
        MultiProcessCollector(merged)
        return generate_latest(merged)


PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
