"""The rows on which compared models differ."""

import pytest

from mlops_lib.comparison.changed import changed_rows
from mlops_lib.evaluation.judged import JudgedRows


def answers(texts, scores):
    ids = [str(place) for place in range(len(texts))]
    return JudgedRows("text", ids, ids, ["right"] * len(texts), texts, values={"ter": scores})


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_an_answer_without_a_score_is_the_largest_loss(higher_is_better):
    """Whichever way is better; two answers without one do not differ in it."""
    one = answers(["a", "b", "c"], [2.0, 2.0, None])
    other = answers(["d", "e", "f"], [3.0, None, None])
    counts, rows = changed_rows(one, [other], [], "ter", higher_is_better)
    assert counts == [3]
    assert rows[0].predictions == ("b", "e") and rows[0].change is None
    assert {row.predictions[0]: row.change for row in rows[1:]} == {
        "a": 1.0 if higher_is_better else -1.0,
        "c": 0.0,
    }
