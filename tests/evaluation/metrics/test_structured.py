"""Answers and references that are JSON: compared as values, by field, and with a schema."""

import asyncio
import json

import pytest

from mlops_lib import config
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.answers import make
from mlops_lib.evaluation.metrics.interface import Case
from mlops_lib.llm.generation import Generation


def score(metric, answer, reference, settings=None):
    return asyncio.run(make(metric, settings).row(Case(Generation({}, answer), reference)))


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "fields"),
    [
        ('{"a": 1, "b": null}', '{"b": null, "a": 1.0}', 1.0, 1.0),
        ('{"a": 1}', '{"a": 1, "b": null}', 0.0, 0.5),  # null is a value
        ('{"a": true}', '{"a": 1}', 0.0, 0.0),
        ('{"a": "Seoul"}', '{"a": "seoul"}', 0.0, 0.0),
        ('{"city": "de\\u0301ja\\u0300"}', '{"city": "déjà"}', 1.0, 1.0),
        ('{"de\\u0301ja\\u0300": 1}', '{"déjà": 1}', 1.0, 1.0),
        ('{"a": {"b": [1, 2], "c": "x"}}', '{"a": {"b": [1, 3], "c": "x"}}', 0.0, 2 / 3),
        ('{"a": 1, "more": 2}', '{"a": 1}', 0.0, 1.0),
        ("[1, 2]", "[2, 1]", 0.0, 0.0),
        ("[]", "[]", 1.0, 1.0),
        ("{}", '{"a": {}}', 0.0, 0.0),
        ("no JSON", '{"a": 1}', 0.0, 0.0),
        ('{"a": ', '{"a": 1}', 0.0, 0.0),
        ('{"도시": "서울"}', '{"도시": "서울"}', 1.0, 1.0),
    ],
)
def test_values_are_compared_as_values(answer, reference, exact, fields):
    assert score("exact_match", answer, reference) == exact
    assert score("json_fields", answer, reference) == pytest.approx(fields)


@pytest.mark.parametrize("text", ["[1] see the manual", "{name}, hello", "5", "null"])
def test_a_text_that_is_no_object_is_text(text):
    assert score("exact_match", text.upper(), text) == 1.0
    with pytest.raises(EvaluationError, match="the reference is no JSON object or list"):
        score("json_fields", text, text)


def test_answers_are_held_against_a_schema(llm_project, tmp_path):
    file = tmp_path / "answer.json"
    file.write_text(
        json.dumps({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})
    )
    settings = config.load(llm_project(evaluation={"json_schema": "answer.json"}))
    scores = [
        score("json_schema", answer, "", settings) for answer in ('{"a": 1}', '{"a": "1"}', "{}", "text")
    ]
    assert scores == [1.0, 0.0, 0.0, 0.0]
    file.write_text('{"type": 5}')
    with pytest.raises(EvaluationError, match=r"evaluation\.json_schema .*answer\.json cannot be used: 5"):
        make("json_schema", settings)
    with pytest.raises(EvaluationError, match=r"Set evaluation\.json_schema"):
        make("json_schema", config.load(llm_project()))
