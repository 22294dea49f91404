"""Watches the registry. The version at the stage or alias is loaded beside the running one, checked,
and swapped in.

When a step fails, the running version goes on, and the status has the reason.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mlops_lib.errors import MlopsError, NoSuchVersionError
from mlops_lib.redact import mask
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import Settings
from serving.models.cache import ModelCache
from serving.models.loading import load
from serving.models.outside_moves import OutsideMoves
from serving.models.registry_query import RegistryQuery
from serving.models.served import Loaded, ServedModel
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


@dataclass
class Load:
    """A version on its way to its role; None: the last version that worked, from disk."""

    version: ModelVersion | None
    task: asyncio.Task[None]


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
        self._outside_moves = OutsideMoves(settings)
        #: Role -> the load under way. It holds up neither the other role nor a newer version.
        self._loads: dict[str, Load] = {}
        self._watching: asyncio.Task[None] | None = None
        #: Loads, and versions that answer their last requests.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to watch. The service is live meanwhile, and ready when the champion is loaded."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching, and let the requests in flight finish. No process of a model is left."""
        if self._watching:
            self._watching.cancel()
        for role in list(self._loads):
            self._end_load(role)
        await asyncio.gather(*self._tasks, *map(self._retire, self.served.values()), return_exceptions=True)

    def current(self) -> ServedModel:
        """The model to answer with.

        Raises:
            Problem: 503, with the reason why there is none, or why it does not answer.
        """
        served = self.served.get("champion")
        if served is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_not_ready", self.problem, 5)
        if trouble := served.model.trouble:
            raise trouble
        return served

    @property
    def challenger(self) -> ServedModel | None:
        """The version that is tried out beside the champion, if there is one."""
        return self.served.get("challenger")

    async def look(self, at_once: bool = False) -> None:
        """Ask the registry, and begin to load the versions that it names.

        Args:
            at_once: Try a refused version again now, before its pause is over, and wait for the loads.
        """
        async with self._lock:
            try:
                versions = await self._query(anew=at_once)
            except NoSuchVersionError as error:
                self._report(_reason(error), stale=False)
                self._outside_moves.look({})
                return
            except Exception as error:  # an embedded store raises the errors of its database
                self._report(_reason(error), stale=True)
                if "champion" not in self.served and "champion" not in self._loads:
                    self._begin("champion", None, self._start_from_disk())
                return
            self._report("", stale=False)
            self._outside_moves.look(versions)
            for role in ROLES:
                self._follow(role, versions.get(role), at_once)
        if at_once and self._loads:
            await asyncio.wait([load.task for load in self._loads.values()])

    def status(self) -> dict[str, Any]:
        """The served versions, and what went wrong."""
        return {
            "wanted": self.wanted,
            "stale": self.stale,
            "problem": self.problem or None,
            **{role: served.card for role, served in self.served.items()},
            "unhealthy": {
                role: trouble.detail
                for role, served in self.served.items()
                if (trouble := served.model.trouble)
            },
            "refused": {
                role: {"version": refused.version.version, "reason": refused.reason}
                for role, refused in self.refused.items()
            },
        }

    async def _watch(self) -> None:
        limits = self.settings.serving
        while True:
            try:
                await self.look()
            except Exception:  # watching goes on
                log.exception("looking at the registry failed")
            await asyncio.sleep(limits.poll_s if "champion" in self.served else limits.retry_s)

    def _follow(self, role: str, version: ModelVersion | None, at_once: bool) -> None:
        running, loading, refused = self.served.get(role), self._loads.get(role), self.refused.get(role)
        if loading and version and loading.version and _same(loading.version, version):
            return
        if version is None:
            self._end_load(role)
            self.refused.pop(role, None)
            self._swap(role, None)
            return
        if running and _same(running.version, version):
            self._end_load(role)
            running.describe(version)
            self.refused.pop(role, None)
            return
        # Other tags may remove the cause: the version was signed, say.
        if refused and not (_same(refused.version, version) and refused.version.tags == version.tags):
            refused = None
        if refused and time.monotonic() < refused.again_at and not at_once:
            return
        self._end_load(role)
        self._begin(role, version, self._take(role, version, refused.tries if refused else 0))

    def _begin(self, role: str, version: ModelVersion | None, work: Coroutine[Any, Any, None]) -> None:
        task = self._in_background(work)
        self._loads[role] = Load(version, task)
        task.add_done_callback(lambda task: self._loaded(role, task))

    def _loaded(self, role: str, task: asyncio.Task[None]) -> None:
        if (load := self._loads.get(role)) and load.task is task:
            del self._loads[role]

    def _end_load(self, role: str) -> None:
        if load := self._loads.pop(role, None):
            load.task.cancel()

    async def _take(self, role: str, version: ModelVersion, tries: int) -> None:
        try:
            folder = await asyncio.to_thread(self.cache.fetch, version)
            loaded = await self._open(version, folder)
            try:
                if role == "champion":
                    await asyncio.to_thread(self.cache.mark_good, self.wanted, folder)
            except BaseException:
                loaded.model.close()
                self.cache.release(folder)
                raise
        except Exception as error:  # downloading and loading run other people's code
            pause_s = min(MAX_PAUSE_S, self.settings.serving.retry_s * 2**tries)
            reason = _reason(error)
            self.refused[role] = Refused(version, reason, tries + 1, time.monotonic() + pause_s)
            self.metrics.reloaded("refused")
            log.error("%s version %s was refused: %s", role, version.version, reason)
            if role == "champion" and "champion" not in self.served:
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
            self._in_background(self._retire(old))

    async def _open(self, version: ModelVersion, folder: Path) -> Loaded:
        """The version in `folder`, which is held until the version is retired."""
        self.cache.hold(folder)
        try:
            digest = await asyncio.to_thread(self.cache.digest, folder)
            return await load(version, folder, self.settings, self.metrics, digest)
        except BaseException:
            self.cache.release(folder)
            raise

    async def _retire(self, served: ServedModel) -> None:
        """Let a version answer its last requests and end."""
        await served.drain()
        if served.folder:
            self.cache.release(served.folder)

    async def _start_from_disk(self) -> None:
        try:
            version, folder = await asyncio.to_thread(
                self.cache.last_good, self.settings.model.name, self.wanted
            )
            loaded = await self._open(version, folder)
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

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _same(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether the files are the same. Stage and aliases may differ;
    a deleted number may be another model's now."""
    return (one.name, one.version, one.run_id, one.created_ms) == (
        other.name, other.version, other.run_id, other.created_ms,
    )  # fmt: skip


def _reason(error: Exception) -> str:
    """An error as text, without the passwords that a database's driver puts into its errors."""
    return mask(str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}")
