"""Conversations of a graph: several interrupts at once, answers of any JSON, turns that break off, several processes."""

import asyncio
import json
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_lib.errors import InputError, ModelError, ThreadError
from mlops_lib.settings import LlmSettings
from mlops_lib.wrappers.graph.locks import ThreadLocks
from mlops_lib.wrappers.graph.modules import PREFIX
from mlops_lib.wrappers.langgraph import LangGraphWrapper
from tests.support.waiting import until_async

HEAD = """
import operator, pathlib
from typing import Annotated, Any, TypedDict
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt
from tests.support.scripted_model import StreamedModel

class State(TypedDict, total=False):
    question: str
    messages: Annotated[list[Any], add_messages]
    said: Annotated[list[Any], operator.add]
    answer: Any

def graph(state=State, parallel=False, **nodes):
    made, before = StateGraph(state), START
    for name, node in nodes.items():
        made.add_node(name, node)
        made.add_edge(before, name)
        before = before if parallel else name
    return made
"""
#: Seven interrupts: of two nodes, of an inner graph as a node, of one called in a node, and two in turn in one node.
MANY = (
    HEAD
    + """
def asks(name):
    return lambda state: {"said": [[name, interrupt({"ask": name})]]}

inner = graph(parallel=True, c=asks("c"), d=asks("d")).compile()

async def calls(state):
    return {"said": [["called", (await inner.ainvoke({"said": []}))["said"]]]}

def in_turn(state):
    return {"said": [["turn", [interrupt({"ask": "first"}), interrupt({"ask": "second"})]]]}

def build(package):
    return graph(parallel=True, a=asks("a"), b=asks("b"), inner=inner, calls=calls, turn=in_turn)
"""
)
ONE = (
    HEAD
    + """
def build(package):
    return graph(ask=lambda state: {"said": [interrupt("Which?")]})
"""
)

Make = Callable[..., LangGraphWrapper]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the wrapper of a graph's code. With `kept`, conversations are in a file that all of a test's wrappers share."""

    def made(code: str, kept: bool = True, entry: str = "", **config: Any) -> LangGraphWrapper:
        folder = tmp_path / "package"
        (folder / "code").mkdir(parents=True, exist_ok=True)
        if entry:
            (folder / "code" / f"{entry.partition(':')[0]}.py").write_text(code)
            config["implementation"] = entry
        else:
            (folder / "langgraph.py").write_text(code)
        (folder / "prompts.yaml").write_text("{}")
        (folder / "config.json").write_text(json.dumps({"threads": True, "output": "said"} | config))
        model = LangGraphWrapper()
        model.ready(folder, LlmSettings())
        if kept:
            model._threads.store_in(tmp_path / "threads.db")
        return model

    return made


def ids(answer: Any) -> set[str]:
    """Ids of the open interrupts in an answer."""
    return {one["id"] for one in answer["interrupts"]}


def refused(model: LangGraphWrapper, **row: Any) -> tuple[str, str]:
    """Code and text of the error for a row."""
    with pytest.raises(ThreadError) as caught:
        model.predict(row)
    return caught.value.code, str(caught.value)


def test_interrupts_are_answered_one_at_a_time(make: Make) -> None:
    """All that are open are shown with their ids, and each takes any JSON; answered ones are not asked again."""
    model = make(MANY)
    answer = model.predict({"question": "go", "thread_id": "t"})
    assert len(ids(answer)) == 7
    values = [None, False, 0, "", {}, [], {"deep": [1, None, {"x": True}]}, "text"]
    for number, value in enumerate(values):
        one = answer["interrupts"][0]["id"]
        answer = model.predict({"thread_id": "t", "resume": {one: value}})
        if number < len(values) - 1:
            assert one not in ids(answer)
    done = dict(answer)
    found = [
        done["a"],
        done["b"],
        done["c"],
        done["d"],
        *(value for _, value in done["called"]),
        *done["turn"],
    ]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, values))


def test_all_interrupts_are_answered_together(make: Make) -> None:
    """One row answers several by id; the next interrupt of the same node is then open alone, and takes a plain value."""
    model = make(MANY)
    answer = model.predict({"question": "go", "thread_id": "t"})
    resume = {one["id"]: number for number, one in enumerate(answer["interrupts"])}
    answer = model.predict({"thread_id": "t", "resume": resume})
    assert answer["interrupt"] == {"ask": "second"} and len(answer["interrupts"]) == 1
    done = dict(model.predict({"thread_id": "t", "resume": "last"}))
    assert done["turn"][1] == "last" and sorted(done) == ["a", "b", "c", "called", "d", "turn"]
    numbers = [done["a"], done["b"], done["c"], done["d"], done["turn"][0], *(n for _, n in done["called"])]
    assert sorted(numbers) == list(range(7))


@pytest.mark.parametrize(
    "value", [None, False, True, 0, 1.5, "", "yes", {}, {"ok": True}, {"0" * 31: 1}, [], [1, {"a": None}]], ids=repr
)  # fmt: skip
def test_one_interrupt_takes_any_json(make: Make, value: Any) -> None:
    """Without its id, as it is."""
    model = make(ONE, kept=False)
    assert model.predict({"question": "go", "thread_id": "t"})["interrupt"] == "Which?"
    assert model.predict({"thread_id": "t", "resume": value}) == [value]


def test_an_answer_to_nothing_is_refused(make: Make) -> None:
    """Each reason has a code; those about ids name the open ones. The conversation then goes on."""
    model, wrong = make(MANY), "0" * 32
    assert refused(model, thread_id="t", resume="x")[0] == "unknown_thread"
    assert refused(model, thread_id="t")[0] == "unknown_thread"
    answer = model.predict({"question": "go", "thread_id": "t"})
    opened = list(ids(answer))
    for resume, code in (
        ("x", "several_interrupts"),
        (None, "several_interrupts"),
        ({}, "several_interrupts"),
        ({wrong: 1}, "unknown_interrupt"),
        ({opened[0]: 1, "typo": 1}, "unknown_interrupt"),
    ):
        found, text = refused(model, thread_id="t", resume=resume)
        assert found == code and all(one in text for one in opened), text
    last = model.predict({"thread_id": "t", "resume": dict.fromkeys(opened, 1)})
    model.predict({"thread_id": "t", "resume": 2})
    assert refused(model, thread_id="t", resume=3)[0] == "nothing_open"
    assert refused(model, thread_id="t", resume={last["interrupts"][0]["id"]: 3})[0] == "nothing_open"
    assert refused(model, thread_id="t")[0] == "nothing_open"


def test_a_thread_alone_shows_its_open_interrupts(make: Make) -> None:
    """A caller who lost the answer gets the interrupts again, also as events, and no node runs."""
    model = make(MANY)
    first = model.predict({"question": "go", "thread_id": "t"})
    again = model.predict({"thread_id": "t"})
    assert ids(again) == ids(first)

    async def events() -> list[Any]:
        return [event async for event in model.astream({"thread_id": "t"})]

    assert [(kind, ids(data)) for kind, data, _ in asyncio.run(events())] == [("interrupt", ids(first))]


def test_an_answer_that_does_not_fit_its_schema_is_refused(make: Make) -> None:
    """The interrupt shows its schema; a wrong answer is the caller's error, and the interrupt stays open."""
    code = ONE.replace('interrupt("Which?")', 'interrupt("Which?", response_schema=Choice).number')
    model = make(code.replace("def build", "from pydantic import BaseModel\nclass Choice(BaseModel):\n    number: int\n\ndef build"))  # fmt: skip
    answer = model.predict({"question": "go", "thread_id": "t"})
    assert answer["interrupts"][0]["schema"]["properties"]["number"]["type"] == "integer"
    assert refused(model, thread_id="t", resume={"number": "many"})[0] == "invalid_resume"
    assert model.predict({"thread_id": "t", "resume": {"number": 3}}) == [3]


def test_an_answer_that_cannot_be_kept_is_refused(make: Make) -> None:
    """A number of more than 64 bits, and lists that are hundreds deep: the interrupt stays open."""
    model, deep = make(ONE), []
    for _ in range(400):
        deep = [deep]
    model.predict({"question": "go", "thread_id": "t"})
    for value in (2**64, deep):
        assert refused(model, thread_id="t", resume={"a": value})[0] == "invalid_resume"
    assert model.predict({"thread_id": "t", "resume": 2**63}) == [2**63]


FAILS = (
    HEAD
    + """
def first(state):
    return {"said": ["first"]}

def second(state):
    file = pathlib.Path(STOP)
    if file.exists():
        wait(file)
    return {"said": [state["question"]]}

def build(package):
    return graph(first=first, second=second)
"""
)
RAISES = "\ndef wait(file):\n    raise ValueError('down')\n"
WAITS = """
import time
def wait(file):
    file.with_name("waiting").touch()
    while file.exists():
        time.sleep(0.01)
"""


def test_a_turn_that_failed_goes_on_or_is_left(make: Make, tmp_path: Path) -> None:
    """The thread alone runs the failed node again and no earlier one; a new question begins a new turn."""
    stop = tmp_path / "stop"
    model = make(FAILS + RAISES + f"STOP = {str(stop)!r}\n")
    for thread in "st":
        stop.touch()
        with pytest.raises(ModelError, match="down"):
            model.predict({"question": "one", "thread_id": thread})
        assert "thread_id" in refused(model, thread_id=thread, resume="x")[1]
        stop.unlink()
        if thread == "s":
            assert model.predict({"thread_id": thread}) == ["first", "one"]
        else:
            assert model.predict({"question": "two", "thread_id": thread}) == ["first", "first", "two"]
        assert model.predict({"question": "three", "thread_id": thread})[-1] == "three"


def test_a_cancelled_turn_goes_on(make: Make, tmp_path: Path) -> None:
    """After a caller hung up in the middle of a node."""
    stop = tmp_path / "stop"
    stop.touch()
    code = WAITS.replace("def wait", "import asyncio\nasync def wait").replace(
        "time.sleep", "await asyncio.sleep"
    )
    model = make((FAILS + code).replace("def second", "async def second").replace("        wait(", "        await wait(")
                 + f"STOP = {str(stop)!r}\n")  # fmt: skip

    async def hang_up() -> Any:
        turn = asyncio.create_task(model.apredict({"question": "one", "thread_id": "t"}))
        await until_async((tmp_path / "waiting").exists, "the node runs")
        turn.cancel()
        await asyncio.wait([turn])
        stop.unlink()
        return await model.apredict({"thread_id": "t"})

    assert asyncio.run(hang_up()) == ["first", "one"]


def _dies(folder: Path) -> None:
    model = LangGraphWrapper()
    model.ready(folder / "package", LlmSettings())
    model._threads.store_in(folder / "threads.db")
    model.predict({"question": "one", "thread_id": "t"})


@pytest.mark.slow
def test_a_thread_outlives_a_killed_process(make: Make, tmp_path: Path) -> None:
    """A process that holds a thread is killed in a node: its lock is free, and another process goes on with the turn."""
    stop = tmp_path / "stop"
    stop.touch()
    code = FAILS + WAITS + f"STOP = {str(stop)!r}\n"
    model = make(code)
    process = multiprocessing.get_context("spawn").Process(target=_dies, args=(tmp_path,))
    process.start()
    try:

        async def goes_on() -> Any:
            while not (tmp_path / "waiting").exists():
                assert process.is_alive()
                await asyncio.sleep(0.01)
            locks = ThreadLocks(tmp_path / "threads.lock")
            with (
                locks.hold_now("t") as held,
                locks.hold_now("another") as other,
                ThreadLocks(tmp_path / "threads.lock").hold_now("another") as twice,
            ):
                assert (held, other, twice) == (False, True, False), "also in one process a lock is held once"
            waits = asyncio.create_task(model.apredict({"thread_id": "t"}))
            await asyncio.sleep(0.1)
            assert not waits.done()
            process.kill()
            stop.unlink()
            return await waits

        assert asyncio.run(goes_on()) == ["first", "one"]
    finally:
        process.kill()
        process.join()


def test_a_thread_goes_on_in_a_new_version_of_the_graph(make: Make) -> None:
    """Nodes and state keys are renamed while an interrupt is open: it is gone, and the next question is answered."""
    make(ONE).predict({"question": "go", "thread_id": "t"})
    new = ONE.replace("graph(ask=", "graph(check=").replace(
        "    answer: Any\n", "    answer: Any\n    more: list\n"
    )
    model = make(new.replace('interrupt("Which?")', 'state["question"]'))
    assert refused(model, thread_id="t", resume="x")[0] == "nothing_open"
    assert model.predict({"question": "next", "thread_id": "t"})[-1] == "next"


CLASSES = (
    HEAD
    + """
from dataclasses import dataclass
from enum import Enum
from pydantic import BaseModel

class Colour(Enum):
    RED = "red"

@dataclass
class Point:
    x: int

class Order(BaseModel):
    item: str

def keeps(state):
    kinds = [type(value).__name__ for value in state.get("said", [])]
    return {"said": [Colour.RED, Point(1), Order(item="x")], "answer": kinds}

def build(package=None):
    return graph(keeps=keeps)

built = build()
"""
)


@pytest.mark.parametrize("entry", ["", "my_own_graph:built"])
@pytest.mark.parametrize("kept", [True, False])
def test_objects_of_the_graphs_own_classes_stay_objects(
    make: Make, entry: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the next turn, and in the next version of the file, whose module has another name."""
    row, kinds = {"question": "go", "thread_id": "t"}, ["Colour", "Point", "Order"]
    model = make(CLASSES, kept, entry, output="answer")
    assert model.predict(row) == [] and model.predict(row) == kinds
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        monkeypatch.delitem(sys.modules, name)
    if kept:
        assert make(f"{CLASSES}# version 2\n", kept, entry, output="answer").predict(row) == kinds * 2
    assert not any(name.startswith("my_own_graph") for name in sys.modules)


TOOLS = (
    HEAD
    + '''
@tool
def delete(name: str) -> str:
    """Delete a file."""
    return f"deleted: {interrupt(f'Delete {name}?')}"

def ask(state):
    return {"messages": [HumanMessage(state["question"])]}

def model(state):
    messages = state["messages"]
    seen = [(m.type, m.text if m.type != "ai" else [c["id"] for c in m.tool_calls]) for m in messages]
    made = StreamedModel(text="done", tool="delete" if "delete" in messages[-1].text else "", arguments={"name": "x"})
    return {"messages": [made.invoke(messages)], "answer": seen}

def build(package):
    made = StateGraph(State, input_schema=INPUT)
    for name, node in (("ask", ask), ("model", model), ("tools", ToolNode([delete]))):
        made.add_node(name, node)
    made.add_edge(START, "ask")
    made.add_edge("ask", "model")
    made.add_conditional_edges("model", lambda state: bool(state["messages"][-1].tool_calls), {True: "tools", False: "__end__"})
    made.add_edge("tools", "model")
    return made
'''
)


@pytest.mark.parametrize("input_schema", ["State", 'TypedDict("Input", {"question": str})'])
def test_a_question_gives_up_open_tool_calls(make: Make, input_schema: str) -> None:
    """A tool call that waits for a person gets a result when another question comes: vendors refuse a call without one."""
    model = make(TOOLS + f"\nINPUT = {input_schema}\n", output="answer")
    answer = model.predict({"question": "delete it", "thread_id": "t"})
    assert answer["interrupt"] == "Delete x?"
    seen = model.predict({"question": "no, stop", "thread_id": "t"})
    assert [kind for kind, _ in seen] == ["human", "ai", "tool", "human"]
    assert "Cancelled" in seen[2][1] and seen[1][1] == ["c1"] and seen[3][1] == "no, stop"
    assert model.predict({"question": "again", "thread_id": "t"})[-1] == ["human", "again"]


def test_a_new_version_without_the_tool_gives_up_its_call(make: Make) -> None:
    """The node that would have made the call is gone, so that no turn is open; the call gets a result all the same."""
    make(TOOLS + "\nINPUT = State\n", output="answer").predict({"question": "delete it", "thread_id": "t"})
    new = (TOOLS + "\nINPUT = State\n").replace(
        ', ("tools", ToolNode([delete]))', ', ("other", ToolNode([delete]))').replace('"tools", False', '"other", False').replace(
        'add_edge("tools"', 'add_edge("other"')  # fmt: skip
    seen = make(new, output="answer").predict({"question": "no", "thread_id": "t"})
    assert [kind for kind, _ in seen] == ["human", "ai", "tool", "human"] and "Cancelled" in seen[2][1]


CALLS = (
    HEAD
    + """
from langgraph.graph import MessagesState

def model(state):
    if state["messages"][-1].type == "human":
        return {"messages": [AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": i} for i in ("c1", "c2")])]}
    return {"messages": [AIMessage(" ".join(f"{m.type}:{m.text}" for m in state["messages"]))]}

def build(package):
    return graph(state=MessagesState, model=model)
"""
)


def test_a_caller_answers_the_tool_calls_of_an_answer(make: Make) -> None:
    """In a chat: its results reach the graph, and only a call that it left out is given up."""
    model = make(CALLS, output="messages")
    hi = [{"role": "user", "content": "hi"}]
    model.predict({**model.chat_row(hi, {}), "thread_id": "t"})
    result = {"role": "tool", "tool_call_id": "c2", "content": "two"}
    answer = model.predict({**model.chat_row([*hi, result], {}), "thread_id": "t"})
    text = answer["choices"][0]["message"]["content"]
    assert text.startswith("human:hi ai: tool:Cancelled") and text.endswith("tool:two")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"resume": "yes"}, "needs the 'thread_id'"),
        ({"resume": False}, "needs the 'thread_id'"),
        ({"resume": None}, "no 'question'"),
        ({"question": "", "thread_id": None}, "no 'question'"),
        ({"question": float("nan")}, "no 'question'"),
        ({"question": "x", "thread_id": 5}, "must be text"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(make: Make, row: dict[str, Any], says: str) -> None:
    """No question, an answer without a thread, an id that is no text."""
    with pytest.raises(InputError, match=says):
        make(ONE, kept=False).predict(row)
