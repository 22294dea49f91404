"""The service in this process with real model processes; a test names the versions in place of a registry."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from mlops_lib import config
from mlops_lib.registry import ModelVersion
from serving.inference.rows import Context
from serving.operations.health import readiness
from serving.service import Service
from serving.web.problems import Problem
from tests.support.model_process import CONFIG
from tests.support.waiting import LIMIT_S, until_async


class Stage:
    """A service, and the versions that its registry names.

    Attributes:
        named: Role -> version.
    """

    def __init__(self, settings: Any) -> None:
        self.service = Service(settings)
        self.models = self.service.models
        self.named: dict[str, ModelVersion] = {}
        self._folders: dict[int, Path] = {}
        self.models._query = self._answer  # type: ignore[assignment]
        self.models.cache.fetch = lambda version: self._folders[version.version]  # type: ignore[method-assign]
        self.models.cache.mark_good = lambda *_: None  # type: ignore[method-assign]

    def name(self, number: int, folder: Path, role: str = "champion") -> None:
        """Let the registry name a version."""
        self._folders[number] = folder
        self.named[role] = ModelVersion("toy", number, "Production", f"run{number}", {})

    async def serve(self, number: int, folder: Path) -> None:
        """Promote a version, and wait until it is served or refused."""
        self.name(number, folder)
        await self.models.look(at_once=True)

    async def ask(self, row: dict[str, Any], limit_s: float = LIMIT_S) -> Any:
        """The prediction for a row, or the problem's code."""
        try:
            return (await self.ask_all(row, limit_s))[0]
        except Problem as problem:
            return problem.code
        except TimeoutError:
            return "timed_out"

    async def ask_all(self, body: Any, limit_s: float = LIMIT_S) -> Any:
        """The predictions for the rows of a body."""
        champion = self.models.current()
        rows = champion.schema.parse(json.dumps(body).encode())
        context = Context("asked", 1, time.monotonic() + limit_s)
        async with asyncio.timeout(limit_s):
            return (await self.service.predictor.infer(champion, rows, context)).predictions

    async def do(self, expression: str, limit_s: float = LIMIT_S) -> Any:
        """The value of an expression in the process of an obedient champion."""
        return await self.ask({"do": expression}, limit_s)

    async def question(self, expression: str, limit_s: float = LIMIT_S) -> Any:
        """The value of an expression in the process of a graph."""
        return await self.ask({"question": expression}, limit_s)

    async def at_work(self, asked: "asyncio.Future[Any]") -> None:
        """Wait until the champion has begun to work on the only request, or has ended it."""
        served = self.models.current()
        begun = lambda: asked.done() or served.batcher._calling or served.waiting_rows
        await until_async(begun, "the model is at work")

    def status(self) -> str:
        """ "OK", or the code of /readyz."""
        try:
            return str(readiness(self.service)["status"])
        except Problem as problem:
            return problem.code

    def figure(self, name: str) -> float:
        """The sum of a metric's lines."""
        lines = self.service.metrics.exposition().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"mlops_serving_{name}"))

    async def _answer(self, anew: bool) -> dict[str, ModelVersion]:
        return dict(self.named)


@asynccontextmanager
async def staged(folder: Path, **serving: Any) -> AsyncIterator[Stage]:
    """A service without a version, in an empty folder."""
    file = folder / "config.yaml"
    # Loads and calls wait for the cores that other tests use.
    limits = {"load_timeout_s": 600.0, "predict_timeout_s": 300.0, "request_timeout_s": LIMIT_S}
    serving = {"challenger": "challenger", **limits, **serving}
    file.write_text(yaml.safe_dump({**CONFIG, "serving": serving}))
    stage = Stage(config.load(file))
    try:
        yield stage
    finally:
        await stage.service.stop()


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    await until_async(lambda: not lives(pid), f"process {pid} has ended")
