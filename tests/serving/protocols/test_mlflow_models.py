"""Models that were logged with MLflow alone, asked in every form that MLflow's own server takes."""

import asyncio
import json
from datetime import datetime

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from mlops_lib import wrappers
from tests.support import logged
from tests.support.logged_service import ask, served
from tests.support.toy_service import Caller
from tests.support.waiting import until_async

HELLO = {"role": "user", "content": "hello"}
pytestmark = pytest.mark.filterwarnings("ignore")


EXAMPLES = {
    "dict of scalars": ({"a": 1.0, "b": 2.0}, "{'a': 1.0, 'b': 2.0}"),
    "dict of three kinds": ({"a": 1, "b": "x", "c": True}, "{'a': 1, 'b': 'x', 'c': True}"),
    "dict of lists": ({"a": [1.0, 2.0], "b": [3.0]}, "{'a': [1.0, 2.0], 'b': [3.0]}"),
    "dict of a text and a list": ({"q": "x", "tags": ["a", "b"]}, "{'q': 'x', 'tags': ['a', 'b']}"),
    "dict of dicts": ({"q": "x", "opts": {"k": 1}}, "{'q': 'x', 'opts': {'k': 1}}"),
    "dict of arrays": ({"a": np.array([1.0]), "b": np.array([[3.0, 4.0]])}, "{'a': 1.0, 'b': [3.0, 4.0]}"),
    "text": ("hello", "{0: 'hello'}"),
    "number": (3.5, "{0: 3.5}"),
    "bytes": (b"\xff\xd8\xff", "{0: b'\\xff\\xd8\\xff'}"),
    "texts": (["a", "b"], "{0: 'a'}"),
    "numbers": ([1.5, 2.5], "{0: 1.5}"),
    "lists": ([[1.5, 2.5], [1, 2]], "[1.5, 2.5]"),
    "dicts": ([{"a": 1.5, "b": "x"}, {"a": 2.5}], "{'a': 1.5, 'b': 'x'}"),
    "messages": ({"messages": [HELLO]}, f"{{'messages': [{HELLO}]}}"),
    "list of messages": ([{"messages": [HELLO]}], f"{{'messages': [{HELLO}]}}"),
    "frame": (pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]}), "{'a': 1.5, 'b': 'x'}"),
    "frame without names": (pd.DataFrame([[1.5, 2.5], [1, 2]]), "{0: 1.5, 1: 2.5}"),
    "frame of times": (pd.DataFrame({"t": pd.to_datetime(["2021-01-01"])}), "{'t': '2021-01-01 00:00:00'}"),
    "array": (np.array([[1.5, 2.5]], dtype="float32"), "[1.5, 2.5]"),
    "array of one dimension": (np.array([1, 2]), "1"),
    "frame with params": ((pd.DataFrame({"a": [1.5]}), {"k": 3, "s": ["x"]}), "{'a': 1.5}"),
    "text with params": (("hello", {"k": 3}), "{0: 'hello'}"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_input_example_of_any_form_is_served(tmp_path, name):
    """Its first row is answered by /predict, and the body that MLflow stored for it by /invocations, as by MLflow."""
    example, expected = EXAMPLES[name]

    async def run():
        async with served(logged.save(tmp_path / "model", logged.Seen(), example), tmp_path) as post:
            assert (await post("/predict", {"inputs": [post.first]}))[1]["predictions"] == [expected]
            stored = json.loads((post.wrapper.folder / "serving_input_example.json").read_text())
            return await post("/invocations", stored)

    status, answer = asyncio.run(run())
    assert status == 200, answer
    assert (answer if name == "messages" else answer["predictions"])[0] == expected


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (logged.Echo(), {"messages": [HELLO], "temperature": 0.5}, "HELLO 0.5 None"),
        (logged.EchoAgent(), {"messages": [HELLO], "custom_inputs": {"k": 1}}, "HELLO {'k': 1}"),
        (logged.EchoResponses(), {"input": [HELLO]}, "HELLO"),
    ],
    ids=["ChatModel", "ChatAgent", "ResponsesAgent"],
)
def test_conversational_models_are_served(tmp_path, model, body, said):
    """The request itself as the body, as a row, and as two rows; /invocations gives the answer as MLflow does."""

    async def run():
        async with served(logged.save(tmp_path / "model", model), tmp_path) as post:
            status, answer = await post("/invocations", body)
            assert status == 200 and said in json.dumps(answer) and "predictions" not in answer, answer
            status, answer = await post("/predict", body)
            assert status == 200 and said in json.dumps(answer["predictions"]), answer
            status, answer = await post("/predict", {"inputs": [body, body]})
            assert status == 200 and len(answer["predictions"]) == 2, answer
            status, answer = await post("/invocations", {"inputs": body})
            assert status == 200 and said in json.dumps(answer["predictions"]), answer
            status, answer = await post("/v1/chat/completions", {"messages": [HELLO]})
            assert status == 200 and "HELLO" in answer["choices"][0]["message"]["content"], answer

    asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "row"),
    [
        (logged.Streams(), {"messages": [HELLO]}),
        (logged.StreamsAgent(), {"messages": [HELLO]}),
        (logged.StreamsResponses(), {"input": [HELLO]}),
        (logged.Echo(), {"messages": [HELLO]}),
    ],
    ids=["ChatModel", "ChatAgent", "ResponsesAgent", "without a stream"],
)
def test_conversational_models_stream(tmp_path, model, row):
    """Piece by piece, then the answer of `predict`; a model without a stream gives the answer alone."""

    async def run():
        async with served(logged.save(tmp_path / "model", model), tmp_path) as post:
            answer = await Caller(post.app, "/predict", row, accept="text/event-stream")()
            kinds = [
                line.removeprefix("event: ")
                for line in answer.body.decode().splitlines()
                if "event: " in line
            ]
            pieces = [] if type(model) is logged.Echo else ["token", "token"]
            assert (answer.status, kinds) == (200, [*pieces, "prediction"]), answer.body
            whole = answer.body.decode().rpartition("data: ")[2]
            assert "HELLO" in whole
            body = {"messages": [HELLO], "stream": True}
            chat = (await Caller(post.app, "/v1/chat/completions", body)()).body.decode()
            said = [json.loads(line[6:]) for line in chat.splitlines() if line.startswith("data: {")]
            text = "".join(
                part["choices"][0]["delta"].get("content") or "" for part in said if part["choices"]
            )
            assert "HELLO" in text, chat

    asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "example", "rows", "expected"),
    [
        (logged.Texts(), ["a"], ["b", "한글"], ["B", "한글"]),
        (logged.Doubled(), [1], [2, 3.0], [4, 6]),
        (
            logged.Days(),
            [datetime(2020, 1, 1)],
            ["2021-01-01", "2021-01-01T05:00:00Z"],
            ["2021-01-01 00:00:00", "2021-01-01 05:00:00+00:00"],
        ),
        (logged.Maps(), [{"a": 1.5}], [{"a": 1, "b": 2.5}, {}], [3.5, 0.0]),
        (
            logged.Orders(),
            [{"amount": 1.5}],
            [{"amount": 2, "tags": ["x"]}, {"amount": 3, "note": "n"}],
            ["2.0 ['x'] None", "3.0 [] n"],
        ),
    ],
    ids=["list[str]", "list[int]", "list[datetime]", "list[dict[str, float]]", "list[pydantic]"],
)
def test_functions_with_type_hints_are_served(tmp_path, model, example, rows, expected):
    """Items as the hint says, on every route; an item that does not fit is the caller's fault."""

    async def run():
        async with served(logged.save(tmp_path / "model", model, example), tmp_path) as post:
            for path, body in (("/predict", {"inputs": rows}), ("/invocations", {"inputs": rows})):
                status, answer = await post(path, body)
                assert status == 200 and answer["predictions"] == expected, answer
            one = {"tags": ["x"], "amount": 1} if isinstance(model, logged.Orders) else rows[0]
            assert (await post("/invocations", {"inputs": one}))[0] == 200
            status, answer = await post("/invocations", {"inputs": [["no item"]]})
            assert status == 422 and answer["code"] == "invalid_input", answer

    asyncio.run(run())


OPTIONAL = Schema(
    [ColSpec("double", "a")]
    + [
        ColSpec(kind, kind[0], required=False)
        for kind in ("long", "integer", "boolean", "string", "datetime")
    ]
)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"a": 1.0}, "{'a': 1.0}"),
        ({"a": 1.0, "l": None, "i": None, "b": None}, "{'a': 1.0}"),
        ({"a": 1.0, "l": 2, "i": 3.0, "b": True}, "{'a': 1.0, 'l': 2, 'i': 3, 'b': True}"),
        ({"a": 1.0, "s": None}, "{'a': 1.0, 's': None}"),
        ({"a": 1.0, "s": "x", "d": "2021-01-01"}, "{'a': 1.0, 's': 'x', 'd': '2021-01-01 00:00:00'}"),
        ({"a": 1.0, "d": None}, "{'a': 1.0, 'd': NaT}"),
    ],
)
def test_optional_columns_may_be_absent_or_null(tmp_path, row, expected):
    """The model sees the row as MLflow shows it one that came alone, whatever the other rows have."""
    full = {"a": 0.0, "l": 1, "i": 1, "b": False, "s": "s", "d": "2020-02-02T10:00:00"}

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Seen(), signature=ModelSignature(OPTIONAL)), tmp_path
        ) as post:
            assert (await post("/predict", {"inputs": row}))[1]["predictions"] == expected
            for body in (
                {"inputs": [full, row]},
                {"dataframe_records": [full, row]},
                {"instances": [full, row]},
            ):
                status, answer = await post("/invocations", body)
                assert status == 200 and answer["predictions"][1] == expected, answer
            assert (await post("/invocations", {"inputs": row}))[1]["predictions"] == [expected]

    asyncio.run(run())


COLUMNS = """
import mlflow
class Columns(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [" ".join(model_input)] * len(model_input)
mlflow.models.set_model(Columns())
"""


def test_a_model_from_a_file_of_code_sees_which_columns_are_absent(tmp_path):
    """As one that was pickled does, and as MLflow shows them."""
    (tmp_path / "columns.py").write_text(COLUMNS)
    folder = logged.save(tmp_path / "model", str(tmp_path / "columns.py"), signature=ModelSignature(OPTIONAL))
    model, mlflows = wrappers.load(str(folder)), mlflow.pyfunc.load_model(str(folder))
    for row, seen in (({"a": 1.0}, "a"), ({"a": 1.0, "l": None, "d": None}, "a d")):
        assert model.predict([row]) == [seen]
    assert mlflows.predict(pd.DataFrame({"a": [1.0]})) == ["a"]


def test_a_date_without_a_time_is_its_midnight(tmp_path):
    """In every form of time that ISO 8601 has; what is no time is named with its row and column."""
    signature = ModelSignature(Schema([ColSpec("datetime", "when")]))
    whens = {
        "2021-01-01": "2021-01-01 00:00:00",
        "20210101": "2021-01-01 00:00:00",
        "2021-01-01T08:30": "2021-01-01 08:30:00",
        "2021-01-01 08:30:01.5": "2021-01-01 08:30:01.500000",
        "2021-01-01T09:00:00+09:00": "2021-01-01 00:00:00",
        "2021-01-01T00:00:00Z": "2021-01-01 00:00:00",
    }

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Seen(), signature=signature), tmp_path
        ) as post:
            status, answer = await post(
                "/invocations", {"dataframe_records": [{"when": when} for when in whens]}
            )
            assert status == 200, answer
            assert answer["predictions"] == [str({"when": when}) for when in whens.values()]
            csv = b"when\n2021-01-01\n"
            assert (await post("/invocations", csv, content_type="text/csv"))[0] == 200
            for bad in ("tomorrow", "2021-13-01", "0001-01-01", "", "1"):
                status, answer = await post(
                    "/invocations", {"instances": [{"when": "2021-01-01"}, {"when": bad}]}
                )
                assert status == 422 and "Row 1: column 'when'" in answer["detail"], (bad, answer)

    asyncio.run(run())


PARAMS = ParamSchema(
    [ParamSpec("k", "long", 3), ParamSpec("t", "double", 0.5), ParamSpec("stop", "string", ["."], (-1,))]
)


def test_params_of_the_signature_are_used(tmp_path):
    """With defaults for the rest; those of one request are not those of another that comes at the same moment."""
    signature = ModelSignature(Schema([ColSpec("string", "q")]), params=PARAMS)

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Params(), signature=signature), tmp_path
        ) as post:
            bodies = [
                {"inputs": [{"q": "a"}, {"q": "b"}], "params": {"k": number, "stop": ["x"]}}
                for number in range(8)
            ]
            answers = await asyncio.gather(
                *(post("/invocations", body) for body in bodies),
                post("/invocations", {"inputs": [{"q": "c"}]}),
            )
            for number, (status, answer) in enumerate(answers[:-1]):
                said = f"{{'k': {number}, 'stop': ['x'], 't': 0.5}}"
                assert status == 200, answer
                assert [eval_sorted(text) for text in answer["predictions"]] == [("a", said), ("b", said)]
            assert eval_sorted(answers[-1][1]["predictions"][0]) == ("c", "{'k': 3, 'stop': ['.'], 't': 0.5}")
            for wrong in ({"k": "three"}, {"t": [1.0]}, {"stop": "x"}, [1], "k"):
                status, answer = await post("/invocations", {"inputs": [{"q": "a"}], "params": wrong})
                assert status == 422 and "'params'" in answer["detail"], (wrong, answer)
            body = {"inputs": [{"q": "a"}], "params": {"top": 1, "k": 4}}
            caller = await Caller(post.app, "/invocations", body)()
            assert caller.status == 200 and "'k': 4" in caller.json["predictions"][0]
            assert caller.headers["mlops-ignored-params"] == "top"

    asyncio.run(run())


def test_params_reach_the_model_from_tensors_too(tmp_path):
    """As parameters of a request of the Open Inference Protocol; one that the signature lacks is refused."""
    signature = ModelSignature(Schema([ColSpec("string", "q")]), params=PARAMS)
    tensor = {"name": "q", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Params(), signature=signature), tmp_path
        ) as post:
            path = "/v2/models/toy/infer"
            status, answer = await post(path, {"inputs": [tensor], "parameters": {"k": 4}})
            assert status == 200, answer
            said = "{'k': 4, 'stop': ['.'], 't': 0.5}"
            assert list(map(eval_sorted, answer["outputs"][0]["data"])) == [("a", said), ("b", said)]
            status, answer = await post(path, {"inputs": [tensor], "parameters": {"top": 4}})
            assert status == 422 and "'top'" in answer["detail"]

    asyncio.run(run())


def test_a_challenger_gets_the_params_of_a_mirrored_request(tmp_path):
    """Its recorded predictions are made with the same params as the champion's."""
    signature = ModelSignature(Schema([ColSpec("string", "q")]), params=PARAMS)
    recorded = []

    async def run():
        async with served(
            logged.save(tmp_path / "model", logged.Params(), signature=signature), tmp_path
        ) as post:
            service = post.app.state.service
            service.models.served["challenger"] = service.models.served["champion"]
            service.predictor.mirror._record = lambda *about, role: recorded.append((role, about[3]))
            status, answer = await post("/invocations", {"inputs": [{"q": "a"}], "params": {"k": 4}})
            assert status == 200
            await until_async(lambda: recorded, "the request is mirrored")
            assert recorded == [("mirror", answer["predictions"])]

    asyncio.run(run())


def eval_sorted(text):
    """The row and the params of an answer of `logged.Params`, the params in the order of their names."""
    row, _, params = text.partition(" ")
    return row, str(dict(sorted(json.loads(params.replace("'", '"')).items())))


@pytest.mark.parametrize(
    ("model", "column"),
    [(logged.Echo(), "messages"), (logged.EchoAgent(), "messages")],
    ids=["ChatModel", "ChatAgent"],
)
def test_tensors_carry_no_objects(tmp_path, model, column):
    """A conversational model names the column and its own routes, whichever tensor comes."""
    tensor = {"name": column, "shape": [1], "datatype": "BYTES", "data": ["hello"]}
    folder = logged.save(tmp_path / "model", model)
    status, problem = ask(folder, tmp_path, "/v2/models/toy/infer", {"inputs": [tensor]})
    assert status == 422 and f"{column!r} of this model holds objects" in problem["detail"], problem
    assert "/v1/chat/completions" in problem["detail"]


@pytest.mark.parametrize("names", [["q"], ["q.r`s"]])
def test_params_go_to_the_routes_that_take_them(tmp_path, names):
    """Elsewhere an error names the key, those routes, and the model's params."""
    signature = infer_signature(pd.DataFrame({name: ["a"] for name in names}), params={"k": 1})
    row = dict.fromkeys(names, "a")

    async def run():
        model = logged.save(tmp_path / "model", logged.Params(), signature=signature)
        async with served(model, tmp_path) as post:
            for path in ("/predict", "/invoke"):
                status, problem = await post(path, {"inputs": [row], "params": {"k": 4}})
                assert status == 422 and problem["detail"].startswith("'params' is no key"), problem
                assert "/invocations" in problem["detail"] and "params: k." in problem["detail"]

    asyncio.run(run())


def test_several_answers_for_a_row_go_to_invocations_alone(tmp_path):
    """The model's own answer there; elsewhere an error that names the route. Also with an example that shows it."""
    frame = pd.DataFrame({"user": ["u"]})
    for example in (None, frame):
        folder = tmp_path / str(example is None)
        folder.mkdir()

        async def run(folder=folder, example=example):
            async with served(
                logged.save(folder / "model", logged.Top(), example, infer_signature(frame)), folder
            ) as post:
                several = [post("/invocations", {"inputs": {"user": [f"u{n}"]}}) for n in range(5)]
                for number, (status, answer) in enumerate(await asyncio.gather(*several)):
                    expected = [f"u{number}-{rank}" for rank in range(3)]
                    assert status == 200 and answer["predictions"] == expected, answer
                status, answer = await post("/predict", {"inputs": [{"user": "u"}]})
                assert status == 500 and answer["code"] == "wrong_prediction_count"
                assert "/invocations" in answer["detail"]

        asyncio.run(run())


@pytest.mark.parametrize(
    "name",
    [
        "a b", "한국어", "a%20b", "50%", "a.b", "a/b", 'say "hi"', "back\\slash", "a\nb", "tab\t", "'", "`", "{}", "$", "é",
        "c0", "type", "class", "inputs", "instances", "a:b", "a,b", "[0]", "😀", " ", "self", "__class__",
    ],
)  # fmt: skip
def test_a_column_may_have_any_name(tmp_path, name):
    """On /predict and in each format of /invocations; a missing column is named."""
    row, frame = {name: 1.5, "b": 2.0}, pd.DataFrame({name: [1.5], "b": [2.0]})

    async def run():
        async with served(logged.save(tmp_path / "model", logged.Seen(), frame), tmp_path) as post:
            for path, body in (
                ("/predict", {"inputs": [row]}),
                ("/invocations", {"dataframe_split": frame.to_dict(orient="split")}),
                ("/invocations", {"dataframe_records": [row]}),
                ("/invocations", {"instances": [row]}),
                ("/invocations", {"inputs": {name: [1.5], "b": [2.0]}}),
            ):
                status, answer = await post(path, body)
                assert status == 200 and answer["predictions"] == [str(row)], answer
            status, answer = await post("/invocations", {"instances": [{"b": 1.0}]})
            assert status == 422 and repr(name) in answer["detail"], answer

    asyncio.run(run())
