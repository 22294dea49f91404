"""Predictions of models in forms that JSON does not have."""

import asyncio

import numpy as np
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
