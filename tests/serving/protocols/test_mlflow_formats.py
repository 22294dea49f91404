"""The request formats of MLflow's own scoring server: what it takes is taken, and what it refuses is refused."""

import asyncio
import base64
import json
import math

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec

from tests.support import logged
from tests.support.logged_service import ask, served
from tests.support.toy_service import Caller

pytestmark = pytest.mark.filterwarnings("ignore")
TIMES = pd.to_datetime(["2021-01-01T00:00:00", "2021-02-02T00:00:00", "2021-03-03T12:00:00"])
ALL = pd.DataFrame(
    {
        "string": ["a", "b", "c"],
        "boolean": [True, False, True],
        "integer": np.array([1, 2, 3], np.int32),
        "long": np.array([1, 2, 3], np.int64),
        "float": np.array([math.pi, 2 * math.pi, 3 * math.pi], np.float32),
        "double": [math.pi, 2 * math.pi, 3 * math.pi],
        "binary": [bytes([1, 2, 3]), bytes([4, 5, 6]), bytes(range(100))],
        "datetime": TIMES,
    }
)
DTYPES = {
    "string": "object", "boolean": "bool", "integer": "int32", "long": "int64", "float": "float32",
    "double": "float64", "binary": "object", "datetime": "datetime64[ns]",
}  # fmt: skip
TWO = infer_signature(pd.DataFrame({"a": [1.5], "b": [2.5]}))
ROW = {"a": 1.5, "b": 2.5}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A saved model of two columns of numbers."""
    return logged.save(tmp_path_factory.mktemp("two") / "model", logged.Seen(), signature=TWO)


def as_sent(frame):
    """A frame as MLflow's client sends it: base64 with line ends, times in ISO form."""
    encoded = frame.assign(
        binary=[base64.encodebytes(value).decode() for value in frame["binary"]],
        datetime=[value.isoformat() for value in frame["datetime"]],
    )
    return json.loads(json.dumps(encoded.to_dict(orient="split"), default=float))


@pytest.mark.parametrize("name", ["split", "split in another order", "records", "instances", "inputs"])
def test_every_type_arrives_in_its_dtype(tmp_path, name):
    """In each format, whatever the order of the columns."""
    split = as_sent(ALL[list(reversed(ALL.columns))] if name == "split in another order" else ALL)
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    body = {
        "records": {"dataframe_records": records},
        "instances": {"instances": records},
        "inputs": {"inputs": {column: [row[column] for row in records] for column in ALL.columns}},
    }.get(name, {"dataframe_split": split})
    signature = ModelSignature(Schema([ColSpec(column, column) for column in ALL.columns]))
    status, answer = ask(
        logged.save(tmp_path / "m", logged.Kinds(), signature=signature), tmp_path, "/invocations", body
    )
    assert status == 200 and dict(answer["predictions"]) == DTYPES, answer


def test_values_arrive_as_they_were_sent(tmp_path):
    """Bytes of base64 with line ends, 32-bit floats, times."""
    signature = ModelSignature(Schema([ColSpec(column, column) for column in ALL.columns]))
    body = {"dataframe_split": as_sent(ALL)}
    status, answer = ask(
        logged.save(tmp_path / "m", logged.Seen(), signature=signature), tmp_path, "/invocations", body
    )
    assert status == 200, answer
    expected = [
        {**row, "datetime": str(row["datetime"]), "float": float(np.float32(row["float"]))}
        for row in ALL.to_dict("records")
    ]
    assert answer["predictions"] == list(map(str, expected))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"this is,,,, not valid json", 400, "not JSON"),
        (b"\xff{}", 400, "not JSON"),
        (1, 422, "dataframe_split, dataframe_records, instances, inputs"),
        ("1", 422, "must be an object"),
        (b"[1]", 422, "must be an object"),
        ({"not": "a serialized dataframe"}, 422, "one of"),
        ({"dataframe_records": [], "dataframe_split": {"data": []}}, 422, "one of"),
        ({"dataframe_records": {"columns": ["a"], "data": [[1]]}}, 422, "list of objects"),
        ({"dataframe_records": [ROW, [1, 2]]}, 422, "list of objects"),
        ({"dataframe_split": [ROW]}, 422, "must be an object"),
        ({"dataframe_split": {"index": [1, 2], "data": [[1, 2], [2, 3], [3, 4]]}}, 422, "'index'"),
        ({"dataframe_split": {"columns": ["a", "b"]}}, 422, "'data'"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]], "rows": 1}}, 422, "not rows"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0]]}}, 422, "list of 2 values"),
        ({"dataframe_split": {"columns": ["c", "b"], "data": [[1.0, 2.0]]}}, 422, "'a'"),
        ({"inputs": {"a": [1.0, 2.0], "b": [1.0]}}, 422, "'a' has 2, 'b' has 1"),
        ({"inputs": []}, 422, "no rows"),
        ({"instances": [{"a": 1.0}]}, 422, "'b'"),
        ({"instances": [{"a": "text", "b": 1.0}]}, 422, "'a'"),
    ],
)  # fmt: skip
def test_bodies_that_mlflow_refuses_are_refused(two, tmp_path, body, status, said):
    """With a message that names the mistake."""
    given, problem = ask(two, tmp_path, "/invocations", body)
    assert given == status and said in problem["detail"], problem


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"dataframe_split": {"columns": ["a", "b", "a"], "data": [[1.5, 2.5, 9.0]]}}, "application/json"),
        (b"a,b,a\n1.5,2.5,9\n", "text/csv"),
    ],
)
def test_a_column_that_comes_twice_is_refused(two, tmp_path, body, kind):
    """The model would silently get one of the two."""
    status, problem = ask(two, tmp_path, "/invocations", body, content_type=kind)
    assert status == 422 and "more than one is named a" in problem["detail"].replace("'", ""), problem


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            {"dataframe_split": {"columns": ["a", "b", "x", "x"], "data": [[1.5, 2.5, 1, 2]]}},
            "application/json",
        ),
        (b"a,b,,\n1.5,2.5,,\n", "text/csv"),
    ],
)
def test_columns_that_are_ignored_may_come_twice(two, tmp_path, body, kind):
    """So may the empty columns at the end of a spreadsheet."""
    status, answer = ask(two, tmp_path, "/invocations", body, content_type=kind)
    assert status == 200, answer


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("application/json;charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; something=something", 415),
        ("not_a_supported_content_type", 415),
        ("application/vnd.apache.parquet", 415),
    ],
)
def test_content_types(two, tmp_path, kind, status):
    """JSON and CSV in UTF-8, and no other parameter."""
    body = {"dataframe_records": [ROW]}
    given, answer = ask(two, tmp_path, "/invocations", body, content_type=kind)
    assert given == status, answer


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"instances": [[1.5, 2.5]]}, [ROW]),
        ({"inputs": [[1.5, 2.5], [3, 4]]}, [ROW, {"a": 3.0, "b": 4.0}]),
        ({"inputs": ROW}, [ROW]),
        ({"instances": ROW}, [ROW]),
        ({"dataframe_split": {"data": [[1.5, 2.5]]}}, [ROW]),
        ({"dataframe_split": {"index": [7], "columns": ["b", "a"], "data": [[2.5, 1.5]]}}, [ROW]),
        ({"dataframe_records": [{**ROW, "c": "more", "d": None}]}, [ROW]),
        ({"dataframe_split": {"columns": ["a", "x", "b"], "data": [[1.5, "more", 2.5]]}}, [ROW]),
        ({"inputs": {"a": [1.5], "b": [2.5], "x": ["more"]}}, [ROW]),
        ({"inputs": {"a": 1.5, "b": 2.5, "x": ["more", "and more"]}}, [ROW]),
        (b'{"dataframe_records": [{"a": NaN, "b": 2.5}]}', [{"a": math.nan, "b": 2.5}]),
        ({"dataframe_records": [{"a": None, "b": 2.5}]}, [{"a": math.nan, "b": 2.5}]),
        (b'{"inputs": {"a": Infinity, "b": -1}}', [{"a": math.inf, "b": -1.0}]),
        ({"dataframe_records": [ROW], "client_request_id": "7"}, [ROW]),
        ({"dataframe_records": [ROW], "params": None}, [ROW]),
        ({"dataframe_records": [ROW], "params": {}}, [ROW]),
        (b"a,b,more\n1.5,2.5,x\n", [ROW]),
        (b"b,a\n2.5,1.5\n", [ROW]),
    ],
)  # fmt: skip
def test_bodies_that_mlflow_takes_are_taken(two, tmp_path, body, rows):
    """Rows by position and by name, further columns, missing values as Python writes them."""
    csv = {"content_type": "text/csv"} if isinstance(body, bytes) and body[:1] != b"{" else {}
    status, answer = ask(two, tmp_path, "/invocations", body, **csv)
    assert status == 200 and answer["predictions"] == list(map(str, rows)), answer


@pytest.mark.parametrize(
    ("more", "header"),
    [
        ({"client_request_id": "7", "parms": {}}, "client_request_id, parms"),
        ({"a\r\nset-cookie: \u20ac": 1}, "aset-cookie: \\u20ac"),
        ({"params": None}, None),
    ],
)
def test_keys_that_mlflow_ignores_are_named_in_a_header(two, tmp_path, more, header):
    """Its own server takes any key beside the format, without a word."""

    async def run():
        async with served(two, tmp_path) as post:
            answer = await Caller(post.app, "/invocations", {"dataframe_records": [ROW], **more})()
            assert answer.status == 200 and answer.headers.get("mlops-ignored-fields") == header

    asyncio.run(run())


def test_a_model_without_a_signature_takes_any_rows(tmp_path):
    """Texts stay texts, numbers numbers; a frame for rows with names, an array for lists."""

    async def run():
        async with served(logged.save(tmp_path / "model", logged.Seen()), tmp_path) as post:
            rows = [{"zip": "95120", "cost": 10.45, "score": 8}, {"zip": "95128", "cost": 23.0, "score": 0}]
            split = {"columns": list(rows[0]), "index": [0, 1], "data": [list(row.values()) for row in rows]}
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            for body in (
                {"dataframe_records": rows}, {"dataframe_split": split}, {"instances": rows}, {"inputs": columns}
            ):  # fmt: skip
                status, answer = await post("/invocations", body)
                assert status == 200 and answer["predictions"] == list(map(str, rows)), answer
            status, answer = await post("/invocations", {"instances": [[1.5, 2.5]]})
            assert status == 200 and answer["predictions"] == ["[1.5, 2.5]"], answer
            csv = b"zip,url,cost\n95120,http://foo.com,1.5\n95128,aaa://bbb,\n"
            status, answer = await post("/invocations", csv, content_type="text/csv")
            assert status == 200, answer
            assert answer["predictions"][0] == "{'zip': 95120, 'url': 'http://foo.com', 'cost': 1.5}"
            for body in (
                {"inputs": rows[0]},
                {"dataframe_split": pd.DataFrame([[1.5, 2]]).to_dict(orient="split")},
            ):
                assert (await post("/invocations", body))[0] == 200

    asyncio.run(run())


def test_no_row_of_a_caller_is_a_whole_request(tmp_path):
    """The service's own form of a request would bypass the limit of rows; no JSON has that form."""
    row = {"mlflow.request": {"rows": [{"a": 1.0}], "params": {}}}
    bodies = (
        ("/invocations", {"dataframe_records": [row]}), ("/invocations", {"inputs": row}),
        ("/predict", {"inputs": [row]}), ("/predict", row),
    )  # fmt: skip

    async def run():
        async with served(logged.save(tmp_path / "model", logged.Seen()), tmp_path) as post:
            for path, body in bodies:
                status, answer = await post(path, body)
                assert status == 200 and str(row) in answer["predictions"], answer

    asyncio.run(run())


def test_a_tensor_takes_frames_too(tmp_path):
    """A signature of one array, and a body of rows and columns, as scikit-learn's users have it."""
    signature = infer_signature(np.array([[1.5, 2.5]]))
    frame = pd.DataFrame([[1.5, 2.5], [3.0, 4.0]])

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Seen(), signature=signature), tmp_path
        ) as post:
            for body in (
                {"dataframe_split": frame.to_dict(orient="split")},
                {"dataframe_records": json.loads(frame.to_json(orient="records"))},
                {"instances": frame.to_numpy().tolist()},
                {"inputs": frame.to_numpy().tolist()},
                frame.to_csv(index=False).encode(),
            ):
                csv = {"content_type": "text/csv"} if isinstance(body, bytes) else {}
                status, answer = await post("/invocations", body, **csv)
                assert status == 200 and answer["predictions"] == ["[1.5, 2.5]", "[3.0, 4.0]"], (body, answer)
            for path in ("/invocations", "/predict"):
                status, answer = await post(path, {"inputs": [[1.5, 2.5], [1.5]]})
                assert (
                    status == 422
                    and answer["detail"]
                    == (
                        "The tensor takes float64 of shape [any, 2]. Row 1 is of shape [1]: "
                        "Expected `array` of length 2, got 1."
                    )
                ) or "of length >= 2" in answer["detail"], answer
            tensor = {"name": "x", "shape": [1, 2], "datatype": "BYTES", "data": [["a", "b"]]}
            status, answer = await post("/v2/models/toy/infer", {"inputs": [tensor]})
            assert (
                status == 422 and "takes float64 of shape [any, 2]. Row 0 is of shape [2]" in answer["detail"]
            )
            assert "got `str` at [0]" in answer["detail"], answer

    asyncio.run(run())


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        ("int64", 2**63, "<= 9223372036854775807"),
        ("int64", None, "got `null`"),
        ("int8", 128, "<= 127"),
        ("uint8", -1, ">= 0"),
        ("uint64", 2**64, "uint64"),
        ("float32", 1e40, "beyond float32"),
    ],
)
def test_a_number_beyond_a_tensors_dtype_is_refused(tmp_path, dtype, value, said):
    """By both protocols of JSON rows, alone or beside a good row."""
    signature = ModelSignature(Schema([TensorSpec(np.dtype(dtype), (-1, 2))]))

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Seen(), signature=signature), tmp_path
        ) as post:
            for path in ("/invocations", "/predict"):
                status, answer = await post(path, {"inputs": [[1, 2], [value, 1]]})
                assert status == 422 and said in answer["detail"], answer
                status, answer = await post(path, {"inputs": [[1, 2]]})
                assert status == 200, answer

    asyncio.run(run())


def test_a_missing_number_in_a_tensor_reaches_the_model(tmp_path):
    """As NaN; a model that raises ValueError then has refused the row."""
    signature = infer_signature(np.array([[1.5, 2.5]], dtype="float32"))

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.NoGaps(), signature=signature), tmp_path
        ) as post:
            for path in ("/invocations", "/predict"):
                status, answer = await post(path, {"inputs": [[None, 1]]})
                assert status == 422 and "missing numbers (null or NaN)" in answer["detail"], answer

    asyncio.run(run())


def test_a_column_of_32_bit_floats_takes_no_larger_number(tmp_path):
    """It would be infinite in the model's frame."""
    signature = infer_signature(pd.DataFrame({"x": np.array([1.5], np.float32), "name": ["a"]}))
    model = logged.save(tmp_path / "model", logged.Seen(), signature=signature)
    status, answer = ask(model, tmp_path, "/invocations", {"inputs": {"x": [1e40], "name": ["a"]}})
    assert status == 422 and "column 'x' is 1e40, and must be a number of 32 bits" in answer["detail"], answer


def test_one_tensor_with_a_name_takes_it_by_name_or_without(tmp_path):
    """The model gets the dict that MLflow makes of it."""
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 2), "x")]))
    rows = [[1.0, 2.0], [3.0, 4.0]]

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Seen(), signature=signature), tmp_path
        ) as post:
            for path, inputs in (
                ("/invocations", {"inputs": {"x": rows}}), ("/invocations", {"inputs": rows}),
                ("/invocations", {"instances": [{"x": row} for row in rows]}),
                ("/invocations", {"dataframe_records": [{"x": row} for row in rows]}), ("/predict", {"inputs": rows}),
            ):  # fmt: skip
                status, answer = await post(path, inputs)
                assert status == 200 and answer["predictions"] == [str({"x": row}) for row in rows], answer

    asyncio.run(run())


def test_named_tensors_take_rows_and_columns(tmp_path):
    """TensorFlow's two formats: one object a row, or one array a tensor."""
    signature = infer_signature({"a": np.zeros((1, 2)), "b": np.zeros((1, 1), dtype="int64")})
    columns = {"a": [[1.0, 2.0], [3.0, 4.0]], "b": [[5], [6]]}
    rows = [{"a": [1.0, 2.0], "b": [5]}, {"a": [3.0, 4.0], "b": [6]}]

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Seen(), signature=signature), tmp_path
        ) as post:
            for path, body in (
                ("/invocations", {"instances": rows}), ("/invocations", {"inputs": columns}),
                ("/predict", {"inputs": rows}),
            ):  # fmt: skip
                status, answer = await post(path, body)
                assert status == 200 and answer["predictions"] == list(map(str, rows)), answer
            status, answer = await post("/predict", {"inputs": [{"a": [1.0], "b": [5]}]})
            assert status == 422 and "'a' is [1.0]" in answer["detail"], answer
            assert (
                "must be float64 values of shape [2], in lists; this value is of shape [1]"
                in answer["detail"]
            )

    asyncio.run(run())
