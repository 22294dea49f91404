"""One value of a graph's answer on every route, whatever type it has in the graph."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.models import Model

from mlops_lib.wrappers.text.package import text_signature
from mlops_lib.wrappers.text.pyfunc import PackagedModel
from tests.support.graph_fixtures import HEAD, Opened
from tests.support.toy_service import Caller, toy_service

TYPES = """
import datetime, decimal, enum, uuid
from dataclasses import dataclass
from typing import Any, NamedTuple
import numpy as np
from pydantic import BaseModel
class Place(BaseModel):
    city: str
    since: datetime.date
    mayor: str | None = None
@dataclass
class Pair:
    left: Place
    right: tuple
class Kind(enum.Enum):
    GOOD = "good"
class Point(NamedTuple):
    x: int
    y: float
class State(TypedDict):
    question: str
    answer: Any
    more: Any
seoul = Place(city="서울", since=datetime.date(1394, 10, 28))
graph = one_node(State, lambda state: {"answer": VALUE, "more": [1, None]})
"""
SEOUL = {"city": "서울", "since": "1394-10-28", "mayor": None}
#: An expression in the graph, and the value that every caller sees.
VALUES: dict[str, Any] = {
    "seoul": SEOUL,
    "Pair(seoul, (1, None))": {"left": SEOUL, "right": [1, None]},
    "{'a': None, 'b': [True, 1.5], 3: {'c': seoul}}": {"a": None, "b": [True, 1.5], "3": {"c": SEOUL}},
    "[seoul, 'x', None]": [SEOUL, "x", None],
    "None": None,
    "True": True,
    "3": 3,
    "'text'": "text",
    "''": "",
    "[]": [],
    "{}": {},
    "{'choices': [{'message': {'content': 'no chat'}}]}": {"choices": [{"message": {"content": "no chat"}}]},
    "{'messages': [{'content': 'no chat'}]}": {"messages": [{"content": "no chat"}]},
    "AIMessage([{'type': 'reasoning', 'text': 'hm'}, {'type': 'text', 'text': 'hi'}])": "hi",
    "{'said': AIMessage('hi')}": {"said": "hi"},
    "Kind.GOOD": "good",
    "Point(1, float('nan'))": {"x": 1, "y": None},
    "np.array([[1, 2]])": [[1, 2]],
    "{np.float32(0.5)}": [0.5],
    "[uuid.UUID(int=1), decimal.Decimal('1.5'), b'a']": ["00000000-0000-0000-0000-000000000001", 1.5, "YQ=="],
}


def events(body: bytes) -> list[Any]:
    """The data of server-sent events."""
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("code", VALUES)
def test_an_answer_has_one_value_on_every_route(opened: Opened, tmp_path: Path, code: str) -> None:
    """Python, rows, MLflow's route, events and tensors have the value; a chat has the text, or the value as JSON text."""
    value = VALUES[code]
    model = opened({"my_agent.py": HEAD + TYPES.replace("VALUE", code)}, output="answer")
    model.info = Model(signature=text_signature(["question"], {}))
    packaged = PackagedModel()
    packaged.wrapper = model
    assert packaged.predict(None, [{"question": "hi"}]) == [value]
    row, chat = {"question": "hi"}, [{"role": "user", "content": "hi"}]
    tensor = {"name": "question", "shape": [1], "datatype": "BYTES", "data": ["hi"]}
    stream = {"accept": "text/event-stream"}

    async def run() -> None:
        async with toy_service(tmp_path, model) as app:
            for path in ("/invoke", "/predict"):
                assert (await Caller(app, path, {"inputs": row})()).json["predictions"] == value
                assert (await Caller(app, path, {"inputs": [row]})()).json["predictions"] == [value]
            found = (await Caller(app, "/invocations", {"dataframe_records": [row]})()).json
            assert found["predictions"] == [value]
            *_, last = events((await Caller(app, "/invoke", {"inputs": row}, **stream)()).body)
            assert last["predictions"] == value
            asked = {"model": "toy", "messages": chat}
            answer = (await Caller(app, "/v1/chat/completions", asked)()).json["choices"][0]["message"][
                "content"
            ]
            assert answer == value if isinstance(value, str) else json.loads(answer) == value
            parts = events((await Caller(app, "/v1/chat/completions", asked | {"stream": True})()).body)
            deltas = [part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"]]
            assert "".join(deltas) == answer
            sent = (await Caller(app, "/v2/models/toy/infer", {"inputs": [tensor]})()).json["outputs"][0]
            (found,) = np.reshape(np.array(sent["data"], dtype=object), sent["shape"]).tolist()
            assert found == value or json.loads(found) == value

    asyncio.run(run())


MAP_REDUCE = """
from langchain_core.language_models import FakeListChatModel
model = FakeListChatModel(responses=["서울 시 "])
class State(TypedDict):
    question: str
    answer: str
async def summarise(state):
    found = str((await model.ainvoke("Summarise")).text)
    return {"answer": RESULT}
graph = one_node(State, summarise)
"""


@pytest.mark.parametrize(
    ("result", "streamed"),
    [
        ("found", "서울 시 "), ("found.strip()", "서울 시 "), ("found.replace(' ', '\\n\\n')", "서울 시 "), ("'요약: ' + found", "서울 시 \n\n요약: 서울 시 "),
        ("found + '(끝)'", "서울 시 (끝)"), ("'\\n서울\\n\\n시\\n- 끝'", "서울 시 \n- 끝"), ("'서울'", "서울 시 \n\n서울"), ("'부산'", "서울 시 \n\n부산"), ("''", "서울 시 "), ("{'city': found}", '서울 시 \n\n{"city": "서울 시 "}'),
    ],
)  # fmt: skip
def test_a_streamed_chat_ends_with_the_answer(
    opened: Opened, tmp_path: Path, result: str, streamed: str
) -> None:
    """The rest of an answer that begins with the streamed text, but for white space, follows it. Any other comes too, as a
    paragraph of its own."""
    model = opened({"my_agent.py": HEAD + MAP_REDUCE.replace("RESULT", result)}, output="answer")
    asked = {"model": "toy", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    async def run() -> str:
        async with toy_service(tmp_path, model) as app:
            parts = events((await Caller(app, "/v1/chat/completions", asked)()).body)
        return "".join(part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"])

    assert asyncio.run(run()) == streamed


def test_several_outputs_are_one_object(opened: Opened) -> None:
    """A list of state keys."""
    model = opened({"my_agent.py": HEAD + TYPES.replace("VALUE", "seoul")}, output=["answer", "more"])
    assert model.predict("hi") == {"answer": SEOUL, "more": [1, None]}
