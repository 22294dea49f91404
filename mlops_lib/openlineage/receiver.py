"""Sends events to a receiver, in the background. A receiver that is away costs events,
and neither a step nor its time."""

import json
import queue
import threading
import urllib.request
from pathlib import Path
from typing import Any

from mlops_lib.redact import mask
from mlops_lib.redact.keys import Masker

ENDPOINT = "api/v1/lineage"
#: Longest wait for the receiver's answer to one event.
TIMEOUT_S = 2.0
#: Longest wait at a step's end for events that are on their way.
FLUSH_S = 3.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: urllib would send the API key on to the other address."""

    def redirect_request(self, *args: Any) -> None:
        return None


class Receiver:
    """The receiver at an address. After the first failure it gets no further event of this step.

    Args:
        url: ``pipeline.openlineage_url``.
        key: API key; empty: none.
        warned: File that is made with the first warning of a pipeline run, which is the only one.
    """

    def __init__(self, url: str, key: str, warned: Path) -> None:
        self.url, self._key, self._warned = f"{url.rstrip('/')}/{ENDPOINT}", key, warned
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="openlineage")
        self._thread.start()

    def send(self, event: dict[str, Any]) -> None:
        """Send an event, its secrets masked, after those before it."""
        self._events.put(event)

    def close(self) -> None:
        """Wait until the events are sent, but not for long."""
        self._events.put(None)
        self._thread.join(FLUSH_S)
        if self._thread.is_alive():
            self.warn(f"no answer within {FLUSH_S:g} s")

    def warn(self, reason: str) -> None:
        """Print why events are missing, once in a pipeline run."""
        try:
            self._warned.open("x").close()
        except FileExistsError:
            return
        except OSError:  # without the folder, each step warns
            pass
        print(
            f"OpenLineage events are missing at {mask(self.url)}: {mask(reason)}. The run goes on.",
            flush=True,
        )

    def _work(self) -> None:
        while event := self._events.get():
            try:
                self._post(event)
            except Exception as error:  # a receiver may answer anything, and no error may end the step
                self.warn(f"{type(error).__name__}: {error}")
                return

    def _post(self, event: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        body = json.dumps(Masker().values(event), ensure_ascii=False).encode()
        request = urllib.request.Request(self.url, body, headers)
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S):
            pass
