"""/predict and /invoke: rows in, predictions out. Knows no model kind: it calls `predict` and nothing else."""

from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response

from mlops_lib.errors import InputError, ModelError
from serving.enrich import HEADER
from serving.problems import Problem
from serving.stream import until_gone

router = APIRouter(tags=["inference"])
encode = msgspec.json.Encoder().encode


@router.post("/invoke")
@router.post("/predict")
async def predict(request: Request) -> Response:
    """Predictions in the order of the rows; a single row in gives a single prediction out."""
    served = request.app.state.holder.current()
    rows, single = served.schema.parse(await request.body())
    statuses = None
    if served.enricher:
        rows, statuses = await served.enricher.enrich(rows)
    try:
        answered = await until_gone(request.receive, lambda: served.wrapper.apredict(rows))
        if answered is None:  # the caller is gone, and the work cancelled
            return Response(status_code=499)
        predictions = as_json(answered, len(rows))
    except (InputError, Problem):
        raise
    except ModelError as error:
        raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "model_failed", str(error)) from error
    except Exception as error:
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "model_failed",
            f"Model {served.version.name} version {served.version.version} failed on these rows: {type(error).__name__}.",
        ) from error
    answer = {
        "predictions": predictions[0] if single else predictions,
        "model": served.card,
        "request_id": request.state.request_id,
    }
    headers = {}
    if statuses:
        answer["features"] = statuses.field
        headers[HEADER] = statuses.header
    return Response(encode(answer), media_type="application/json", headers=headers)


def as_json(predictions: Any, rows: int) -> list[Any]:
    """Predictions as plain lists and numbers, one for each row.

    Raises:
        Problem: 500 when a prediction is not finite, or when there are not as many as rows.
    """
    if isinstance(predictions, np.ndarray):
        if predictions.dtype.kind == "f" and not np.isfinite(predictions).all():
            bad = np.flatnonzero(~np.isfinite(predictions).reshape(len(predictions), -1).all(axis=1))
            raise Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "non_finite_prediction",
                f"The model's prediction is not a finite number for rows {bad[:10].tolist()}, counted from 0.",
            )
        predictions = predictions.tolist()
    if len(predictions) != rows:
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "wrong_prediction_count",
            f"The model gave {len(predictions)} predictions for {rows} rows.",
        )
    return list(predictions)
