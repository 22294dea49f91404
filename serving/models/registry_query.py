"""Asks the registry which version each role should serve."""

import asyncio
import contextlib
import importlib

from mlops_lib.errors import NoSuchVersionError, RegistryError
from mlops_lib.registry import ModelVersion, Registry
from mlops_lib.settings import Settings
from mlops_lib.tracking import sqlite_file, tracking_uri
from serving.blocking_calls import in_daemon_thread

#: A registry that accepts a connection and does not answer for as long as this counts as away.
REGISTRY_TIMEOUT_S = 10.0
#: MLflow's modules that the first question to a server or a database needs. The headers of a request import
#: plugins: Feast's takes seconds.
OF_SERVERS = ("mlflow", "mlflow.store.model_registry.rest_store", "mlflow.tracking.request_header.registry")
OF_DATABASES = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
)


class RegistryQuery:
    """One question at a time: a question that is not answered yet is waited for, not asked again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pending: asyncio.Future[dict[str, ModelVersion]] | None = None
        self._imported: asyncio.Future[None] | None = None

    async def __call__(self, anew: bool) -> dict[str, ModelVersion]:
        """Role -> version. The challenger is absent when there is none, or when it is the champion.

        Args:
            anew: Ask after this call; the answer to an earlier question does not count.

        Raises:
            NoSuchVersionError: No version is at the champion's stage or alias.
            RegistryError: No answer within `REGISTRY_TIMEOUT_S`. The next call waits for the same answer.
        """
        # Before the question: the seconds of imports on a busy machine are not the registry's.
        self._imported = self._imported or in_daemon_thread(self._import_clients, "imports")
        await asyncio.wait({self._imported})
        if anew and self._pending:
            await self._wait_for(self._pending)
            self._pending.exception()  # read, or asyncio would log it
            self._pending = None
        pending = self._pending = self._pending or in_daemon_thread(self._resolve, "registry")
        await self._wait_for(pending)
        self._pending = None
        return pending.result()

    async def _wait_for(self, pending: "asyncio.Future[dict[str, ModelVersion]]") -> None:
        done, _ = await asyncio.wait({pending}, timeout=REGISTRY_TIMEOUT_S)
        if not done:
            raise RegistryError(
                f"The registry at {tracking_uri(self.settings)} has not answered within {REGISTRY_TIMEOUT_S:g} s."
            )

    def _import_clients(self) -> None:
        with contextlib.suppress(Exception):  # the question reports the error
            for name in OF_SERVERS if tracking_uri(self.settings).startswith("http") else OF_DATABASES:
                importlib.import_module(name)

    def _resolve(self) -> dict[str, ModelVersion]:
        uri = tracking_uri(self.settings)
        if (file := sqlite_file(uri)) and not file.is_file():  # MLflow would make an empty one
            raise RegistryError(
                f"The registry {file} does not exist. Is MLFLOW_TRACKING_URI right? "
                f"The first run makes the file of config.yaml: {self.settings.command('run')}"
            )
        wanted, name = self.settings.serving, self.settings.model.name
        registry = Registry(self.settings)
        found = {"champion": registry.resolve(name, wanted.stage, wanted.alias, wanted.version)}
        if wanted.challenger:
            try:
                challenger = registry.resolve(name, alias=wanted.challenger)
            except NoSuchVersionError:
                return found
            if challenger.version != found["champion"].version:
                found["challenger"] = challenger
        return found
