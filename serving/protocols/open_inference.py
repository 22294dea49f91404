"""The Open Inference Protocol, version 2, over HTTP, with binary tensors.

https://github.com/kserve/open-inference-protocol and its binary extension. A model of named columns takes one
tensor for each column, [rows] or [rows, 1], and [rows, width] for a column of lists; texts, dates and bytes
are BYTES; null and NaN are missing values. A model of one tensor takes that, [rows, ...]. The answer is one
tensor, ``predictions``, or one for each output of a network that gives several; a classifier's classes are in
its parameters. A field that is null counts as absent. A parameter is the protocol's, or one of ``params`` of
the model's signature; any other is refused.
"""

from base64 import b64encode
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import numpy as np
from fastapi import Request
from msgspec.structs import replace

from mlops_lib import __version__
from serving.inference.json_values import encode_json
from serving.inference.params import require_params
from serving.inference.predictor import Answered
from serving.models.served import ServedModel
from serving.operations.health import readiness, require_alive
from serving.protocols.inference import Decoded, InferenceRoute
from serving.protocols.tensors import Tensor, datatype_of, packed, require_known, rows_of
from serving.web import bodies
from serving.web.call import BINARY, Call, Reply
from serving.web.problems import Problem, invalid_input
from serving.web.route import get

TAG = "open inference protocol"
HEADER_LENGTH = b"inference-header-content-length"


#: The output of a model whose predictions have no names.
ONLY = "predictions"
BOOLEAN = (True, False)
#: Parameters of a request and of an output -> the values that are taken.
REQUEST_PARAMETERS: dict[str, tuple[Any, ...]] = {
    "binary_data_output": BOOLEAN,
    "content_type": ("np", "pd"),  # MLServer's; the signature alone decides which of the two a model gets
}
OUTPUT_PARAMETERS: dict[str, tuple[Any, ...]] = {"binary_data": BOOLEAN}


class Output(msgspec.Struct, forbid_unknown_fields=True):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class Inference(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON part of a request. Some clients repeat the path's model in it."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Output] | None = None
    model_name: str | None = None
    model_version: str | None = None


decoder = msgspec.json.Decoder(Inference)


class Wanted(NamedTuple):
    """The fields of a request that the encoder needs."""

    request_id: str
    binary: bool
    outputs: tuple[str, ...]


def decode(call: Call, body: bytes, model: ServedModel) -> Decoded:
    """Rows of the request's tensors, JSON or binary."""
    version = call.params.get("version") or call.query("version")
    _require_named(model, call.params["name"], version)
    header_length = call.headers.get(HEADER_LENGTH, b"").decode("latin-1")
    sent, binary = _parse(body, header_length)
    if sent.model_name or sent.model_version:
        _require_named(model, sent.model_name or model.version.name, sent.model_version or "")
    parameters = {name: value for name, value in (sent.parameters or {}).items() if value is not None}
    own = {name: parameters.pop(name) for name in REQUEST_PARAMETERS if name in parameters}
    wants_binary = require_known("The request", own, REQUEST_PARAMETERS).get("binary_data_output", False)
    names = tuple(model.facts.outputs) or (ONLY,)
    for output in sent.outputs or ():
        if output.name not in names:
            raise invalid_input(f"There is no output {output.name!r}; there is: {', '.join(names)}.")
        wanted = require_known(f"Output {output.name!r}", output.parameters, OUTPUT_PARAMETERS)
        wants_binary = wanted.get("binary_data", wants_binary)
    names = tuple(output.name for output in sent.outputs or ()) or names
    rows = model.schema.convert(rows_of(sent.inputs, binary, model.schema, model.max_rows))
    if parameters:
        rows = replace(rows, params=require_params(model.schema, parameters))
    return Decoded(rows, own=Wanted(sent.id or call.request_id, wants_binary, names))


def example(model: ServedModel) -> dict[str, Any] | None:
    """The row that was logged with the model, a tensor for each of its values."""
    if not isinstance(model.example, dict):
        return None
    tensors = [
        {
            "name": field.name, "datatype": field.datatype, "shape": [1, *field.shape],
            "data": value if isinstance(value, list) else [value],
        }
        for field in model.schema.model_fields.values()
        if (value := model.example.get(field.name)) is not None
    ]  # fmt: skip
    return {"inputs": tensors} if tensors else None


def encode(call: Call, decoded: Decoded, answered: Answered) -> Reply:
    """Predictions as tensors, JSON or binary, whichever the caller asks for."""
    wanted, version = decoded.own, answered.served.version
    found = {
        name: _array([row[name] for row in answered.predictions] if name != ONLY else answered.predictions)
        for name in wanted.outputs
    }
    outputs = [
        {"name": name, "datatype": datatype_of(values.dtype), "shape": list(values.shape)}
        for name, values in found.items()
    ]
    answer: dict[str, Any] = {
        "model_name": version.name,
        "model_version": str(version.version),
        "id": wanted.request_id,
        "outputs": outputs,
    }
    if answered.served.names_json:
        answer["parameters"] = dict(answered.served.names_json)
    if not wanted.binary:
        for output, values in zip(outputs, found.values(), strict=True):
            output.update(_data(values))
        return Reply(encode_json(answer))
    tails = [
        packed(values.tolist()) if output["datatype"] == "BYTES" else np.ascontiguousarray(values).tobytes()
        for output, values in zip(outputs, found.values(), strict=True)
    ]
    for output, tail in zip(outputs, tails, strict=True):
        output["parameters"] = {"binary_data_size": len(tail)}
    head = encode_json(answer)
    headers = [BINARY, (HEADER_LENGTH, b"%d" % len(head))]
    return Reply(head + b"".join(tails), headers)


def _data(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The fields of an output whose values are JSON; bytes are base64."""
    data = values.ravel().tolist()
    if not any(isinstance(each, bytes) for each in data):
        return {"data": data}
    texts = [b64encode(each if isinstance(each, bytes) else each.encode()).decode() for each in data]
    return {"parameters": {"content_type": "base64"}, "data": texts}


def _array(predictions: list[Any]) -> np.ndarray[Any, Any]:
    """Predictions as an array of numbers; else of texts and bytes, with JSON for any other value."""
    with suppress(ValueError):  # lists of different lengths
        values = np.asarray(predictions)
        if values.dtype.kind not in "OUS":
            return values
    values = np.empty(len(predictions), dtype=object)
    values[:] = [p if isinstance(p, str | bytes) else encode_json(p).decode() for p in predictions]
    return values


async def server() -> dict[str, Any]:
    """Server metadata."""
    return {"name": "mlops", "version": __version__, "extensions": ["binary_tensor_data"]}


async def live(request: Request) -> dict[str, bool]:
    """As /livez."""
    require_alive(request.app.state.service)
    return {"live": True}


async def ready(request: Request) -> dict[str, bool]:
    """As /readyz."""
    readiness(request.app.state.service)
    return {"ready": True}


async def model_ready(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Whether this model, and this version of it, is the one that is served."""
    readiness(request.app.state.service)
    served = request.app.state.service.models.current()
    _require_named(served, name, version)
    return {"name": served.version.name, "ready": True}


async def model(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Model metadata, from the signature."""
    served = request.app.state.service.models.current()
    _require_named(served, name, version)
    return {
        "name": served.version.name,
        "versions": [str(served.version.version)],
        "platform": "mlflow",
        "inputs": _inputs(served),
        "outputs": _outputs(served),
    }


def _outputs(served: ServedModel) -> list[dict[str, Any]]:
    if not served.facts.outputs:
        return [{"name": ONLY, "datatype": "FP64", "shape": [-1]}]
    return [
        # Answers are JSON numbers, also of a float32; another number of items in
        # each row makes a text of JSON.
        {
            "name": one.name,
            "datatype": "BYTES" if None in one.shape else "FP64" if "float" in one.dtype else "INT64",
            "shape": [-1] if None in one.shape else [-1, *one.shape],
        }
        for one in served.facts.outputs.values()
    ]


def _inputs(served: ServedModel) -> list[dict[str, Any]]:
    inputs = [
        {"name": field.name, "datatype": field.datatype, "shape": [-1, *field.shape]}
        for field in served.schema.model_fields.values()
    ]
    signature = served.facts.signature
    if not inputs and signature and signature.inputs and signature.inputs.is_tensor_spec():
        spec = signature.inputs.inputs[0]
        return [{"name": spec.name or "input", "datatype": datatype_of(spec.type), "shape": list(spec.shape)}]
    return inputs


def _require_named(served: ServedModel, name: str, version: str) -> None:
    """Raise a Problem unless the path names the served model."""
    v = served.version
    if name != v.name or version not in ("", str(v.version)):
        wanted = f"{name!r} version {version}" if version else repr(name)
        detail = f"Model {wanted} is not served here; {v.name!r} version {v.version} is."
        raise Problem(HTTPStatus.NOT_FOUND, "model_not_served", detail)


def _parse(body: bytes, header_length: str) -> tuple[Inference, memoryview]:
    """The JSON part, and the binary part that follows it."""
    at = len(body)
    if header_length:
        # int() raises for a number of thousands of digits.
        at = int(header_length) if header_length.isdecimal() and len(header_length) < 20 else -1
        if not 0 <= at <= len(body):
            detail = f"{HEADER_LENGTH.decode()} is {header_length[:40]!r}, the body has {len(body)} bytes."
            raise invalid_input(detail)
    return bodies.decode(decoder.decode, body[:at]), memoryview(body)[at:]


MODEL = "/v2/models/{name}"
VERSION = MODEL + "/versions/{version}"
ROUTES = (
    *(
        InferenceRoute(
            path=f"{path}/infer",
            tag=TAG,
            request=Inference,
            example=example,
            decode=decode,
            encode=encode,
            compresses=True,
            query=() if path == VERSION else ("version",),
            summary="Predictions for tensors, as JSON or binary, whichever the caller sent and asks for",
        )
        for path in (MODEL, VERSION)
    ),
    get("/v2", server, TAG, access="open"),
    get("/v2/health/live", live, TAG, access="open"),
    get("/v2/health/ready", ready, TAG, access="open"),
    *(get(path, model, TAG) for path in (MODEL, VERSION)),
    *(get(f"{path}/ready", model_ready, TAG) for path in (MODEL, VERSION)),
)
