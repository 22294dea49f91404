"""POST /feedback: the real outcome of an earlier request."""

import time
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import Request
from msgspec import Meta

from serving.operations.records import Feedback
from serving.service import Service
from serving.web.bodies import decode
from serving.web.problems import Problem
from serving.web.route import post


class Outcome(msgspec.Struct, forbid_unknown_fields=True):
    """The body: the earlier request's id, its outcome, and the row that it is about (left out: all rows)."""

    request_id: str
    outcome: Any
    row: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


decoder = msgspec.json.Decoder(Outcome)


async def feedback(request: Request) -> dict[str, str]:
    """Keep an outcome beside the prediction log, to be joined on the request id."""
    service: Service = request.app.state.service
    if service.log is None:
        detail = "This service keeps no prediction log: set serving.prediction_log."
        raise Problem(HTTPStatus.CONFLICT, "no_prediction_log", detail)
    body = await request.body()
    sent = decode(decoder.decode, body)
    kept = Feedback(sent.request_id, sent.row, sent.outcome, time.time(), len(body))
    if not service.log.add_feedback(kept):
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "No room for feedback now.", 5)
    return {"status": "accepted", "request_id": sent.request_id}


ROUTES = (post("/feedback", feedback, "feedback", request=Outcome, status=HTTPStatus.ACCEPTED),)
