"""The service in this process, on a model that MLflow alone has saved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mlops_lib import wrappers
from serving.inference.example import answer_example
from tests.support.toy_service import Caller, toy_service


class Post:
    """Posts to the service.

    Attributes:
        first: First row of the model's example, as a caller would send it.
        wrapper: The open model.
    """

    def __init__(self, app: Any, wrapper: Any, first: Any) -> None:
        self.app, self.wrapper, self.first = app, wrapper, first

    async def __call__(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        answer = await Caller(self.app, path, body, **headers)()
        return answer.status, answer.json


@asynccontextmanager
async def served(model: Path, folder: Path) -> AsyncIterator[Post]:
    """The service on a saved model; `folder` is for its own files."""
    wrapper = wrappers.load(str(model))
    first = answer_example(wrapper, wrapper.predict, "the model")
    async with toy_service(folder, wrapper) as app:
        yield Post(app, wrapper, first)


def ask(model: Path, folder: Path, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Status and JSON of one request."""

    async def run() -> tuple[int, Any]:
        async with served(model, folder) as post:
            return await post(path, body, **headers)

    return asyncio.run(run())
