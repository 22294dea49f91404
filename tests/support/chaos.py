"""A service under load to which everything happens at once, and the rules for what its callers may get meanwhile."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.waiting import LIMIT_S, until

VISITS = 5
#: Seconds between two requests of a caller.
PAUSE_S = 0.02


@dataclass
class Period:
    """A time in which something is allowed; it has no end while it lasts."""

    began: float = field(default_factory=time.monotonic)
    ended: float = float("inf")

    def end(self) -> None:
        """It is over now."""
        self.ended = min(self.ended, time.monotonic())

    def overlaps(self, answer: "Answered") -> bool:
        """Whether any of it was while a caller waited."""
        return self.began <= answer.ended and answer.began <= self.ended


@dataclass(frozen=True)
class Answered:
    """What a caller got, and when. `status` 0: the connection broke."""

    caller: str
    began: float
    ended: float
    status: int
    retry_after: str | None
    body: Any

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


class Connection:
    """Sends requests on one connection."""

    def __init__(self, port: int, caller: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self.caller = caller

    def __call__(self, method: str, path: str, row: Any = None) -> Answered:
        body = None if row is None else json.dumps({"inputs": [row]})
        began = time.monotonic()
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = json.loads(answer.read() or b"null")
            after, status = answer.headers["Retry-After"], answer.status
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            status, after, content = 0, None, repr(error)
        return Answered(self.caller, began, time.monotonic(), status, after, content)


class Rules:
    """What happened and when, and so what a caller may have got."""

    def __init__(self) -> None:
        #: A model process ended in each of them.
        self.crashes: list[Period] = []
        self.unhealthy: list[Period] = []
        self.store_away: list[Period] = []
        #: Version -> the times in which it may have answered.
        self.served: dict[int, list[Period]] = {}

    def violations(self, answers: Iterable[Answered]) -> Iterator[str]:
        """The answers that nobody should have got."""
        crashed: Counter[str] = Counter()
        for answer in answers:
            if answer.status == 200:
                if wrong := self._wrong(answer):
                    yield f"{wrong}: {answer}"
            elif answer.code == "model_crashed" and _any(self.crashes, answer):
                crashed[answer.caller] += 1
            elif not self._excused(answer):
                yield str(answer)
        for caller, count in crashed.items():
            if count > len(self.crashes):
                yield f"{caller} got {count} answers of {len(self.crashes)} crashes"

    def _excused(self, answer: Answered) -> bool:
        if not answer.retry_after or int(answer.retry_after) < 1 or answer.status != 503:
            return False
        if answer.code == "model_unhealthy":
            return _any(self.unhealthy, answer)
        return (
            answer.code == "features_unavailable"
            and answer.caller.startswith("key")
            and _any(self.store_away, answer)
        )

    def _wrong(self, answer: Answered) -> str:
        version = answer.body["model"]["version"]
        if not _any(self.served.get(version, []), answer):
            return f"version {version} was not to be served"
        if answer.caller == "probe":
            return ""
        right = 1000 * version + 10 * VISITS + int(answer.caller.split()[1])
        return "" if answer.body["predictions"] == [right] else f"not {right}"


def _any(periods: list[Period], answer: Answered) -> bool:
    return any(period.overlaps(answer) for period in periods)


class Callers:
    """Threads that ask all the time: with whole rows, with keys of the feature store, and for readiness."""

    def __init__(self, port: int, rows: int, keys: int) -> None:
        self._port, self._stopping = port, threading.Event()
        self._answers: dict[str, list[Answered]] = {}
        self._counts: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._ask, args=(name, *what), daemon=True)
            for name, what in {
                **{f"row {n}": ("POST", "/predict", row(n)) for n in range(rows)},
                **{f"key {n}": ("POST", "/predict", key_row(n)) for n in range(keys)},
                "probe": ("GET", "/readyz", None),
            }.items()
        ]

    def _ask(self, name: str, method: str, path: str, body: Any) -> None:
        ask, answers = Connection(self._port, name), self._answers.setdefault(name, [])
        while not self._stopping.wait(PAUSE_S):
            answers.append(ask(method, path, body))
            self._counts[name] += 1

    def go_on(self) -> None:
        """Wait until each caller but those of keys has begun and got another answer."""
        # The first one may have been asked for before.
        wanted = {name: self._counts[name] + 2 for name in self._answers if not name.startswith("key")}
        until(lambda: all(self._counts[name] >= n for name, n in wanted.items()), "callers are answered")

    def taken(self) -> list[Answered]:
        """The answers since the last call."""
        return list(
            itertools.chain.from_iterable(
                [answers.pop(0) for _ in range(len(answers))] for answers in list(self._answers.values())
            )
        )

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let them ask meanwhile."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join(LIMIT_S)


def row(x: int, do: str = "") -> dict[str, Any]:
    """A row with all its columns."""
    return {"x": x, "visits": VISITS, "age": 21.0, "do": do}


def key_row(x: int) -> dict[str, Any]:
    """A row whose features are in the store."""
    return {"x": x, "user_id": 1, "do": ""}
