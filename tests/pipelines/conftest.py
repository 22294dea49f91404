"""What all tests of pipelines share."""

import functools
import inspect
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _cheap_stack() -> Iterator[None]:
    """Read no source in `inspect.stack`: for each option of a task, kfp looks up who calls it.

    The source of each frame is searched in every imported module, which takes seconds under pytest.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "stack", functools.partial(inspect.stack, 0))
        yield
