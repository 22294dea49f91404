"""The texts of a column are those of its values one by one."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from mlops_lib.columns.text import text_of
from mlops_lib.loaders.texts import texts


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, None, -7]),
        pa.array([1.0, 2.0, None, -3.0]),
        pa.array([1.5, 2.0, 1e300, -0.0, float("inf")]),
        pa.array([2.0**63, 2.0**53 + 2]),
        pa.array(np.array([0.1, 2.5], dtype=np.float32)),
        pa.array([True, False, None]),
        pa.array(["007", "1E2", "", None]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([Decimal("7.00"), Decimal("0.10"), None]),
        pa.array([dt.datetime(2026, 1, 1, 12, 0, 0, 5), None]),
        pa.array([dt.date(2026, 1, 1)]),
        pa.array([b"ab", None]),
        pa.array([["a"], None]),
        pa.array([2**64 - 1, 1], pa.uint64()),
    ],
)
def test_texts_of_a_column_are_those_of_its_values(values):
    """Vectorised for the usual types, the same for all."""
    wanted = [None if value is None else text_of(value) for value in values.to_pylist()]
    assert texts(values).to_pylist() == wanted
    assert texts(pa.chunked_array([values, values])).to_pylist() == wanted * 2


def test_nan_is_no_value():
    """A key of a float column with a gap has none."""
    assert texts(pa.array([1.0, float("nan")])).to_pylist() == ["1", None]
