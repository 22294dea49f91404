"""Predictions of models in forms that JSON does not have."""

import asyncio
import math
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from mlops_lib.errors import ModelError
from serving.inference.json_values import builtins, encode_json
from serving.inference.predictions import as_list
from tests.support.toy_service import Caller, Toy, toy_service

#: Half of a surrogate pair: Python's json reads it, and no encoding writes it.
HALF = "\ud83d"


class Half(Toy):
    """Answers `x` = 1 with half of a surrogate pair."""

    def _answer(self, rows):
        return [HALF if row["x"] == 1 else "반" for row in rows]


@pytest.mark.parametrize("waits", [False, True])
def test_half_a_surrogate_pair_is_the_models_error(tmp_path, waits):
    """The answer says so, and another caller gets an answer."""

    async def run():
        async with toy_service(tmp_path, Half(waits)) as app:
            for accept in ("application/json", "text/event-stream"):
                bad, good = await asyncio.gather(
                    *(Caller(app, "/predict", {"x": x}, accept=accept)() for x in (1, 2))
                )
                assert bad.status == 500 and bad.json["code"] == "model_failed", bad.body
                assert "half of a surrogate pair" in bad.json["detail"] and good.status == 200
                assert "반".encode() in good.body

    asyncio.run(run())


@pytest.mark.parametrize("value", [HALF, [HALF], {"a": [HALF]}, {HALF: 1}, np.array([HALF])])
def test_half_a_surrogate_pair_is_found_at_any_depth(value):
    """In lists, and in the names and values of dicts."""
    with pytest.raises(ModelError, match="half of a surrogate pair"):
        as_list([value], 1)


def test_a_missing_number_is_found_beside_texts():
    """In an array of objects [rows, 2], which JSON would have as null."""
    assert as_list(np.array([["a", 1.5], ["b", float("nan")]], dtype=object), 2)[1] == [1]


class Wrapped(msgspec.Struct):
    """A type that is JSON only after a conversion."""

    a: Any


@pytest.mark.parametrize(
    "value",
    [
        pd.Series([1.0, np.nan]),
        {1.0, math.nan},
        Wrapped([math.inf]),
        pd.NA,
        np.ma.array([1.0, 2.0], mask=[0, 1]),
    ],
    ids=["a series", "a set", "a struct", "NA", "a masked array"],
)
def test_a_missing_number_is_found_in_any_type(value):
    """JSON would have null, or the number under the mask."""
    assert as_list([[1.0], {"a": value}], 2)[1] == [1]


@pytest.mark.parametrize("dtype", [float, int])
def test_a_masked_number_is_missing(dtype):
    """An array of predictions; the numbers that are not masked stay what they are."""
    found, bad = as_list(np.ma.array([1, 2, 3], dtype=dtype, mask=[0, 1, 0]), 3)
    assert bad == [1] and found[::2] == [1, 3] and {type(one) for one in found[::2]} == {dtype}


@pytest.mark.parametrize("value", [(n for n in range(3)), iter([1])])
def test_an_iterator_is_the_models_error(value):
    """Its text has an address of memory, and no prediction."""
    with pytest.raises(ModelError, match="iterator|generator"):
        as_list([1, {"a": [value]}], 2)


def test_a_missing_time_is_null():
    """Of pandas as of NumPy."""
    assert builtins([pd.NaT, np.datetime64("NaT")]) == [None, None]
    assert builtins([pd.Timestamp("2021-01-01")]) == ["2021-01-01 00:00:00"]


@pytest.mark.skipif(np.longdouble is np.float64, reason="this platform's long double has 64 bits")
def test_long_doubles_are_numbers():
    """In arrays and alone; one beyond 64 bits is not finite."""
    found, bad = as_list(np.array([1.5, 2.5], np.longdouble), 2)
    assert found == [1.5, 2.5] and {type(one) for one in found} == {float} and bad == []
    huge = np.longdouble("1e4000")
    assert as_list(np.array([1, huge]), 2)[1] == as_list([1.0, huge], 2)[1] == [1]
    values = [np.longdouble(1.5), {"a": np.array([2.5], np.longdouble)}, np.clongdouble(1)]
    assert encode_json(values) == b'[1.5,{"a":[2.5]},"(1+0j)"]'
    assert builtins(values) == [1.5, {"a": [2.5]}, "(1+0j)"]
