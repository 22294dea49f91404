"""The rows on which compared models differ."""

import numpy as np
import pytest

from mlops_lib.comparison.changed import changed_rows
from mlops_lib.comparison.versions import _with_equal_facts
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


def labels(task, truth, predicted):
    ids = [str(place) for place in range(len(truth))]
    return JudgedRows(task, ids, ids, np.array(truth), np.array(predicted), classes=("a", "b"))


def test_rows_of_several_labels_have_the_largest_loss_first():
    """Yes/no labels differ at 0.5; numbers count in ranges of their label, and rounding is no difference."""
    truth = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    one = labels("multilabel", truth, [[0.9, 0.4], [0.6, 0.9], [0.8, 0.8]])
    other = labels("multilabel", truth, [[0.7, 0.6], [0.1, 0.9], [0.7, 0.7]])
    counts, rows = changed_rows(one, [other], [], "f1", True)
    assert counts == [2] and [row.id for row in rows] == ["0", "1"]
    assert [row.change for row in rows] == pytest.approx([-0.2, 0.25])
    assert rows[0].truth == "a" and rows[0].predictions == ("a 0.9, b 0.4", "a 0.7, b 0.6")

    truth = [[0.0, 0.0], [1.0, 1000.0], [0.5, 500.0]]
    one = labels("multioutput", truth, [[0.0, 100.0], [1.0, 1000.0], [0.5, 500.0]])
    other = labels("multioutput", truth, [[0.0, 0.0], [0.5, 1000.0], [0.5 + 1e-9, 500.0]])
    counts, rows = changed_rows(one, [other], [], "r2", True)
    assert counts == [2] and [row.id for row in rows] == ["1", "0"]
    assert [row.change for row in rows] == pytest.approx([-0.25, 0.05])
    assert rows[0].truth == "a 1, b 1000"


def test_versions_are_compared_with_the_facts_of_the_last():
    """Stored scales of another season are named in a note; a missing scale equals a missing one."""
    first, same, last = (
        JudgedRows("forecast", ["a", "b"], ["a", "b"], [1.0, 2.0], [1.0, 2.0], facts={"scale": scale})
        for scale in ([3.0, float("nan")], np.array([3.0, np.nan]), [4.0, 1.0])
    )
    assert _with_equal_facts([first, same]) == ([first, same], "")
    rows, note = _with_equal_facts([first, same, last])
    assert all(one.facts is last.facts for one in rows) and "evaluation.seasonality" in note


def test_rows_of_a_ranking_are_those_with_another_place():
    """A relevant row that falls is the largest loss; scores of another scale are no change."""
    truth, ids = [2, 0, 0, 1, 0], list("abcde")
    one, scaled, other = (
        JudgedRows("ranking", ids, ["q", "q", "q", "r", "r"], truth, scores)
        for scores in ([3.0, 2, 1, 5, 4], [30.0, 20, 10, 0.5, 0.4], [1.0, 2, 3, 5, 4])
    )
    counts, changed = changed_rows(one, [scaled, other], [], "ndcg_at_k", True)
    assert counts == [0, 2]
    assert [(row.id, row.change) for row in changed] == [("a", -2.0), ("c", -2.0)]


def test_rows_with_another_loss_have_the_larger_one_first():
    one, other = (
        JudgedRows("loss", ["a", "b"], ["a", "b"], [0, 0], losses) for losses in ([1.0, 2.0], [0.5, 9.0])
    )
    counts, changed = changed_rows(one, [other], [], "mean_loss", False)
    assert counts == [2] and [(row.id, row.change) for row in changed] == [("b", -7.0), ("a", 0.5)]
