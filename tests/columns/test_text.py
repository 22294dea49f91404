"""The one text of a key or a category."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_lib.columns.text import is_missing, text_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("7", [7, 7.0, "7", Decimal("7.00"), np.int32(7), np.float32(7), np.uint8(7)]),
        ("007", ["007"]),
        ("1E2", ["1E2"]),
        ("100", [100, 1e2, Decimal("1E2")]),
        ("-0.5", [-0.5, Decimal("-0.500"), np.float64(-0.5)]),
        ("0.0000001", [1e-7, Decimal("1e-7")]),
        ("true", [True, np.True_, "true"]),
        ("2021-01-01T00:00:00", [dt.date(2021, 1, 1), dt.datetime(2021, 1, 1), pd.Timestamp("2021-01-01"),
                                 np.datetime64("2021-01-01", "D"), np.datetime64("2021-01-01", "ns"),
                                 dt.datetime(2021, 1, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=9)))]),
        ("00ff", [b"\x00\xff"]),
        ('{"a":[1,"x",null],"b":0.5}', [{"b": 0.5, "a": [1, "x", None]}, {"b": Decimal("0.5"), "a": np.array([np.float32(1), "x", None])}]),
    ],
)  # fmt: skip
def test_a_value_has_one_text_in_every_type(text, values):
    """Whatever type the file, the database or the request had it in."""
    assert [text_of(value) for value in values] == [text] * len(values)


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_have_the_text_of_integers(number):
    """As an integer, a float and a decimal."""
    assert text_of(number) == text_of(float(number)) == text_of(Decimal(number)) == str(number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_tells_it_apart(number):
    """It reads back as the same number."""
    assert float(text_of(number)) == number


def test_missing_values():
    """None, NaN, NaT and NA; no text and no list."""
    missing = [
        None,
        float("nan"),
        np.float32("nan"),
        pd.NaT,
        pd.NA,
        np.datetime64("NaT"),
        Decimal("nan"),
        Decimal("snan"),
    ]
    assert all(map(is_missing, missing))
    assert not any(map(is_missing, ["", "nan", 0, False, [], [None], {}, np.array([np.nan]), float("inf")]))
