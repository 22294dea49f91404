"""POST /feedback: the real outcome of an earlier request of the same caller."""

import time
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import Request
from msgspec import Meta

from serving.operations.prediction_log import INDEXED_WITHIN_S
from serving.operations.records import Feedback
from serving.service import Service
from serving.web.bodies import decode
from serving.web.problems import Problem, invalid_input
from serving.web.route import post


class Outcome(msgspec.Struct, forbid_unknown_fields=True):
    """The body: the earlier request's id, its outcome, and the row that it is about (left out: all rows)."""

    request_id: Annotated[str, Meta(min_length=1, max_length=128)]
    outcome: Any
    row: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


#: Longest body: an outcome is a value or a short text.
MAX_BYTES = 64 * 2**10
#: Most callers whose requests are looked up at once.
MAX_WAITING = 100
decoder = msgspec.json.Decoder(Outcome)


async def feedback(request: Request) -> dict[str, str]:
    """Keep an outcome beside the prediction log, to be joined on request id and key.

    404 for a request that is not in the log, or was made with another key.
    """
    service: Service = request.app.state.service
    if service.log is None:
        detail = "This service keeps no prediction log: set serving.prediction_log."
        raise Problem(HTTPStatus.CONFLICT, "no_prediction_log", detail)
    body = await request.body()
    if len(body) > MAX_BYTES:
        detail = f"The feedback is longer than {MAX_BYTES} bytes."
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)
    sent, caller = decode(decoder.decode, body), request.state.call.caller
    # Another worker may not have written it into the index yet.
    wait_s = INDEXED_WITHIN_S if service.workers and len(service.workers.others()) else 0.0
    if service.log.requests.waiting >= MAX_WAITING:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "No room for feedback now.", 5)
    rows = await service.log.requests.rows(sent.request_id, caller, wait_s)
    if rows is None:
        detail = f"No request {sent.request_id!r} of this caller is in the prediction log."
        raise Problem(HTTPStatus.NOT_FOUND, "unknown_request", detail)
    if sent.row is not None and sent.row >= rows:
        raise invalid_input(f"'row' is {sent.row}, and the request had {rows} rows, counted from 0.")
    kept = Feedback(sent.request_id, caller, sent.row, sent.outcome, time.time(), len(body))
    if not service.log.add_feedback(kept):
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "No room for feedback now.", 5)
    return {"status": "accepted", "request_id": sent.request_id}


ROUTES = (post("/feedback", feedback, "feedback", request=Outcome, status=HTTPStatus.ACCEPTED),)
