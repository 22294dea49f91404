"""Liveness and readiness, apart: a live service without a model must not be restarted, nor sent requests."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, Any]:
    """A model is loaded and warm; 503 with the reason while there is none."""
    served = request.app.state.holder.current()
    return {"status": HTTPStatus.OK.phrase, "model": served.card}
