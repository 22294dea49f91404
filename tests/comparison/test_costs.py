"""The cost of a row in a comparison, where a model has no price."""

import math

import pytest

from mlops_lib.comparison import view
from mlops_lib.comparison.pairwise import _with_facts
from mlops_lib.comparison.result import Against, ComparisonReport, Side
from mlops_lib.evaluation.judged import JudgedRows


def side(number: int, *costs: float) -> Side:
    """A version whose rows cost so much."""
    rows = JudgedRows(
        task="text",
        ids=["a", "b"],
        entities=["a", "b"],
        truth=["x", "y"],
        predicted=["x", "y"],
        cost_usd=costs,
    )
    return _with_facts(Side(name="m", version=number), rows)


@pytest.mark.parametrize(
    ("costs", "shown"),
    [
        (((0.1, 0.3), (math.nan, 0.3)), ["$0.200000", "unknown"]),
        (((0.1, 0.3), ()), ["$0.200000", "unknown"]),
        (((math.nan, math.nan), (0.1, math.nan)), None),
    ],
)
def test_a_call_without_a_price_has_no_cost(costs, shown):
    """Also where other rows have a price: their mean would be too low."""
    reference, other = (side(number, *values) for number, values in enumerate(costs))
    report = ComparisonReport(
        name="m",
        source="",
        task="text",
        reference=reference,
        against=(Against(side=other),),
        gate_metrics=(),
        rows=2,
    )
    head, rows = view.sides(report)
    assert "nan" not in str(rows) and "nan" not in report.model_dump_json().lower()
    assert ([row[head.index("cost a row")] for row in rows] if "cost a row" in head else None) == shown
