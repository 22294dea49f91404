"""Admin routes, always behind an admin's key, and the facts about what is served."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request

from serving.models.served import CONVERSATION, QUESTION, ServedModel
from serving.service import Service
from serving.web.problems import Problem
from serving.web.route import get, post


def require_admitted(request: Request) -> None:
    """Raise a Problem unless the gateway has admitted the request as an admin's, whatever its path."""
    route = request.state.route
    if not route or route.access != "admin":
        raise Problem(HTTPStatus.FORBIDDEN, "not_admin", f"{request.url.path} is for admins.")


async def reload(request: Request) -> dict[str, Any]:
    """Ask the registry now, and answer when the version that it names is served.

    409 with the reason when that version was refused; 503 when the registry cannot be reached. The
    version that was served goes on in both. With several workers, only the one that answers reloads now; the
    others follow at their next poll.
    """
    models = request.app.state.service.models
    await models.look(at_once=True)
    if refused := models.refused.get("champion"):
        detail = f"Version {refused.version.version} was refused: {refused.reason}"
        raise Problem(HTTPStatus.CONFLICT, "version_refused", detail)
    if models.problem:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "registry_problem", models.problem)
    return models.status()


async def status(request: Request) -> dict[str, Any]:
    """The served version, its run and tags, and the latencies of the latest requests."""
    service: Service = request.app.state.service
    models = service.models
    served = models.served.get("champion")
    lineage = dict(served.version.tags) if served else {}
    facts = served.facts if served else None
    choices = facts.choices if facts else {}
    looked_up = served.enricher.features if served and served.enricher else ()
    return {
        **models.status(),
        "draining": service.draining,
        "recent": service.metrics.recent(),
        "queue_rows": served.queued_rows if served else 0,
        "tags": lineage,
        "links": _links(service),
        "inputs": [
            {
                "name": field.name,
                "type": field.kind,
                "nullable": field.nullable or field.optional or field.name in looked_up,
                "wanted": field.wanted,
                "choices": choices.get(field.name, []),
            }
            for field in served.schema.model_fields.values()
        ]
        if served
        else [],
        "classes": facts.classes if facts else [],
        "label": ", ".join(facts.predicted) if facts else "",
        "chat": await served.takes_chat(QUESTION) if served else False,
        "history": await served.takes_chat(CONVERSATION) if served else False,
        "questions": facts.questions if facts else [],
        "feedback": service.log is not None,
        "caller": request.state.call.caller,
        "example": _example(served) if served else None,
    }


def _example(served: ServedModel) -> Any:
    """The example, without images that would make the answer long."""
    if not served.long_images:
        return served.example
    return {name: value for name, value in served.example.items() if name not in served.long_images}


def _links(service: Service) -> dict[str, str]:
    """Where the registry's own pages are, for a tracking server that has pages."""
    uri = service.settings.mlflow.tracking_uri.rstrip("/")
    served = service.models.served.get("champion")
    if served is None or not uri.startswith("http") or "@" in uri:  # never show a password
        return {}
    v = served.version
    return {
        "version": f"{uri}/#/models/{quote(v.name)}/versions/{v.version}",
        "run": f"{uri}/#/runs/{v.run_id}",
    }


ROUTES = (
    post("/model/reload", reload, "model", access="admin"),
    get("/status", status, "model"),
)
