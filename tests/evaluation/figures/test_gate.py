"""The figure of the gate: a line for each metric and slice, with outcome, zero and margin."""

import pytest

from mlops_lib.evaluation.figures.gate import MAX_LINES, differences
from mlops_lib.evaluation.report import Comparison, Opponent, Verdict


def verdict(*comparisons: Comparison) -> Verdict:
    return Verdict(
        passed=False, metric="roc_auc", score=0.8, threshold=0.5, higher_is_better=True, outcome="worse",
        champion=Opponent(name="churn", version=3, run_id="r"), comparisons=comparisons, confidence=0.95,
    )  # fmt: skip


def comparison(metric="roc_auc", outcome="better", low=0.01, **more) -> Comparison:
    facts = {"champion": 0.7, "challenger": 0.75, "difference": low + 0.02, "high": low + 0.04} | more
    return Comparison(metric=metric, outcome=outcome, low=low, margin=0.01, rows=50, entities=50, **facts)


def test_each_metric_has_a_panel_with_its_slices():
    """Names with rows on the left, outcomes in words on the right; Korean too."""
    figure = differences(
        verdict(
            comparison(),
            comparison(slice="도시=서울", outcome="worse", low=-0.2),
            comparison("brier"),
            Comparison(metric="brier", slice="b=c", margin=0, outcome="undecided", rows=9, entities=9),
        )
    )
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["all rows (50)", "도시=서울 (50)"]
    assert [text.get_text() for text in first.texts] == ["better", "worse"]
    assert [text.get_text() for text in second.texts] == ["better", "undecided, no interval"]
    assert "brier" in second.get_xlabel() and "Worse than version 3" in figure.get_suptitle()
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_many_slices_keep_the_lowest_intervals():
    """All rows stay, and the label says how many slices are not drawn."""
    slices = [comparison(slice=f"s={n}", low=-0.001 * n) for n in range(60)]
    (axes,) = differences(verdict(comparison(low=1.0), *slices)).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == MAX_LINES and names[0] == "all rows (50)" and names[-1] == "s=59 (50)"
    assert "21 slices are not drawn" in axes.get_xlabel()


@pytest.mark.parametrize("one", [verdict(), verdict(comparison()).model_copy(update={"champion": None})])
def test_no_comparison_has_no_figure(one):
    """The first version ever has nothing to draw."""
    assert differences(one) is None
