"""The Open Inference Protocol, version 2, over HTTP, binary tensors included, as Triton's clients speak it.

https://github.com/kserve/open-inference-protocol and its binary extension. A model of named columns takes
one tensor for each column, [rows] or [rows, 1]; a model of one tensor takes that, [rows, ...]. The answer is
one tensor, ``predictions``.
"""

from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response

from mlops_lib import __version__
from serving.inference.batching import require_room
from serving.inference.predictions import plain
from serving.inference.predictor import Engine
from serving.inference.schema import RequestSchema
from serving.models.served import ServedModel
from serving.operations.health import readiness
from serving.web.bodies import decode
from serving.web.problems import Problem, misfit

router = APIRouter(prefix="/v2", tags=["open inference protocol"])
encode = msgspec.json.Encoder(enc_hook=plain).encode
HEADER_LENGTH = b"inference-header-content-length"
DTYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
COLUMN_DTYPES = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}


class Tensor(msgspec.Struct):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] = {}


class Output(msgspec.Struct):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] = {}


class Inference(msgspec.Struct):
    """The JSON part of a request."""

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Output] = []


decoder = msgspec.json.Decoder(Inference)


@router.get("")
async def server() -> dict[str, Any]:
    """Server metadata."""
    return {"name": "mlops", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
async def live(request: Request) -> dict[str, bool]:
    """As /livez."""
    request.app.state.engine.require_alive()
    return {"live": True}


@router.get("/health/ready")
async def ready(request: Request) -> dict[str, bool]:
    """As /readyz."""
    readiness(request.app.state.engine)
    return {"ready": True}


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Whether this model, and this version of it, is the one that is served."""
    readiness(request.app.state.engine)
    served = _named(request.app.state.engine, name, version)
    return {"name": served.version.name, "ready": True}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def model(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Model metadata, from the signature."""
    served = _named(request.app.state.engine, name, version)
    schema = served.schema
    inputs: list[dict[str, Any]] = [
        {"name": column, "datatype": COLUMN_DTYPES.get(kind, "BYTES"), "shape": [-1]}
        for column, kind in zip(schema.columns, schema.types, strict=True)
    ]
    signature = served.wrapper.signature
    if not inputs and signature and signature.inputs and signature.inputs.is_tensor_spec():
        spec = signature.inputs.inputs[0]
        inputs = [{"name": spec.name or "input", "datatype": _datatype(spec.type), "shape": list(spec.shape)}]
    outputs = [{"name": "predictions", "datatype": "FP64", "shape": [-1]}]
    v = served.version
    return {
        "name": v.name,
        "versions": [str(v.version)],
        "platform": "mlflow",
        "inputs": inputs,
        "outputs": outputs,
    }


@router.post("/models/{name}/infer")
@router.post("/models/{name}/versions/{version}/infer")
async def infer(request: Request, name: str, version: str = "") -> Response:
    """Predictions for tensors, as JSON or binary, whichever the caller sent and asks for."""
    engine: Engine = request.app.state.engine
    engine.require_room()
    body = await request.body()
    served = _named(engine, name, version)
    sent, binary = _parse(body, request.headers.get(HEADER_LENGTH.decode(), ""))
    made = _rows(sent.inputs, binary, served.schema, engine.settings.serving.queue_rows)
    rows = served.schema.convert(made)
    answered = await engine.infer(served, rows, request.state.request_id, len(body))
    asked_binary = bool(sent.parameters.get("binary_data_output"))
    for output in sent.outputs:
        if output.name != "predictions":
            raise misfit(f"There is no output {output.name!r}; there is: predictions.")
        asked_binary = bool(output.parameters.get("binary_data", asked_binary))
    return _answer(answered.served, answered.predictions, sent.id or request.state.request_id, asked_binary)


def _named(engine: Engine, name: str, version: str) -> ServedModel:
    served = engine.holder.current()
    v = served.version
    if name != v.name or version not in ("", str(v.version)):
        asked = f"{name!r} version {version}" if version else repr(name)
        detail = f"Model {asked} is not served here; {v.name!r} version {v.version} is."
        raise Problem(HTTPStatus.NOT_FOUND, "model_not_served", detail)
    return served


def _parse(body: bytes, header_length: str) -> tuple[Inference, memoryview]:
    """The JSON part, and the binary part that follows it."""
    at = len(body)
    if header_length:
        # Python refuses to read a number of thousands of digits.
        at = int(header_length) if header_length.isdecimal() and len(header_length) < 20 else -1
        if not 0 <= at <= len(body):
            said = f"{HEADER_LENGTH.decode()} is {header_length[:40]!r}, the body has {len(body)} bytes."
            raise misfit(said)
    return decode(decoder.decode, body[:at]), memoryview(body)[at:]


def _rows(inputs: list[Tensor], binary: memoryview, schema: RequestSchema, most: int) -> list[Any]:
    columns: dict[str, list[Any]] = {}
    for tensor in inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is not None and (not isinstance(size, int) or not 0 <= size <= len(binary)):
            raise misfit(
                f"Input {tensor.name!r}: binary_data_size is {size!r}, the body has {len(binary)} bytes."
            )
        columns[tensor.name] = values = _values(tensor, None if size is None else binary[:size])
        require_room(len(values), 0, most)
        binary = binary[size or 0 :]
    if not schema.columns:
        if len(columns) != 1:
            raise misfit(f"This model takes one tensor, not {len(columns)}.")
        return next(iter(columns.values()))
    if len({len(values) for values in columns.values()}) > 1:
        raise misfit("The inputs have different numbers of rows.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(tensor: Tensor, binary: memoryview | None) -> list[Any]:
    """One value a row: plain for [rows] and [rows, 1], nested lists for more dimensions."""
    try:
        if tensor.datatype == "BYTES":
            flat = tensor.data if binary is None else _strings(binary)
            values = np.array(flat, dtype=object).reshape(tensor.shape)
        elif tensor.datatype not in DTYPES:
            raise misfit(f"Input {tensor.name!r}: datatype {tensor.datatype!r} is not known.")
        elif binary is None:
            values = _array(tensor.data, DTYPES[tensor.datatype]).reshape(tensor.shape)
        else:
            values = np.frombuffer(binary, dtype=DTYPES[tensor.datatype]).reshape(tensor.shape)
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise misfit(f"Input {tensor.name!r} is no {tensor.datatype} {tensor.shape}: {error}.") from None
    if values.ndim == 0 or any(size < 0 for size in tensor.shape):
        raise misfit(f"Input {tensor.name!r}: shape {tensor.shape} has no rows.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise misfit(f"Input {tensor.name!r} has values that are not finite.")
    return (values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values).tolist()


def _array(data: Any, wanted: type[np.generic]) -> np.ndarray[Any, Any]:
    """JSON's values as an array, where they are of that kind: numpy would make 1 of 1.7, and True of "false"."""
    kinds = {bool} if wanted is np.bool_ else {int} if issubclass(wanted, np.integer) else {int, float}
    if others := set(map(type, np.asarray(data, dtype=object).ravel())) - kinds:
        raise TypeError(f"its data have {', '.join(sorted(kind.__name__ for kind in others))}")
    return np.asarray(data, dtype=wanted)


def _strings(binary: memoryview) -> list[str]:
    """Length-prefixed strings, 4 bytes little-endian each."""
    found, at = [], 0
    while at < len(binary):
        size = int.from_bytes(binary[at : at + 4], "little")
        if at + 4 + size > len(binary):
            raise ValueError("a string is longer than what is left")
        found.append(bytes(binary[at + 4 : at + 4 + size]).decode())
        at += 4 + size
    return found


def _answer(served: ServedModel, predictions: list[Any], request_id: str, binary: bool) -> Response:
    try:
        values = np.asarray(predictions)
    except ValueError:  # lists of different lengths
        values = np.asarray([encode(p).decode() for p in predictions], dtype=object)
    if values.dtype.kind in "OUS":
        values = np.array(
            [p if isinstance(p, str) else encode(p).decode() for p in predictions], dtype=object
        )
    datatype = _datatype(values.dtype)
    output: dict[str, Any] = {"name": "predictions", "datatype": datatype, "shape": list(values.shape)}
    answer = {
        "model_name": served.version.name,
        "model_version": str(served.version.version),
        "id": request_id,
        "outputs": [output],
    }
    if not binary:
        output["data"] = values.ravel().tolist()
        return Response(encode(answer), media_type="application/json")
    if datatype == "BYTES":
        texts = [text.encode() for text in values.tolist()]
        tail = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    else:
        tail = np.ascontiguousarray(values).tobytes()
    output["parameters"] = {"binary_data_size": len(tail)}
    head = encode(answer)
    headers = {HEADER_LENGTH.decode(): str(len(head))}
    return Response(head + tail, headers=headers, media_type="application/octet-stream")


def _datatype(dtype: Any) -> str:
    return next((name for name, known in DTYPES.items() if np.dtype(known) == dtype), "BYTES")
