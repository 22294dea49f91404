"""The table of the rows on which two models differ."""

import numpy as np
import pytest

from mlops_lib.evaluation.changed_rows import MAX_ROWS, changed_rows
from mlops_lib.evaluation.judged import JudgedRows

IDS = ["a", "b", "c", "d"]


def rows(task, truth, predicted, **more):
    return JudgedRows(
        task, IDS[: len(truth)], ["k1", "k1", "k2", "k2"][: len(truth)], truth, predicted, **more
    )


def compared(challenger, champion, metric="", higher=True):
    table, sentence = changed_rows(challenger, champion, metric, higher)
    return table.to_dict("records"), sentence


def test_classes_that_became_right_or_wrong():
    """Text labels, two classes; rows that both get wrong are no change. Slices and keys stand beside them."""
    truth = np.array(["no", "yes", "yes", "no"], dtype=object)
    old = rows("classification", truth, np.array([0.4, 0.4, 0.9, 0.9]), classes=["no", "yes"])
    new = rows(
        "classification", truth, np.array([0.6, 0.6, 0.9, 0.8]), classes=["no", "yes"], slices={"plan": ["x", "y", "x", "y"]}
    )  # fmt: skip
    found, sentence = compared(new, old)
    assert sentence == "2 of 4 rows changed: 1 wrong now, 1 right now."
    assert found == [
        {"row": 0, "key": "k1", "truth": "no", "champion": "no (0.600)", "challenger": "yes (0.600)",
         "change": "wrong now", "plan": "x"},
        {"row": 1, "key": "k1", "truth": "yes", "champion": "no (0.600)", "challenger": "yes (0.600)",
         "change": "right now", "plan": "y"},
    ]  # fmt: skip


def test_many_classes_and_a_row_that_failed():
    """A failed row is not right, and the table has its error."""
    sure = np.eye(3)
    truth = np.array([0, 1, 2])
    old = rows("classification", truth, sure, classes=[0, 1, 2])
    new = rows("classification", truth, [sure[0], None, sure[2]], classes=[0, 1, 2], errors=["", "late", ""])
    found, sentence = compared(new, old)
    assert sentence == "1 of 3 rows changed: 1 wrong now, 0 right now."
    assert (found[0]["row"], found[0]["challenger"]) == (1, "error: late")


def test_numbers_closer_and_further_off():
    """The largest change for the worse first; a rounding error is no change."""
    truth = np.array([10.0, 10.0, 10.0, 10.0])
    old = rows("regression", truth, np.array([11.0, 12.0, 10.0, 10.3]))
    new = rows("regression", truth, np.array([10.0, 15.0, 10.0, 10.3 + 1e-13]))
    found, sentence = compared(new, old)
    assert sentence == "2 of 4 rows changed: 1 further off, 1 closer."
    assert [(one["row"], one["difference"]) for one in found] == [(1, -3.0), (0, 1.0)]


@pytest.mark.parametrize(("higher", "first"), [(True, 0), (False, 1)])
def test_texts_by_their_score(higher, first):
    """The metric's direction says which is worse; a row without a score has the worst."""
    old = rows("text", ["r", "r"], ["x", "y"], values={"m": [0.9, 0.1]})
    new = rows("text", ["r", "r"], ["z", "y"], values={"m": [0.2, 0.3]})
    found, _ = compared(new, old, "m", higher)
    assert [one["row"] for one in found] == [first, 1 - first]
    assert found[0]["change"] == "worse"
    failed = rows("text", ["r", "r"], [None, "y"], values={"m": [None, 0.1]}, errors=["late", ""])
    found, sentence = compared(failed, old, "m", True)
    assert sentence == "1 of 2 rows changed: 1 worse, 0 better." and found[0]["challenger"] == "error: late"


def test_texts_of_a_metric_without_scores_of_rows():
    """Another answer is a change, neither better nor worse."""
    old, new = rows("text", ["r", "r"], ["x", "y"]), rows("text", ["r", "r"], ["x", "z"])
    found, sentence = compared(new, old, "bleu")
    assert (
        sentence == "1 of 2 rows changed: 1 with another answer."
        and found[0]["change"] == "with another answer"
    )


def test_equal_models_change_nothing():
    """The sentence says so, and the table is empty."""
    one = rows("regression", np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    assert compared(one, one) == ([], "0 of 2 rows changed.")


def test_a_long_table_keeps_the_largest_changes_of_both_sides():
    """And the sentence counts all of them."""
    many = 3 * MAX_ROWS
    truth, names = np.zeros(many), [str(row) for row in range(many)]
    change = np.linspace(-1, 1, many)
    old = JudgedRows("regression", names, names, truth, np.full(many, 2.0))
    new = JudgedRows("regression", names, names, truth, 2.0 - change)
    table, sentence = changed_rows(new, old, "", True)
    assert len(table) == MAX_ROWS and sentence.startswith(
        f"{many:,} of {many:,} rows changed: {many // 2:,} further"
    )
    assert table["difference"].min() == pytest.approx(-1) and table["difference"].max() == pytest.approx(1)


def test_rows_with_another_loss_are_counted():
    """A row without a loss has the largest one."""
    ids = ["a", "b", "c"]
    new = JudgedRows("loss", ids, ids, [0, 0, 0], [1.0, None, 2.0], errors=["", "no answer", ""])
    old = JudgedRows("loss", ids, ids, [0, 0, 0], [1.0, 2.5, 4.0])
    table, sentence = changed_rows(new, old, "mean_loss", False)
    assert sentence == "2 of 3 rows changed: 1 larger loss, 1 smaller loss."
    assert table["difference"].tolist() == [-1.5, 2.0]
