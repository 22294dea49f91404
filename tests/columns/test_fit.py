"""The fit: part by part, bounded, the same for the same rows."""

import datetime as dt
import random

import pandas as pd
import pyarrow as pa
import pytest

from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer

ROWS = 2_000


@pytest.fixture(scope="module")
def table():
    """Rows of each kind, with gaps, in a random order."""
    chance = random.Random(0)
    rows = range(ROWS)
    return pa.table(
        {
            "plan": [chance.choice(["a", "b", "c", None]) for _ in rows],
            "city": [f"city {int(chance.paretovariate(0.8)) % 900}" for _ in rows],
            "seen": [dt.datetime(1960 + i % 50, 1 + i % 12, 1, i % 24) if i % 7 else None for i in rows],
            "note": [f"note {i} of a customer who calls" for i in rows],
            "amount": [chance.random() for _ in rows],
            "y": ["p", "q"] * (ROWS // 2),
        }
    )


@pytest.mark.slow
def test_parts_of_any_size_give_one_encoder(table):
    """All rows at once, and parts of one to many rows, some of them with nothing in a column."""
    schema, frame = infer(table, Declared("y")), table.to_pandas()
    whole = fit(schema, [frame]).to_dict()
    for size in (1, 7, 500):
        assert fit(schema, (frame[at : at + size] for at in range(0, ROWS, size))).to_dict() == whole
    first = min(value for value in table["seen"].to_pylist() if value)
    us = (first - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    assert whole["parts"]["seen"] == {"of_day": False, "hours": True, "first_us": us} and us < 0


def test_a_category_keeps_its_frequent_values():
    """At most `max_values`, ties by text. Among many values, those that occur once share the code of unknown ones."""
    texts = ["often"] * 5 + ["twice", "twice"] + [f"once {i}" for i in range(200)]
    table = pa.table({"x": texts, "y": ["a"] * len(texts)})
    schema = infer(table, Declared("y"))
    encoder = fit(schema, [table.to_pandas()])
    assert encoder.learned["x"] == {"values": ["often", "twice"]} and encoder.outputs[0].codes == 4
    assert encoder.encode([["often"], ["once 7"], ["never"]]).ravel().tolist() == [2, 1, 1]
    few = infer(table.slice(0, 50), Declared("y"))
    assert len(fit(few, [table.to_pandas()[:50]]).learned["x"]["values"]) == 45
    assert fit(few, [table.to_pandas()[:50]], max_values=3).learned["x"]["values"] == [
        "often",
        "once 0",
        "twice",
    ]


def test_the_count_of_distinct_values_is_bounded(monkeypatch):
    """The rarest values so far are forgotten; the frequent ones are kept."""
    monkeypatch.setattr("mlops_lib.columns.fit.MAX_COUNTED", 100)
    texts = [value for i in range(5_000) for value in (f"v{i}", f"often {i % 3}")]
    table = pa.table({"x": texts, "y": ["a"] * len(texts)})
    frame = table.to_pandas()
    encoder = fit(infer(table, Declared("y")), (frame[at : at + 50] for at in range(0, len(frame), 50)))
    assert {"often 0", "often 1", "often 2"} <= set(encoder.learned["x"]["values"])
    assert len(encoder.learned["x"]["values"]) <= 100


@pytest.mark.parametrize(("rows", "width"), [(500, 16), (5_000, 32), (100_000, 128)])
def test_more_rows_give_text_a_wider_hash(rows, width):
    """Two such halves, of words and of letters, and the length."""
    table = pa.table({"x": ["some words"] * rows, "y": ["a"] * rows})
    encoder = fit(infer(table, Declared("y", kinds={"x": "text"})), [table.to_pandas()])
    assert encoder.learned["x"] == {"width": width} and len(encoder.outputs) == 2 * width + 1


def test_types_of_pandas_make_no_difference():
    """A category of pandas, an object column, nullable integers, an Arrow type: one encoder."""
    schema = infer(pa.table({"x": [3, 1, None, 3], "y": ["a"] * 4}), Declared("y", kinds={"x": "category"}))
    forms = [
        pd.Series([3, 1, None, 3], dtype=dtype)
        for dtype in ("float64", "Int64", "object", "category", pd.ArrowDtype(pa.int64()))
    ]
    assert [fit(schema, [pd.DataFrame({"x": form})]).learned for form in forms] == [
        {"x": {"values": ["1", "3"]}}
    ] * 5
