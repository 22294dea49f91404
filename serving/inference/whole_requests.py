"""Asks a version for rows, one by one or as a whole request."""

from collections.abc import Awaitable
from typing import Any

from serving.inference.predictions import WRONG_COUNT, as_list, require_finite
from serving.inference.rows import Rows
from serving.models.served import ServedModel
from serving.web.problems import Problem


def predictions_of(served: ServedModel, rows: Rows) -> Awaitable[Any]:
    """One prediction a row; or, where the protocol has room for it,
    whatever the model answers to the whole request.

    Values for ``params`` of the signature reach the model with the whole request alone.
    """
    if served.whole_requests == "never" or not (rows.any_count or rows.params):
        return served.predict(rows)
    return _of_whole_request(served, rows)


async def _of_whole_request(served: ServedModel, rows: Rows) -> Any:
    if served.whole_requests == "on demand" and not rows.params and not rows.as_request:
        try:
            return await served.predict(rows)  # with the rows of other requests
        except Problem as problem:
            if problem.code != WRONG_COUNT:
                raise
            served.whole_requests = "always"
    (answer,) = await served.predict(rows.whole())
    if rows.any_count:
        return answer
    predictions, bad = as_list(answer, len(rows))
    require_finite(bad, 0, len(rows))
    return predictions
