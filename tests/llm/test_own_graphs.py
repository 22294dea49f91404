"""Graphs as people write them: `model.implementation` as a file or a module, in all forms, with code and data beside it."""

import json
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest

from mlops_lib.errors import InputError, MlopsError, ModelError, TrainingError
from mlops_lib.llm.transport import loop
from mlops_lib.llm.values import plain
from mlops_lib.settings import LlmSettings
from mlops_lib.wrappers.code.data_beside import data_of
from mlops_lib.wrappers.graph.input import GraphInput
from mlops_lib.wrappers.graph.output import GraphOutput
from mlops_lib.wrappers.graph.shape import Shape
from mlops_lib.wrappers.graph.shape import opened as opened_graph
from mlops_lib.wrappers.text.package import require_no_known_secret
from tests.support.carrying import write_modules
from tests.support.graph_fixtures import HEAD, Opened

#: Form of a graph -> its code. Each answers "You said: hi".
FORMS = {
    "a compiled graph": "graph = one_node(MessagesState, echo).compile()",
    "a graph that is not compiled": "graph = one_node(MessagesState, echo)",
    "a function": "def graph():\n    return one_node(MessagesState, echo)",
    "a function of the package": "def graph(package):\n    return one_node(MessagesState, echo)",
    "a function of LangGraph's config": """
from langchain_core.runnables import RunnableConfig
async def graph(config: RunnableConfig):
    assert config["configurable"] == {}
    return one_node(MessagesState, echo).compile()
""",
    "an entrypoint of text": """
from langgraph.func import entrypoint, task
@task
async def shout(text): return "You said: " + text
@entrypoint()
async def graph(question: str) -> str:
    return await shout(question)
""",
    "an entrypoint of an object": """
from langgraph.func import entrypoint
class Asked(TypedDict):
    question: str
@entrypoint()
def graph(asked: Asked):
    return {"answer": "You said: " + asked["question"]}
""",
    "an entrypoint of messages": """
from langchain_core.messages import AnyMessage
from langgraph.func import entrypoint
@entrypoint()
def graph(messages: list[AnyMessage]):
    return AIMessage("You said: " + messages[-1].text)
""",
    "an entrypoint of a pydantic model": """
from langgraph.func import entrypoint
from pydantic import BaseModel
class Asked(BaseModel):
    question: str
@entrypoint()
def graph(asked: Asked):
    return "You said: " + asked.question
""",
    "a chain": """
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
graph = prompt | RunnableLambda(lambda value: AIMessage("You said: " + value.to_messages()[0].text)) | StrOutputParser()
""",
    "a graph in a chain": """
graph = one_node(MessagesState, echo).compile() | (lambda state: state["messages"][-1])
""",
    "an agent of agents": """
inner = one_node(MessagesState, echo).compile()
graph = StateGraph(MessagesState)
graph.add_node("worker", inner)
graph.add_edge(START, "worker")
graph = graph.compile()
""",
    "nodes that are only asynchronous": """
async def later(state): return echo(state)
graph = one_node(MessagesState, later).compile()
""",
    "a pydantic state": """
from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel
class State(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages]
graph = one_node(State, lambda state: echo({"messages": state.messages})).compile()
""",
    "a dataclass state": """
from dataclasses import dataclass
@dataclass
class State:
    question: str
    answer: str = ""
graph = one_node(State, lambda state: {"answer": "You said: " + state.question}).compile()
""",
    "input and output schemas": """
class Asked(TypedDict):
    question: str
class Answered(TypedDict):
    reply: str
class State(Asked, Answered):
    steps: int
graph = one_node(State, lambda state: {"reply": "You said: " + state["question"]}, input_schema=Asked, output_schema=Answered)
""",
    "a list that is added to": """
import operator
class State(TypedDict):
    messages: Annotated[list, operator.add]
graph = one_node(State, echo).compile()
""",
    "a store and a checkpointer": """
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
def node(state, *, store):
    store.put(("seen",), "last", {"text": state["messages"][-1].text})
    return {"messages": [AIMessage("You said: " + store.get(("seen",), "last").value["text"])]}
graph = one_node(MessagesState, node).compile(checkpointer=InMemorySaver(), store=InMemoryStore())
""",
    "blocks of content": """
def node(state):
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "You said: "}, {"type": "text", "text": "hi"}]
    return {"messages": [AIMessage(blocks)]}
graph = one_node(MessagesState, node).compile()
""",
    "workers that report as a person": """
def node(state):
    return {"messages": [HumanMessage("You said: " + state["messages"][-1].text, name="worker")]}
graph = one_node(MessagesState, node).compile()
""",
    "an agent of LangChain": """
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
class Echo(GenericFakeChatModel):
    messages: object = None
    def _generate(self, messages, stop=None, run_manager=None, **more):
        from langchain_core.outputs import ChatGeneration, ChatResult
        return ChatResult(generations=[ChatGeneration(message=AIMessage("You said: " + messages[-1].text))])
graph = create_agent(Echo(), [])
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_in_any_form_answers_the_question(opened: Opened, form: str) -> None:
    """The row's question reaches the graph, and the answer is its last message, its answer or its value."""
    model = opened({"my_agent.py": HEAD + FORMS[form]})
    assert model.predict("hi") == "You said: hi"
    assert model.predict([{"question": "hi"}] * 2) == ["You said: hi"] * 2


@pytest.mark.parametrize(
    ("code", "params", "says"),
    [
        ("graph = 5", {}, "graph of my_agent gives a int. It must be a graph"),
        ("agent = one_node(MessagesState, echo)", {}, "my_agent has no 'graph'. It has: one_node, echo, agent."),
        ("def graph(a, b): pass", {}, "takes 2 arguments"),
        ("import sys\nsys.exit(3)", {}, "my_agent cannot be run: SystemExit: 3"),
        ("import nowhere_to_be_found", {}, "my_agent cannot be run: .* 'nowhere_to_be_found'"),
        ("def graph(:", {}, "SyntaxError"),
        (FORMS["a compiled graph"], {"inputs": {}}, "model.params has inputs; a graph takes: files, prompts"),
        (
            FORMS["a compiled graph"],
            {"input": {"question": "{{question}}"}},
            "model.params.input has question; the input of the graph has: messages",
        ),
        (
            FORMS["a compiled graph"],
            {"input": {"messages": "{{qestion}}"}},
            "model.params.input names qestion; data.features has: question",
        ),
        (FORMS["a compiled graph"], {"output": "answer"}, "names 'answer'; the answer of the graph has: messages"),
        (FORMS["a compiled graph"], {"contexts": "docs"}, "contexts names 'docs'; the answer of the graph has: messages"),
        (FORMS["a compiled graph"], {"output": 3}, "must be a state key or a list"),
        (FORMS["a compiled graph"], {"input": 3}, "must be a mapping of state keys"),
        (FORMS["a compiled graph"], {"context": {"user": "a"}}, "has no context_schema"),
        (
            "class State(TypedDict):\n    query: str\n    reply: str\ngraph = one_node(State, echo)",
            {},
            r"question reaches no key of the graph's input, which has: query, reply. Set model.params.input: \{query: ",
        ),
        (
            "class State(TypedDict):\n    question: str\n    reply: str\ngraph = one_node(State, echo)",
            {},
            "Set model.params.output to the key of the answer; the answer of the graph has: question, reply",
        ),
        (
            "from langchain_core.runnables import RunnablePassthrough\ngraph = RunnablePassthrough() | (lambda x: x)",
            {},
            "does not declare its input. Set model.params.input: '{{question}}' for the text itself",
        ),
        (
            FORMS["a dataclass state"].replace("question: str", "question: str\n    lang: str"),
            {},
            "fails without lang in its input, which no column fills",
        ),
        (
            ("from dataclasses import dataclass\n@dataclass\nclass User:\n    name: str\n"
            "graph = one_node(MessagesState, echo, context_schema=User)"),
            {},
            "model.params.context lacks name; the graph's context has: name",
        ),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_work_is_refused_before_the_first_call(
    opened: Opened, code: str, params: dict[str, Any], says: str
) -> None:
    """The error names the key, the keys there are, and the setting."""
    with pytest.raises(MlopsError, match=says):
        opened({"my_agent.py": HEAD + code}, **params)


def test_a_column_that_reaches_no_key_is_an_error(opened: Opened) -> None:
    """A second column must not be lost in silence."""
    with pytest.raises(TrainingError, match="lang reaches no key of the graph's input, which has: messages"):
        opened({"my_agent.py": HEAD + FORMS["a compiled graph"]}, columns=("question", "lang"))


@pytest.mark.parametrize(
    ("implementation", "says"),
    [
        ("my_agent.py", "Write a file and a name in it"),
        ("nowhere.py:graph", "nowhere.py, which does not exist"),
        ("nowhere.agents:graph", "module 'nowhere.agents', which is not in"),
        ("my-agent.py:graph", "Rename it to 'my_agent'"),
        ("agents/json.py:graph", "hides the module 'json'"),
        ("agents/langgraph.py:graph", "hides the module 'langgraph'"),
        ("empty", "has no langgraph.py"),
    ],
)
def test_an_implementation_that_is_not_there_is_named(opened: Opened, implementation: str, says: str) -> None:
    """The error has the path, and the forms or the remedy."""
    files = {
        "my_agent.py": HEAD,
        "my-agent.py": HEAD,
        "agents/json.py": "",
        "agents/langgraph.py": "",
        "empty/x.txt": "",
    }
    with pytest.raises(TrainingError, match=says):
        opened(files, implementation)


STATE = """
class State(TypedDict):
    query: str
    language: str
    facts: list
    result: dict
    sources: list
graph = one_node(State, lambda state: {
    "result": {"text": state["query"] + " in " + state["language"], "sure": True, "facts": state["facts"]},
    "sources": ["page 1"],
})
"""


def test_other_states_are_mapped(opened: Opened) -> None:
    """Texts are filled from columns, constants stay, and a dotted path finds the answer in the state."""
    mapping = {"query": "Tell: {{question}}", "language": "lang", "facts": [1, {"q": "{{question}}"}]}
    more = {"input": mapping, "output": "result.text", "contexts": "sources", "columns": ("question", "lang")}
    model = opened({"my_agent.py": HEAD + STATE}, **more)
    assert model.predict({"question": "hi", "lang": "ko"}) == "Tell: hi in ko"


def test_a_text_of_the_mapping_needs_its_columns(opened: Opened) -> None:
    """An empty place would be a question that nobody asked; a value that is a column alone may be missing."""
    mapping = {"query": "Tell: {{question}} in {{lang}}", "language": "{{lang}}", "facts": []}
    more = {"input": mapping, "output": "result.text", "columns": ("question", "lang")}
    model = opened({"my_agent.py": HEAD + STATE}, **more)
    for row in ({"question": "hi"}, {"question": "hi", "lang": None}):
        with pytest.raises(InputError, match="model.params.input needs 'lang', which the row lacks"):
            model.predict(row)


def test_the_question_stays_a_message_beside_a_mapping(opened: Opened) -> None:
    """A mapping of other keys takes nothing from the messages, also in a prompt template with a placeholder."""
    code = """
from langchain_core.prompts import ChatPromptTemplate
prompt = ChatPromptTemplate.from_messages([("system", "In {language}."), ("placeholder", "{messages}")])
graph = prompt | (lambda value: AIMessage(" ".join(message.text for message in value.to_messages())))
"""
    model = opened({"my_agent.py": HEAD + code}, input={"language": "lang"}, columns=("question", "lang"))
    assert model.predict({"question": "hi", "lang": "ko"}) == "In ko. hi"


def test_several_outputs_are_an_object(opened: Opened) -> None:
    """A list of keys gives an object with their values."""
    mapping = {"query": "question", "language": "lang", "facts": [None]}
    more = {"input": mapping, "output": ["result", "sources"], "columns": ("question", "lang")}
    answer = opened({"my_agent.py": HEAD + STATE}, **more).predict({"question": "hi", "lang": "ko"})
    assert answer == {"result": {"text": "hi in ko", "sure": True, "facts": [None]}, "sources": ["page 1"]}


def test_an_output_that_is_not_there_names_the_keys(opened: Opened) -> None:
    """A part of a value is known after the call alone."""
    mapping = {"query": "question", "language": "lang", "facts": []}
    more = {"input": mapping, "output": "result.txt", "columns": ("question", "lang")}
    with pytest.raises(ModelError, match="without 'result.txt' in its state. It has: text, sure, facts"):
        opened({"my_agent.py": HEAD + STATE}, **more).predict({"question": "hi", "lang": "ko"})


def test_context_and_configurable_reach_the_graph(opened: Opened) -> None:
    """`model.params` has the constants of LangGraph's runtime context and config."""
    code = """
from dataclasses import dataclass
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
@dataclass
class User:
    name: str
def node(state: MessagesState, config: RunnableConfig, runtime: Runtime[User]):
    return {"messages": [AIMessage(config["configurable"]["tone"] + " " + runtime.context.name)]}
graph = one_node(MessagesState, node, context_schema=User)
"""
    model = opened({"my_agent.py": HEAD + code}, context={"name": "Kim"}, configurable={"tone": "Hello"})
    assert model.predict("hi") == "Hello Kim"


def test_a_chat_becomes_messages_of_the_state(opened: Opened) -> None:
    """System messages, earlier turns and images reach the graph; the answer is a completion."""
    code = "graph = one_node(MessagesState, lambda s: {'messages': [AIMessage(repr([(m.type, m.content) for m in s['messages']]))]})"
    model = opened({"my_agent.py": HEAD + code})
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts = [{"type": "text", "text": "What is it?"}, image]
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": parts},
    ]
    row = model.chat_row(chat, {})
    assert row["question"] == "What is it?"
    found = model.predict(row)["choices"][0]["message"]["content"]
    assert eval(found) == [("system", "Be brief."), ("human", "hi"), ("ai", "Hello"), ("human", parts)]


PAUSE = "graph = one_node(MessagesState, echo).compile(interrupt_before=['node'])"


@pytest.mark.slow
def test_a_graph_that_stops_at_a_node_needs_a_thread(opened: Opened) -> None:
    """A pause is no answer: the caller is told of it, and goes on with `resume`."""
    model = opened({"my_agent.py": HEAD + PAUSE})
    with pytest.raises(InputError, match=r"stopped to ask \{'before': \['node'\]\}. Send a 'thread_id'"):
        model.predict("hi")
    asked = {"before": ["node"]}
    assert model.predict({"question": "hi", "thread_id": "t"})["interrupt"] == asked
    assert model.predict({"thread_id": "t", "resume": "yes"}) == "You said: hi"


def test_a_checkpointer_of_its_own_keeps_conversations(opened: Opened) -> None:
    """The platform's checkpointer takes its place; the turns of a thread add up, and rows without one start anew."""
    code = """
from langgraph.checkpoint.memory import InMemorySaver
count = lambda state: {"messages": [AIMessage(str(len(state["messages"])))]}
graph = one_node(MessagesState, count).compile(checkpointer=InMemorySaver())
"""
    model = opened({"my_agent.py": HEAD + code})
    row = {"question": "hi", "thread_id": "t"}
    assert [model.predict(row), model.predict(row), model.predict("hi")] == ["1", "3", "1"]


PROJECTS = {
    "modules and packages beside the file": (
        "my_agent.py:graph",
        {
            "my_agent.py": "from tools import search\nfrom parts.inner import WORD\n{head}\n"
            "def node(state):\n    import late\n    from parts.late import END_\n"
            "    return {{'messages': [AIMessage(search() + WORD + late.MORE + END_)]}}\n"
            "graph = one_node(MessagesState, node)",
            "tools.py": "def search():\n    from deeper import found\n    return found\n",
            "deeper.py": "found = 'a'\n",
            "late.py": "MORE = 'c'\n",
            "parts/__init__.py": "",
            "parts/inner.py": "from .more import WORD\n",
            "parts/more.py": "from importlib.resources import files\nWORD = (files('parts') / 'word.txt').read_text()\n",
            "parts/word.txt": "b",
            "parts/late.py": "END_ = 'd'\n",
        },
    ),
    "a src layout by file": (
        "src/app/agent.py:graph",
        {
            "src/app/__init__.py": "",
            "src/app/agent.py": "from app.tools import TEXT\nfrom .tools import TEXT as SAME\n{head}\n"
            "graph = one_node(MessagesState, lambda state: {{'messages': [AIMessage(TEXT)]}})",
            "src/app/tools.py": "TEXT = 'abcd'\n",
        },
    ),
    "a src layout by module": (
        "app.agent:graph",
        {
            "src/app/agent.py": "from app.tools import TEXT\n{head}\n"
            "graph = one_node(MessagesState, lambda state: {{'messages': [AIMessage(TEXT)]}})",
            "src/app/tools.py": "TEXT = 'abcd'\n",
        },
    ),
    "prompts beside the file": (
        "agents/my_agent.py:graph",
        {
            "agents/my_agent.py": "import os\nfrom pathlib import Path\n{head}\nFILE = 'b.yaml'\nHERE = Path(__file__).parent\n"
            "def node(state):\n    texts = [(HERE / 'prompts' / 'a.md').read_text(), (HERE / FILE).read_text()]\n"
            "    texts.append(Path(__file__).with_name('c.txt').read_text())\n"
            "    texts.append(open(os.path.join(os.path.dirname(__file__), 'd.json')).read())\n"
            "    return {{'messages': [AIMessage(''.join(texts))]}}\n"
            "graph = one_node(MessagesState, node)\n"
            "if __name__ == '__main__':\n    open('log.txt').read()\n",
            "agents/prompts/a.md": "a",
            "agents/b.yaml": "b",
            "agents/c.txt": "c",
            "agents/d.json": "d",
            "agents/log.txt": "not read",
            "agents/.env": "OPENAI_API_KEY=secret",
        },
    ),
    "modules beside langgraph.py": (
        "graph",
        {
            "graph/langgraph.py": "from tools import TEXT\n{head}\n"
            "def node(state):\n    import late\n    return {{'messages': [AIMessage(TEXT + late.TEXT)]}}\n"
            "def build(package):\n    return one_node(MessagesState, node).compile()\n",
            "graph/tools.py": "from langgraph.types import interrupt\nTEXT = 'ab'\n",
            "graph/late.py": "TEXT = 'cd'\n",
            "graph/prompts.yaml": "{{}}",
            "graph/config.json": "{{}}",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("output", [None, "messages"])
def test_an_agent_from_a_folder_answers_the_question(opened: Opened, output: str | None) -> None:
    """`create_react_agent` from `build`, with its tool; the whole list of messages as output is its last one."""
    code = """
from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent
@tool
def price(item: str) -> str:
    "The price of an item."
    return item + " costs 3"
def build(package):
    return create_react_agent(package.chat_model("fake:extract"), [price])
"""
    files = {
        "graph/langgraph.py": code,
        "graph/prompts.yaml": "{}",
        "graph/config.json": json.dumps({"output": output}),
    }
    assert opened(files, "graph").predict("What is the price of item=tea?") == "tea costs 3"


@pytest.mark.parametrize("layout", PROJECTS)
def test_code_and_data_travel_along(opened: Opened, tmp_path: Path, layout: str) -> None:
    """A graph finds its modules and files when the project is gone, also those that functions import; no hidden file travels."""
    implementation, files = PROJECTS[layout]
    model = opened({name: text.format(head=HEAD) for name, text in files.items()}, implementation)
    assert model.predict("hi") == "abcd"
    names = {path.name for path in tmp_path.rglob("*")}
    assert not names & {".env", "log.txt", "config.yaml"}


def test_two_versions_answer_with_their_own_code_and_data(opened: Opened) -> None:
    """Champion and challenger in one process do not mix modules that functions import, nor files beside them."""
    code = f"""
from pathlib import Path
{HEAD}
def node(state):
    from late import WORD
    return {{"messages": [AIMessage(WORD + Path(__file__).with_name("a.txt").read_text())]}}
graph = one_node(MessagesState, node)
"""
    first, second = (
        opened({"my_agent.py": code, "late.py": f"WORD = 'code {number}, '", "a.txt": f"data {number}"})
        for number in (1, 2)
    )
    assert (first.predict("hi"), second.predict("hi")) == ("code 1, data 1", "code 2, data 2")
    assert first.predict("hi") == "code 1, data 1"


def test_a_secret_beside_a_graph_does_not_travel(opened: Opened) -> None:
    """A key that the code reads from its folder is refused with the remedy."""
    code = "from pathlib import Path\nKEY = (Path(__file__).parent / 'key.pem').read_text()\n" + HEAD
    with pytest.raises(TrainingError, match=r"key\.pem, which by its name holds a secret"):
        opened({"my_agent.py": code + FORMS["a compiled graph"], "key.pem": "1"})


@pytest.mark.parametrize("path", ["docs", "docs/key.pem"])
def test_a_secret_among_the_files_of_a_graph_does_not_travel(opened: Opened, path: str) -> None:
    """A folder of model.params.files is searched too; what is hidden is not copied, and is no error."""
    files = {"docs/a/b.md": "1", "docs/.env": "1", "my_agent.py": HEAD + FORMS["a compiled graph"]}
    opened(files, files={"handbook": "docs"})
    with pytest.raises(TrainingError, match=r"docs/key\.pem, which by its name holds a secret"):
        opened({**files, "docs/key.pem": "1"}, files={"handbook": path})


def test_the_value_of_a_secret_does_not_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose name says nothing may hold a key; short values are ordinary words."""
    monkeypatch.setenv("CRM_API_KEY", "crm-4711-abcdef")
    monkeypatch.setenv("DB_PASSWORD", "postgres")
    write_modules(tmp_path, {"handbook/a.md": "postgres"})
    require_no_known_secret(tmp_path)
    write_modules(tmp_path, {"handbook/a.md": "서울\nkey: crm-4711-abcdef\n"})
    with pytest.raises(TrainingError, match=r"handbook/a.md, which holds the value of a secret") as found:
        require_no_known_secret(tmp_path)
    assert "4711" not in str(found.value)


@pytest.mark.parametrize(
    "read", ["open('a.txt').read()", "Path('a.txt').read_text()", "json.load(open('a.txt', 'r'))"]
)
def test_a_file_of_the_working_folder_is_refused(opened: Opened, read: str) -> None:
    """It would be missing in the service; the error has the line and the remedy."""
    code = f"import json\nfrom pathlib import Path\nTEXT = {read}\n" + HEAD + FORMS["a compiled graph"]
    with pytest.raises(
        TrainingError, match=r"line 3, opens 'a.txt' from the working folder.*Path\(__file__\)"
    ):
        opened({"my_agent.py": code, "a.txt": "1"})


@pytest.mark.parametrize(("output", "streams"), [("structured_response", False), ("messages", True)])
def test_the_text_of_an_llm_is_no_part_of_a_structured_answer(
    opened: Opened, output: str, streams: bool
) -> None:
    """An agent with `response_format` answers with the object, plain and streamed; its tokens would be another answer."""
    code = """
from langchain_core.messages import AIMessageChunk
from langchain_core.language_models import FakeListChatModel
from pydantic import BaseModel
class Place(BaseModel):
    city: str
class State(MessagesState):
    structured_response: Place
model = FakeListChatModel(responses=["it is Seoul"])
async def node(state):
    return {"messages": [await model.ainvoke("hi")], "structured_response": Place(city="Seoul")}
graph = one_node(State, node)
"""
    model = opened({"my_agent.py": HEAD + code}, output=output)

    async def events() -> list[Any]:
        return [event async for event in model.astream({"question": "hi"})]

    found = loop.run(events())
    assert bool([event for event in found if event.kind == "token"]) is streams
    assert found[-1].data == model.predict("hi") == ("it is Seoul" if streams else {"city": "Seoul"})


def kinds() -> dict[str, tuple[Any, bool]]:
    """Types of an answer, and whether it is then no text."""
    from langchain_core.messages import AIMessage, AnyMessage
    from pydantic import BaseModel

    return {
        "a model": (LlmSettings, True), "a model or null": (LlmSettings | None, True), "LangGraph's": (dict | BaseModel, True),
        "LangChain's": (TypeVar("T"), True), "a mapping or null": (dict[str, int] | None, True), "a text": (str, False),
        "a model or a text": (LlmSettings | str, False), "a message": (AIMessage, False), "messages": (list[AnyMessage], False),
        "anything": (Any, False),
    }  # fmt: skip


@pytest.mark.parametrize("output", [None, "answer"])
def test_the_type_of_an_answer_tells_whether_it_is_text(output: str | None) -> None:
    """LangChain's agents declare a type variable, or `dict | BaseModel`. A message is text. So with the usual key of the answer."""
    for name, (kind, wanted) in kinds().items():
        shape = Shape("keys", {}, {"answer": kind, "messages": list[Any]}, is_state=True)
        assert GraphOutput(shape, output, None).is_structured is wanted, name
        assert GraphOutput(shape, "messages", None).is_structured is False, name


def test_an_agent_with_a_form_streams_no_other_text() -> None:
    """Text that its model writes beside the call of the form is no part of the answer."""
    from langchain.agents import create_agent
    from langchain.agents.structured_output import ToolStrategy
    from langchain_core.language_models import FakeListChatModel

    agent = create_agent(FakeListChatModel(responses=[""]), response_format=ToolStrategy(LlmSettings))
    assert GraphOutput(opened_graph(agent)[1], "structured_response", None).is_structured


def test_a_backslash_before_a_column_is_no_silent_loss() -> None:
    """In a mapping as in a prompt: text after one backslash, a backslash and the value after two; a path is an error."""
    shape = Shape("keys", {"query": True})

    def made(text: str) -> GraphInput:
        found = GraphInput(shape, {"query": text})
        found.check(["q"])
        return found

    assert made(r"C:\\{{q}} \{{q}}").payload({"q": "a"}, "q", []) == {"query": r"C:\a {{q}}"}
    with pytest.raises(TrainingError, match=r"model.params.input has :\\{{q}}: the backslash makes"):
        made(r"C:\{{q}} {{q}}")


@pytest.mark.parametrize("column", ["고객 질문", "user-question", "the user's question"])
@pytest.mark.parametrize("mapped", ["{}", "{{{{{}}}}}", "{{{{ {} }}}}"])
def test_a_column_may_have_any_name(column: str, mapped: str) -> None:
    """In a mapping it stands alone or in braces. An empty text stays one."""
    shape = Shape("keys", {"query": True, "tone": True})
    found = GraphInput(shape, {"query": mapped.format(column), "tone": ""})
    found.check([column])
    assert found.payload({column: "hi"}, column, []) == {"query": "hi", "tone": ""}


@pytest.mark.parametrize(
    ("state", "wanted"),
    [("서울은 수도다", ("서울은 수도다",)), ("", ()), (None, ()), (["a", "b"], ("a", "b"))],
)
def test_a_passage_alone_is_one_context(state: Any, wanted: tuple[str, ...]) -> None:
    """And not one for each of its letters."""
    assert GraphOutput(Shape("unknown"), None, "context").contexts({"context": state}) == wanted


def test_missing_values_of_an_answer_are_null() -> None:
    """Those of pandas too, in a table or alone."""
    table = pd.DataFrame(
        {"when": [pd.Timestamp("2024-01-01"), pd.NaT], "count": pd.array([1, None], "Int64")}
    )
    assert plain(table) == [{"when": "2024-01-01T00:00:00", "count": 1}, {"when": None, "count": None}]
    assert plain([pd.NA, float("nan")]) == [None, None]


@pytest.mark.parametrize("mode", ["'w'", "mode='a'", "mode='w', encoding='ascii'"])
def test_a_file_that_the_code_writes_is_none_that_it_needs(tmp_path: Path, mode: str) -> None:
    """It may be there from the run before."""
    module = tmp_path / "agent.py"
    module.write_text(f"def node(state):\n    open('seen.log', {mode}).write('x')\n")
    (tmp_path / "seen.log").write_text("x")
    assert data_of({module: {module}}, tmp_path) == {}
    module.write_text("open('seen.log', 'r', -1, 'ascii')")
    with pytest.raises(TrainingError, match="opens 'seen.log' from the working folder"):
        data_of({module: {module}}, tmp_path)
