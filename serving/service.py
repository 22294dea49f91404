"""The parts of one service, made from its settings and shared by every route."""

import asyncio

from mlops_lib.redact.keys import Masker
from mlops_lib.settings import Settings
from serving.callers.budget import Budget
from serving.callers.threads import ThreadOwners
from serving.inference.predictor import Predictor
from serving.models.registry_watcher import RegistryWatcher
from serving.operations import telemetry
from serving.operations.metrics import Metrics
from serving.operations.prediction_log import PredictionLog
from serving.operations.workers import Workers
from serving.web.api_keys import Keys


class Service:
    """Models, predictor, keys, figures, log and traces of one process.

    Attributes:
        workers: The other workers, where this process is one of several.
        threads: Owners of conversations.
        budget: Spending of LLM models, by key and in total.
        masker: Masks known secrets in answers: a graph may answer with the text of an error.
        body_bytes: Bytes of the bodies of requests in flight.
        draining: SIGTERM has come: not ready, but requests are answered.
        refusing: Requests are refused, because the process ends.
    """

    def __init__(self, settings: Settings, workers: Workers | None = None) -> None:
        self.settings, self.workers, self.masker = settings, workers, Masker()
        wanted = settings.serving
        self.metrics = Metrics(workers)
        self.models = RegistryWatcher(settings, self.metrics, workers.ready if workers else lambda: None)
        self.keys = Keys(settings.path(wanted.api_keys) if wanted.api_keys else None)
        self.log = (
            PredictionLog(settings.path(wanted.prediction_log), self.metrics)
            if wanted.prediction_log
            else None
        )
        self.tracing = telemetry.configured()
        stored = settings.path(settings.pipeline.work_dir) / "callers.db"
        self.threads = ThreadOwners(stored)
        self.budget = Budget(stored, wanted.budget)
        self.predictor = Predictor(self.models, self.metrics, self.log, self.tracing, self.budget, wanted)
        self.body_bytes = 0
        self.draining = self.refusing = False

    def start(self) -> None:
        """Begin to watch the registry and to write the prediction log."""
        if self.log:
            self.log.start()
        self.models.start()

    async def stop(self) -> None:
        """Answer the requests in flight and write their records."""
        await self.models.stop()
        if self.log:
            await asyncio.to_thread(self.log.stop)
        if self.tracing:
            await asyncio.to_thread(self.tracing.stop)
        self.metrics.stop()
        self.threads.close()
        self.budget.close()
