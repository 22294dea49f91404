"""Liveness, readiness and metrics. A service without a model is live, so that it is not restarted,
and unready."""

from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from serving.blocking_calls import MAX_HUNG
from serving.service import Service
from serving.web.problems import Problem
from serving.web.route import get


async def livez(request: Request) -> dict[str, str]:
    """The process answers; 503 when so many calls of the model hang that only a restart helps."""
    require_alive(request.app.state.service)
    return {"status": "alive"}


async def readyz(request: Request) -> dict[str, Any]:
    """A model is loaded and warm, in each worker that takes requests; else 503 with the reason.

    Also 503 while the process stops. `stale`: the registry cannot be reached,
    and the model is the last one known to work.
    """
    return readiness(request.app.state.service)


async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    service: Service = request.app.state.service
    _set_gauges(service)
    media_type = "text/plain; version=0.0.4; charset=utf-8"
    return Response(service.metrics.exposition(), media_type=media_type)


def require_alive(service: Service) -> None:
    """Raise a Problem when so many calls of the model hang that only a restart helps."""
    hung = sum(served.model.hung for served in service.models.served.values())
    if hung > MAX_HUNG:
        detail = f"{hung} calls of the model hang and cannot be stopped: restart this process."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_hangs", detail)


def readiness(service: Service) -> dict[str, Any]:
    """The answer of /readyz.

    Raises:
        Problem: 503 with the reason why requests should not come here.
    """
    if service.draining:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "This process is stopping.", 1)
    served = service.models.current()
    if service.workers and (unready := service.workers.unready()):
        detail = f"Workers of this service that have no model yet: {unready}."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "workers_not_ready", detail, 1)
    return {"status": HTTPStatus.OK.phrase, "model": served.card, "stale": service.models.stale}


def _set_gauges(service: Service) -> None:
    """Set the gauges that are read only when somebody asks for them."""
    figures, models = service.metrics, service.models
    figures.show_served(
        {
            (s.version.name, str(s.version.version), s.version.stage, role): s.model.trouble is None
            for role, s in models.served.items()
        }
    )
    figures.queue.set(sum(served.queued_rows for served in models.served.values()))
    figures.hung.set(sum(served.model.hung for served in models.served.values()))
    champion = models.served.get("champion")
    answers = champion is not None and champion.model.trouble is None
    figures.state.labels("ready").set(answers and not service.draining)
    figures.state.labels("stale").set(models.stale)
    figures.state.labels("draining").set(service.draining)


ROUTES = (
    get("/livez", livez, "health", access="open"),
    get("/readyz", readyz, "health", access="open"),
    get("/metrics", metrics, "health", access="open"),
)
