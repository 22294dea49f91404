"""Liveness, readiness and figures. A live service without a model must not be restarted, nor sent requests."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from serving.inference.predictor import Engine
from serving.web.problems import Problem

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez(request: Request) -> dict[str, str]:
    """The process answers, and a restart would change nothing; 503 when calls of the model hang for good."""
    request.app.state.engine.require_alive()
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, Any]:
    """A model is loaded and warm, in each worker that takes requests; else 503 with the reason.

    Also 503 while the process stops. `stale`: the registry cannot be reached, and the model is the last one known to
    work.
    """
    return readiness(request.app.state.engine)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text format."""
    engine: Engine = request.app.state.engine
    return Response(engine.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def readiness(engine: Engine) -> dict[str, Any]:
    """What /readyz answers.

    Raises:
        Problem: 503 with the reason why requests should not come here.
    """
    if engine.draining:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "This process is stopping.", 1)
    served = engine.holder.current()
    if engine.workers and (unready := engine.workers.unready()):
        detail = f"Workers of this service that have no model yet: {unready}."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "workers_not_ready", detail, 1)
    return {"status": HTTPStatus.OK.phrase, "model": served.card, "stale": engine.holder.stale}
