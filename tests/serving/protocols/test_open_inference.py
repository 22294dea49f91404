"""Requests of the Open Inference Protocol: nulls, missing values, bytes, parameters, datatypes, shapes."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import serialize_bf16_tensor

from serving.inference.schema import RequestSchema
from serving.protocols.open_inference import decode
from serving.protocols.tensors import DTYPES, Tensor, packed, rows_of
from serving.web.problems import Problem
from tests.support.toy_service import Caller, Toy, toy_service

COLUMNS = {"x": "double", "n": "long", "b": "binary", "s": "string", "flag": "boolean", "when": "datetime"}
SIGNATURE = ModelSignature(Schema([ColSpec(kind, name, required=False) for name, kind in COLUMNS.items()]))
COLUMNS_SCHEMA = RequestSchema(SIGNATURE)
TENSOR_SCHEMA = RequestSchema(ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))])))


class Echo(Toy):
    """Keeps the rows that it gets, and answers with the column that a test names."""

    signature = SIGNATURE  # type: ignore[assignment]
    answers: Any = 1.0

    def predict(self, input_data: Any) -> list[Any]:
        self.rows = [{name: value for name, value in row.items() if value is not None} for row in input_data]
        return [self.answers] * len(input_data)


def read(*tensors: dict[str, Any], binary: bytes = b"", schema: RequestSchema = COLUMNS_SCHEMA) -> list[Any]:
    """The rows of tensors, as the request's schema takes them."""
    made = [Tensor(**tensor) for tensor in tensors]
    rows = rows_of(made, memoryview(binary), schema, 100)
    schema.convert(rows)
    return rows


def tensor(name: str, datatype: str, data: list[Any], **fields: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data, **fields}


def in_binary(name: str, datatype: str, raw: bytes, rows: int) -> dict[str, Any]:
    return {"name": name, "shape": [rows], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}


def ask(folder: Any, model: Echo, *requests: dict[str, Any], tail: bytes = b"") -> list[Caller]:
    """The answers of a service to requests for the model `toy`."""

    async def main() -> list[Caller]:
        async with toy_service(folder, model) as app:
            found = []
            for request in requests:
                head = json.dumps(request).encode()
                headers = {"inference_header_content_length": str(len(head))} if tail else {}
                found.append(await Caller(app, "/v2/models/toy/infer", head + tail, **headers)())
            return found

    return asyncio.run(main())


def test_fields_that_are_null_are_absent(tmp_path):
    """id, parameters and outputs of a request, data and parameters of an input; the path's model may be repeated."""
    x = {**tensor("x", "FP64", [1.0]), "parameters": None}
    nulls = {"id": None, "parameters": None, "outputs": None, "model_name": None, "model_version": None}
    output = {"name": "predictions", "parameters": None}
    first, second, third, other = ask(
        tmp_path,
        Echo(False),
        {**nulls, "inputs": [x]},
        {"id": "a", "inputs": [x], "outputs": [output], "parameters": {"binary_data_output": None}},
        {"inputs": [x], "model_name": "toy", "model_version": "1"},
        {"inputs": [x], "model_name": "other"},
    )
    assert first.status == second.status == third.status == 200, (first.body, second.body, third.body)
    assert second.json["id"] == "a" and first.json["id"] and other.status == 404


NAN = np.array([1.0, np.nan])


@pytest.mark.parametrize(
    ("given", "binary", "expected"),
    [
        (tensor("x", "FP64", [1.0, None]), b"", [1.0, None]),
        (tensor("x", "FP32", [[0.5], [None]], shape=[2, 1]), b"", [0.5, None]),
        (tensor("x", "FP16", [None, None]), b"", [None, None]),
        (in_binary("x", "FP64", NAN.tobytes(), 2), NAN.tobytes(), [1.0, None]),
        (in_binary("x", "FP32", NAN.astype("f4").tobytes(), 2), NAN.astype("f4").tobytes(), [1.0, None]),
        (in_binary("x", "FP16", NAN.astype("f2").tobytes(), 2), NAN.astype("f2").tobytes(), [1.0, None]),
        (tensor("n", "INT64", [2**53 + 1, None]), b"", [2**53 + 1, None]),
        (tensor("n", "UINT8", [255, None]), b"", [255, None]),
        (tensor("flag", "BOOL", [True, None]), b"", [True, None]),
        (tensor("s", "BYTES", ["a", None]), b"", ["a", None]),
        (tensor("b", "BYTES", ["a", None]), b"", [b"a", None]),
        (tensor("when", "BYTES", ["2021-01-01", None]), b"", ["2021-01-01", None]),
    ],
)
def test_null_and_nan_are_missing_values(given, binary, expected):
    """Of each datatype, in JSON and in binary."""
    assert [row[given["name"]] for row in read(given, binary=binary)] == expected


def test_a_tensor_of_floats_has_missing_values_too():
    """A model of one tensor decides itself about them; one of whole numbers has none."""
    raw = np.array([1.0, np.nan, 2.0, 3.0], dtype="f4").tobytes()
    nan = {**in_binary("any", "FP32", raw, 2), "shape": [2, 2]}
    assert read(nan, binary=raw, schema=TENSOR_SCHEMA) == [[1.0, None], [2.0, 3.0]]
    null = {"name": "any", "shape": [1, 2], "datatype": "FP32", "data": [1.0, None]}
    assert read(null, schema=TENSOR_SCHEMA) == [[1.0, None]]
    whole = RequestSchema(ModelSignature(Schema([TensorSpec(np.dtype("int64"), (-1, 2))])))
    with pytest.raises(Problem, match="Expected `int`, got `null`"):
        read({**null, "datatype": "INT64", "data": [1, None]}, schema=whole)


@pytest.mark.parametrize("sent", [b"abcd", b"\xff\xd8\xff", b"", b"\0\0", b"YWJjZA==", "가나".encode()])
def test_a_binary_column_gets_the_bytes_that_were_sent(tmp_path, sent):
    """From a binary tensor, whatever they are; bytes in answers are the model's too."""
    model, raw = Echo(False), packed([sent])
    model.answers = sent
    wants = [{"name": "predictions", "parameters": {"binary_data": True}}]
    request = {"inputs": [in_binary("b", "BYTES", raw, 1)], "outputs": wants}
    (answer,) = ask(tmp_path, model, request, tail=raw)
    assert answer.status == 200, answer.body
    assert model.rows == [{"b": sent}] and answer.body.endswith(b"}" + packed([sent]))


def test_a_secret_in_a_binary_answer_leaves_its_lengths(tmp_path, monkeypatch):
    """The head of the answer has the length of each part, so the secret is masked with as many characters."""
    monkeypatch.setenv("TOY_API_KEY", "plum-tree-7-garden")
    model = Echo(False)
    model.answers = "key plum-tree-7-garden"
    wants = [{"name": "predictions", "parameters": {"binary_data": True}}]
    (answer,) = ask(tmp_path, model, {"inputs": [tensor("x", "FP64", [1.0])], "outputs": wants})
    head = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    tail = packed(["key " + "*" * 18])
    assert answer.body.endswith(b"}" + tail)
    assert head["outputs"][0]["parameters"]["binary_data_size"] == len(tail)


def test_tritonclient_sends_bytes_and_missing_values(tmp_path):
    """The body that Triton's own client makes of NumPy arrays."""
    model = Echo(False)
    columns = {
        "b": ("BYTES", np.array([b"abcd", b"\xff\xd8\xff"], dtype=object)),
        "s": ("BYTES", np.array(["가나", ""], dtype=object)),
        "x": ("FP64", np.array([np.nan, 1.5])),
        "flag": ("BOOL", np.array([True, False])),
    }
    inputs = []
    for name, (datatype, values) in columns.items():
        inputs.append(InferInput(name, [2], datatype).set_data_from_numpy(values))
    body, size = InferenceServerClient.generate_request_body(inputs, request_id="a")

    async def main():
        async with toy_service(tmp_path, model) as app:
            headers = {
                "inference_header_content_length": str(size),
                "content_type": "application/octet-stream",
            }
            return await Caller(app, "/v2/models/toy/infer", body, **headers)()

    answer = asyncio.run(main())
    assert answer.status == 200, answer.body
    assert model.rows == [
        {"b": b"abcd", "s": "가나", "flag": True},
        {"b": b"\xff\xd8\xff", "s": "", "x": 1.5, "flag": False},
    ]


def test_text_and_bytes_in_json():
    """A text is its UTF-8 for a binary column, unless its content_type is base64; a text column gets text."""
    assert read(tensor("b", "BYTES", ["abcd"])) == [{"b": b"abcd"}]
    base64 = {"content_type": "base64"}
    assert read(tensor("b", "BYTES", ["/9j/"], parameters=base64)) == [{"b": b"\xff\xd8\xff"}]
    raw = packed([b"abcd", "가나".encode()])
    assert read(in_binary("s", "BYTES", raw, 2), binary=raw) == [{"s": "abcd"}, {"s": "가나"}]


def test_bytes_in_a_json_answer_are_base64(tmp_path):
    """The output's parameters say so."""
    model = Echo(False)
    model.answers = b"\xff\xd8\xff"
    (answer,) = ask(tmp_path, model, {"inputs": [tensor("x", "FP64", [1.0, 2.0])]})
    output = answer.json["outputs"][0]
    assert output["datatype"] == "BYTES" and output["data"] == ["/9j/", "/9j/"]
    assert output["parameters"] == {"content_type": "base64"}


@pytest.mark.parametrize("datatype", DTYPES)
def test_each_datatype_is_read_from_json_and_binary(datatype):
    """The same values both ways."""
    name = "flag" if datatype == "BOOL" else "x"
    raw = np.array([1, 0], dtype=DTYPES[datatype]).tobytes()
    values = [True, False] if datatype == "BOOL" else [1, 0]
    expected = [{name: value} for value in values]
    assert read(tensor(name, datatype, values)) == expected
    assert read(in_binary(name, datatype, raw, 2), binary=raw) == expected


def test_bf16_is_read():
    """As tritonclient packs it."""
    raw = serialize_bf16_tensor(np.array([1.5, -2.0], dtype=np.float32)).item()
    assert read(in_binary("x", "BF16", raw, 2), binary=raw) == [{"x": 1.5}, {"x": -2.0}]


def test_a_tensor_of_any_rank_is_flat_or_nested():
    """In row-major order either way."""
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        given = {"name": "any", "shape": [2, 2], "datatype": "FP32", "data": data}
        assert read(given, schema=TENSOR_SCHEMA) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("inputs", "binary", "says"),
    [
        ([tensor("s", "BYTES", [b"\xff".decode("latin-1")]), in_binary("b", "BYTES", b"\5\0\0\0a", 1)],
         b"\5\0\0\0a", "longer than the bytes that are left"),
        ([in_binary("s", "BYTES", packed([b"\xff\xd8"]), 1)], packed([b"\xff\xd8"]), "element 0 is not UTF-8"),
        ([tensor("b", "BYTES", ["%%"], parameters={"content_type": "base64"})], b"", "is not base64"),
        ([tensor("s", "BYTES", ["YQ=="], parameters={"content_type": "base64"})], b"", "of a binary column"),
        ([tensor("s", "BYTES", [1])], b"", "its data have int"),
        ([tensor("x", "FP64", [1.0]), tensor("x", "FP64", [2.0])], b"", "there twice"),
        ([in_binary("x", "FP64", b"", 1)], b"12345678", "it has 0 values"),
        ([tensor("x", "FP64", [1.0])], b"1234", "belong to no input"),
        ([{**tensor("x", "FP64", [1.0]), "parameters": {"binary_data_size": 4}}], b"1234", "has both data"),
        ([{"name": "x", "shape": [1], "datatype": "FP64"}], b"", "must be a list"),
        ([tensor("x", "FP64", [[1.0, 2.0]], shape=[2, 1])], b"", r"nested as \[1, 2\]"),
        ([tensor("x", "FP64", [1.0, 2.0], shape=[3])], b"", "it has 2 values"),
        ([tensor("x", "FP64", [], shape=[0])], b"", "no rows"),
        ([tensor("x", "FP64", [], shape=[5, 0])], b"", "no rows"),
        ([tensor("x", "FP64", [], shape=[2**60])], b"", "takes at most 100"),
        ([tensor("x", "FP64", [1.0], shape=[-1])], b"", "no rows"),
        ([tensor("x", "FP64", [[1.0], [1.0, 2.0]])], b"", "FP64"),
        ([tensor("x", "FP16", [1e6])], b"", "not finite"),
        ([tensor("n", "INT64", [2**63])], b"", "INT64"),
        ([tensor("n", "FP64", [1.5])], b"", "whole number"),
        ([tensor("x", "FP64", [1.0], parameters={"shared_memory_region": "r"})], b"", "shared_memory_region"),
        ([tensor("x", "FP64", [1.0], parameters={"content_type": "png"})], b"", "'png'"),
        ([{**tensor("x", "FP64", [1.0]), "parameters": {"binary_data_size": True}}], b"", "is True"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_refused(inputs, binary, says):
    """With the input's name and the reason; nothing is cut, filled or read in another way."""
    with pytest.raises(Problem, match=says):
        read(*inputs, binary=binary)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"parameters": {"priority": 1}}, "no parameter 'priority'"),
        ({"parameters": {"sequence_id": 7, "sequence_start": True}}, "'sequence_id'"),
        ({"parameters": {"binary_data_output": "yes"}}, "'yes', and must be one of True, False"),
        ({"outputs": [{"name": "predictions", "parameters": {"classification": 3}}]}, "'classification'"),
        ({"outputs": [{"name": "logits"}]}, "no output 'logits'"),
        ({"ouputs": []}, "unknown field `ouputs`"),
    ],
)
def test_a_parameter_is_used_or_refused(tmp_path, fields, says):
    """Never ignored."""
    (answer,) = ask(tmp_path, Echo(False), {"inputs": [tensor("x", "FP64", [1.0])], **fields})
    assert answer.status == 422 and says in answer.json["detail"], answer.body


def test_params_of_the_signature_are_parameters(tmp_path):
    """They reach the model with its rows; a value of another type is refused."""
    spec = ParamSchema([ParamSpec("scale", DataType.double, 1.0)])
    x = tensor("x", "FP64", [1.0])

    class Scaled(Echo):
        signature = ModelSignature(SIGNATURE.inputs, params=spec)  # type: ignore[assignment]

    schema = RequestSchema(Scaled.signature)  # type: ignore[arg-type]
    call = SimpleNamespace(params={"name": "toy"}, query=lambda name: "", headers={}, request_id="a")
    version = SimpleNamespace(name="toy", version=1)
    facts = SimpleNamespace(outputs={})
    model = SimpleNamespace(version=version, schema=schema, max_rows=9, facts=facts)
    body = json.dumps({"inputs": [x], "parameters": {"scale": 2.5}}).encode()
    assert decode(call, body, model).rows.params == {"scale": 2.5}  # type: ignore[arg-type]
    (refused,) = ask(tmp_path, Scaled(False), {"inputs": [x], "parameters": {"scale": "big"}})
    assert refused.status == 422 and "scale" in refused.json["detail"], refused.body


def test_parameters_that_are_used_are_taken(tmp_path):
    """MLServer's content types of numbers, tables and texts, and binary output for the whole request."""
    x = tensor("x", "FP64", [1.0], parameters={"content_type": "np"})
    s = tensor("s", "BYTES", ["a"], parameters={"content_type": "str"})
    plain, binary = ask(
        tmp_path,
        Echo(False),
        {"inputs": [x, s], "parameters": {"content_type": "pd"}},
        {"inputs": [x, s], "parameters": {"binary_data_output": True}},
    )
    assert plain.json["outputs"][0]["data"] == [1.0]
    assert binary.body.endswith(np.float64(1.0).tobytes())
