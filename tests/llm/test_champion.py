"""A text model against the version at Production: recorded calls are reused, live ones count in the same limits."""

import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.evaluation.tasks.text import Text
from mlops_lib.registry import Registry
from tests.support.promoting import promote

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch):
    """Draw nothing: a figure takes as long as the rest of an evaluation."""
    monkeypatch.setattr(Text, "figures", lambda *_: {})


@pytest.fixture
def make(vendor, llm_project):
    """Make, train and judge models with a prompt; each call is a new version of the project."""

    def model(prompt="{{question}}", judge=True, rows=60, **evaluation):
        file = llm_project(rows=rows, evaluation=evaluation)
        file.with_name("prompts.yaml").write_text(f"user: '{prompt}'\n")
        settings = config.load(file)
        made = wrappers.from_settings(settings)
        made.train(loaders.from_settings(settings), settings)
        return settings, made, made.evaluate(loaders.from_settings(settings), settings) if judge else None

    return model


def at_production(settings, model):
    """Register a model and put it at Production."""
    return promote(settings, "toy", Registry(settings).register("toy", model.run_id, {}).version)


def test_recorded_answers_of_the_champion_are_reused(make, vendor):
    """Only the new prompt is sent; the comparison costs nothing, and the report says so."""
    settings, first, _ = make("Well: {{question}}")
    at_production(settings, first)
    vendor.control()
    _, _, report = make()
    assert vendor.stats["calls"] == 60
    assert report.verdict.passed and report.verdict.outcome == "better"
    assert report.notes["champion"].startswith("comparing: 0 LLM calls made (0 tokens, $0.0000), 60 answered")
    assert len(report.judged.values["exact_match"]) == 60


def test_a_champion_that_was_never_asked_here_is_asked_and_recorded(make, vendor):
    """The second comparison finds the calls with the challenger's run."""
    settings, first, _ = make("Well: {{question}}", judge=False)
    at_production(settings, first)
    vendor.control()
    settings, second, report = make()
    assert vendor.stats["calls"] == 120 and report.verdict.outcome == "better"
    vendor.control()
    again = second.evaluate(loaders.from_settings(settings), settings)
    assert vendor.stats["calls"] == 0 and again.verdict.comparisons == report.verdict.comparisons


def test_the_same_prompt_costs_the_champion_nothing(make, vendor):
    """The calls are the same as the challenger's own."""
    settings, first, _ = make(judge=False)
    at_production(settings, first)
    vendor.control()
    _, _, report = make()
    assert vendor.stats["calls"] == 60 and report.verdict.outcome == "not_worse"


def test_a_budget_that_ends_in_the_comparison_refuses(make, vendor):
    """The champion's missing answers are no win of the challenger."""
    settings, first, _ = make("Well: {{question}}", judge=False)
    at_production(settings, first)
    vendor.control()
    _, _, report = make(max_calls=80)
    assert vendor.stats["calls"] == 80
    (reason,) = report.verdict.reasons
    assert not report.verdict.passed
    assert "the budget ended before it answered all rows. evaluation.max_calls 80 is spent (80)" in reason


def test_a_champion_whose_provider_is_down_refuses(make, vendor):
    """Errors of the champion beyond evaluation.min_coverage are doubt, and not a win of the challenger."""
    settings, first, _ = make("Well: {{question}}", judge=False)
    at_production(settings, first)
    make()  # records the challenger's own calls
    vendor.control(faults=[{"kind": "400", "share": 1.0, "times": -1}])
    _, _, report = make()
    assert not report.verdict.passed
    assert "60 of 60 rows failed: " in report.verdict.reasons[0]


def test_rows_that_a_model_may_fail_on_count_as_the_worst(make, vendor):
    """With a lower min_coverage both may fail on some rows; the row is the loss of the one that failed."""
    settings, first, _ = make("Well: {{question}}", min_coverage=0.5)
    at_production(settings, first)
    vendor.control(faults=[{"kind": "400", "share": 0.2, "times": -1}])
    _, _, report = make(min_coverage=0.5)
    failed = [row for row, error in enumerate(report.judged.errors) if error]
    assert failed and all(report.judged.predicted[row] is None for row in failed)
    (one,) = report.verdict.comparisons
    assert one.rows == 60 and one.challenger == pytest.approx(1 - len(failed) / 60)


def test_a_replay_compares_with_nobody(make, vendor):
    """It repeats an evaluation of the past and makes no call."""
    settings, first, _ = make()
    at_production(settings, first)
    chosen = settings.evaluation.model_copy(update={"replay": first.run_id})
    vendor.control()
    report = first.evaluate(
        loaders.from_settings(settings), settings.model_copy(update={"evaluation": chosen})
    )
    assert vendor.stats["calls"] == 0 and report.verdict.passed and report.verdict.champion is None


GRAPH = """
from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, MessagesState, StateGraph

model = FakeListChatModel(responses=[ANSWER])


def node(state):
    return {"messages": [model.invoke("hi")]}


graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")
"""


def test_calls_of_the_champion_that_nobody_saw_are_noted(llm_project):
    """Of a model in the process, whose calls use no request."""
    model = {"wrapper": "langgraph", "implementation": "agent.py:graph", "params": {}}
    file = llm_project(rows=5, model=model)
    settings = config.load(file)
    for answer in ("A", "B"):
        file.with_name("agent.py").write_text(f"ANSWER = {answer!r}\n{GRAPH}")
        made = wrappers.from_settings(settings)
        made.train(loaders.from_settings(settings), settings)
        report = made.evaluate(loaders.from_settings(settings), settings)
        if answer == "A":
            at_production(settings, made)
    assert "5 LLM calls of FakeListChatModel were not counted" in report.notes["champion"]
