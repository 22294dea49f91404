"""Enters moves of the served model that were made outside the platform into the model's history."""

import asyncio
import logging
import time
from collections.abc import Mapping

from mlops_lib.errors import MlopsError
from mlops_lib.redact import mask
from mlops_lib.registry import ClaimedError, Entry, ModelVersion, Registry
from mlops_lib.settings import Settings
from serving.blocking_calls import in_daemon_thread

log = logging.getLogger("serving")
#: A move of a stage that is not served is seen after this time at the latest.
CHECK_EVERY_S = 300.0


class OutsideMoves:
    """Compares the registry with its history in the background, whenever the served versions change.

    A registry that may not be written to, or does not answer, is logged once and holds nothing up.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._checked: object = None
        self._again_at = 0.0
        self._pending: asyncio.Future[list[Entry]] | None = None
        self._problem = ""

    def look(self, versions: Mapping[str, ModelVersion]) -> None:
        """Begin a comparison if one is due.

        Args:
            versions: Role -> version, as the registry has just named them.
        """
        seen = {role: (v.version, v.run_id, v.stage, v.aliases) for role, v in versions.items()}
        is_running = self._pending is not None and not self._pending.done()
        if is_running or (seen == self._checked and time.monotonic() < self._again_at):
            return
        self._checked, self._again_at = seen, time.monotonic() + CHECK_EVERY_S
        self._pending = in_daemon_thread(self._enter, "history")
        self._pending.add_done_callback(self._report)

    def _enter(self) -> list[Entry]:
        return Registry(self.settings).enter_found_moves(self.settings.model.name)

    def _report(self, pending: "asyncio.Future[list[Entry]]") -> None:
        if pending.cancelled():
            return
        error = pending.exception()
        if isinstance(error, ClaimedError):
            self._checked = None  # a move is under way: compare after the next question to the registry
        elif error:
            said = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
            if said != self._problem:
                log.warning("moves outside the platform cannot be entered in the history: %s", mask(said))
            self._problem = said
        else:
            self._problem = ""
            for entry in pending.result():
                log.warning(
                    "found moved: %s is now version %s, it was %s", entry.stage, entry.version, entry.replaced
                )
