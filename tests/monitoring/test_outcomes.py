"""Outcomes that callers sent, beside the predictions that they belong to."""

from types import SimpleNamespace

import pytest

from mlops_lib.monitoring.mirrored_answers import _read
from mlops_lib.monitoring.outcomes import JudgedRequests, Outcome, _judge, _reader


@pytest.mark.parametrize(
    ("task", "value", "problem"),
    [
        ("multilabel", [True, 0], ""),
        ("multilabel", [1], "no list with 0 or 1 for each label"),
        ("multilabel", [1, 0.5], "no list with 0 or 1 for each label"),
        ("multioutput", [1.5, 2], ""),
        ("multioutput", [1.5, 2, 3], "no list with a number for each label"),
        ("multioutput", 1.5, "no list with a number for each label"),
        ("regression", 1.5, ""),
        ("ranking", True, ""),
        ("ranking", -1, "a negative relevance"),
        ("ranking", "yes", "no number"),
    ],
)
def test_an_outcome_that_does_not_fit_the_prediction_is_left_out(task, value, problem):
    """One wrong list among many outcomes must not stop the comparison of all."""
    predicted = 0.5 if task == "regression" else [0.5, 0.5]
    answers = SimpleNamespace(
        rows=[{}], champion=[predicted], challenger=[predicted], request_id="r", error=""
    )
    found = JudgedRequests()
    _judge(found, answers, 0, {0: Outcome(1, value)}, "", _reader(task, ()))
    assert len(found.rows) == (not problem)
    assert list(found.left_out) == ([f"rows whose outcome is {problem}"] if problem else [])


def test_the_judged_output_of_models_that_give_several_is_read():
    """One value a row; None, so that the request is left out and counted, where a version lacks the output."""

    def read(predictions, output):
        return _read({"request_id": "r", "predictions": predictions}, output)

    assert read('[{"liked": 0.5, "vector": [1]}, {"liked": 0.7}]', "liked") == [0.5, 0.7]
    assert read('[{"liked": 0.5}, {}]', "liked") is None and read("[0.5]", "liked") is None
    assert read('[{"liked": 0.5}]', "") == [{"liked": 0.5}]
