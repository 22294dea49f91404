"""The application: its parts put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_lib import __version__, config
from mlops_lib.settings import Settings
from serving.features import statuses
from serving.operations.admin import require_admitted
from serving.operations.retention import sweep_forever
from serving.operations.shutdown import ended_by_sigterm, on_sigterm
from serving.operations.workers import Workers
from serving.service import Service
from serving.web import connections, openapi, problems
from serving.web.failures import failures
from serving.web.gateway import Gateway
from serving.web.route import HandlerRoute
from serving.web.routes import RouteTable, route_table


class Application(FastAPI):
    """FastAPI behind the gateway.

    Attributes:
        entrance: The gateway, behind the answers to browsers where pages of other origins may call.
    """

    gateway: Gateway
    entrance: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.entrance(scope, receive, send)


def create_app(settings: Settings | None = None, workers: Workers | None = None) -> Application:
    """The service for the model that the settings name.

    Args:
        settings: None resolves them from config.yaml and the environment.
        workers: The other workers, where this process is one of several.

    Raises:
        ConfigError: The settings cannot be resolved.
    """
    service = Service(settings or config.load_for_service().settings, workers)
    table = route_table()
    connections.limit(service.settings.serving)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(app.gateway.sweep())
        retention = asyncio.create_task(sweep_forever(service))
        service.start()
        if workers:
            with ended_by_sigterm():
                await workers.wait_for_turn()
        with on_sigterm(service):
            yield
        sweeper.cancel()
        retention.cancel()
        await service.stop()
        failures.report_left_out(0.0)

    app = Application(title="mlops serving", version=__version__, lifespan=lifespan, openapi_url=None)
    app.state.service = service
    app.gateway = Gateway(super(Application, app).__call__, table, service)
    app.entrance = _for_browsers(app.gateway, service.settings.serving.cors_origins)
    problems.install(app)
    _add_handlers(app, table)
    openapi.install(app, table, service)
    return app


def _for_browsers(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Add CORS. Keys travel in headers, so that no page can use the cookies of another."""
    if not origins:
        return app
    exposed = ["X-Request-ID", "Retry-After", statuses.HEADER]
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=exposed,
    )


def _add_handlers(app: FastAPI, table: RouteTable) -> None:
    for route in table.routes:
        if isinstance(route, HandlerRoute):
            app.add_api_route(
                route.path,
                route.handler,
                methods=[route.method],
                tags=[route.tag],
                status_code=route.status,
                include_in_schema=route.shown,
                dependencies=[Depends(require_admitted)] if route.access == "admin" else [],
            )
