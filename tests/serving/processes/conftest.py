"""Time for restarts: a busy machine makes no version unhealthy."""

import pytest

from serving.processes import health, supervisor
from tests.support.waiting import LIMIT_S


@pytest.fixture(autouse=True)
def _time_for_restarts(monkeypatch):
    """A process is started again, and five failures count together, however long it takes."""
    monkeypatch.setattr(supervisor, "MAX_DOWN_S", LIMIT_S)
    monkeypatch.setattr(health, "WINDOW_S", LIMIT_S)
