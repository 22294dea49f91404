"""What all tests of pipelines share."""

import functools
import inspect

import pytest


@pytest.fixture(autouse=True)
def _cheap_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no source in `inspect.stack`: for each option of a task, kfp looks up who calls it.

    The source of each frame is searched in every imported module, which takes seconds under pytest.
    """
    monkeypatch.setattr(inspect, "stack", functools.partial(inspect.stack, 0))
