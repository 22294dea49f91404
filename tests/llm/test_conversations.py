"""Conversations of several turns: scripted, and with a simulated user, against a server of the vendors' protocols."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.errors import DataError, EvaluationError, ModelError
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.evaluation.simulation.script import scripts
from mlops_lib.evaluation.tasks.text import Text
from mlops_lib.llm.fake import user as fake_user
from mlops_lib.registry import Registry
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import ModelWrapper
from tests.support.llm_fixtures import Vendor
from tests.support.promoting import promote

pytestmark = pytest.mark.slow

Evaluated = tuple[EvaluationReport, ModelWrapper, Settings]
USER = {"model": "openai:user", "max_turns": 3}

GRAPH = """
from typing import TypedDict

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


def say(state):
    messages = state["messages"]
    text = messages[-1].text
    if text == "Weather?":
        text = "Sunny in " + interrupt("Which city?")
    return {"messages": [AIMessage(f"{len(messages)}: {text}")]}


graph = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say")


def answer(state):
    return {"answer": state["question"]}


class State(TypedDict):
    question: str
    answer: str


single = StateGraph(State).add_node("answer", answer).add_edge(START, "answer")


class Quiz(MessagesState):
    choices: list[str]


def ask(state):
    return {"choices": [state["messages"][-1].text, "B"]}


quiz = StateGraph(Quiz).add_node("ask", ask).add_edge(START, "ask")


def trip(state):
    return {"messages": [AIMessage(f"{state['left']} to {state['right']}")]}


class Trip(MessagesState):
    left: str
    right: str


parallel = StateGraph(Trip).add_node("trip", trip)
for side, question in (("left", "어디에서?"), ("right", {"to": "?"})):
    parallel.add_node(side, lambda state, side=side, question=question: {side: interrupt(question)})
    parallel.add_edge(START, side)
parallel.add_edge(["left", "right"], "trip")
"""


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Text, "figures", lambda *_: {})


@pytest.fixture
def talked(llm_project: Callable[..., Path]) -> Callable[..., Evaluated]:
    """Trains a model and evaluates it on rows that may have a goal and turns."""

    def evaluate(
        rows: list[dict[str, Any]], model: dict[str, Any] | None = None, **evaluation: Any
    ) -> Evaluated:
        chosen = {"metrics": ["turns"], "threshold": 0.0, "concurrency": 1} | evaluation
        file = llm_project(
            data={
                "source": "all.jsonl",
                "test_fraction": 1.0,
                "reference_columns": ["goal", "persona", "facts", "turns"],
            },
            evaluation=chosen,
            model=model or {},
        )
        blank = dict.fromkeys(("goal", "persona", "facts", "turns"))
        lines = [
            json.dumps({"id": str(i), "question": f"Q{i}?", "reference": "r"} | blank | row)
            for i, row in enumerate(rows)
        ]
        (file.parent / "all.jsonl").write_text("\n".join(lines))
        settings = config.load(file)
        data = loaders.from_settings(settings)
        made = wrappers.from_settings(settings)
        made.train(data, settings)
        return made.evaluate(data, settings), made, settings

    return evaluate


def said(status: str, message: str = "") -> str:
    return json.dumps({"status": status, "message": message})


def again(model: ModelWrapper, settings: Settings, **evaluation: Any) -> EvaluationReport:
    chosen = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update=evaluation)})
    return model.evaluate(loaders.from_settings(chosen), chosen)


def test_a_script_is_asked_with_its_history(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """The model gets the messages so far in each turn; the last answer is judged; a row without turns has one."""
    rows = [{"turns": ["And then?", "Thanks."], "reference": "Answer to: Thanks."}, {}]
    report, _, _ = talked(rows)
    bodies = [body["messages"] for body in vendor.stats["bodies"]]
    assert [len(messages) for messages in bodies] == [1, 3, 5, 1]
    assert [message["content"] for message in bodies[2]] == [
        "Q0?", "Answer to: Q0?", "And then?", "Answer to: And then?", "Thanks.",
    ]  # fmt: skip
    assert report.metrics["turns"].value == 2.0 and list(report.per_row["exact_match"]) == [1.0, 0.0]
    first = report.per_row.iloc[0]
    assert first["conversation"].startswith("user: Q0?\n\nassistant: Answer to: Q0?\n\nuser: And then?")
    assert (first["conversation_end"], first["conversation_turns"]) == ("script_ended", 3)
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"] * 3


def test_a_simulated_user_talks_until_the_goal_is_reached(
    vendor: Vendor, talked: Callable[..., Evaluated]
) -> None:
    """The user knows goal, persona and facts, and not the reference; the reasons of the ends are counted."""
    vendor.control(
        verdicts=[said("continue", "My number is 7."), said("goal_reached"), said("gave_up")]
        + [said("continue", f"Hm {i}.") for i in range(3)]
    )
    row = {"goal": "get a refund", "persona": "an angry man", "facts": ["order 7"], "reference": "secret"}
    rows = [row, {"goal": "b"}, {"goal": "c"}, {}]
    report, _, _ = talked(rows, metrics=["goal_reached", "turns"], simulated_user=USER)
    ends = list(report.per_row["conversation_end"])
    assert ends == ["goal_reached", "gave_up", "max_turns", None]
    assert report.metrics["turns"].value == (2 + 1 + 3 + 1) / 4
    reached = report.metrics["goal_reached"]
    assert reached.value == pytest.approx(1 / 3)
    assert (reached.scored, reached.errored, reached.left_out, reached.coverage) == (3, 0, 1, 1.0)
    assert (
        "1 of 4 rows have no goal" in report.notes["goal_reached"]
        and list(report.per_row["error"]) == [""] * 4
    )
    assert report.flat()["conversations.gave_up"] == 1.0
    asked = [body for body in vendor.stats["bodies"] if body["model"] == "user"]
    assert len(asked) == 6 and all(body["seed"] == 0 for body in asked)
    system, user = (message["content"] for message in asked[1]["messages"])
    assert "<goal>\nget a refund\n</goal>" in system and "<persona>\nan angry man" in system
    assert "- order 7" in system and "secret" not in system + user
    assert "assistant: Answer to: My number is 7." in user
    assert (
        "<details><summary>Row 0: Q0?" in report.conversations and "My number is 7." in report.conversations
    )


def test_conversations_are_counted_recorded_and_replayed(
    vendor: Vendor, talked: Callable[..., Evaluated], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All calls are in the ledger, those of the user in no row's cost; a replay needs no key and gives the same."""
    vendor.control(verdicts=[said("continue", "Same."), said("continue", "Same."), said("gave_up")])
    report, model, settings = talked([{"goal": "g"}, {"goal": "h"}], simulated_user=USER)
    assert model.ledger is not None and model.ledger.spent.calls == vendor.stats["calls"] == 12
    assert list(report.per_row["completion_tokens"]) == [15, 15]
    monkeypatch.delenv("OPENAI_API_KEY")
    vendor.control()
    replayed = again(model, settings, replay=model.run_id)
    assert replayed.per_row.equals(report.per_row) and vendor.stats["calls"] == 0


def test_an_error_in_a_later_turn_is_the_rows(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """The turn is named, of the model as of the user; the conversation until then is shown; the other rows count."""
    vendor.control(
        verdicts=[said("continue", "Hm."), "no JSON", said("goal_reached")],
        faults=[{"kind": "400", "times": -1, "share": 0.0}],
    )
    rows = [{"goal": "a"}, {"goal": "b"}]
    report, _, _ = talked(rows, metrics=["goal_reached"], metric="goal_reached", simulated_user=USER)
    first = report.per_row.iloc[0]
    assert first["error"].startswith("Turn 3, the simulated user: the simulated user's reply is no message")
    assert first["conversation_end"] == "error" and "Answer to: Hm." in first["conversation"]
    assert report.metrics["goal_reached"].errored == 1 and report.metrics["goal_reached"].value == 0.5
    vendor.control(faults=[{"kind": "400", "times": -1, "share": 1.0}])
    with pytest.raises(EvaluationError, match=r"1 of 1 rows failed: Turn 1: .*As ordered"):
        talked([{"turns": ["Other?"]}], reuse=False)


def test_a_budget_ends_conversations(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """A limit that is reached in a conversation stops it, and the report is partial."""
    vendor.control(verdicts=[said("continue", "Go on.")])
    rows = [{"goal": "a"}, {}, {"goal": "b"}]
    report, _, _ = talked(rows, simulated_user=USER, max_calls=7)
    assert vendor.stats["calls"] == 7 and "max_calls 7 is spent" in report.notes["partial"]
    assert list(report.per_row["error"] != "") == [False, False, True]


def test_a_prompt_of_ones_own_always_has_the_goal(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """Goal, persona and facts are added where it does not name them."""
    vendor.control(verdicts=[said("gave_up")])
    user = USER | {"prompt": "You speak {{persona}}. Your question was {{question}}"}
    talked([{"goal": "a refund", "persona": "slowly", "facts": ["order 7"]}], simulated_user=user)
    system = next(b for b in vendor.stats["bodies"] if b["model"] == "user")["messages"][0]["content"]
    assert all(system.count(f"<{name}>") == 1 for name in ("goal", "persona", "facts", "question"))


def test_an_answer_may_end_the_conversation(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """`stop` is searched in the answers of rows with a goal."""
    vendor.control(verdicts=[said("continue", "ticket 42")])
    report, _, _ = talked([{"goal": "a"}], simulated_user=USER | {"stop": r"ticket \d+"})
    assert report.per_row["conversation_end"][0] == "stopped" and report.metrics["turns"].value == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"turns": "next"}, r"Row 1 \(counted from 0\) has turns 'next'. Write a list of texts"),
        ({"turns": ["a", ""]}, r"Row 1 .* has turns"),
        ({"turns": [1]}, r"Row 1 .* has turns"),
        ({"turns": [{}]}, r"Row 1 .* has turns.* an object {question: answer}"),
        ({"goal": ["a"]}, r"Row 1 .* has goal"),
    ],
)
def test_a_wrong_script_names_row_column_and_value(row: dict[str, Any], problem: str) -> None:
    """Turns are a list of texts, and a goal is a text."""
    with pytest.raises(EvaluationError, match=problem):
        scripts([{}, row], is_simulated=True)
    assert scripts([{"turns": '["a", "b"]', "goal": float("nan")}], True)[0].turns == ("a", "b")


def test_scripts_are_checked_before_any_call(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """A wrong row, and a field of the prompt that the data lacks, are errors before something is paid."""
    with pytest.raises(EvaluationError, match="Row 1"):
        talked([{}, {"turns": "next"}], metrics=["exact_match"])
    with pytest.raises(DataError, match="The simulated user needs the column 'mood'"):
        talked([{"goal": "a"}], simulated_user=USER | {"prompt": "You feel {{mood}}. {{goal}}"})
    with pytest.raises(
        DataError, match=r"simulated_user.prompt has :\\{{persona}}: .* Write two backslashes"
    ):
        talked([{"goal": "a"}], simulated_user=USER | {"prompt": r"C:\{{persona}}"})
    for rows, user in (([{"goal": "a"}], {}), ([{}, {"turns": ["x"]}], USER)):
        with pytest.raises(EvaluationError, match="The metric goal_reached needs"):
            talked(rows, metrics=["goal_reached"], simulated_user=user)
    assert vendor.stats["calls"] == 0


def test_the_user_may_begin_and_be_another_vendors(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """A row without a question begins with the user's message, here of Claude, which takes no seed."""
    user = {"model": "anthropic:claude-x", "max_turns": 2}
    report, _, _ = talked(
        [{"question": None, "goal": "하늘", "facts": {"색": "파랑"}}, {}], simulated_user=user
    )
    first = report.per_row.iloc[0]
    assert first["input"] == "The sky is blue." and first["conversation_end"] == "max_turns"
    assert first["conversation"].count("Answer to: The sky is blue.") == 2
    asked = next(body for body in vendor.stats["bodies"] if body["model"] == "claude-x")
    assert '{"색": "파랑"}' in str(asked["system"]) and "seed" not in asked


def test_a_user_that_is_no_model_is_an_error_before_any_call(
    vendor: Vendor, talked: Callable[..., Evaluated]
) -> None:
    with pytest.raises(ModelError, match="Unknown LLM 'gpt'"):
        talked([{"goal": "a"}], simulated_user={"model": "gpt"})
    assert vendor.stats["calls"] == 0


def test_the_fake_user_needs_no_key(
    talked: Callable[..., Evaluated], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells its facts one by one, ends when the goal is in an answer, and costs nothing."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("fake.yaml").write_text(
        "system: |\n  [plans]\n  The price of the Pro plan is 20 dollars.\nuser: '{{question}}'\n"
    )
    rows = [
        {
            "goal": "price of the Pro plan",
            "facts": ["I mean the yearly one", "for five people"],
            "question": "Hello?",
        },
        {"goal": "price of the Pro plan", "question": "What does the Pro plan cost, its price?"},
    ]
    report, model, _ = talked(
        rows,
        {"implementation": "fake:extract", "params": {"prompts": "fake.yaml"}},
        simulated_user={"model": "fake:user"},
        max_cost_usd=0.01,
    )
    assert list(report.per_row["conversation_end"]) == ["gave_up", "goal_reached"]
    assert list(report.per_row["conversation_turns"]) == [3, 1]
    assert model.ledger is not None and model.ledger.spent.unpriced == 0


@pytest.mark.parametrize(
    ("goal", "answer", "status"),
    [
        (
            "주문 MB-1001이 언제 도착하는지 알아낸다.",
            "주문 MB-1001은 11월 27일에 도착합니다.",
            "goal_reached",
        ),
        ("배송비가 얼마인지 알고 싶다", "국내 배송비는 3,000원입니다.", "goal_reached"),
        ("주문 MB-1001이 언제 도착하는지 알아낸다.", "주문 번호를 알려 주세요.", "gave_up"),
        ("Learn when order MB-1 leaves the shop.", "Order MB-1 leaves today.", "goal_reached"),
    ],
)
def test_the_fake_user_knows_the_words_of_a_goal(goal: str, answer: str, status: str) -> None:
    """Endings and particles do not count, nor do words such as "find out"."""
    asked = [f"<goal>\n{goal}\n</goal>", f"<conversation>\nuser: ?\n\nassistant: {answer}\n</conversation>"]
    made = fake_user.reply([{"content": text} for text in asked])
    assert json.loads(made["content"])["status"] == status


@pytest.mark.parametrize("threads", [True, False])
def test_a_graph_has_conversations_by_thread_or_by_history(
    talked: Callable[..., Evaluated], threads: bool
) -> None:
    """A graph that keeps threads has one for each row; another gets the messages so far."""
    Path("agent.py").write_text(GRAPH)
    model = {"wrapper": "langgraph", "implementation": "agent.py:graph", "params": {"threads": threads}}
    report, _, _ = talked([{"turns": ["B", "C"]}, {"turns": ["D"]}, {}], model, concurrency=3)
    assert list(report.per_row["output"]) == ["5: C", "3: D", "1: Q2?"]
    assert report.per_row["path"][0] == ["say"] * 3


def test_an_answer_may_have_choices_of_its_own(talked: Callable[..., Evaluated]) -> None:
    """An object with `choices` is no completion of OpenAI's for that, in one turn or several."""
    Path("agent.py").write_text(GRAPH)
    params = {"threads": True, "output": ["choices"]}
    model = {"wrapper": "langgraph", "implementation": "agent.py:quiz", "params": params}
    report, _, _ = talked([{"turns": ["A"]}, {}], model)
    assert list(report.per_row["output"]) == ['{"choices": ["A", "B"]}', '{"choices": ["Q1?", "B"]}']


def test_the_users_next_message_answers_an_interrupt(talked: Callable[..., Evaluated]) -> None:
    """The question of the interrupt is what the user reads."""
    Path("agent.py").write_text(GRAPH)
    model = {"wrapper": "langgraph", "implementation": "agent.py:graph", "params": {"threads": True}}
    report, _, _ = talked([{"question": "Weather?", "turns": ["Seoul", "Thanks"]}], model)
    assert report.per_row["conversation"][0].split("\n\n") == [
        "user: Weather?", "assistant: Which city?", "user: Seoul", "assistant: 1: Sunny in Seoul", "user: Thanks",
        "assistant: 3: Thanks",
    ]  # fmt: skip


def test_turns_answer_questions_at_once_by_their_text(talked: Callable[..., Evaluated]) -> None:
    """LangGraph's ids differ in each run. An answer may be any JSON; one that is left out stays open, and may come in the
    next turn. An answer to nothing that is asked, and a text for two questions, are errors of the row."""
    Path("agent.py").write_text(GRAPH)
    left, right = "어디에서?", '{"to": "?"}'
    rows = [
        {"turns": [{left: "서울", right: ["부산", None]}]},
        {"turns": [{right: False}, {left: "서울"}]},
        {"turns": [{right: "부산"}, "서울"]},
        {"turns": [{right: "부산"}]},
        {"turns": [{"어디?": "서울"}]},
        {"turns": ["서울"]},
        {},
        {"question": "B", "turns": [{left: "서울", right: "부산"}, {left: "대전"}]},
    ]
    model = {"wrapper": "langgraph", "implementation": "agent.py:parallel", "params": {"threads": True}}
    report, _, _ = talked(rows, model)
    outputs, errors = list(report.per_row["output"]), list(report.per_row["error"])
    assert outputs[:4] == ["서울 to ['부산', None]", "서울 to False", "서울 to 부산", left]
    assert errors[:4] == [""] * 4
    asked = json.dumps(rows[0]["turns"][0], ensure_ascii=False)
    conversation = report.per_row["conversation"][0].split("\n\n")
    assert conversation[1:3] == [f"assistant: {right}\n{left}", f"user: {asked}"]
    assert (
        errors[4]
        == f"Turn 2: 'turns' answers '어디?', which is not open. The graph asks: '{right}', '{left}'."
    )
    line = json.dumps([{right: "...", left: "..."}], ensure_ascii=False)
    assert errors[5] == (
        "Turn 2: The graph asks 2 questions at once, which one text cannot answer. Answer in the row of the golden data: "
        f'"turns": {line}.'
    )
    assert f'"turns": {line}.' in errors[6] and "data.reference_columns: [turns]" in errors[6]
    assert errors[7] == f'Turn 3: \'turns\' has the answers {{"{left}": "대전"}}, and the graph asks nothing.'


def test_a_row_whose_graph_asks_says_how_to_answer(talked: Callable[..., Evaluated]) -> None:
    """With the line to write; answers by question need a graph that keeps threads, which is known before the first call."""
    Path("agent.py").write_text(GRAPH)
    model = {"wrapper": "langgraph", "implementation": "agent.py:graph", "params": {"threads": False}}
    report, _, _ = talked([{"question": "Weather?"}, {"question": "Weather?", "turns": ["Seoul"]}, {}], model)
    why = (
        'InputError: The graph stopped to ask \'Which city?\'. Answer in the row of the golden data: "turns": ["..."]. It '
        "needs data.reference_columns: [turns] and model.params.threads: true."
    )
    assert list(report.per_row["error"]) == [why, f"Turn 1: {why}", ""]
    with pytest.raises(EvaluationError, match=r"by their text.*model.params.threads: true"):
        talked([{"question": "Weather?", "turns": [{"Which city?": "Seoul"}]}], model)


def test_a_model_of_one_message_is_refused_before_any_call(talked: Callable[..., Evaluated]) -> None:
    """The error says what to set."""
    Path("agent.py").write_text(GRAPH)
    model = {"wrapper": "langgraph", "implementation": "agent.py:single", "params": {"output": "answer"}}
    with pytest.raises(EvaluationError, match=r"several turns.*model.params.threads: true"):
        talked([{}, {"turns": ["B"]}], model)


def test_a_champion_of_one_message_has_a_way_out(talked: Callable[..., Evaluated]) -> None:
    """A golden set with conversations cannot compare it; the verdict says how the new model gets registered."""
    Path("agent.py").write_text(GRAPH)
    model = {"wrapper": "langgraph", "implementation": "agent.py:single", "params": {"output": "answer"}}
    _, champion, settings = talked([{}], model)
    promote(settings, "toy", Registry(settings).register("toy", champion.run_id, {}).version)
    report, _, _ = talked(
        [{"turns": ["B"]}], {**model, "implementation": "agent.py:graph", "params": {"threads": True}}
    )
    assert report.verdict is not None and not report.verdict.passed
    assert re.search(
        r"several turns.*evaluation.gate.champion: false registers", " ".join(report.verdict.reasons)
    )


def test_the_champion_talks_with_the_same_user(vendor: Vendor, talked: Callable[..., Evaluated]) -> None:
    """A rubric reads the whole conversation; champion and challenger are judged on conversations of their own, and a row
    without a goal counts in neither."""
    rubric = {"prompt": "Polite? {{conversation}}", "scale": {1: "no", 2: "yes"}, "judge": "openai:judge"}
    evaluation = {"rubrics": {"polite": rubric}, "metrics": ["polite"], "metric": "goal_reached"}
    replies = [said("continue", "More."), said("goal_reached"), json.dumps({"reason": "", "score": 2})]
    vendor.control(verdicts=replies)
    rows = [{"goal": "a"}, {}]
    _, champion, settings = talked(rows, simulated_user=USER, **evaluation)
    promote(settings, "toy", Registry(settings).register("toy", champion.run_id, {}).version)
    judged = [body for body in vendor.stats["bodies"] if body["model"] == "judge"]
    assert "<conversation>\nuser: Q0?\n\nassistant: Answer to: Q0?\n\nuser: More." in str(
        judged[0]["messages"][1]["content"]
    )
    vendor.control(verdicts=replies)
    Path("other.yaml").write_text("user: 'Well: {{question}}'\n")
    model = {"params": {"prompts": "other.yaml"}}
    report, _, _ = talked(rows, model, simulated_user=USER, **evaluation)
    assert report.verdict is not None
    compared = [
        (one.metric, one.champion, one.challenger, one.entities) for one in report.verdict.comparisons
    ]
    assert compared == [("goal_reached", 1.0, 1.0, 1)]
    users = [body for body in vendor.stats["bodies"] if body["model"] == "user"]
    assert len(users) == 2 and report.notes["champion"].startswith("comparing: 0 LLM calls made")
