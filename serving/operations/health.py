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
    """A model is loaded and warm; 503 with the reason while there is none, or while the process stops.

    `stale` says that the registry cannot be reached and the model is the last that was known to work.
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
    return {"status": HTTPStatus.OK.phrase, "model": served.card, "stale": engine.holder.stale}
