"""/status tells the page whether the model takes messages, and what its form needs."""

import asyncio
import json

import pandas as pd
import pytest
from mlflow.models import Model

from mlops_lib.settings import LlmSettings
from mlops_lib.wrappers.llm import LLMClientWrapper
from mlops_lib.wrappers.text.example_questions import QUESTIONS_KEY, example_questions
from mlops_lib.wrappers.text.package import text_signature
from tests.llm.test_graph import GRAPH
from tests.serving.protocols.test_chats import graph
from tests.support import logged
from tests.support.logged_service import served
from tests.support.toy_service import Caller, Toy, toy_service

pytestmark = pytest.mark.filterwarnings("ignore")


def llm(folder, columns, prompt):
    """A model of one prompt."""
    folder.mkdir()
    (folder / "prompts.yaml").write_text(f"user: '{prompt}'\n")
    (folder / "config.json").write_text(json.dumps({"model": "fake:extract", "params": {}}))
    made = LLMClientWrapper()
    made.info = Model(signature=text_signature(columns, {}))
    made.ready(folder, LlmSettings())
    return made


def status_of(app_of):
    """/status of an application."""

    async def main():
        async with app_of as found:
            app = getattr(found, "app", found)
            return (await Caller(app, "/status", b"", method="GET")()).json

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        (logged.Echo(), True),
        (logged.EchoAgent(), True),
        (logged.EchoResponses(), True),
        (logged.Seen(), False),
    ],
    ids=["ChatModel", "ChatAgent", "ResponsesAgent", "rows"],
)
def test_models_of_mlflow_that_take_messages_have_a_chat(tmp_path, model, takes):
    """A model of rows, also of rows of one text, has a form."""
    example = None if takes else {"question": "x"}
    folder = (
        logged.save(tmp_path / "model", model, example) if example else logged.save(tmp_path / "model", model)
    )
    told = status_of(served(folder, tmp_path))
    assert (told["chat"], told["history"]) == (takes, takes)


def test_a_model_of_more_columns_than_a_question_has_a_form(tmp_path, monkeypatch):
    """A prompt of one column and graphs have a chat, with earlier messages where the state has a place for them."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    one = llm(tmp_path / "one", ["question"], "{{question}}")
    two = llm(tmp_path / "two", ["question", "tone"], "{{question}} {{tone}}")
    (tmp_path / "graph").mkdir()
    (tmp_path / "bare").mkdir()
    code = GRAPH.replace("messages: Annotated", "talk: Annotated").replace('"messages"', '"talk"')
    for model, chat, history in (
        (one, True, True),
        (two, False, False),
        (graph(tmp_path / "graph"), True, True),
        (graph(tmp_path / "bare", code), True, False),
        (Toy(), False, False),
    ):
        told = status_of(toy_service(tmp_path, model))
        assert (told["chat"], told["history"]) == (chat, history), model
    assert told["inputs"] == [
        {"name": "x", "type": "number", "nullable": False, "wanted": "a number", "choices": []}
    ]
    assert told["feedback"] is False and told["caller"] == "" and told["label"] == ""


class Golden:
    """A loader of questions by split."""

    def __init__(self, **splits):
        self._splits = splits
        columns = ["question"] if len(splits["test"]) < 50 else ["question", "tone"]
        self.schema = type("Schema", (), {"features": dict.fromkeys(columns)})

    def count(self, split):
        return len(self._splits.get(split, ()))

    def sample(self, split, most):
        rows = self._splits[split]
        return pd.DataFrame({"question": rows[:: -(-len(rows) // most)]})


def test_a_few_short_questions_travel_with_the_model():
    """Evenly spaced, each once, no long one; those of other splits where the test split has few; none of wider rows."""
    many = Golden(test=[f"Question {number}?" for number in range(12)])
    assert example_questions(many)[QUESTIONS_KEY] == [f"Question {number}?" for number in range(0, 12, 2)]
    few = Golden(test=["a?", "a?", "x" * 201], train=["b?", None])
    assert example_questions(few) == {QUESTIONS_KEY: ["a?", "b?"]}
    assert example_questions(Golden(test=["a?"] * 60)) == {}
