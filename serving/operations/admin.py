"""Admin routes, always behind an admin's key, and the facts about what is served."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request

from serving.inference.predictor import Engine
from serving.web.problems import Problem

router = APIRouter(tags=["model"])


def admitted(request: Request) -> None:
    """Refuse what `Edge` has not let in as an admin's, however its path came here."""
    if not request.state.admin:
        raise Problem(HTTPStatus.FORBIDDEN, "not_admin", f"{request.url.path} is for admins.")


@router.post("/model/reload", dependencies=[Depends(admitted)])
async def reload(request: Request) -> dict[str, Any]:
    """Ask the registry now, and answer when the version that it names is served.

    409 with the reason when that version was refused; 503 when the registry cannot be reached. The
    version that was served goes on in both. With several workers, this moves the one that answers; the
    others follow at their next look.
    """
    holder = request.app.state.engine.holder
    await holder.look(at_once=True)
    if refused := holder.refused.get("champion"):
        detail = f"Version {refused.version.version} was refused: {refused.reason}"
        raise Problem(HTTPStatus.CONFLICT, "version_refused", detail)
    if holder.problem:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "registry_problem", holder.problem)
    return holder.status()


@router.get("/status")
async def status(request: Request) -> dict[str, Any]:
    """What is served, from which run, with which scores, and how fast it has answered of late."""
    engine: Engine = request.app.state.engine
    holder = engine.holder
    served = holder.served.get("champion")
    lineage = dict(served.version.tags) if served else {}
    return {
        **holder.status(),
        "draining": engine.draining,
        "recent": engine.metrics.recent(),
        "queue_rows": served.queued_rows if served else 0,
        "tags": lineage,
        "links": _links(engine),
        "inputs": [
            {"name": name, "type": kind}
            for name, kind in zip(served.schema.columns, served.schema.types, strict=True)
        ]
        if served
        else [],
        "classes": served.wrapper.classes if served else [],
        "example": served.example if served else None,
    }


def _links(engine: Engine) -> dict[str, str]:
    """Where the registry's own pages are, for a tracking server that has pages."""
    uri = engine.settings.mlflow.tracking_uri.rstrip("/")
    served = engine.holder.served.get("champion")
    if served is None or not uri.startswith("http") or "@" in uri:  # never show a password
        return {}
    v = served.version
    return {
        "version": f"{uri}/#/models/{quote(v.name)}/versions/{v.version}",
        "run": f"{uri}/#/runs/{v.run_id}",
    }
