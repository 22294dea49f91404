"""The application: its parts put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mlops_lib import __version__, config
from mlops_lib.config import Settings
from serving import features, health, openai_api, predict, problems, request_ids, stream
from serving.model import ModelHolder


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service for the model that the settings name.

    Args:
        settings: None resolves them from config.yaml and the environment.

    Raises:
        ConfigError: The settings cannot be resolved.
    """
    holder = ModelHolder(settings or config.load())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await holder.start()
        yield
        await holder.stop()

    app = FastAPI(title="mlops serving", version=__version__, lifespan=lifespan)
    app.state.holder = holder
    app.add_middleware(request_ids.RequestIds)
    problems.install(app)
    app.include_router(stream.router)  # before predict: the same paths, for callers that accept events
    app.include_router(predict.router)
    app.include_router(features.router)
    app.include_router(openai_api.router)
    app.include_router(health.router)
    return app
