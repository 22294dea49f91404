"""The application: its parts put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_lib import __version__, config
from mlops_lib.settings import Settings
from serving.features import raw
from serving.inference.predictor import Engine
from serving.operations import admin, feedback, health
from serving.operations.shutdown import ended_by_sigterm, on_sigterm
from serving.operations.workers import Workers
from serving.pages import home
from serving.protocols import mlflow, open_inference, openai
from serving.protocols.rows import predict
from serving.web import openapi, problems, sse
from serving.web.gateway import Edge, Endpoint

#: Inference, answered without FastAPI's routing, which costs more than everything else on the way.
ENDPOINTS: dict[str, Endpoint] = {
    "/predict": predict,
    "/invoke": predict,
    "/invocations": mlflow.invocations,
}
#: All that ask the model, for the latest latencies; the rest of them goes through the router.
INFERENCE = frozenset(
    (
        *ENDPOINTS,
        "/v1/chat/completions",
        "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}/infer",
    )
)


class Service(FastAPI):
    """FastAPI behind `Edge`."""

    edge: Edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.edge(scope, receive, send)


def create_app(settings: Settings | None = None, workers: Workers | None = None) -> Service:
    """The service for the model that the settings name.

    Args:
        settings: None resolves them from config.yaml and the environment.
        workers: The other workers, where this process is one of several.

    Raises:
        ConfigError: The settings cannot be resolved.
    """
    settings = settings or config.load()
    engine = Engine(settings, workers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(app.edge.sweep())
        engine.start()
        if workers:
            with ended_by_sigterm():
                await workers.wait_for_turn()
        with on_sigterm(engine):
            yield
        sweeper.cancel()
        await engine.stop()

    app = Service(
        title="mlops serving",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.engine, app.state.holder = engine, engine.holder
    inner: ASGIApp = super(Service, app).__call__
    app.edge = Edge(inner, engine, ENDPOINTS, INFERENCE)
    problems.install(app)
    for module in (sse, raw, openai, mlflow, open_inference, feedback, admin, health, home):
        app.include_router(module.router)
    openapi.install(app, engine)
    # FastAPI's own page fetches its scripts from the internet, which a cluster may not reach.
    app.mount("/swagger", StaticFiles(packages=[("fastapi_swagger", "resources")]))
    return app
