"""/features: the rows as the model would get them. What the skew check compares with what training saw."""

from http import HTTPStatus

import msgspec
from fastapi import APIRouter, Request, Response

from serving.features.enrichment import HEADER
from serving.web.problems import Problem

router = APIRouter(tags=["inference"])
encode = msgspec.json.Encoder().encode


@router.post("/features")
async def features(request: Request) -> Response:
    """The body of /predict in, the model's columns of each row out, with where they came from."""
    body = await request.body()
    served = request.app.state.holder.current()
    if served.enricher is None:
        version = f"{served.version.name} version {served.version.version}"
        raise Problem(
            HTTPStatus.NOT_FOUND, "no_feature_service", f"{version} was trained without a feature store."
        )
    rows, single = served.schema.parse(body)
    served.in_use += 1
    try:
        rows, statuses = await served.enricher.enrich(served.schema.given(rows))
    finally:
        served.in_use -= 1
    answer = {"rows": rows[0] if single else rows, "model": served.card, "features": statuses.field}
    return Response(encode(answer), media_type="application/json", headers={HEADER: statuses.header})
