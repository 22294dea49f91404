"""One move at a time: a process claims a registered model before it moves one of its versions.

MLflow has no compare-and-swap. So each process writes a tag of its own and then reads all claims: of two
processes, the one whose write comes later sees the other's claim. A process that sees another claim withdraws
its own and tries again after a random time. A claim ends with its process, as far as that can be seen. See
docs/decisions/0010-a-claim-before-each-move.md.
"""

import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlops_lib import processes
from mlops_lib.errors import RegistryError
from mlops_lib.registry.history import current_user

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CLAIM_TAG = "mlops.claim."
#: A claim older than this belongs to a process that is gone. A move takes a few requests to the registry.
EXPIRES_S = 120.0
#: Longest wait for other moves of the same model: longer than the claim of a process that died elsewhere.
WAIT_S = EXPIRES_S + 30
#: A wait that is longer than this is logged.
LOGGED_AFTER_S = 2.0
#: Shortest and longest pause before the next try.
PAUSE_S = (0.05, 0.5)

log = logging.getLogger(__name__)
#: `random` may have the same seed in two processes: training sets it.
_random = secrets.SystemRandom()


class ClaimedError(RegistryError):
    """Another process moves a version of the same model."""


@dataclass(frozen=True)
class Claim:
    """A claim that is held."""

    client: "MlflowClient"
    name: str
    key: str

    def check(self) -> None:
        """Check, just before a write, that the claim was not taken for one of a dead process.

        Raises:
            RegistryError: It is gone: this process was held up for minutes.
        """
        if self.key not in self.client.get_registered_model(self.name).tags:
            raise RegistryError(
                f"Moving a version of {self.name!r} took longer than {EXPIRES_S:g} s, and another process may have moved "
                "one meanwhile. Nothing more was moved; try again."
            )


@contextmanager
def claim(client: "MlflowClient", name: str, wait_s: float = WAIT_S) -> Iterator[Claim]:
    """Claim a registered model for the moves inside the block.

    Args:
        client: Of the registry.
        name: Registered model.
        wait_s: Longest wait for other claims; 0: one try.

    Raises:
        ClaimedError: Another process held it all the time.
    """
    mine = Claim(client, name, f"{CLAIM_TAG}{secrets.token_hex(8)}")
    began, logged = time.monotonic(), False
    try:
        while other := _other(mine) or _try(mine):
            waited_s = time.monotonic() - began
            if waited_s >= wait_s:
                raise ClaimedError(
                    f"{other} is moving a version of {name!r} at this moment. Try again; if that process is gone, its claim "
                    f"ends {EXPIRES_S:g} s after it began."
                )
            if waited_s >= LOGGED_AFTER_S and not logged:
                log.warning(
                    "Waiting up to %g s for %s, which is moving a version of %r.", wait_s, other, name
                )
                logged = True
            time.sleep(_random.uniform(*PAUSE_S))
        yield mine
    finally:
        with suppress(Exception):  # a claim that stays expires
            _withdraw(mine)


def _try(mine: Claim) -> str:
    """Write the claim. If another process has one, withdraw it and return that process."""
    content = {
        "process": f"{current_user()} (process {os.getpid()} on {socket.gethostname()})",
        "at": _now().isoformat(),
        "machine": processes.machine(),
        "name": processes.name_of(os.getpid()),
    }
    mine.client.set_registered_model_tag(mine.name, mine.key, json.dumps(content))
    if other := _other(mine):
        _withdraw(mine)
    return other


def _other(mine: Claim) -> str:
    """The process of another claim that is alive; "" without one. Claims that have ended are deleted."""
    alive = ""
    for key, value in mine.client.get_registered_model(mine.name).tags.items():
        if not key.startswith(CLAIM_TAG) or key == mine.key:
            continue
        if process := _process(value):
            alive = process
        else:
            with suppress(Exception):  # another process has deleted it
                mine.client.delete_registered_model_tag(mine.name, key)
    return alive


def _process(value: str) -> str:
    """The process that a claim names; "" if it has ended, the claim is too old, or the text is no claim."""
    try:
        content = json.loads(value)
        process, at = str(content["process"]), datetime.fromisoformat(content["at"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return ""
    if _now() - at > timedelta(seconds=EXPIRES_S):
        return ""
    here = processes.machine()
    ended = here and content.get("machine") == here and not processes.is_running(str(content.get("name")))
    return "" if ended else process


def _withdraw(mine: Claim) -> None:
    mine.client.delete_registered_model_tag(mine.name, mine.key)


def _now() -> datetime:
    return datetime.now(UTC)
