"""The service in this process, on a model that waits until a test lets it answer, asked without sockets."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from mlops_lib import config
from mlops_lib.registry import ModelVersion
from mlops_lib.wrappers.interface import ModelWrapper
from serving.app import create_app
from serving.models.facts import ModelFacts
from serving.models.inline import InlineModel
from serving.models.loading import request_schema
from serving.models.served import Loaded, ServedModel


class Toy(ModelWrapper):
    """Doubles `x`, and fails at 666. Answers while `gate` is set.

    Args:
        waits: Whether the service calls it as a model that waits on others, or in batches in a thread.
    """

    signature = ModelSignature(Schema([ColSpec("double", "x")]))  # type: ignore[assignment]

    def __init__(self, waits: bool = True) -> None:
        self.waits = waits
        self.gate = threading.Event()
        self.gate.set()
        #: Values of `x` that were asked for, and how often the work was cancelled.
        self.asked: list[float] = []
        self.cancelled = 0

    def fit(self, *_: Any) -> str:
        raise NotImplementedError

    def open(self, folder: Path) -> None:
        raise NotImplementedError

    def predict(self, input_data: Any) -> list[float]:
        self.asked += [row["x"] for row in input_data]
        self.gate.wait()
        return self._answer(input_data)

    async def apredict(self, input_data: Any) -> list[float]:
        self.asked += [row["x"] for row in input_data]
        try:
            while not self.gate.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._answer(input_data)

    def chat_row(self, messages: Any, options: Any) -> dict[str, Any]:
        return {"x": float(messages[-1]["content"])}

    def _answer(self, rows: Any) -> list[float]:
        if any(row["x"] == 666 for row in rows):
            raise ValueError("a secret")
        return [row["x"] * 2 for row in rows]


@asynccontextmanager
async def toy_service(
    folder: Path,
    toy: ModelWrapper,
    inline_rows: int = 0,
    challenger: ModelWrapper | None = None,
    **serving: Any,
) -> AsyncIterator[Any]:
    """The application with the toy as its champion, `toy` version 1; `inline_rows` are computed on the event loop.

    A challenger is version 2. The prediction log, if `serving` names one, is written.
    """
    content = {
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db"},
        "data": {"source": "rows.csv", "label": "y"},
        "model": {"name": "toy"},
        "evaluation": {"threshold": 0.0},
        "serving": serving,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    settings = config.load(file)
    app = create_app(settings)
    service = app.state.service
    for number, (role, model) in enumerate({"champion": toy, "challenger": challenger}.items(), start=1):
        if model:
            version = ModelVersion("toy", number, "Production", f"run {number}", {})
            inputs = getattr(model, "network_inputs", {})
            facts = ModelFacts(
                False, (), model.signature, model.columns, classes=model.classes, inputs=inputs
            )
            schema = request_schema(facts, None, settings)
            loaded = Loaded(version, facts, schema, None, InlineModel(model, schema, inline_rows))
            service.models.served[role] = ServedModel(loaded, role, settings, service.metrics)
    if service.log:
        service.log.start()
    sweeper = asyncio.create_task(app.gateway.sweep())
    try:
        yield app
    finally:
        sweeper.cancel()
        for each in (toy, challenger):
            if isinstance(each, Toy):
                each.gate.set()
        for served in list(service.models.served.values()):
            await served.drain()
        if service.log:
            await asyncio.to_thread(service.log.stop)


class Caller:
    """One request to an application, over ASGI.

    Args:
        body: Sent as JSON unless it is bytes; a list of bytes is sent in pieces, without a declared length.
    """

    def __init__(self, app: Any, path: str, body: Any, method: str = "POST", **headers: str) -> None:
        pieces = (
            body
            if isinstance(body, list)
            else [body if isinstance(body, bytes) else json.dumps(body).encode()]
        )
        sent = {"content-type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        if not isinstance(body, list):
            sent.setdefault("content-length", str(len(pieces[0])))
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http", "method": method, "path": path, "root_path": "", "query_string": query.encode(),
            "scheme": "http", "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": ("test", 80), "client": ("test", 1), "http_version": "1.1",
        }  # fmt: skip
        self._app, self._pieces, self._left = app, pieces, asyncio.Event()
        #: Whether the application has asked for the body.
        self.read = False
        self.status, self.headers, self.body = 0, {}, b""

    async def __call__(self) -> "Caller":
        """Send the request and wait for the answer."""
        await self._app(self._scope, self._receive, self._send)
        return self

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    @property
    def json(self) -> Any:
        """The answer."""
        return json.loads(self.body)

    async def _receive(self) -> dict[str, Any]:
        self.read = True
        if self._pieces:
            body = self._pieces.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._pieces)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
