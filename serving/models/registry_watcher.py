"""Watches the registry. The version at the stage or alias is loaded beside the running one, checked, and swapped in.

When a step fails, the running version goes on, and the status has the reason.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mlops_lib.errors import MlopsError, NoSuchVersionError
from mlops_lib.redact import mask
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import Settings
from serving.models.cache import ModelCache
from serving.models.registry_query import RegistryQuery
from serving.models.served import Loaded, ServedModel, load
from serving.operations.metrics import Metrics
from serving.web.problems import Problem

log = logging.getLogger("serving")
ROLES = ("champion", "challenger")
#: Longest pause before a version that was refused is tried again.
MAX_PAUSE_S = 300.0


@dataclass
class Refused:
    """A version that could not be served, why, and when it is tried again."""

    version: ModelVersion
    reason: str
    tries: int
    again_at: float


class RegistryWatcher:
    """Holds the served champion and challenger, or the reason why there is none, and follows the registry.

    Args:
        on_ready: Called when the first champion is loaded.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        self.settings, self.metrics, self._on_ready = settings, metrics, on_ready
        wanted = settings.serving
        what = f"version {wanted.version}" if wanted.version else ""
        self.wanted = what or (f"alias {wanted.alias}" if wanted.alias else f"stage {wanted.stage}")
        self.cache = ModelCache(settings.path(wanted.cache))
        self.served: dict[str, ServedModel] = {}
        self.refused: dict[str, Refused] = {}
        self.problem = "The model is still being loaded."
        #: Whether the last question to the registry failed.
        self.stale = False
        self._lock = asyncio.Lock()
        self._query = RegistryQuery(settings)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to watch. The service is live meanwhile, and ready when the champion is loaded."""
        self._in_background(self._watch())

    async def stop(self) -> None:
        """Stop watching, and let the requests in flight finish."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(
            *self._tasks, *(served.drain() for served in self.served.values()), return_exceptions=True
        )

    def current(self) -> ServedModel:
        """The model to answer with.

        Raises:
            Problem: 503, with the reason why there is none.
        """
        served = self.served.get("champion")
        if served is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_not_ready", self.problem, 5)
        return served

    @property
    def challenger(self) -> ServedModel | None:
        """The version that is tried out beside the champion, if there is one."""
        return self.served.get("challenger")

    async def look(self, at_once: bool = False) -> None:
        """Ask the registry, and serve the versions that it names.

        Args:
            at_once: Try a refused version again now, before its pause is over.
        """
        async with self._lock:
            try:
                versions = await self._query(anew=at_once)
            except NoSuchVersionError as error:
                self._report(_reason(error), stale=False)
                return
            except Exception as error:  # an embedded store raises the errors of its database
                self._report(_reason(error), stale=True)
                if "champion" not in self.served:
                    await self._start_from_disk()
                return
            self._report("", stale=False)
            for role in ROLES:
                await self._move(role, versions.get(role), at_once)

    def status(self) -> dict[str, Any]:
        """The served versions, and what went wrong."""
        return {
            "wanted": self.wanted,
            "stale": self.stale,
            "problem": self.problem or None,
            **{role: served.card for role, served in self.served.items()},
            "refused": {
                role: {"version": refused.version.version, "reason": refused.reason}
                for role, refused in self.refused.items()
            },
        }

    async def _watch(self) -> None:
        limits = self.settings.serving
        # Before the first question: its seconds on a busy machine are not the registry's.
        with contextlib.suppress(Exception):  # `look` reports the error
            await asyncio.to_thread(importlib.import_module, "mlflow")
        while True:
            try:
                await self.look()
            except Exception:  # watching goes on
                log.exception("looking at the registry failed")
            await asyncio.sleep(limits.poll_s if "champion" in self.served else limits.retry_s)

    async def _move(self, role: str, version: ModelVersion | None, at_once: bool) -> None:
        running = self.served.get(role)
        if version is None:
            self.refused.pop(role, None)
            self._swap(role, None)
            return
        if running and _same(running.version, version):
            running.describe(version)
            self.refused.pop(role, None)
            return
        refused = self.refused.get(role)
        if refused and not _same(refused.version, version):
            refused = None
        if refused and time.monotonic() < refused.again_at and not at_once:
            return
        try:
            folder = await asyncio.to_thread(self.cache.fetch, version)
            loaded = await asyncio.to_thread(load, version, folder, self.settings)
            if role == "champion":
                await asyncio.to_thread(self.cache.mark_good, self.wanted, folder)
        except Exception as error:  # downloading and loading run other people's code
            tries = refused.tries + 1 if refused else 1
            pause_s = min(MAX_PAUSE_S, self.settings.serving.retry_s * 2 ** (tries - 1))
            reason = _reason(error)
            self.refused[role] = Refused(version, reason, tries, time.monotonic() + pause_s)
            self.metrics.reloaded("refused")
            log.error("%s version %s was refused: %s", role, version.version, reason)
            if role == "champion" and not running:
                self.problem = reason
                await self._start_from_disk()
            return
        self.refused.pop(role, None)
        self.metrics.reloaded("loaded")
        self._swap(role, loaded)

    def _swap(self, role: str, loaded: Loaded | None) -> None:
        """Put a version in place between two batches. The old one answers its requests and ends."""
        new = ServedModel(loaded, role, self.settings, self.metrics) if loaded else None
        old = self.served.pop(role, None)
        if new:
            self.served[role] = new
            self.problem = ""
            log.info("%s is now %s", role, new.card)
            if role == "champion" and not old:
                self._on_ready()
                gc.freeze()  # the libraries stay loaded: the collector need not visit their objects again
        if old:
            log.info("%s was %s", role, old.card)
            self._in_background(old.drain())

    async def _start_from_disk(self) -> None:
        try:
            version, folder = await asyncio.to_thread(
                self.cache.last_good, self.settings.model.name, self.wanted
            )
            loaded = await asyncio.to_thread(load, version, folder, self.settings)
        except Exception as error:  # loading runs other people's code
            self.problem = f"{self.problem} And nothing to start from without it: {_reason(error)}"
            return
        log.warning("starting from %s, which served last: %s", folder, self.problem)
        problem = self.problem
        self._swap("champion", loaded)
        self.problem = problem

    def _report(self, problem: str, stale: bool) -> None:
        if problem and problem != self.problem:
            log.error("%s", problem)
        if problem or self.served:
            self.problem = problem
        self.stale = stale

    def _in_background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _same(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether the files are the same. Stage and aliases may differ; a deleted number may be another model's now."""
    return (one.name, one.version, one.run_id, one.created_ms) == (
        other.name, other.version, other.run_id, other.created_ms,
    )  # fmt: skip


def _reason(error: Exception) -> str:
    """An error as text, without the passwords that a database's driver puts into its errors."""
    return mask(str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}")
