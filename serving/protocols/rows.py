"""/predict and /invoke: rows in, predictions out. Knows no model kind: it calls `predict` and nothing else."""

import msgspec

from serving.features.enrichment import HEADER
from serving.inference.predictions import plain
from serving.inference.predictor import Engine
from serving.web.gateway import JSON, Call, Reply
from serving.web.problems import disconnected
from serving.web.sse import until_gone

encode = msgspec.json.Encoder(enc_hook=plain).encode


async def predict(engine: Engine, call: Call) -> Reply:
    """Predictions in the order of the rows; a single row in gives a single prediction out."""
    body = await call.body()
    champion = engine.holder.current()
    rows, single = champion.schema.parse(body)
    if champion.wrapper.waits:  # such work goes on elsewhere, and ends when its caller has gone
        found = await until_gone(
            call.receive, lambda: engine.infer(champion, rows, call.request_id, len(body))
        )
        if found is None:
            raise disconnected("the answer")
    else:
        found = await engine.infer(champion, rows, call.request_id, len(body))
    answer = {
        "predictions": found.predictions[0] if single else found.predictions,
        "model": found.served.card_json,
        "request_id": call.request_id,
    }
    if found.features is None:
        return Reply(encode(answer))
    answer["features"] = found.features.field
    return Reply(encode(answer), [JSON, (HEADER.lower().encode(), found.features.header.encode())])
