"""Metrics of tool calls, steps and cost."""

import asyncio
import json

import numpy as np
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import evaluate
from mlops_lib.evaluation.metrics import answers
from mlops_lib.evaluation.metrics.interface import Case
from mlops_lib.evaluation.metrics.json_values import value_of
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.traces.trajectory import Trajectory, of_output

NAMES = ("exact_order", "any_order", "subset", "superset", "f1")


def work(*calls):
    """A trajectory whose LLM asked for these calls, ``(name, args)``, in one message."""
    asked = [{"name": name, "args": args, "id": f"c{i}"} for i, (name, args) in enumerate(calls)]
    return Trajectory(({"role": "assistant", "tool_calls": asked},))


def score(metric, made, expected):
    case = Case(Generation({}, "x", trajectory=made), "r", {"expected_tools": value_of(expected)})
    return asyncio.run(answers.make(metric, None).row(case))


SEARCH, ADD = ("search", {"query": "서울", "limit": 3}), ("add", {"a": 1, "b": 2.0})
WANTED = [
    {"name": "search", "args": {"limit": 3.0, "query": "서울"}},
    {"name": "add", "args": {"a": 1, "b": 2}},
]


@pytest.mark.parametrize(
    ("calls", "expected", "scores"),
    [
        ([SEARCH, ADD], WANTED, (1, 1, 1, 1, 1)),
        ([ADD, SEARCH], WANTED, (0, 1, 1, 1, 1)),
        ([SEARCH], WANTED, (0, 0, 1, 0, 2 / 3)),
        ([SEARCH, ADD, ADD], WANTED, (0, 0, 0, 1, 4 / 5)),
        ([SEARCH, ("add", {"a": "1", "b": 2})], WANTED, (0, 0, 0, 0, 1 / 2)),
        ([], WANTED, (0, 0, 1, 0, 0)),
        ([], [], (1, 1, 1, 1, 1)),
        ([ADD], [], (0, 0, 0, 1, 0)),
        ([SEARCH, ADD], ["search", "add"], (1, 1, 1, 1, 1)),
        # A name alone takes any call, and leaves those with arguments to the others.
        ([("add", {"a": 9}), ("add", {"a": 1})], [{"name": "add", "args": {"a": 1}}, "add"], (0, 1, 1, 1, 1)),
        ([ADD], [{"function": {"name": "add", "arguments": '{"b": 2, "a": 1}'}}], (1, 1, 1, 1, 1)),
        ([("now", {})], [{"name": "now", "args": {}}], (1, 1, 1, 1, 1)),
        ([("now", {"zone": None})], [{"name": "now", "args": {}}], (0, 0, 0, 0, 0)),
        ([SEARCH], "search", (1, 1, 1, 1, 1)),
    ],
)
def test_calls_are_compared_as_values(calls, expected, scores):
    """Order, missing, further and wrong calls; the column as a value and as the JSON text of a file."""
    for given in (
        expected,
        expected if isinstance(expected, str) else json.dumps(expected, ensure_ascii=False),
    ):
        found = [score(f"tool_calls_{name}", work(*calls), given) for name in NAMES]
        assert found == pytest.approx(scores)


@pytest.mark.parametrize(
    "value", [None, float("nan"), [3], [{"args": {}}], [{"name": "a", "args": "text"}], [""]]
)
def test_a_row_without_usable_tools_is_an_error(value):
    """A missing or malformed expectation is never scored."""
    with pytest.raises(EvaluationError, match="expected_tools"):
        score("tool_calls_f1", work(SEARCH), value)


def test_the_calls_of_an_answer_alone():
    """A completion has its calls; a tool that code called counts, one that an LLM asked for counts once."""
    function = {"name": "add", "arguments": '{"a": 1}'}
    answer = {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1", "function": function}]}}]}
    assert of_output(answer).tool_calls == [{"name": "add", "args": {"a": 1}}]
    asked = {"role": "assistant", "tool_calls": [{"name": "add", "args": {"a": 1}, "id": "1"}]}
    ran = {"role": "tool", "name": "add", "args": {"a": 1}, "id": "1", "content": "1"}
    direct = {"role": "tool", "name": "now", "args": {}, "id": None, "content": "12:00"}
    assert [call["name"] for call in Trajectory((asked, ran, direct)).tool_calls] == ["add", "now"]


def test_steps_and_cost_count_a_failed_row_as_the_largest():
    """A model does not get cheaper by failing; a call without a price is an error."""
    paid = [Generation({}, "a", usage=Usage(1, 1, 1, cost), trajectory=work()) for cost in (0.1, 0.3)]
    failed = Generation({}, error="401")
    for name, values in (("cost", [0.1, 0.3]), ("steps", [1.0, 1.0])):
        metric = answers.make(name, None)
        cases = [Case(made, "r") for made in (*paid, failed)]
        results = asyncio.run(answers.score_rows(metric, cases, 2, name))
        assert [value for value, _ in results] == [*values, None]
        total = answers.total(name, metric, cases, [value for value, _ in results])
        assert total.value == pytest.approx((sum(values) + max(values)) / 3) and total.errored == 1
    free = Case(Generation({}, "a", usage=Usage(2, unpriced=1)), "r")
    with pytest.raises(EvaluationError, match="1 of 2 LLM calls have no price"):
        asyncio.run(answers.make("cost", None).row(free))


def test_references_reach_the_metrics():
    """A metric of one's own reads the columns of the reference, and the report shows what the model did."""
    made = [Generation({"question": "Q"}, "a", trajectory=work(SEARCH)) for _ in range(2)]
    report = evaluate("text", ["a", "b"], made, split="test", references=[{"tags": '["x"]'}, {"tags": None}])
    assert list(report.per_row["tool_calls"]) == [[{"name": "search", "args": SEARCH[1]}]] * 2
    (title,) = [title for title in report.tables if title.startswith("Row 1: Q (")]
    table = report.tables[title]
    assert table["who"].tolist() == ["user", "LLM", "reference"]
    assert table["what"].tolist() == ["Q", 'calls search(query="서울", limit=3)', "b"]


def test_arguments_of_a_parquet_file_are_compared_as_values():
    """Arrays inside its objects are lists."""
    expected = np.array([{"name": "add", "args": {"numbers": np.array([1, 2])}}], dtype=object)
    assert score("tool_calls_exact_order", work(("add", {"numbers": [1, 2]})), expected) == 1


def test_ragas_compares_no_call_without_its_arguments():
    """A tool given by its name alone is an error, since ragas would give any call of it 0."""
    with pytest.raises(EvaluationError, match=r"'add' without arguments.*\{\} for none"):
        score("tool_call_accuracy", work(ADD), ["add"])
    assert score("tool_call_accuracy", work(("now", {})), [{"name": "now", "args": {}}]) == 1
