"""The rows that the gate decides on, collected part by part."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import DataError, EvaluationError, PluginError
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.llm.generation import Generation
from mlops_lib.training.judged_rows import MISSING, Collector, as_text, latency, row_digests

SCHEMA = Schema(
    (
        Column("customer", "integer", "key"), Column("age", "number", "feature"),
        Column("city", "category", "feature"), Column("left", "integer", "label"),
    )
)  # fmt: skip
FRAME = pd.DataFrame(
    {
        "customer": [7, 7, 8, 9],
        "age": [1.5, np.nan, 3.0, 1.5],
        "city": ["서울", None, "Rome", "Rome"],
        "left": [0, 1, 0, 1],
    }
)


def old(row):
    """A slice of the test's own."""
    return row["age"] > 2


def bad(row):
    """A slice that fails on a row without a city."""
    return row["city"].lower()


def collected(project, parts, slices=(), schema=SCHEMA, predicted=None):
    """The rows of a frame that comes in `parts`."""
    settings = project.configure(evaluation={"gate": {"slices": dict.fromkeys(slices, "all")}}).settings()
    collector = Collector(settings, schema)
    for part in np.array_split(np.arange(len(FRAME)), parts):
        answers = np.full(len(part), 0.5) if predicted is None else [predicted[i] for i in part]
        collector.add(FRAME.iloc[part], answers)
    return collector.judged(["accuracy"], None, [0, 1])


def test_rows_do_not_depend_on_how_they_come_in(project):
    """One part or four: the same ids, entities, truth and slices."""
    whole, parts = (collected(project, n, ["city", f"{__name__}:old"]) for n in (1, 4))
    assert whole.ids == parts.ids and len(set(whole.ids)) == 4
    assert whole.entities == parts.entities == ["7", "7", "8", "9"]
    assert whole.truth.tolist() == parts.truth.tolist() == [0, 1, 0, 1]
    assert whole.slices == parts.slices
    assert whole.slices["city"] == ["서울", MISSING, "Rome", "Rome"]
    assert whole.slices[f"{__name__}:old"] == ["False", "False", "True", "False"]


def test_a_gap_and_the_text_of_its_name_are_two_slices():
    """So are that text and the same in quotes."""
    values = [None, math.nan, pd.NaT, pd.NA, "missing", "'missing'", "Missing", "NaT", "<NA>", 7]
    assert [as_text(value) for value in values] == [
        MISSING, MISSING, MISSING, MISSING, "'missing'", "''missing''", "Missing", "NaT", "<NA>", "7"
    ]  # fmt: skip


@pytest.mark.parametrize(("task", "kept"), [("classification", 0), ("between_task:Between", 4)])
def test_references_are_kept_for_a_task_of_one_s_own(project, task, kept):
    """The platform's tasks need none again, so columns beside the label are not stored with their rows."""
    columns = [replace(one, role="reference") if one.name == "city" else one for one in SCHEMA.columns]
    settings = project.configure(evaluation={"task": task}).settings()
    collector = Collector(settings, Schema(tuple(columns)))
    collector.add(FRAME, np.full(4, 0.5))
    assert len(collector.references) == 4 and len(collector.judged([], None).references) == kept


def test_an_id_is_of_all_values_of_a_row():
    """Any value changed, the label and the key among them, changes the id; the place of a row does not."""
    before = row_digests(FRAME)
    for name, value in {"customer": 1, "age": 9.0, "city": "rome", "left": 5}.items():
        changed = FRAME.copy()
        changed.loc[2, name] = value
        assert (row_digests(changed) != before).tolist() == [False, False, True, False], name
    assert row_digests(FRAME.iloc[::-1]).tolist() == before.tolist()[::-1]


@pytest.mark.parametrize(
    "values", [[[1, 2], [3]], [np.array([1.0]), np.array([2.0])], [b"a", b"b"], [{"a": 1}, {"a": 2}]]
)
def test_values_of_any_type_have_an_id(values):
    """Arrays, images and nested values are told apart."""
    first, second = row_digests(pd.DataFrame({"x": values}))
    assert first != second


def test_long_arrays_that_differ_in_the_middle_have_different_ids():
    """The printed form of a long array leaves its middle out."""
    one, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    first, second = row_digests(pd.DataFrame({"x": [one, other]}))
    assert first != second


def test_without_a_key_equal_rows_are_one_entity(project):
    """So a row that is there twice does not count as two."""
    schema = Schema(tuple(column for column in SCHEMA.columns if column.role != "key"))
    rows = collected(project, 1, schema=schema)
    assert rows.entities == rows.ids


def test_a_slice_that_is_no_column_lists_those_there_are(project):
    """And a function is named by its path."""
    with pytest.raises(DataError, match=r"names 'town'.*It has: customer, age, city, left"):
        collected(project, 1, ["town"])
    with pytest.raises(PluginError, match="has no 'nothing'"):
        collected(project, 1, [f"{__name__}:nothing"])


def test_a_slice_that_fails_names_the_row_of_the_split(project):
    """Also when the rows come in parts."""
    with pytest.raises(EvaluationError, match=r"failed on row 1 of the split .*AttributeError"):
        collected(project, 4, [f"{__name__}:bad"])


def test_answers_of_a_text_model_carry_errors_time_and_cost(project):
    """A failed row has no prediction, and says why."""
    made = [
        Generation({}, "yes", latency_s=0.5, usage=Usage(cost_usd=0.01)),
        Generation({}, error="late"),
    ] * 2
    rows = collected(project, 2, predicted=made)
    assert rows.predicted == ["yes", None] * 2 and rows.errors == ["", "late"] * 2
    assert rows.latency_s == [0.5, 0.0] * 2 and rows.cost_usd == [0.01, 0.0] * 2


def test_an_answer_of_a_model_without_a_price_is_not_free(project):
    """The gate refuses a cost that is no number."""
    made = [Generation({}, "yes", usage=Usage(calls=1, unpriced=1))] * 4
    assert np.isnan(collected(project, 1, predicted=made).cost_usd).all()


def test_latency_is_of_single_rows_after_a_first_one():
    """The first row loads what later ones use."""
    seen = []
    found = latency(lambda rows: seen.append(len(rows)), FRAME)
    assert seen == [1, 1, 1, 1] and len(found) == 3
