"""Whether a version answers, from the failures of its processes."""

import time
from collections import deque

#: So many failures within so many seconds make a version unhealthy,
#: and so many calls in a row that took too long.
MAX_FAILURES, WINDOW_S, MAX_LATE = 5, 60.0, 5
#: Seconds before the first restarts; an unhealthy version waits `UNHEALTHY_S`, twice as long each time.
PAUSES_S, UNHEALTHY_S, MAX_PAUSE_S = (0.0, 0.1, 0.5, 1.0), 5.0, 60.0


class Health:
    """Counts failures.

    Attributes:
        reason: Why the version is unhealthy; "" while it is not.
        next_try: Time of `time.monotonic()` at which a process is started again.
    """

    def __init__(self) -> None:
        self.reason, self.next_try = "", 0.0
        self._failures: deque[float] = deque(maxlen=2 * MAX_FAILURES)
        self._late = 0

    def failed(self, reason: str) -> None:
        """A process crashed, had to be killed, or did not load the model."""
        now = time.monotonic()
        self._failures.append(now)
        while self._failures[0] < now - WINDOW_S:
            self._failures.popleft()
        count = len(self._failures)
        if count >= MAX_FAILURES:
            self.reason = f"{count} failures within {WINDOW_S:g} s, the last one: {reason}"
        pause_s = PAUSES_S[count - 1] if count <= len(PAUSES_S) else UNHEALTHY_S * 2 ** (count - MAX_FAILURES)
        self.next_try = now + min(MAX_PAUSE_S, pause_s)

    def took_too_long(self) -> bool:
        """A call was stopped because it took too long. True: no call is answered any longer."""
        self._late += 1
        if self._late >= MAX_LATE:
            self.reason = f"its last {self._late} calls took too long"
        return bool(self.reason)

    def answered(self) -> None:
        """A call was answered in time."""
        self._late = 0

    def loaded(self) -> None:
        """A new process has answered the model's example."""
        self.reason = ""
